"""Events on their way through this replica. No I/O, no threads."""

from __future__ import annotations

import enum
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from discordha.context import CurrentEvent
from discordha.coordination.claims.claims import Claims
from discordha.coordination.claims.records import Claim, ClaimRequest
from discordha.coordination.journal.entries import JournalEntry
from discordha.coordination.membership.members import Members
from discordha.coordination.membership.preference import ShardPreference
from discordha.coordination.membership.shard_keys import number_of
from discordha.dispatch.handlers import Handler
from discordha.dispatch.runner import Outcome
from discordha.events import Event, Scope, decode_payload

if TYPE_CHECKING:
    from discordha.telemetry import EventTrace

__all__ = [
    "DELAYED",
    "FINISHED",
    "GONE",
    "PARKED",
    "RUNNING",
    "WAITING",
    "ClaimItem",
    "ClaimStore",
    "Item",
    "Lane",
    "LaneItem",
    "LaneOrder",
    "LeaderItem",
    "LeaderRole",
    "Look",
    "Preference",
    "State",
    "context_of",
    "times_of",
]

ClaimStore = Claims
#: Which replica claims first.
Preference = Members | ShardPreference


class LaneItem(Protocol):
    """An event in a lane."""

    lane: str  # the lane's key
    sequence: int  # grows in the order of the gateway
    event_name: str
    attempt: int

    @property
    def is_late(self) -> bool:
        """Whether it was caught up."""


@dataclass(slots=True, eq=False)
class Lane:
    """The items of one key. Only ``Lanes`` changes it, under its lock."""

    key: str
    items: list[LaneItem] = field(default_factory=list)
    is_ready: bool = False  # stands in a ready queue
    queue: deque[Lane] | None = None  # the last ready queue that it stood in
    counts_as_late: bool = False  # is worked as one that began with a late item
    ready_since: float = 0.0
    named_up_to: int = -1  # ``behind`` has named the items up to this sequence number
    working_since: float | None = None
    worker: threading.Thread | None = None  # works it now


class State(enum.Enum):
    """Where an event to be claimed is.

    :ivar is_ours: from its turn in its lane to its mark. Each event asks often, and whether a state is among
        others takes Python several steps.
    """

    PARKED = "parked"  # others own it or an older one of its lane; watch, look or timer moves it on
    DELAYED = "delayed"  # another replica is preferred: it waits for its grace to pass
    WAITING = "waiting"  # in its lane
    RUNNING = "running"  # claimed, or being claimed, by a handler thread
    FINISHED = "finished"  # its handlers ended; the mark is on its way
    GONE = "gone"

    def __init__(self, name: str) -> None:
        self.is_ours = name in ("waiting", "running", "finished")


# For what each event passes: Python takes ten times as long to find a member in its class.
PARKED, DELAYED, WAITING, RUNNING, FINISHED, GONE = State
_EVERY = Scope.EVERY


class Look(enum.Enum):
    """Why an event is being looked at."""

    FIRST = "first"  # it is old enough to be marked
    HELP = "help"  # its grace is over
    AGAIN = "again"  # another replica ran it at the last look


@dataclass(slots=True, eq=False)
class Item:
    """An event and its handlers, in a lane: as it is, where every replica handles the event."""

    event: Event
    handlers: Sequence[Handler]
    lane: str
    sequence: int
    attempt: int = 1
    event_name: str = ""
    waits_since: float = 0.0  # since when it stands in its lane, monotonic
    trace: EventTrace | None = None  # the spans of its attempt

    def __post_init__(self) -> None:
        self.event_name = self.event.name
        self.waits_since = self.event.received_at

    @property
    def is_late(self) -> bool:
        """Whether nobody received its event as it happened: others go first."""
        return self.event.caught_up is not None and self.event.caught_up.is_late


@dataclass(slots=True, eq=False)
class ClaimItem(Item):
    """An event that one replica claims. ``PendingEvents`` alone changes its state and its place."""

    key: str = ""
    claim: Claim | None = None
    ahead: bool = False  # a claim ahead was asked for
    state: State = PARKED
    excused: bool = False  # its owner is silent, or has set it aside: it holds no younger events back
    aside: bool = False  # its handler waits, or has waited: while it runs here, it stands in no lane
    older: ClaimItem | None = None  # its neighbours among the events of its lane that are not done
    younger: ClaimItem | None = None
    look: Look | None = None  # one is under way
    look_at: float | None = None  # when the next one is due, monotonic; ``LookTimes`` alone changes it
    silent_owner: str | None = None  # was silent when the last look found that it owns the event
    asked_at: float = 0.0  # monotonic; when a handler thread asked for its claim
    claimed_at: float | None = None  # and when that was answered
    ended_at: float = 0.0  # monotonic; the end of its handlers

    @property
    def order(self) -> str:
        """The key by which replicas are ranked."""
        identity = self.event.identity
        return identity.order or identity.key or self.event_name

    @property
    def is_undecided(self) -> bool:
        """Whether the answer to a look decides who runs it."""
        return self.look is not None and self.look is not Look.AGAIN

    @property
    def is_ordered(self) -> bool:
        """Whether its lane may hold other events."""
        identity = self.event.identity
        return bool(identity.order) and identity.order != identity.key

    def request(self) -> ClaimRequest:
        """The claim to make. The payload goes along from the second attempt on, or where nobody will send
        the event again."""
        if self.attempt == 1 and self.trace is None and self.event.caught_up is None:  # most events
            return ClaimRequest(self.key, 1, None, self.event.shard_id)
        recorded = self.event.caught_up is not None
        raw = self.event.raw if self.attempt > 1 or recorded else None
        traceparent = self.trace.traceparent if self.trace is not None else None
        return ClaimRequest(
            self.key,
            self.attempt,
            raw,
            self.event.shard_id,
            traceparent=traceparent,
            recorded=recorded,
        )


class LaneOrder:
    """The events of one lane that are not done, as a linked list, and how many of them are ours."""

    __slots__ = ("first", "front", "last", "ours")

    def __init__(self) -> None:
        self.first: ClaimItem | None = None
        self.last: ClaimItem | None = None
        self.front: ClaimItem | None = None  # no event before it is a front
        self.ours = 0

    def append(self, item: ClaimItem) -> None:
        item.older = self.last
        if self.last is None:
            self.first = item
        else:
            self.last.younger = item
        self.last = item
        if self.front is None:
            self.front = item

    def insert(self, item: ClaimItem) -> None:
        """Puts an event where its sequence number says."""
        older = self.last
        while older is not None and older.sequence > item.sequence:
            older = older.older
        if older is self.last:
            self.append(item)
            return
        younger = self.first if older is None else older.younger
        assert younger is not None
        item.older, item.younger = older, younger
        younger.older = item
        if older is None:
            self.first = item
        else:
            older.younger = item

    def remove(self, item: ClaimItem) -> None:
        older, younger = item.older, item.younger
        if older is None:
            self.first = younger
        else:
            older.younger = younger
        if younger is None:
            self.last = older
        else:
            younger.older = older
        if self.front is item:
            self.front = younger
        item.older = item.younger = None

    def find_front(self) -> ClaimItem | None:
        item = self.front
        while item is not None and (item.state.is_ours or item.excused):
            item = item.younger
        self.front = item
        return item

    def fall_back(self, item: ClaimItem) -> None:
        """The event may be the front again."""
        if self.front is None or item.sequence < self.front.sequence:
            self.front = item


def context_of(  # noqa: PLR0917
    item: Item,
    attempt: int,
    token: int,
    is_lost: Callable[[], bool],
    set_aside: Callable[[], None],
    now: float,
) -> CurrentEvent:
    """What an attempt at an event shows to its handlers."""
    event = item.event
    identity, caught_up = event.identity, event.caught_up
    return CurrentEvent(
        identity.key or event.name,
        event.name,
        attempt,
        number_of(event.shard_id),
        token,
        1,
        is_lost,
        for_itself=identity.scope is _EVERY,
        caught_up=caught_up is not None,
        late_by=max(now - caught_up.happened_at, 0.0) if caught_up is not None else 0.0,
        set_aside=set_aside,
    )


#: The latencies of an event (``STAGES``) whose claim a handler thread has waited for, and of any other.
_CLAIMED = ("wait", "claim", "start", "handler", "event")
_UNCLAIMED = ("wait", "handler", "event")


def times_of(
    item: Item | LeaderItem, started: float, ended: float
) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """The names of an event's latencies, and each in seconds, by when its handlers started and ended."""
    received = item.event.received_at
    if isinstance(item, ClaimItem) and item.claimed_at is not None:
        asked, answered = item.asked_at, item.claimed_at
        claim = (asked - received, answered - asked, started - answered)
        return _CLAIMED, (*claim, ended - started, ended - received)
    return _UNCLAIMED, (started - received, ended - started, ended - received)


class LeaderRole(Protocol):
    """The leader of a shard, as a handler thread needs it."""

    def begin(self, item: LeaderItem) -> CurrentEvent | None:
        """Before an event is run; ``None`` when it is not this replica's to run. May block on etcd."""

    def finished(self, item: LeaderItem, outcome: Outcome) -> None:
        """After an event was run. Never blocks."""


class LeaderItem(JournalEntry):
    """An event that its shard's leader handles: an entry of the journal, which puts it into its lane."""

    __slots__ = ("event", "gap", "handlers", "leader", "trace", "waits_since")

    def __init__(
        self,
        event: Event,
        handlers: Sequence[Handler],
        sequence: int,
        leader: LeaderRole,
        partition: str | None = None,
    ) -> None:
        identity = event.identity
        super().__init__(
            event.key,
            f"leader/{identity.order or event.name}",
            sequence,
            event.received_at,
            event.acknowledged_revision,
            event.raw,
            partition,
        )
        self.event = event
        self.handlers = handlers
        self.leader = leader
        self.waits_since = event.received_at
        self.gap: int | None = None  # the last one before it; see ``LeaderShard.note_gap``
        self.trace: EventTrace | None = None

    @property
    def guild(self) -> str | None:
        """The guild in which it happened, if any, and if it came in the order of the gateway."""
        event = self.event
        if event.raw is None:
            return None
        known = getattr(event.args[0], "guild_id", None) if event.args else None
        if type(known) is int:
            return str(known)
        found = decode_payload(event.raw).get("guild_id")
        return found if isinstance(found, str) else None
