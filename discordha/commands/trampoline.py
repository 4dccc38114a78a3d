"""Runs discord.py's coroutines on the loop, and the plain functions that they await on a handler thread.

``discord.app_commands`` awaits its callbacks. ``adapt`` makes a coroutine function of a plain one, which lets
the handler thread that drives the interaction call the plain function. So callbacks, checks, transformers,
autocompletes and error handlers run in the context of their event, with its fence and nonces.

Guarantees
- The functions of one interaction run on one handler thread, one after another.
- An exception of a function is raised where it was awaited. ``LockLost``, an interaction that can't be
  answered, and a ``BaseException`` end the interaction at once instead, on the handler thread.
- A function that is awaited outside of ``drive`` raises on the loop, and runs at once on any other thread.

Threads and locks: a trampoline belongs to the handler thread that calls ``drive``. Requests come from the
loop's thread through a ``SimpleQueue``; results return by ``call_soon_threadsafe``. At stop the bridge fails
the call, and ``drive`` raises its error.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import queue
import types
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import discord

from discordha.blocking import Bridge, unwrap, wrap
from discordha.blocking.sides import author_side
from discordha.context import runs_loop
from discordha.dispatch.handlers.callables import (
    body_of,
    callable_name,
    refuse_coroutine,
    refuse_result,
    short_name,
)
from discordha.errors import DiscordHAError, LockLost

__all__ = [
    "Trampoline",
    "adapt",
    "current_bridge",
    "current_trampoline",
    "is_unanswerable",
    "plain_function",
]

#: Discord's error code for an interaction that was not answered in time, or is gone.
UNKNOWN_INTERACTION = 10062
#: Discord's error codes for a token that is gone: unknown webhook, invalid webhook token.
UNKNOWN_TOKENS = frozenset({10015, 50027})


def is_unanswerable(error: BaseException, token: str) -> bool:
    """Whether an error says that the interaction with this token can't be answered any more."""
    if not isinstance(error, discord.HTTPException):
        return False
    if error.code in UNKNOWN_TOKENS:
        url = getattr(error.response, "url", None)
        return url is not None and f"/{token}" in url.path
    return error.code == UNKNOWN_INTERACTION


class _Request(NamedTuple):
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    answer: asyncio.Future[Any]
    ends: bool


class Trampoline:
    """Runs one interaction; see the module.

    :param bridge: runs the coroutine, and the calls of views.
    :param ends: whether an error ends the interaction, whichever function raised it.
    """

    def __init__(self, bridge: Bridge, ends: Callable[[Exception], bool] = lambda error: False) -> None:
        self._bridge = bridge
        self._ends = ends
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._posted: list[asyncio.Future[Any]] = []
        self._noted: list[Exception] = []
        self._ended = False
        self._at_end: list[Callable[[], None]] = []

    def drive(self, start: Callable[[], Awaitable[Any]]) -> Any:
        """Runs the coroutine that ``start`` makes on the loop, and the plain functions that it awaits on the
        calling thread, a handler thread. Blocks until the coroutine is done.
        """
        token, outer = _driving.set(self), _bridge.set(self._bridge)
        try:
            call = self._bridge.begin(self._run(start), lambda: self._requests.put(None))
        finally:
            _driving.reset(token)
        try:
            while (request := self._requests.get()) is not None:
                self._serve(request)
        except BaseException:
            self._ended = True
            call.cancel()
            raise
        finally:
            _bridge.reset(outer)
            for function in self._at_end:
                function()
        return call.result()

    async def _run(self, start: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await start()
        finally:
            while self._posted and not self._ended:
                try:
                    await self._posted.pop(0)
                except Exception as error:  # noqa: BLE001 - whatever the user's function raised
                    self.note(error)

    def raise_noted(self) -> None:
        """Raises the first error that was noted during ``drive``, if there is one. On the handler thread."""
        if self._noted:
            raise self._noted[0]

    @property
    def ended(self) -> bool:
        """Whether the handler thread has left: nothing more runs on it."""
        return self._ended

    def at_end(self, function: Callable[[], None]) -> None:
        """Has the handler thread call a function when it leaves ``drive``. On the handler thread."""
        self._at_end.append(function)

    @property
    def noted(self) -> list[Exception]:
        """The errors that were noted, in order."""
        return self._noted

    def note(self, error: Exception) -> None:
        """Keeps an error that nothing awaits, for ``raise_noted``. On the loop."""
        self._noted.append(error)

    def post(self, function: Callable[..., Any], *args: Any) -> None:
        """Has the handler thread call a plain function, before whatever is asked of it later. ``drive`` waits
        for its end, and its error is noted. On the loop.
        """
        answer = asyncio.get_running_loop().create_future()
        self._posted.append(answer)
        self._requests.put(_Request(function, args, {}, answer, False))

    def _serve(self, request: _Request) -> None:
        bridge = self._bridge
        error: Exception | None = None
        value = None
        try:
            args = [wrap(arg, bridge) for arg in request.args]
            kwargs = {name: wrap(arg, bridge) for name, arg in request.kwargs.items()}
            token = _serving.set(self)
            try:
                value = unwrap(request.function(*args, **kwargs))
                if request.ends and isinstance(value, types.GeneratorType):
                    value = list(value)  # choices, which may be made on this thread only
            finally:
                _serving.reset(token)
            refuse_result(value, callable_name(request.function))
        except LockLost:
            raise
        except StopIteration as stop:  # a future can't carry it
            error = RuntimeError("StopIteration was raised")
            error.__cause__ = stop
        except Exception as raised:
            if request.ends or self._ends(raised):
                raise
            error = raised
        loop = request.answer.get_loop()
        loop.call_soon_threadsafe(_answer, request.answer, value, error)

    async def call(self, function: Callable[..., Any], args: Any, kwargs: Any, ends: bool) -> Any:
        """Lets the handler thread call a plain function; see ``adapt``. On the loop."""
        if self._ended:  # discord.py cleans up, though nothing is left to run for
            raise DiscordHAError(f"{function!r} was not called: its handler has ended")
        answer = asyncio.get_running_loop().create_future()
        self._requests.put(_Request(function, args, kwargs, answer, ends))
        return await answer


_driving: contextvars.ContextVar[Trampoline | None] = contextvars.ContextVar(
    "discordha_trampoline", default=None
)
#: The bridge of the handler thread that drives.
_bridge: contextvars.ContextVar[Bridge | None] = contextvars.ContextVar("discordha_bridge", default=None)


#: The trampoline that calls the running function.
_serving: contextvars.ContextVar[Trampoline | None] = contextvars.ContextVar(
    "discordha_serving", default=None
)


def current_trampoline() -> Trampoline | None:
    """The trampoline that the calling coroutine runs on, or that calls the running function."""
    return _driving.get() or _serving.get()


def current_bridge() -> Bridge | None:
    """The bridge of the trampoline that calls the running function. On a handler thread."""
    return _bridge.get()


def _answer(answer: asyncio.Future[Any], value: Any, error: Exception | None) -> None:
    if answer.done():  # cancelled
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(value)


async def _jump(function: Callable[..., Any], args: Any, kwargs: Any, ends: bool) -> Any:
    if not runs_loop() and asyncio._get_running_loop() is None:
        with author_side():
            return function(*args, **kwargs)
    trampoline = _driving.get()
    if trampoline is None:
        raise DiscordHAError(
            f"{callable_name(function)} is a plain function of a command: only discordha may await it"
        )
    return await trampoline.call(function, args, kwargs, ends)


def adapt(function: Callable[..., Any], what: str, *, ends: bool = False) -> Callable[..., Any]:
    """Makes a coroutine function of a plain one, which then runs on the handler thread. Idempotent.

    :param what: a plural noun for such functions, for the error.
    :param ends: whether any exception of the function ends the interaction.
    :raises ConfigError: the function is a coroutine function.
    """
    if hasattr(function, "__discordha_plain__"):
        return function
    refuse_coroutine(function, what)

    jump = _jump

    async def adapted(*args: Any, **kwargs: Any) -> Any:
        return await jump(function, args, kwargs, ends)

    # discord.py looks annotations up in the callback's globals, which must be the plain function's. So the
    # code above may use no global of this module.
    plain = inspect.unwrap(body_of(function))
    name = short_name(function)
    made = types.FunctionType(
        adapted.__code__, getattr(plain, "__globals__", adapted.__globals__), name, None, adapted.__closure__
    )
    functools.update_wrapper(made, function)
    if not isinstance(function, types.FunctionType):
        _describe(made, function, plain)
    made.__discordha_plain__ = function  # type: ignore[attr-defined]
    return made


def _describe(made: Any, function: Callable[..., Any], plain: Any) -> None:
    """Gives the adapted function of a partial, a bound method or a callable object what discord.py asks a
    function for: its options' marks, its docstring, and a signature without what is bound already.
    """
    made.__dict__.update({**vars(plain), **vars(made)} if hasattr(plain, "__dict__") else {})
    made.__doc__ = plain.__doc__ or (None if isinstance(function, functools.partial) else function.__doc__)
    made.__qualname__ = made.__name__  # with a dot, discord.py would drop a parameter for ``self``
    signature = inspect.signature(function)
    bound = function.keywords if isinstance(function, functools.partial) else {}
    left = [parameter for name, parameter in signature.parameters.items() if name not in bound]
    made.__signature__ = signature.replace(parameters=left)


def plain_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """The plain function behind an adapted one; any other function as it is."""
    plain: Callable[..., Any] = getattr(function, "__discordha_plain__", function)
    return plain
