"""The event that the calling thread handles, and the named locks that it holds: both fence its calls. And
whether the thread may block at all.

Guarantees: ``current_event()`` inside a handler is the handler's event. ``lost`` turns true no later than the
replica's lease may have run out; asking costs no I/O.

A thread that a handler starts itself is not followed: without the handler's ``contextvars`` context its calls
have no fence and no nonce. Hand it over: ``threading.Thread(target=contextvars.copy_context().run,
args=(work, ...))``.

Threads and locks: no locks; any thread. Ordinals come from an ``itertools.count``, one step of which is
atomic. Threads of one handler that make equal calls again at the same moment may share an ordinal.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, NamedTuple, Protocol

from discordha.errors import DiscordHAError, LockLost

__all__ = [
    "CurrentEvent",
    "Fence",
    "HeldLock",
    "asking",
    "blocks_loop",
    "check_fence",
    "current_event",
    "current_fence",
    "handler_scope",
    "holding",
    "mark_awaited_thread",
    "mark_loop_thread",
    "refuse_in_handler",
    "refuse_on_loop",
    "runs_loop",
    "unfenced",
]


class CurrentEvent:
    """The event that a handler runs for.

    :param identity: the event's stable id, equal on all replicas, for one name of event.
    :param name: discord.py's name of the event, without ``on_``.
    :param attempt: 1 for the first run; more when an earlier owner died on it.
    :param shard_id: the shard that it came in on.
    :param fencing_token: grows with each owner; hand it to systems that can refuse an older one. 0 where
        nothing is owned: every replica handles the event for itself, or etcd is away (``on_store_loss``).
    :param occurrence: 1, 2, 3, ... for equal events without an identity of their own.
    :param is_lost: tells, without I/O and from any thread, whether the replica may have lost the event.
    :param handler: qualified name of the running handler; set by ``handler_scope``.
    :param epoch: tells equal occurrences apart where the count began anew; equal in every attempt.
    :param for_itself: every replica handles the event for itself, and sends messages of its own.
    :param set_aside: lets the younger events of the event's lane begin; ``None`` where they can't.
    :ivar late_by: the seconds by which a timer is late, or for how long an event that was caught up had
        waited by the handler's begin; 0.0 for a timer that is on time, and for other events.
    :ivar caught_up: whether the event happened while no replica was connected, and was fetched later.
    """

    __slots__ = (
        "_failed",
        "_is_lost",
        "_ordinals",
        "_refused",
        "_set_aside",
        "attempt",
        "caught_up",
        "epoch",
        "fencing_token",
        "for_itself",
        "handler",
        "identity",
        "late_by",
        "name",
        "occurrence",
        "shard_id",
    )

    def __init__(  # noqa: PLR0917
        self,
        identity: str,
        name: str,
        attempt: int,
        shard_id: int,
        fencing_token: int,
        occurrence: int,
        is_lost: Callable[[], bool],
        handler: str = "",
        *,
        for_itself: bool = False,
        epoch: int = 0,
        caught_up: bool = False,
        late_by: float = 0.0,
        set_aside: Callable[[], None] | None = None,
    ) -> None:
        self.identity = identity
        self.name = name
        self.attempt = attempt
        self.shard_id = shard_id
        self.fencing_token = fencing_token
        self.occurrence = occurrence
        self.handler = handler
        self.for_itself = for_itself
        self.late_by = late_by
        self.caught_up = caught_up
        self.epoch = epoch
        self._is_lost = is_lost
        self._ordinals = itertools.count()
        self._failed: list[tuple[Any, int]] | None = None
        self._refused = False
        self._set_aside = set_aside

    def __repr__(self) -> str:
        return (
            f"<CurrentEvent {self} occurrence={self.occurrence} shard_id={self.shard_id} "
            f"fencing_token={self.fencing_token} handler={self.handler!r}>"
        )

    def __str__(self) -> str:
        return f"{self.name} {self.identity} (attempt {self.attempt})"

    @property
    def lost(self) -> bool:
        """Whether this replica may have lost the event: another may handle it by now. No I/O; any thread."""
        return self._is_lost()

    @property
    def refused(self) -> bool:
        """Whether a call of this handler was refused because the event may be lost. Then its run did not
        finish, whatever the handler caught. No I/O; any thread.
        """
        return self._refused

    def refuse(self) -> None:
        """Takes note that a call is refused. Any thread; for good."""
        self._refused = True

    def set_aside(self) -> None:
        """Lets the younger events of the event's channel begin: its handler is about to wait. For good; again
        has no effect, and neither has a call on another thread than the handler's. Does not block.
        """
        if self._set_aside is not None:
            self._set_aside()

    def next_ordinal(self) -> int:
        """0, 1, 2, ...: numbers the messages that one handler sends for one event."""
        return next(self._ordinals)

    @contextmanager
    def numbered(self, call: object, as_it_is: Callable[[Any], Any]) -> Iterator[int]:
        """The ordinal of a call that makes something, around the call. An equal call has the same one again
        after it failed: the first may have been carried out, and must not be a second time.

        :param call: what is called, and the arguments.
        :param as_it_is: gives what it says now, which no later change of the arguments changes.
        """
        ordinal = self._failed_before(as_it_is(call)) if self._failed else None
        if ordinal is None:
            ordinal = self.next_ordinal()
        try:
            yield ordinal
        except Exception:
            self._failed = [*(self._failed or ()), (as_it_is(call), ordinal)]
            raise

    def _failed_before(self, call: object) -> int | None:
        failed = self._failed or ()
        found = next((entry for entry in failed if entry[0] == call), None)
        if found is None:
            return None
        self._failed = [entry for entry in failed if entry is not found]
        return found[1]

    def for_handler(self, handler: str) -> CurrentEvent:
        """The same event as one of its handlers sees it: with its name, and ordinals from 0. The first
        handler gets this object: most events have no second one.
        """
        if not self.handler:
            self.handler = handler
            return self
        return CurrentEvent(
            self.identity,
            self.name,
            self.attempt,
            self.shard_id,
            self.fencing_token,
            self.occurrence,
            self._is_lost,
            handler,
            for_itself=self.for_itself,
            epoch=self.epoch,
            caught_up=self.caught_up,
            late_by=self.late_by,
            set_aside=self._set_aside,
        )


class HeldLock(Protocol):
    """A named lock, as the code that holds it sees it."""

    @property
    def name(self) -> str:
        """The name that it was asked for by."""

    @property
    def lost(self) -> bool:
        """Whether another owner may hold it by now. No I/O; any thread."""


class Fence(NamedTuple):
    """Everything that the calling code must still own for its calls to go out."""

    event: CurrentEvent | None = None
    locks: tuple[HeldLock, ...] = ()

    def refusal(self) -> str | None:
        """The event or lock that this replica may have lost, for a caller that then refuses to go on;
        ``None`` when it owns everything. No I/O. The event takes note, since a handler may catch the error.
        """
        event = self.event
        if event is not None and event.lost:
            event.refuse()
            return str(event)
        for lock in self.locks:
            if lock.lost:
                return f"the lock {lock.name!r}"
        return None


_OPEN = Fence()
_current: ContextVar[Fence] = ContextVar("discordha_fence", default=_OPEN)


def current_event() -> CurrentEvent | None:
    """The event that the calling handler runs for; ``None`` outside of handlers. Never blocks; any
    thread.
    """
    return _current.get().event


def current_fence() -> Fence:
    """The calling code's fence. Never blocks."""
    return _current.get()


def check_fence(what: str) -> None:
    """Refuses a call of code whose fence is broken. Never blocks.

    :param what: the call, for the message.
    :raises LockLost: the replica may have lost the event or a lock.
    """
    fence = _current.get()
    if fence is not _OPEN:
        broken = fence.refusal()
        if broken is not None:
            raise LockLost(f"this replica may have lost {broken}: {what} was not called")


class _Thread(threading.local):
    """What holds for the calling thread."""

    runs_loop = False
    awaited = ""  # what a stop waits for that runs on it


_thread = _Thread()


def mark_awaited_thread(what: str) -> None:
    """Notes that a stop of the replica waits for the code of the bot's that the calling thread runs.

    :param what: names that code, for ``refuse_in_handler``.
    """
    _thread.awaited = what


def refuse_in_handler(what: str) -> None:
    """Refuses a call that would wait for its own caller. Never blocks.

    :param what: the call, for the message.
    :raises DiscordHAError: the calling thread runs a handler, a loop, or other code that a stop waits for.
    :raises RuntimeError: the calling thread runs the loop, where nothing may block.
    """
    refuse_on_loop(what)
    event = current_event()
    caller = event.handler if event is not None else _thread.awaited
    if caller:
        raise DiscordHAError(
            f"{what}() was called by {caller}, which it would wait for. To drain this replica, call "
            "os.kill(os.getpid(), signal.SIGTERM); to drain another one, `discordha drain REPLICA`"
        )


def mark_loop_thread() -> None:
    """Notes that the calling thread runs discord.py's loop: ``refuse_on_loop`` refuses its blocking calls."""
    _thread.runs_loop = True


def runs_loop() -> bool:
    """Whether the calling thread runs discord.py's loop. Never blocks."""
    return _thread.runs_loop


def refuse_on_loop(what: str) -> None:
    """Refuses a blocking call on the thread of discord.py's loop. Never blocks.

    :param what: the call, for the message.
    :raises RuntimeError: the calling thread runs the loop, where nothing may block.
    """
    if _thread.runs_loop:
        raise blocks_loop(what)


def blocks_loop(what: str) -> RuntimeError:
    """The error of a blocking call on the loop's thread."""
    return RuntimeError(
        f"{what} was called as a blocking call on the thread of the event loop, which would stand still, or "
        "wait for itself for ever. Blocking calls belong on handler threads: move this one from the "
        "predicate (where=, check=) into the handler. A coroutine on the loop (a callback of discord.ui, "
        "say) awaits discord.py's own objects, as in await discordha.unwrap(view).method(...), and hands "
        "other blocking calls to a thread: await asyncio.to_thread(function)"
    )


class _Scope:
    """Sets the calling code's fence. Cheaper than a generator: one is made for each handler run."""

    __slots__ = ("_fence", "_token")

    def __init__(self, fence: Fence) -> None:
        self._fence = fence
        self._token: Token[Fence] | None = None

    @property
    def refused(self) -> bool:
        """Whether code in this scope was refused a call because its event may be lost."""
        event = self._fence.event
        return event is not None and event.refused

    def __enter__(self) -> CurrentEvent | None:
        self._token = _current.set(self._fence)
        return self._fence.event

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        _current.reset(self._token)


def handler_scope(event: CurrentEvent, handler: str) -> _Scope:
    """Makes ``event`` the current one of this thread while the handler of that qualified name runs."""
    return _Scope(tuple.__new__(Fence, (event.for_handler(handler), ())))  # half the time of its constructor


def _never() -> bool:
    return False


def asking(name: str, *, caught_up: bool, late_by: float) -> _Scope:
    """A predicate that runs in this scope sees what is known of its event: its name, and whether it was
    caught up. There is no claim yet, and so no fence.
    """
    event = CurrentEvent("", name, 0, 0, 0, 0, _never, for_itself=True, caught_up=caught_up, late_by=late_by)
    return _Scope(Fence(event))


def holding(lock: HeldLock) -> _Scope:
    """Code in this scope holds ``lock``, too: once that may be lost, its calls are refused."""
    fence = _current.get()
    return _Scope(Fence(fence.event, (*fence.locks, lock)))


def unfenced() -> _Scope:
    """``with unfenced():`` code in this scope has no fence: for cleaning up after an event or a lock is lost.
    Its calls go out although another replica may handle the event by now. Never blocks; any thread.
    """
    return _Scope(_OPEN)
