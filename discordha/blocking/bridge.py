"""Runs awaitables on the event loop for threads that block until they are done.

Guarantees
- ``call`` returns what the awaitable returns and raises what it raises; the traceback begins at the caller.
- A refused call (on the loop's own thread, after ``close``, of a lost event) never starts.
- Every call ends: by its outcome, its timeout, ``close``, or an exception such as ``KeyboardInterrupt`` in
  the waiting thread. All but the first cancel the coroutine.
- Not guaranteed: that a cancelled call had no effect. Its request may have reached Discord.

Threads and locks: callers block on a lock of their own, which the loop's thread releases. ``_lock`` guards
``_pending`` and ``_closed``; nothing waits under it. Whoever removes a call from ``_pending`` writes its
outcome, once.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from discordha.context import Fence, blocks_loop, current_fence, refuse_on_loop
from discordha.errors import DiscordHAError, LockLost

__all__ = ["Bridge", "LoopBridge", "PendingCall", "note_progress", "refuse_if_lost"]

Result = TypeVar("Result")


class PendingCall(Protocol):
    """A call that its caller waits for by other means than blocking."""

    def result(self) -> Any:
        """Returns or raises the outcome, which must be there already."""

    def cancel(self) -> None:
        """Cancels the call, which then has no waiter. Does not block; idempotent."""


class Bridge(Protocol):
    """The loop as views see it."""

    def call(self, awaitable: Awaitable[Any], timeout: float | None = None) -> Any:
        """Runs ``awaitable`` on the loop and blocks until it is done; see ``LoopBridge.call``."""

    def begin(self, awaitable: Awaitable[Any], on_done: Callable[[], None]) -> PendingCall:
        """Runs ``awaitable`` on the loop without waiting for it; see ``LoopBridge.begin``."""


class _Call:
    """One call. ``done`` is locked until the outcome is in ``value`` or ``error``."""

    __slots__ = ("bridge", "done", "error", "fence", "on_done", "over", "progress_at", "task", "value")

    def __init__(self, bridge: LoopBridge, fence: Fence, on_done: Callable[[], None] | None) -> None:
        self.bridge = bridge
        self.fence = fence
        self.on_done = on_done
        self.done = threading.Lock()
        self.done.acquire()
        self.over = False  # has an outcome, or no waiter
        self.progress_at = time.monotonic()  # when it began, or Discord last carried out a request of it
        self.task: asyncio.Task[Any] | None = None
        self.value: Any = None
        self.error: BaseException | None = None

    def finish(self, value: Any, error: BaseException | None) -> None:
        """Writes the outcome, once: the caller has taken the call from the pending ones."""
        self.value = value
        self.error = error
        self.done.release()
        if self.on_done is not None:
            self.on_done()

    def result(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value

    def cancel(self) -> None:
        if self.bridge._take(self):
            self.bridge._cancel_soon(self)


#: The call that a task on the loop runs for. Tasks that it starts inherit it and may outlive it.
_running_call: contextvars.ContextVar[_Call | None] = contextvars.ContextVar("discordha_call", default=None)


class LoopBridge:
    """Blocking calls into one asyncio loop, from any thread but the loop's own.

    :param loop: the loop, which another thread runs.
    :param call_timeout: seconds that a call which names no timeout of its own may go without progress.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, call_timeout: float = 60.0) -> None:
        self.call_timeout = call_timeout
        self._loop = loop
        self._lock = threading.Lock()
        self._pending: set[_Call] = set()
        self._closed = False

    @property
    def pending(self) -> int:
        """The number of calls without an outcome."""
        return len(self._pending)

    def call(self, awaitable: Awaitable[Result], timeout: float | None = None) -> Result:
        """Runs ``awaitable`` on the loop and returns its result. Blocks; any thread but the loop's.

        The awaitable sees the caller's context variables, ``current_event()`` among them.

        :param timeout: seconds for the whole call; by default it may take as long as Discord carries a
            request of it out every ``call_timeout`` seconds; ``math.inf`` waits until ``close``.
        :raises LockLost: this replica may have lost the event or lock that the caller runs under; nothing was
            sent.
        :raises TimeoutError: the call took longer and was cancelled. Discord may have carried it out.
        :raises DiscordHAError: the bot stops, or the task was cancelled on the loop.
        :raises RuntimeError: the caller is the loop's own thread, which would wait for itself.
        """
        call = self._admit(awaitable, None)
        try:
            finished = call.done.acquire(
                timeout=min(self.call_timeout if timeout is None else timeout, threading.TIMEOUT_MAX)
            )
            while not finished and timeout is None:
                left = call.progress_at + self.call_timeout - time.monotonic()
                if left <= 0:
                    break
                finished = call.done.acquire(timeout=left)
        except BaseException:  # KeyboardInterrupt in the main thread
            self._abandon(call)
            raise
        if not finished and self._abandon(call):
            limit = (
                f"made no progress for {self.call_timeout:g} s"
                if timeout is None
                else f"took longer than {timeout:g} s"
            )
            raise TimeoutError(f"{_title(awaitable)} {limit} and was cancelled")
        if call.error is not None:
            try:
                raise call.error
            finally:  # the traceback holds this frame, which must not lead back to the error
                del call
        result: Result = call.value
        return result

    def begin(self, awaitable: Awaitable[Any], on_done: Callable[[], None]) -> PendingCall:
        """Runs ``awaitable`` on the loop as ``call`` does, but without a timeout and without waiting for it.
        Does not block; any thread but the loop's.

        Raises what ``call`` raises before the call starts.

        :param on_done: called once at the end, on the loop's thread or on that of ``close``; must be short.
        """
        return self._admit(awaitable, on_done)

    def close(self, reason: str = "the bot stops") -> None:
        """Fails the pending calls with ``DiscordHAError`` and refuses later ones. Does not block; idempotent.

        Cancelled coroutines end on the loop, which should run for another turn.
        """
        with self._lock:
            self._closed = True
            pending = list(self._pending)
            self._pending.clear()
        for call in pending:
            call.over = True
            call.finish(None, DiscordHAError(f"the call was cancelled: {reason}"))
            self._cancel_soon(call)

    def _admit(self, awaitable: Awaitable[Any], on_done: Callable[[], None] | None) -> _Call:
        fence = current_fence()
        try:
            if asyncio._get_running_loop() is self._loop:
                raise blocks_loop(_title(awaitable))
            refuse_on_loop(_title(awaitable))  # the loop of another bot in this process
            broken = fence.refusal()
            if broken is not None:
                raise _lock_lost(broken, awaitable)
            return self._submit(awaitable, fence, on_done)
        except BaseException:
            _discard(awaitable)
            raise

    def _submit(self, awaitable: Awaitable[Any], fence: Fence, on_done: Callable[[], None] | None) -> _Call:
        call = _Call(self, fence, on_done)
        with self._lock:
            if self._closed:
                raise DiscordHAError(f"{_title(awaitable)} was not called: the bot has stopped")
            self._pending.add(call)
        try:
            self._loop.call_soon_threadsafe(self._start, call, awaitable)
        except RuntimeError:
            self._take(call)
            raise DiscordHAError(f"{_title(awaitable)} was not called: the loop is closed") from None
        return call

    def _start(self, call: _Call, awaitable: Awaitable[Any]) -> None:
        """Starts the task. On the loop's thread, in the caller's context."""
        if call not in self._pending:  # abandoned meanwhile
            _discard(awaitable)
            return
        broken = call.fence.refusal()
        if broken is not None:
            _discard(awaitable)
            self._finish(call, None, _lock_lost(broken, awaitable))
            return
        _running_call.set(call)
        coroutine: Any = awaitable if inspect.iscoroutine(awaitable) else _await(awaitable)
        call.task = task = self._loop.create_task(coroutine)
        task.add_done_callback(lambda task: self._done(call, task))

    def _done(self, call: _Call, task: asyncio.Task[Any]) -> None:
        """On the loop's thread. Reads the outcome of abandoned calls, too: else asyncio would report it."""
        if task.cancelled():
            self._finish(call, None, DiscordHAError("the call was cancelled on the loop"))
            return
        error = task.exception()
        self._finish(call, None if error is not None else task.result(), error)

    def _finish(self, call: _Call, value: Any, error: BaseException | None) -> None:
        if self._take(call):
            call.finish(value, error)

    def _abandon(self, call: _Call) -> bool:
        """Cancels a call without a waiter. False when its outcome came first."""
        if not self._take(call):
            call.done.acquire()  # the outcome is being written at this moment
            return False
        self._cancel_soon(call)
        return True

    def _take(self, call: _Call) -> bool:
        with self._lock:
            if call not in self._pending:
                return False
            self._pending.remove(call)
            call.over = True
            return True

    def _cancel_soon(self, call: _Call) -> None:
        def cancel() -> None:
            if call.task is not None:
                call.task.cancel()

        if not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(cancel)
            except RuntimeError:  # closed since; its tasks are gone, too
                return


def refuse_if_lost(method: str, path: str) -> None:
    """Checks the fence once more, right before a request is written. For the gateway's loop.

    A blocking call is checked when it starts, but may then wait for a rate limit or between two tries. Tasks
    that outlive the call which started them (a delayed deletion, a view's callbacks) are let through.

    :raises LockLost: this replica may have lost the event that the calling task runs for.
    """
    call = _running_call.get()
    broken = call.fence.refusal() if call is not None and not call.over else None
    if broken is not None:
        raise LockLost(f"this replica may have lost {broken}: {method} {path} was not sent")


def note_progress() -> None:
    """Discord has carried out a request of the calling task's call, which may go on. Gateway's loop."""
    call = _running_call.get()
    if call is not None:
        call.progress_at = time.monotonic()


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _discard(awaitable: Awaitable[Any]) -> None:
    """Closes a coroutine that will never run, so that Python does not warn of it."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()


def _lock_lost(broken: str, awaitable: Awaitable[Any]) -> LockLost:
    return LockLost(f"this replica may have lost {broken}: {_title(awaitable)} was not called")


def _title(awaitable: Awaitable[Any]) -> str:
    code = getattr(awaitable, "cr_code", None)
    return str(code.co_qualname) if code is not None else type(awaitable).__name__
