"""Events on their way through this replica. No I/O, no threads."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from discordha.context import CurrentEvent
from discordha.coordination.claims.claims import Claims
from discordha.coordination.claims.records import Claim, ClaimRequest
from discordha.coordination.journal.entries import JournalEntry
from discordha.coordination.membership.members import Members
from discordha.coordination.membership.preference import ShardPreference
from discordha.dispatch.handlers import Handler
from discordha.dispatch.runner import Outcome
from discordha.events import Event, decode_payload

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
    "LaneItem",
    "LeaderItem",
    "LeaderRole",
    "Look",
    "Preference",
    "State",
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


class State(enum.Enum):
    """Where an event to be claimed is."""

    PARKED = "parked"  # others own it or an older one of its lane; watch, look or timer moves it on
    DELAYED = "delayed"  # another replica is preferred: it waits for its grace to pass
    WAITING = "waiting"  # in its lane
    RUNNING = "running"  # claimed, or being claimed, by a handler thread
    FINISHED = "finished"  # its handlers ended; the mark is on its way
    GONE = "gone"


# For what each event passes: Python takes ten times as long to find a member in its class.
PARKED, DELAYED, WAITING, RUNNING, FINISHED, GONE = State


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

    def stages(self, started: float) -> tuple[tuple[str, float], ...]:
        """How long the stages before its handlers took (``STAGES``), which began just then."""
        asked, answered, received = self.asked_at, self.claimed_at, self.event.received_at
        if answered is None:  # it was claimed ahead
            return (("wait", started - received),)
        return (("wait", asked - received), ("claim", answered - asked), ("start", started - answered))

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
        """The guild in which it happened, if any."""
        found = decode_payload(self.event.raw).get("guild_id") if self.event.raw is not None else None
        return found if isinstance(found, str) else None
