"""Wraps values on their way out of discord.py, and unwraps them on their way back.

``wrap`` looks at the type of a value once and remembers what to do with that type: pass the value through,
make a view of it, or look into it if it is a container. A container without anything to wrap is returned as
it is.

Threads and locks: no locks. The tables map types, of which a program has boundedly many, to functions, and
only grow. Two threads that meet a type at once store equal entries.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import operator
import types
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, NoReturn, Protocol, TypeVar, cast, overload

from discord.ui.view import BaseView
from discord.utils import SequenceProxy

from discordha.blocking.bridge import Bridge
from discordha.blocking.iterators import BlockingIterator, ViewSequence
from discordha.blocking.kinds import is_model

__all__ = ["View", "argument", "register_views", "result", "unwrap", "wrap"]

Wrapper = Callable[[Any, Bridge], Any]
Real = TypeVar("Real")
Real_co = TypeVar("Real_co", covariant=True)


class Viewed(Protocol[Real_co]):
    """A view as type checkers see it: ``discordha.views`` names the object behind each class."""

    @property
    def _discordha_object(self) -> Real_co: ...


class View:
    """Base of all views. Immutable; only ``wrap`` makes views."""

    __slots__ = ("__weakref__", "_discordha_bridge", "_discordha_object")

    _discordha_object: Any
    _discordha_bridge: Bridge

    def __repr__(self) -> str:
        return f"<view of {self._discordha_object!r}>"

    def __str__(self) -> str:
        return str(self._discordha_object)

    def __format__(self, spec: str) -> str:
        return format(self._discordha_object, spec)

    def __eq__(self, other: object) -> Any:
        return self._discordha_object == unwrap(other)

    def __hash__(self) -> int:
        return hash(self._discordha_object)

    def __dir__(self) -> list[str]:
        return dir(self._discordha_object)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._discordha_object, name)
        return value if name[0] == "_" else wrap(value, self._discordha_bridge)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._discordha_object, name, argument(value, self._discordha_bridge))

    def __delattr__(self, name: str) -> None:
        delattr(self._discordha_object, name)

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError(
            f"a view of {type(self._discordha_object).__name__} can't be pickled or copied: "
            "it belongs to this process's connection to Discord. "
            "Keep the id, or take the discord.py object with discordha.unwrap"
        )

    __reduce__ = __reduce_ex__ = __copy__ = __deepcopy__ = __getstate__ = _refuse


_UNKNOWN: Any = object()
_wrappers: dict[type, Wrapper | None] = {}
_result_wrappers: dict[type, Wrapper] = {}
_argument_unwrappers: dict[type, Wrapper | None] = {}

#: ``discord.ui`` views that can receive interactions; see ``_arm``.
_armed: weakref.WeakSet[BaseView] = weakref.WeakSet()


class _Views:
    """How views are made. ``discordha.blocking.views`` stands above this module and fills it."""

    maker: Callable[[type], Wrapper]
    bind: Wrapper


def register_views(maker: Callable[[type], Wrapper], bind: Wrapper) -> None:
    """Tells how a type's maker of views is made, and how a bound method becomes a blocking function."""
    _Views.maker = staticmethod(maker)
    _Views.bind = staticmethod(bind)


def wrap(obj: Any, bridge: Bridge) -> Any:
    """A blocking view of a discord.py object; plain data is returned as it is. Does not block; any thread.

    :param bridge: where the view's methods run.
    """
    wrapper = _wrappers.get(type(obj), _UNKNOWN)
    if wrapper is _UNKNOWN:
        wrapper = _wrappers[type(obj)] = _learn(type(obj))
    return obj if wrapper is None else wrapper(obj, bridge)


@overload
def unwrap(view: Viewed[Real]) -> Real: ...
@overload
def unwrap(view: Any) -> Any: ...
def unwrap(view: Any) -> Any:
    """discord.py's own object behind a view. Looks into containers; returns anything else as it is. Never
    blocks; any thread, also the loop's.
    """
    return argument(view, None)


def result(value: Any, bridge: Bridge) -> Any:
    """The result of a view's method, where discord.py's returned ``value``. Awaits that if it can. Blocks."""
    wrapper = _result_wrappers.get(type(value))
    if wrapper is None:
        wrapper = _result_wrappers[type(value)] = _learn_result(type(value))
    return wrapper(value, bridge)


def argument(value: Any, bridge: Bridge | None) -> Any:
    """``value`` as discord.py takes it: its own objects instead of views, and predicates that get views.
    Without a ``bridge``, functions stay as they are.
    """
    kind = type(value)
    unwrapper = _argument_unwrappers.get(kind, _UNKNOWN)
    if unwrapper is _UNKNOWN:
        unwrapper = _argument_unwrappers[kind] = _learn_argument(kind)
    return value if unwrapper is None else unwrapper(value, cast(Bridge, bridge))


def _learn(kind: type) -> Wrapper | None:
    if issubclass(kind, type):
        return None
    if hasattr(kind, "__discordha_wrap__"):  # lives on both sides, or knows how to
        return lambda value, bridge: value.__discordha_wrap__(bridge)
    if issubclass(kind, _COLLECTIONS):
        return None if hasattr(kind, "_actual_enum_cls_") else _wrap_collection
    if issubclass(kind, (dict, types.MappingProxyType)):
        return _wrap_mapping
    if issubclass(kind, SequenceProxy):
        return lambda value, bridge: ViewSequence(value, bridge, wrap)
    if issubclass(kind, (*_DICT_PARTS, types.GeneratorType)):
        return _wrap_iterable
    if issubclass(kind, types.MethodType):
        return _Views.bind
    if issubclass(kind, types.AsyncGeneratorType):
        return _wrap_async_iterable
    return _Views.maker(kind) if is_model(kind) else None


_COLLECTIONS = (tuple, list, set, frozenset)
_DICT_PARTS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))


def _convert_collection(value: Any, bridge: Bridge, convert: Wrapper) -> Any:
    converted = [convert(item, bridge) for item in list(value)]
    if all(map(operator.is_, converted, value)):
        return value
    if isinstance(value, tuple):
        return getattr(type(value), "_make", tuple)(converted)
    return converted if isinstance(value, list) else set(converted)


def _convert_mapping(value: Mapping[Any, Any], bridge: Bridge, convert: Wrapper) -> Any:
    items = list(value.items())
    converted = [(convert(key, bridge), convert(item, bridge)) for key, item in items]
    if all(
        key is old and item is before for (key, item), (old, before) in zip(converted, items, strict=True)
    ):
        return value
    return dict(converted)


_wrap_collection = functools.partial(_convert_collection, convert=wrap)
_wrap_mapping = functools.partial(_convert_mapping, convert=wrap)
_unwrap_collection = functools.partial(_convert_collection, convert=argument)
_unwrap_mapping = functools.partial(_convert_mapping, convert=argument)


def _wrap_iterable(value: Any, bridge: Bridge) -> Iterator[Any]:
    # Collected now: the loop's thread may change the dictionary that it iterates over.
    return iter([wrap(item, bridge) for item in list(value)])


def _wrap_async_iterable(value: Any, bridge: Bridge) -> BlockingIterator[Any]:
    source: AsyncIterator[Any] = value.__aiter__()
    return BlockingIterator(source, bridge, wrap)


def _learn_result(kind: type) -> Wrapper:
    if hasattr(kind, "__aiter__"):
        return _wrap_async_iterable
    if hasattr(kind, "__await__"):
        if hasattr(kind, "__aenter__"):
            return _wrap_manager
        return lambda value, bridge: wrap(bridge.call(value), bridge)
    return wrap


def _wrap_manager(value: Any, bridge: Bridge) -> Any:
    """``await channel.typing()`` and ``async with channel.typing()`` look alike without their keywords, so
    the call is awaited, and the view can still be entered.
    """
    bridge.call(value)
    view = wrap(value, bridge)
    view._discordha_awaited()
    return view


def _learn_argument(kind: type) -> Wrapper | None:
    if issubclass(kind, View):
        return _object_of
    if issubclass(kind, ViewSequence):
        return lambda value, bridge: list(value._sequence)
    if issubclass(kind, _COLLECTIONS):
        return None if hasattr(kind, "_actual_enum_cls_") else _unwrap_collection
    if issubclass(kind, dict):
        return _unwrap_mapping
    if issubclass(kind, (types.FunctionType, types.MethodType, functools.partial)):
        return _unwrap_function
    if issubclass(kind, BaseView):
        return _arm
    return None


def _object_of(value: Any, _bridge: Bridge) -> Any:
    return value._discordha_object


def _unwrap_function(function: Callable[..., Any], bridge: Bridge | None) -> Callable[..., Any]:
    """A predicate (``check=``) gets views. A coroutine function runs on the loop and stays as it is."""
    if bridge is None or inspect.iscoroutinefunction(function):
        return function

    def with_views(*args: Any, **kwargs: Any) -> Any:
        views = [wrap(value, bridge) for value in args]
        return argument(function(*views, **{name: wrap(kwargs[name], bridge) for name in kwargs}), None)

    return with_views


def _arm(view: BaseView, bridge: Bridge | None) -> BaseView:
    """Lets a ``discord.ui`` view that was made on a handler thread receive its interactions.

    discord.py makes the future behind ``wait`` and ``stop`` when a view is made on the loop, and ignores the
    interactions of a view without one. The first step of ``wait`` makes that future.
    """
    if bridge is not None and view not in _armed:

        async def begin_wait() -> None:
            _begin_wait(view)

        if asyncio._get_running_loop() is None:
            bridge.call(begin_wait())
        else:
            _begin_wait(view)
        _armed.add(view)
    return view


def _begin_wait(view: BaseView) -> None:
    wait = BaseView.wait(view)
    try:
        future = wait.send(None)
    except StopIteration:  # the view is finished already
        return
    future._asyncio_future_blocking = False  # as a task does, so that others can await it
    wait.close()
