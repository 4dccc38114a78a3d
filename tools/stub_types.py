"""Renders types of discord.py for the stub: models become their views, all other types stay.

``Types.view`` renders values that come out of a view, ``Types.argument`` values that go into one,
``Types.real`` discord.py's own types. ``Types`` collects the imports, type variables and classes that a
rendered type needs.
"""

from __future__ import annotations

import builtins
import collections.abc
import importlib
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any, ForwardRef, Union, get_args, get_origin

import discord
from stub_source import Scope

from discordha.blocking.kinds import PLAIN_MODULES, is_model

__all__ = ["EMPTY", "GENERICS", "HOMES", "Types", "is_viewed", "key"]

#: The modules of discord.py's public classes, in which ``discordha.views`` looks for them.
HOMES = ("discord", "discord.abc", "discord.app_commands")
#: Further modules with public plain types.
PLAIN_HOMES = ("discord.ui", "discord.utils")
#: Models by the rule, but plain to a type checker: protocols and empty bases.
EMPTY = {"discord.mixins.EqualityComparable", "discord.mixins.Hashable"}
PLAIN = {"discord.abc.Snowflake", *EMPTY}
#: Classes whose name another home has, too.
RENAMED = {"discord.abc.User": "_AbcUser"}
AWAITABLES = (collections.abc.Coroutine, collections.abc.Awaitable)
ASYNC_ITERATORS = (
    collections.abc.AsyncIterator,
    collections.abc.AsyncGenerator,
    collections.abc.AsyncIterable,
)
GENERICS = {
    collections.abc.Callable: "Callable",
    collections.abc.Coroutine: "Coroutine",
    collections.abc.Awaitable: "Awaitable",
    collections.abc.AsyncIterator: "AsyncIterator",
    collections.abc.AsyncGenerator: "AsyncGenerator",
    collections.abc.AsyncIterable: "AsyncIterable",
    collections.abc.Iterator: "Iterator",
    collections.abc.Iterable: "Iterable",
    collections.abc.Generator: "Generator",
    collections.abc.Sequence: "Sequence",
    collections.abc.Collection: "Collection",
    collections.abc.Mapping: "Mapping",
    collections.abc.ValuesView: "Iterator",  # views of dictionaries are iterated over once
}


def key(kind: type) -> str:
    """A class's full name."""
    return f"{kind.__module__}.{kind.__qualname__}"


def is_viewed(kind: Any) -> bool:
    """Whether the stub has a class for it."""
    if not inspect.isclass(kind) or kind.__module__.startswith(("discord.types", "discord.ext")):
        return False
    return key(kind) not in PLAIN and (is_model(kind) or _holds_models(kind))


def _holds_models(kind: type) -> bool:
    """Whether it is a named tuple or a dictionary of options, which is wrapped item by item."""
    ours = kind.__module__.startswith("discord.") and kind.__module__ not in PLAIN_MODULES
    return ours and (typing.is_typeddict(kind) or (issubclass(kind, tuple) and hasattr(kind, "_fields")))


class Types:
    """Renders types. ``needed`` grows with the classes that they name."""

    def __init__(self) -> None:
        self.imports: set[str] = {"builtins", "discord"}
        self.needed: dict[str, type] = {}
        self.variables: dict[str, str] = {}
        self.constructible: Callable[[type], bool] = lambda kind: False
        self._scope: Scope | None = None
        self._mode = "view"

    def view(self, value: Any, scope: Scope) -> str:
        """The type of a value that comes out of a view."""
        return self._render_as("view", value, scope)

    def argument(self, value: Any, scope: Scope) -> str:
        """The type of an argument of a view's method: views, and objects that users make."""
        return self._render_as("argument", value, scope)

    def real(self, value: Any, scope: Scope) -> str:
        """The type itself."""
        return self._render_as("real", value, scope)

    def returned(self, value: Any, scope: Scope) -> str:
        """The result type of a view's method, for a method that returns ``value``."""
        value = self.awaited(value)
        origin = get_origin(value)
        if origin in ASYNC_ITERATORS:
            return f"BlockingIterator[{self.view(get_args(value)[0], scope)}]"
        if inspect.isclass(value) and hasattr(value, "__aiter__"):
            item = inspect.get_annotations(value.__aiter__)["return"]
            return self.returned(eval(item, scope.names), scope)
        return self.view(value, scope)

    @staticmethod
    def awaited(value: Any) -> Any:
        """The type of an awaited ``value``, if it is awaitable."""
        while get_origin(value) in AWAITABLES:
            value = get_args(value)[-1]
        return value

    def name(self, kind: type) -> str:
        """The stub's name of a class."""
        return RENAMED.get(key(kind), kind.__name__)

    def path(self, kind: type) -> str:
        """discord.py's own class, by its public name if it has one."""
        for home in (*HOMES, *PLAIN_HOMES):
            module = importlib.import_module(home)
            public = hasattr(module, "__path__") or kind.__name__ in module.__all__
            if public and getattr(module, kind.__name__, None) is kind:
                self.imports.add(home)
                return f"{home}.{kind.__name__}"
        self.imports.add(kind.__module__)
        return f"{kind.__module__}.{kind.__qualname__}"

    def _render_as(self, mode: str, value: Any, scope: Scope) -> str:
        before = self._mode, self._scope
        self._mode, self._scope = mode, scope
        try:
            return self._render(value)
        finally:
            self._mode, self._scope = before

    def _render(self, value: Any) -> str:
        if value is None or value is type(None):
            return "None"
        if isinstance(value, str):
            value = ForwardRef(value)
        if isinstance(value, ForwardRef):
            assert self._scope is not None
            return self._render(self._scope.resolve(value))
        if value is Ellipsis:
            return "..."
        if value is Any:  # a class, since Python 3.11
            return "Any"
        if type(value).__name__ in {"TypeVar", "ParamSpec"}:  # of typing or typing_extensions
            return self._variable(value)
        if isinstance(value, list):
            return f"[{', '.join(self._render(item) for item in value)}]"
        origin = get_origin(value)
        if origin is not None:
            return self._generic(value, origin, get_args(value))
        if inspect.isclass(value):
            return self._class(value)
        return self._special(value)

    def _special(self, value: Any) -> str:
        for name in ("Self", "NoReturn", "Never", "LiteralString"):
            if value is getattr(typing, name) or getattr(value, "_name", None) == name:
                return name
        if value in GENERICS:
            return f"{GENERICS[value]}[Any]"
        raise TypeError(f"discord.py has a type that tools/stub_types.py cannot render: {value!r}")

    def _class(self, kind: type) -> str:
        if kind.__module__ == "builtins" and hasattr(builtins, kind.__name__):
            # Many of discord.py's classes have an attribute named type.
            return f"builtins.{kind.__name__}" if kind is type else kind.__name__
        if self._mode != "real" and is_viewed(kind):
            self.needed.setdefault(key(kind), kind)
            name = self.name(kind)
            if self._mode == "argument" and self.constructible(kind):
                return f"{name} | {self.path(kind)}"
            return name
        if kind.__module__.split(".")[0] == "discord":
            return self.path(kind)
        if kind in GENERICS:
            return f"{GENERICS[kind]}[Any]"
        return self._foreign(kind)

    def _foreign(self, kind: type) -> str:
        """A class of another library, by its shortest public name."""
        parts = kind.__module__.lstrip("_").split(".")
        for length in range(1, len(parts) + 1):
            home = ".".join(parts[:length]) if kind.__module__ != "builtins" else "types"
            for name, value in vars(importlib.import_module(home)).items():
                if value is kind and not name.startswith("_"):
                    self.imports.add(home)
                    return f"{home}.{name}"
        raise TypeError(f"{kind} has no public name")

    def _generic(self, value: Any, origin: Any, args: tuple[Any, ...]) -> str:
        if origin in {Union, types.UnionType}:
            parts = dict.fromkeys(part for arg in args for part in self._render(arg).split(" | "))
            if "None" in parts:
                parts = dict.fromkeys([*(part for part in parts if part != "None"), "None"])
            return " | ".join(parts)
        if origin is typing.Literal:
            return f"Literal[{', '.join(self._literal(arg) for arg in args)}]"
        if origin is typing.ClassVar:
            return f"ClassVar[{self._render(args[0])}]"
        if getattr(origin, "_name", None) in {"Unpack", "Required", "NotRequired"}:
            return f"{origin._name}[{self._render(args[0])}]"
        if origin is typing.Annotated:
            return self._render(args[0])
        if inspect.isclass(origin) and is_viewed(origin):
            return self._class(origin)  # its only parameter is the client's type
        if origin is collections.abc.Callable:
            parameters, result = args
            return f"Callable[{self._render(parameters)}, {self._render(result)}]"
        name = GENERICS.get(origin) or self._class(origin)
        return f"{name}[{', '.join(self._render(arg) for arg in args)}]"

    def _literal(self, value: Any) -> str:
        if isinstance(value, (str, int, bool, bytes)) or value is None:
            return repr(value)
        return f"{self.path(type(value)._actual_enum_cls_)}.{value.name}"

    def _variable(self, variable: Any) -> str:
        name: str = variable.__name__
        if type(variable).__name__ == "ParamSpec":
            definition = f"{name} = ParamSpec({name!r})"
        else:
            bound = variable.__bound__ and self._bound(variable)
            if inspect.isclass(bound) and issubclass(bound, discord.Client):
                return self._class(bound)  # an interaction's client: views do not tell clients apart
            parts = [repr(name), *(self._render(one) for one in variable.__constraints__)]
            if bound:
                parts.append(f"bound={self._render(bound)}")
            definition = f"{name} = TypeVar({', '.join(parts)})"
        known = self.variables.setdefault(name, definition)
        if known != definition:
            raise TypeError(f"two type variables of discord.py have one name: {known}, {definition}")
        return name

    def _bound(self, variable: Any) -> Any:
        bound = variable.__bound__
        if isinstance(bound, ForwardRef):
            assert self._scope is not None
            return self._scope.resolve(bound)
        return bound
