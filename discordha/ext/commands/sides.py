"""What makes a class of ``discord.ext.commands`` live on both sides: the loop's and the author's.

Guarantees
- A coroutine method of discord.py's returns its coroutine on the loop's side. On the author's side it blocks,
  takes views and returns views.
- A method that an author overrides with a plain function runs as it is on the author's side. On the loop's
  side it is a coroutine function that runs the plain one on the handler thread.
- An author's coroutine function is refused where its class is made, with the remedy.

Threads and locks: no state. Classes are made by one thread, before the bot starts.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, ClassVar, TypeVar

from discordha.blocking import Bridge, unwrap, wrap
from discordha.blocking.nonces import creates_message, with_nonce
from discordha.blocking.sides import loop_side, on_loop_side
from discordha.blocking.views import blocking_caller
from discordha.commands.declared import is_theirs
from discordha.commands.trampoline import Trampoline, adapt, current_bridge
from discordha.dispatch.handlers.callables import refuse_coroutine
from discordha.errors import DiscordHAError

__all__ = [
    "Attribute",
    "TwoSided",
    "both",
    "bridge_of",
    "convert_methods",
    "drive",
    "is_authors",
    "refuse_coroutines",
    "two_sided",
]

Kind = TypeVar("Kind", bound=type)
Result = TypeVar("Result")

_METHODS = "Methods that discord.py calls"


def both(function: Callable[..., Any], what: str = _METHODS) -> Callable[..., Any]:
    """A plain function of the author's, callable from both sides. Idempotent.

    :param what: a plural noun for such functions, for the error.
    :raises ConfigError: a coroutine function.
    """
    if hasattr(function, "__discordha_plain__"):
        return function
    adapted = adapt(function, what)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if on_loop_side():
            return adapted(*args, **kwargs)
        return function(*args, **kwargs)

    call.__discordha_plain__ = function  # type: ignore[attr-defined]
    return call


def is_authors(value: Any) -> bool:
    """Whether a value is a function of the author's, which may block: discord.py calls defaults."""
    kinds = (types.FunctionType, types.MethodType, functools.partial)
    return isinstance(value, kinds) and not is_theirs(value)


def bridge_of(*places: Any) -> Bridge:
    """The bridge of the running bot: of the calling handler thread, or of a bot or a context among the
    arguments.

    :raises DiscordHAError: there is none.
    """
    bridge = current_bridge()
    if bridge is not None:
        return bridge
    for place in places:
        bot = getattr(place, "bot", place)
        found: Bridge | None = getattr(bot, "_discordha_bridge", None)
        if found is not None:
            return found
    raise DiscordHAError("this call needs the running bot: make it from a command, or give it a context")


def drive(bridge: Bridge, start: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Runs a coroutine function of discord.py's on the loop, and on the calling thread the plain functions
    that it awaits. Blocks until it is done, and raises what it raises.
    """

    async def main() -> Result:
        return await start()

    trampoline = Trampoline(bridge)
    result: Result = trampoline.drive(main)
    trampoline.raise_noted()
    return result


class Attribute:
    """An attribute or a property of discord.py's: its own object on the loop's side, a view on the author's.

    :param inner: the property that reads it; ``None``: it is stored.
    """

    def __init__(self, name: str, inner: Any = None) -> None:
        self._name = name
        self._inner = inner

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        if on_loop_side():
            return self._read(instance)
        with loop_side():
            value = self._read(instance)
        return wrap(value, bridge_of(instance))

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self._name] = unwrap(value)

    def _read(self, instance: Any) -> Any:
        try:
            return instance.__dict__[self._name]
        except KeyError:
            if self._inner is None:
                raise AttributeError(f"{type(instance).__name__} has no attribute {self._name!r}") from None
        inner = self._inner
        if isinstance(inner, property):
            return inner.__get__(instance, type(instance))
        # A cached property, whose value is stored.
        value = instance.__dict__[self._name] = inner.function(instance)
        return value


class TwoSided:
    """Base of the classes that live on both sides. They are no views; each ``Attribute`` shows one."""

    #: Methods that discord.py awaits if they return an awaitable, though its own are plain.
    _discordha_called: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not cls.__module__.startswith("discordha."):
            convert_methods(cls, cls.__dict__.copy(), setattr)

    def __discordha_wrap__(self, bridge: Bridge) -> Any:
        return self


def convert_methods(owner: type, members: dict[str, Any], put: Callable[[Any, str, Any], None]) -> None:
    """Makes the methods of an author's class callable from both sides, where discord.py awaits them.

    :param owner: tells which methods discord.py has.
    :param put: replaces a member of ``owner``.
    """
    called: frozenset[str] = getattr(owner, "_discordha_called", frozenset())
    for name, member in members.items():
        function = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
        if not inspect.isfunction(function):
            continue
        if name not in called and not _is_awaited(owner, name):
            continue
        made: Any = both(function)
        if isinstance(member, (classmethod, staticmethod)):
            made = type(member)(made)
        put(owner, name, made)


def _is_awaited(owner: type, name: str) -> bool:
    """Whether discord.py's own method of that name is a coroutine function."""
    for base in owner.__mro__:
        if base.__module__.startswith("discord.") and name in vars(base):
            member = vars(base)[name]
            return inspect.iscoroutinefunction(getattr(member, "__func__", member))
    return False


def two_sided(
    *, asks: Iterable[str] = (), attributes: Iterable[str] = (), keep: Iterable[str] = ()
) -> Callable[[Kind], Kind]:
    """Class decorator: the coroutine methods that the class inherits from discord.py become two-sided.

    :param asks: methods that only ask Discord, with the nonces and time limits of views' methods. All other
        methods may call the author's functions.
    :param attributes: attributes and properties that show views.
    :param keep: methods that discord.py wants as coroutine functions.
    """

    def decorate(cls: Kind) -> Kind:
        for name in dir(cls):
            if name.startswith("_") or name in vars(cls) or name in keep:
                continue
            static = inspect.getattr_static(cls, name)
            function = getattr(static, "__func__", static)
            if name in asks:
                setattr(cls, name, _asking(cls, name, function))
            elif inspect.iscoroutinefunction(function) and function.__module__.startswith("discord."):
                method = _driving(cls, name, function)
                setattr(cls, name, classmethod(method) if isinstance(static, classmethod) else method)
        for name in attributes:
            setattr(cls, name, Attribute(name, inspect.getattr_static(cls, name, None)))
        return cls

    return decorate


def _driving(owner: Any, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        inherited = getattr(super(owner, self), name)
        if on_loop_side():
            return inherited(*args, **kwargs)
        bridge = bridge_of(self, *args)
        plain, named = unwrap(args), unwrap(kwargs)
        return wrap(drive(bridge, lambda: inherited(*plain, **named)), bridge)

    return method


def _asking(owner: Any, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    call = blocking_caller(function)
    numbered = creates_message(function)

    @functools.wraps(function)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        inherited = getattr(super(owner, self), name)
        if on_loop_side():
            if numbered:
                args = with_nonce(function, args, kwargs)
            return inherited(*args, **kwargs)

        def ask(*args: Any, **kwargs: Any) -> Any:
            with loop_side():
                return inherited(*args, **kwargs)

        return call(ask, bridge_of(self), args, kwargs)

    return method


def refuse_coroutines(cls: type, what: str) -> None:
    """Refuses an author's class with a coroutine method.

    :raises ConfigError: names the method and the remedy.
    """
    for member in vars(cls).values():
        if inspect.iscoroutinefunction(member):
            refuse_coroutine(member, what)
