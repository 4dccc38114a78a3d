"""``wrap`` and ``unwrap``: values on their way out of discord.py, and back into it.
 ``wrap`` looks at the value's type once and remembers what to do with that type: pass it through, make a
view of it, or look into it, when it is a container. Containers that hold nothing to wrap are handed out as
they are.
 Concurrency: the tables map types, of which a program has boundedly many, to functions. They are only added
to; two threads that learn one type at once store equal entries. No locks.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import types
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar, cast, overload

from discord.ui.view import BaseView
from discord.utils import SequenceProxy

from discordha.blocking.bridge import Bridge
from discordha.blocking.iterators import BlockingIterator, ViewSequence
from discordha.blocking.kinds import is_model

__all__ = ["argument", "result", "unwrap", "wrap"]

Wrapper = Callable[[Any, Bridge], Any]
Real = TypeVar("Real")
Real_co = TypeVar("Real_co", covariant=True)


class Viewed(Protocol[Real_co]):
    """What type checkers know of a view: whose view it is. ``discordha.views`` says it for each class."""

    @property
    def _discordha_object(self) -> Real_co: ...


_UNKNOWN: Any = object()
_wrappers: dict[type, Wrapper | None] = {}
_result_wrappers: dict[type, Wrapper] = {}
_argument_unwrappers: dict[type, Wrapper | None] = {}

#: discord.ui views that can hear of interactions, see ``_arm``.
_armed: weakref.WeakSet[BaseView] = weakref.WeakSet()


def wrap(obj: Any, bridge: Bridge) -> Any:
    """A blocking view of a discord.py object; plain data is returned as it is. Never blocks; any thread.

    :param bridge: through which the view's methods call into the loop.
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
    """discord.py's own object behind a view; containers are looked into, all else is returned as it is."""
    return argument(view, None)


def result(value: Any, bridge: Bridge) -> Any:
    """What a view's method returns where its object's returned ``value``. Blocks if that is awaitable."""
    if type(value) is types.CoroutineType:
        return wrap(bridge.call(value), bridge)
    wrapper = _result_wrappers.get(type(value))
    if wrapper is None:
        wrapper = _result_wrappers[type(value)] = _learn_result(type(value))
    return wrapper(value, bridge)


def argument(value: Any, bridge: Bridge | None) -> Any:
    """``value`` as discord.py wants it: its own objects instead of views; functions called with views.

    :param bridge: ``None`` leaves functions as they are.
    """
    kind = type(value)
    unwrapper = _argument_unwrappers.get(kind, _UNKNOWN)
    if unwrapper is _UNKNOWN:
        unwrapper = _argument_unwrappers[kind] = _learn_argument(kind)
    return value if unwrapper is None else unwrapper(value, cast(Bridge, bridge))


def _learn(kind: type) -> Wrapper | None:
    from discordha.blocking.views import bound_method, view_maker

    if issubclass(kind, type):
        return None
    if issubclass(kind, tuple):
        return None if hasattr(kind, "_actual_enum_cls_") else _wrap_tuple
    if issubclass(kind, (list, set, frozenset)):
        return _wrap_collection
    if issubclass(kind, (dict, types.MappingProxyType)):
        return _wrap_mapping
    if issubclass(kind, SequenceProxy):
        return _wrap_sequence
    if issubclass(kind, (*_DICT_PARTS, types.GeneratorType)):
        return _wrap_iterable
    if issubclass(kind, types.MethodType):
        return bound_method
    if issubclass(kind, types.AsyncGeneratorType):
        return _wrap_async_iterable
    return view_maker(kind) if is_model(kind) else None


_DICT_PARTS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))


def _wrap_tuple(value: tuple[Any, ...], bridge: Bridge) -> Any:
    wrapped = [wrap(item, bridge) for item in value]
    if all(map(_same, wrapped, value)):
        return value
    make = getattr(type(value), "_make", tuple)
    return make(wrapped)


def _wrap_collection(value: Any, bridge: Bridge) -> Any:
    wrapped = [wrap(item, bridge) for item in list(value)]
    if all(map(_same, wrapped, value)):
        return value
    return wrapped if isinstance(value, list) else set(wrapped)


def _wrap_mapping(value: Mapping[Any, Any], bridge: Bridge) -> Any:
    items = list(value.items())
    wrapped = [(wrap(key, bridge), wrap(item, bridge)) for key, item in items]
    if all(key is old and item is before for (key, item), (old, before) in zip(wrapped, items, strict=True)):
        return value
    return dict(wrapped)


def _wrap_sequence(value: Any, bridge: Bridge) -> ViewSequence:
    return ViewSequence(value, bridge, wrap)


def _wrap_iterable(value: Any, bridge: Bridge) -> Iterator[Any]:
    # Collected now: it may run over a dictionary that the loop's thread changes.
    return iter([wrap(item, bridge) for item in list(value)])


def _wrap_async_iterable(value: Any, bridge: Bridge) -> BlockingIterator[Any]:
    source: AsyncIterator[Any] = value.__aiter__()
    return BlockingIterator(source, bridge, wrap)


def _same(one: object, other: object) -> bool:
    return one is other


def _learn_result(kind: type) -> Wrapper:
    if hasattr(kind, "__aiter__"):
        return _wrap_async_iterable
    if hasattr(kind, "__await__"):
        return _wrap_manager if hasattr(kind, "__aenter__") else _wrap_awaitable
    return wrap


def _wrap_awaitable(value: Awaitable[Any], bridge: Bridge) -> Any:
    return wrap(bridge.call(value), bridge)


def _wrap_manager(value: Any, bridge: Bridge) -> Any:
    """``await channel.typing()`` and ``async with channel.typing()`` look alike without their keywords."""
    bridge.call(value)
    view = wrap(value, bridge)
    view._discordha_awaited()
    return view


def _learn_argument(kind: type) -> Wrapper | None:
    from discordha.blocking.views import View

    if issubclass(kind, View):
        return _object_of
    if issubclass(kind, ViewSequence):
        return lambda value, bridge: list(value._sequence)
    if issubclass(kind, (list, tuple, set, frozenset)):
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


def _unwrap_collection(value: Any, bridge: Bridge) -> Any:
    unwrapped = [argument(item, bridge) for item in value]
    if all(map(_same, unwrapped, value)):
        return value
    if isinstance(value, tuple):
        make = getattr(type(value), "_make", tuple)
        return make(unwrapped)
    return unwrapped if isinstance(value, list) else set(unwrapped)


def _unwrap_mapping(value: dict[Any, Any], bridge: Bridge) -> Any:
    return {argument(key, bridge): argument(item, bridge) for key, item in value.items()}


def _unwrap_function(function: Callable[..., Any], bridge: Bridge | None) -> Callable[..., Any]:
    """The caller's predicates (``check=``) get views; coroutine functions are for the loop."""
    if bridge is None or inspect.iscoroutinefunction(function):
        return function

    def with_views(*args: Any, **kwargs: Any) -> Any:
        views = [wrap(value, bridge) for value in args]
        return argument(function(*views, **{name: wrap(kwargs[name], bridge) for name in kwargs}), None)

    return with_views


def _arm(view: BaseView, bridge: Bridge | None) -> BaseView:
    """Lets a ``discord.ui`` view that was made on a handler thread hear of its interactions.

    discord.py gives a view the future behind ``wait`` and ``stop`` when it is made on the loop, and ignores
    interactions of a view without one. The first step of ``wait`` makes up for it.
    """
    if bridge is not None and view not in _armed:
        if asyncio._get_running_loop() is None:
            bridge.call(_arm_on_loop(view))
        else:
            _begin_wait(view)
        _armed.add(view)
    return view


async def _arm_on_loop(view: BaseView) -> None:
    _begin_wait(view)


def _begin_wait(view: BaseView) -> None:
    wait = BaseView.wait(view)
    try:
        future = wait.send(None)
    except StopIteration:  # the view is finished already
        return
    future._asyncio_future_blocking = False  # as a task does: else nobody else could await it
    wait.close()
