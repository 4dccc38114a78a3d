"""Makes the classes of blocking views, by one mechanism for all of discord.py's types.

Guarantees
- A view has every attribute of its object. Values are wrapped in turn. Coroutine methods block, async
  iterators are iterators, async context managers are context managers. Names with a leading underscore are
  left alone.
- ``isinstance(view, discord.Message)`` holds, ``view == object`` holds, and their hashes are equal.
- Arguments may be views, also inside of containers. Predicates (``check=``) are called with views.
- A message that a handler creates gets the handler's next nonce; see ``nonces``.
- Not guaranteed: that the object stands still. It is discord.py's, and the loop's thread updates it.

A type's first view makes a subclass of ``View`` with a property or function for each public name, so that an
access costs no more than a property. ``__getattr__`` serves what only the object has.

Threads and locks: threads may share views, which are immutable. ``_lock`` guards the making of classes.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
import threading
import time
import types
from collections.abc import Callable
from types import MethodType
from typing import Any

from discordha.blocking.bridge import Bridge
from discordha.blocking.nonces import creates_message, numbered_message
from discordha.blocking.values import View, argument, register_views, result, wrap
from discordha.context import unfenced

__all__ = ["blocking_caller", "view_maker"]

#: Seconds that a blocking call may take beyond the ``timeout`` given to discord.py's method.
TIMEOUT_MARGIN = 30.0
#: Seconds after a typing indicator within which entering the same object sends no second one.
TYPING_REPEAT = 1.0


_set_object = View.__dict__["_discordha_object"].__set__
_set_bridge = View.__dict__["_discordha_bridge"].__set__
_lock = threading.Lock()
_makers: dict[type, Callable[[Any, Bridge], View]] = {}


def view_maker(kind: type) -> Callable[[Any, Bridge], View]:
    """The function that makes views of objects of ``kind``; the same one for every caller."""
    with _lock:
        maker = _makers.get(kind)
        if maker is None:
            maker = _makers[kind] = _make_maker(kind)
        return maker


def _make_maker(kind: type) -> Callable[[Any, Bridge], View]:
    view_class = _make_class(kind)
    new = functools.partial(object.__new__, view_class)
    set_object, set_bridge = _set_object, _set_bridge

    def make(obj: Any, bridge: Bridge) -> View:
        view = new()
        set_object(view, obj)
        set_bridge(view, bridge)
        return view

    return make


def _make_class(kind: type) -> type[View]:
    namespace: dict[str, Any] = {"__slots__": (), "__doc__": kind.__doc__, "__module__": __name__}
    namespace["__class__"] = property(lambda self: type(self._discordha_object))
    for name in dir(kind):
        if not name.startswith("_"):
            static = inspect.getattr_static(kind, name)
            if isinstance(static, _METHODS):
                function: Any = static
                namespace[name] = _method(name, getattr(function, "__func__", function))
            else:
                namespace[name] = _attribute(name, static)
    for name, members in _SPECIAL.items():
        if getattr(kind, name, None) is not getattr(object, name, None):
            namespace.update(members)
    if getattr(kind, "__hash__", None) is None:
        namespace["__hash__"] = None
    if hasattr(kind, "__aenter__") and hasattr(kind, "__await__"):
        namespace["__slots__"] = ("_discordha_awaited_at",)
    return type(f"{kind.__name__}View", (View,), namespace)


#: Not ``inspect.isroutine``, which takes discord.py's cached properties for methods.
_METHODS = (
    *(types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType),
    *(staticmethod, classmethod, functools.partialmethod, types.ClassMethodDescriptorType),
)


def _attribute(name: str, static: Any) -> property:
    read = operator.attrgetter(name)

    def get(self: View) -> Any:
        try:
            value = read(self._discordha_object)
        except RuntimeError as error:
            value = _again_on_loop(error, self._discordha_bridge, lambda: read(self._discordha_object))
        return wrap(value, self._discordha_bridge)

    return property(get, doc=getattr(static, "__doc__", None))


def _again_on_loop(error: RuntimeError, bridge: Bridge, action: Callable[[], Any]) -> Any:
    """Reads again on the loop when its thread changed a dictionary that a property iterates over."""
    if "during iteration" not in str(error):
        raise error

    async def on_loop() -> Any:
        return action()

    with unfenced():
        return bridge.call(on_loop())


_KEPT = ("__name__", "__qualname__", "__doc__")


def _method(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    find = operator.attrgetter(name)

    def method(self: View, /, *args: Any, **kwargs: Any) -> Any:
        bridge = self._discordha_bridge
        return call(find(self._discordha_object), bridge, args, kwargs)

    call = blocking_caller(function)
    return functools.update_wrapper(method, function, _KEPT, ())


def _bind(value: MethodType, bridge: Bridge) -> Callable[..., Any]:
    """A blocking function of a bound method that its object's class does not have."""
    call = blocking_caller(value.__func__)

    def method(*args: Any, **kwargs: Any) -> Any:
        return call(value, bridge, args, kwargs)

    return functools.update_wrapper(method, value, _KEPT, ())


Caller = Callable[[Callable[..., Any], Bridge, tuple[Any, ...], dict[str, Any]], Any]


def blocking_caller(function: Callable[..., Any]) -> Caller:
    """Makes the function that calls a method for a view."""
    if not inspect.iscoroutinefunction(function):
        return _call_plain
    sends = creates_message(function)
    timeout = inspect.signature(function).parameters.get("timeout")

    def call(
        method: Callable[..., Any], bridge: Bridge, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if args:
            args = tuple([argument(value, bridge) for value in args])
        if kwargs:
            kwargs = {name: argument(value, bridge) for name, value in kwargs.items()}
        limit = None if timeout is None else _limit(kwargs.get("timeout", timeout.default))
        if not sends:
            return wrap(bridge.call(method(*args, **kwargs), limit), bridge)
        with numbered_message(function, method, args, kwargs) as args:
            return wrap(bridge.call(method(*args, **kwargs), limit), bridge)

    return call


def _limit(timeout: Any) -> float | None:
    """Seconds for a call of a method with a timeout of its own."""
    if timeout is None:
        return math.inf
    return float(timeout) + TIMEOUT_MARGIN if isinstance(timeout, (int, float)) else None


def _call_plain(
    method: Callable[..., Any], bridge: Bridge, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    args = tuple([argument(value, bridge) for value in args])
    kwargs = {name: argument(value, bridge) for name, value in kwargs.items()}
    try:
        value = method(*args, **kwargs)
    except RuntimeError as error:
        value = _again_on_loop(error, bridge, lambda: method(*args, **kwargs))
    return result(value, bridge)


def _forward(name: str) -> Callable[..., Any]:
    def special(self: View, *args: Any) -> Any:
        obj, bridge = self._discordha_object, self._discordha_bridge
        call = operator.methodcaller(name, *[argument(value, bridge) for value in args])
        return result(call(obj), bridge)

    return special


def _iterate(self: View) -> Any:
    bridge = self._discordha_bridge
    return (wrap(item, bridge) for item in self._discordha_object)


def _iterate_blocking(self: View) -> Any:
    return result(self._discordha_object, self._discordha_bridge)


def _enter(self: View) -> Any:
    obj, bridge = self._discordha_object, self._discordha_bridge
    awaited_at = getattr(self, "_discordha_awaited_at", None) if hasattr(obj, "do_typing") else None
    if awaited_at is not None and time.monotonic() - awaited_at < TYPING_REPEAT:
        bridge.call(_keep_typing(obj))
        return None
    entered = bridge.call(obj.__aenter__())
    return self if entered is obj else wrap(entered, bridge)


def _leave(self: View, *error: Any) -> Any:
    with unfenced():  # never refused, so that nothing is left begun
        return self._discordha_bridge.call(self._discordha_object.__aexit__(*error))


def _note_await(self: View) -> None:
    object.__setattr__(self, "_discordha_awaited_at", time.monotonic())


async def _keep_typing(typing: Any) -> None:
    """Does what ``Typing.__aenter__`` does after the first indicator, which the call itself has sent."""
    typing.task = typing.loop.create_task(typing.do_typing())
    typing.task.add_done_callback(lambda task: task.cancelled() or task.exception())


_FORWARDED = (
    *("__lt__", "__le__", "__gt__", "__ge__", "__len__", "__bool__", "__int__", "__index__", "__float__"),
    *("__contains__", "__getitem__", "__setitem__", "__delitem__", "__reversed__", "__call__", "__bytes__"),
    *("__or__", "__and__", "__xor__", "__invert__", "__add__", "__sub__", "__enter__", "__exit__"),
)
#: By special method of the model: the special methods that its view gets.
_SPECIAL: dict[str, dict[str, Callable[..., Any]]] = {
    **{name: {name: _forward(name)} for name in _FORWARDED},
    "__iter__": {"__iter__": _iterate},
    "__aiter__": {"__iter__": _iterate_blocking},
    "__aenter__": {"__enter__": _enter, "__exit__": _leave, "_discordha_awaited": _note_await},
}

register_views(view_maker, _bind)
