"""Writes one class of discord.py as its blocking view: attributes, properties, methods, overloads.

Coroutine methods lose their ``async``, async iterators become ``BlockingIterator``, async context managers
context managers. Methods take and return views; constructors and class methods return discord.py's own
objects, as at run time.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from typing import Any, get_args, get_origin

import discord
from stub_source import Attribute, FunctionNode, Member, Method, Property, Scope, members, scope_of
from stub_types import EMPTY, Types, is_viewed, key

__all__ = ["INFERRED", "Classes", "exists"]

WIDTH = 110

#: Annotations, in terms of their module, of attributes and results that discord.py does not annotate.
INFERRED = {
    "AutoModRule.creator_id": "int",
    "AutoModTrigger.type": "AutoModRuleTriggerType",
    "GuildPreview.id": "int",
    "Interaction.context": "AppCommandContext",
    "PrimaryGuild.id": "Optional[int]",
    "PrimaryGuild.identity_enabled": "Optional[bool]",
    "PrimaryGuild.tag": "Optional[str]",
    "SoundboardSound.edit": "SoundboardSound",
    "SoundboardSound.guild": "Guild",
    "Template.source_guild": "Guild",
    "VocalGuildChannel.slowmode_delay": "int",
    "VoiceClient.socket": "Any",
    "WelcomeChannel.channel": "abc.Snowflake",
    "WelcomeChannel.description": "str",
    "WelcomeChannel.emoji": "Optional[Union[PartialEmoji, Emoji]]",
}
#: discord.py, not a user, calls a constructor with one of these parameters.
INTERNAL = {
    *("state", "data", "payload", "http", "guild", "session", "adapter", "entry", "connection"),
    *("parent", "shard", "client"),
}
OPERATORS = {
    *("__lt__", "__le__", "__gt__", "__ge__", "__len__", "__bool__", "__int__", "__index__", "__contains__"),
    *("__getitem__", "__setitem__", "__delitem__", "__reversed__", "__call__", "__bytes__", "__float__"),
    *("__or__", "__and__", "__xor__", "__invert__", "__add__", "__sub__", "__iter__", "__getattr__"),
}
ASYNC_OPERATORS = {"__aiter__": "__iter__", "__aenter__": "__enter__", "__aexit__": "__exit__"}


def exists(kind: type) -> bool:
    """Whether discord.py has the class at run time."""
    return getattr(scope_of(kind.__module__).module, kind.__name__, None) is kind


def made_by_users(kind: type) -> bool:
    """Whether users make objects of this model, to pass them to discord.py."""
    init: Any = kind.__init__  # type: ignore[misc]
    if not is_viewed(kind) or issubclass(kind, (tuple, dict)) or init is object.__init__:
        return False
    parameters = set(list(inspect.signature(init).parameters)[1:])
    private = any(name.startswith("_") for name in parameters)
    return bool(parameters) and not parameters & INTERNAL and not private and kind.__name__ in vars(discord)


class Classes:
    """Writes classes, with types rendered by ``types``.

    :ivar unused: the names in INFERRED that no class has needed yet.
    """

    def __init__(self, types: Types) -> None:
        self.types = types
        self.types.constructible = made_by_users
        self.unused = set(INFERRED)

    def text(self, kind: type) -> str:
        """The text of one class."""
        scope = scope_of(kind.__module__)
        node = scope.classes[kind.__name__]
        name = self.types.name(kind)
        if issubclass(kind, tuple):
            lines = [f"class {name}(NamedTuple):", *self._fields(node, scope, self.types.view)]
        elif issubclass(kind, dict):
            total = [f"total={ast.unparse(word.value)}" for word in node.keywords if word.arg == "total"]
            bases = [*(self._bases(node, scope) or ["TypedDict"]), *total]
            lines = [f"class {name}({', '.join(bases)}):", *self._fields(node, scope, self.types.argument)]
        else:
            bases = self._bases(node, scope)
            if all(base.startswith("discord.") for base in bases):
                bases.insert(0, "_View")
            lines = [f"class {name}({', '.join(bases)}):"]
            if exists(kind):
                lines += [
                    f'    """Blocking view of ``{self.types.path(kind)}``."""\n',
                    "    @property",
                    f"    def _discordha_object(self) -> {self.types.path(kind)}: ...",
                ]
            if made_by_users(kind):
                lines += self._constructor(kind, node, scope)
            for member in members(node):
                lines += self._member(kind, member, scope)
        return "\n".join([*lines, *(["    pass"] if len(lines) == 1 else [])]) + "\n"

    def _bases(self, node: ast.ClassDef, scope: Scope) -> list[str]:
        found = []
        for base in node.bases:
            value = scope.evaluate(base.value if isinstance(base, ast.Subscript) else base)
            if is_viewed(value):
                found.append(self.types.view(value, scope))
            elif key(value).startswith("discord.") and key(value) not in EMPTY and value.__name__[0] != "_":
                found.append(self.types.real(value, scope))
        return found

    def _fields(self, node: ast.ClassDef, scope: Scope, render: Any) -> Iterator[str]:
        """The fields of a named tuple, or of a dictionary of options."""
        for member in members(node):
            if isinstance(member, Attribute) and member.annotation is not None:
                yield f"    {member.name}: {render(scope.evaluate(member.annotation), scope)}"

    def _constructor(self, kind: type, node: ast.ClassDef, scope: Scope) -> Iterator[str]:
        for found in members(node):
            if isinstance(found, Method) and found.name == "__init__":
                for signature in found.signatures:
                    if found.overloaded:
                        yield "    @overload"
                    parameters = self._parameters(signature, scope, self.types.real)
                    yield from _definition("__new__", ["cls", *parameters[1:]], self.types.path(kind))

    def _member(self, kind: type, member: Member, scope: Scope) -> Iterator[str]:
        name = member.name
        if name.startswith("_") and name not in OPERATORS and name not in ASYNC_OPERATORS:
            return
        if isinstance(member, Attribute):
            yield from self._attribute(kind, member, scope)
        elif isinstance(member, Property):
            yield "    @property"
            yield from _definition(
                name, ["self"], self.types.view(self._returns(kind, member.getter, scope), scope)
            )
            if member.setter is not None:
                value = self._parameters(member.setter, scope, self.types.argument)[1]
                yield f"    @{name}.setter"
                yield from _definition(name, ["self", value], "None")
        else:
            yield from self._method(kind, member, scope)

    def _returns(self, kind: type, node: FunctionNode, scope: Scope) -> Any:
        annotation = node.returns or self._inferred(kind, node.name)
        if annotation is not None:
            return scope.evaluate(annotation)
        return None if isinstance(node, ast.AsyncFunctionDef) else Any

    def _inferred(self, kind: type, name: str) -> ast.expr | None:
        title = f"{kind.__name__}.{name}"
        if title not in INFERRED:
            return None
        self.unused.discard(title)
        return ast.parse(INFERRED[title], mode="eval").body

    def _attribute(self, kind: type, attribute: Attribute, scope: Scope) -> Iterator[str]:
        annotation = attribute.annotation or self._inferred(kind, attribute.name)
        if annotation is not None:
            value = scope.evaluate(annotation)
            if get_origin(value) is Callable:  # a method that discord.py copies from another class
                parameters, result = get_args(value)
                value = Callable[parameters, self.types.awaited(result)]
            yield f"    {attribute.name}: {self.types.view(value, scope)}"
        elif not any(attribute.name in _names(base) for base in kind.__mro__[1:]):
            title = f"{kind.__name__}.{attribute.name}"
            raise SystemExit(f"{title} has no annotation in {kind.__module__}: add it to INFERRED")

    def _method(self, kind: type, method: Method, scope: Scope) -> Iterator[str]:
        render = self.types.real if method.kind == "classmethod" else self.types.argument
        name = ASYNC_OPERATORS.get(method.name, method.name)
        for node in method.signatures:
            if method.overloaded:
                yield "    @overload"
            if method.kind:
                yield f"    @{method.kind}"
            parameters = self._parameters(node, scope, render, bound=method.kind != "staticmethod")
            yield from _definition(name, parameters, self._result(kind, method, node, scope))

    def _result(self, kind: type, method: Method, node: FunctionNode, scope: Scope) -> str:
        value = self._returns(kind, node, scope)
        if method.kind == "classmethod":
            own = getattr(value, "_name", "") == "Self"
            return self.types.path(kind) if own else self.types.real(value, scope)
        return self.types.returned(value, scope)

    def _parameters(self, node: FunctionNode, scope: Scope, render: Any, *, bound: bool = True) -> list[str]:
        """Parameters with their types and constant defaults."""
        arguments = node.args
        positional = [*arguments.posonlyargs, *arguments.args]

        def one(parameter: ast.arg, default: ast.expr | None = None, stars: str = "") -> str:
            if bound and parameter is positional[0]:
                return parameter.arg
            annotation = parameter.annotation
            kind = "Any" if annotation is None else render(scope.evaluate(annotation), scope)
            value = ast.unparse(default) if isinstance(default, ast.Constant) else "..."
            return f"{stars}{parameter.arg}: {kind}" + (f" = {value}" if default is not None else "")

        defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
        found = [one(parameter, default) for parameter, default in zip(positional, defaults, strict=True)]
        if arguments.posonlyargs:
            found.insert(len(arguments.posonlyargs), "/")
        if arguments.vararg is not None:
            found.append(one(arguments.vararg, stars="*"))
        elif arguments.kwonlyargs:
            found.append("*")
        found += [one(p, d) for p, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
        if arguments.kwarg is not None:
            found.append(one(arguments.kwarg, stars="**"))
        return found


def _names(kind: type) -> set[str]:
    """The names of a class of discord.py's members, from its source."""
    if not kind.__module__.startswith("discord."):
        return set()
    return {member.name for member in members(scope_of(kind.__module__).classes[kind.__name__])}


def _definition(name: str, parameters: list[str], result: str) -> Iterator[str]:
    line = f"    def {name}({', '.join(parameters)}) -> {result}: ..."
    if len(line) <= WIDTH:
        yield line
        return
    yield f"    def {name}("
    for parameter in parameters:
        yield f"        {parameter},"
    yield f"    ) -> {result}: ..."
