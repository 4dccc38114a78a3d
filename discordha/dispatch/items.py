"""Events on their way through this replica, and the parts around the dispatcher as it sees them.

No I/O, no lock. ``PendingEvents`` guards ``ClaimItem.state``, the journal its entries' state.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Protocol

from discordha.context import CurrentEvent
from discordha.coordination.claims.records import Claim, ClaimListener, ClaimRequest, Done, Held, Hint
from discordha.coordination.journal.entries import JournalEntry
from discordha.dispatch.handlers import Handler
from discordha.dispatch.runner import Outcome
from discordha.events import Event

__all__ = ["ClaimItem", "ClaimStore", "Item", "LeaderItem", "LeaderPath", "Preference", "State"]


class State(enum.Enum):
    """Where an event to be claimed is."""

    PARKED = "parked"  # another replica owns it, or will; the watch or the timer moves it on
    DELAYED = "delayed"  # another replica is preferred: it waits for its grace to pass
    WAITING = "waiting"  # in its lane
    RUNNING = "running"  # claimed, or being claimed, by a handler thread
    FINISHED = "finished"  # its handlers ended; the mark is on its way
    GONE = "gone"


class Item:
    """An event and its handlers, in a lane. Used as it is for events that every replica handles."""

    __slots__ = ("attempt", "event", "event_name", "handlers", "lane", "sequence", "waits_since")

    def __init__(self, event: Event, handlers: Sequence[Handler], lane: str, sequence: int) -> None:
        self.event = event
        self.event_name = event.name
        self.handlers = handlers
        self.lane = lane
        self.sequence = sequence
        self.attempt = 1
        self.waits_since = event.received_at  # since when it stands in its lane


class ClaimItem(Item):
    """An event that one replica claims. ``state`` belongs to ``PendingEvents``."""

    __slots__ = ("ahead", "claim", "claimed_at", "ended_at", "key", "state")

    def __init__(self, event: Event, handlers: Sequence[Handler], key: str, sequence: int) -> None:
        super().__init__(event, handlers, "claim/" + (event.identity.order or key), sequence)
        self.key = key
        self.state = State.PARKED
        self.claim: Claim | None = None
        self.ahead = False  # a claim ahead was asked for
        self.claimed_at: float | None = None  # monotonic; of the claim that a handler thread made
        self.ended_at = 0.0  # monotonic; the end of its handlers

    @property
    def order(self) -> str:
        """The key by which replicas are ranked."""
        identity = self.event.identity
        return identity.order or identity.key or self.event_name

    def request(self) -> ClaimRequest:
        """The claim to make. The payload goes along from the second attempt on."""
        raw = self.event.raw if self.attempt > 1 else None
        return ClaimRequest(self.key, self.attempt, raw, self.event.shard_id)


class LeaderItem(JournalEntry):
    """An event that its shard's leader handles: an entry of the journal, which puts it into its lane.

    :param partition: the event's guild, where there are shards.
    """

    __slots__ = ("event", "handlers", "waits_since")

    def __init__(
        self, event: Event, handlers: Sequence[Handler], sequence: int, partition: str | None
    ) -> None:
        identity = event.identity
        super().__init__(
            f"{event.name}/{identity.key}",
            f"leader/{identity.order or event.name}",
            sequence=sequence,
            received_at=event.received_at,
            revision=event.acknowledged_revision,
            payload=event.raw,
            partition=partition,
        )
        self.event = event
        self.handlers = handlers
        self.waits_since = event.received_at


class ClaimStore(Protocol):
    """What the dispatcher needs of ``Claims``."""

    def listen(self, listener: ClaimListener) -> None:
        """Tells a listener what other replicas do with events. Before the watch starts."""

    def hint(self, key: str) -> Hint: ...

    def previous_attempts(self, key: str) -> int | None: ...

    def claim(self, requests: Sequence[ClaimRequest]) -> list[Claim | Held | Done | None]: ...

    def claim_later(
        self, requests: Sequence[ClaimRequest], answer: Callable[[ClaimRequest, Claim | None], None]
    ) -> None: ...

    def mark(self, claim: Claim, done: Callable[[Claim, bool], None] | None = None) -> None: ...

    def release(self, claim: Claim) -> None: ...


class Preference(Protocol):
    """Which replica claims first: ``Members``, or ``ShardPreference`` among the hosts of a shard."""

    def listen(self, changed: Callable[[], None]) -> None:
        """Calls ``changed`` when ranks may have changed; any thread. Before the watch starts."""

    @property
    def version(self) -> object:
        """Differs once ranks may."""

    def has_received(self, shard: int, moment: float) -> bool:
        """Whether another replica that stays has received what this one received at a moment."""

    def rank(self, ordering_key: str, shard: int = 0) -> int: ...


class LeaderPath(Protocol):
    """The way of events that a shard's leader handles: ``LeaderService``."""

    def received(self, event: Event, handlers: Sequence[Handler], sequence: int) -> None: ...

    def begin(self, item: LeaderItem) -> CurrentEvent | None: ...

    def finished(self, item: LeaderItem, outcome: Outcome) -> None: ...
