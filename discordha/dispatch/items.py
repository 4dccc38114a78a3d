"""An event on its way through this replica, and what the dispatcher needs of the parts around it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from discordha.context import CurrentEvent
from discordha.coordination.claims.records import Claim, ClaimRequest, Done, Held, Hint
from discordha.dispatch.handlers import Handler
from discordha.dispatch.runner import Outcome
from discordha.events import Event

__all__ = ["AgeGuard", "ClaimStore", "Item", "LeaderPath", "Preference", "State"]


class State(enum.Enum):
    """Where an item is."""

    PARKED = "parked"  # another replica owns it, or will; the watch or the timer moves it on
    DELAYED = "delayed"  # not preferred here: waits for its grace to pass
    WAITING = "waiting"  # in its lane
    RUNNING = "running"  # claimed, or being claimed, by a handler thread
    FINISHED = "finished"  # its handlers ended; the mark is on its way
    GONE = "gone"


class Item:
    """One event and its way through this replica. ``state`` belongs to the ``Ledger``."""

    __slots__ = (
        "ahead",
        "attempt",
        "claim",
        "claimed_at",
        "ended_at",
        "entry",
        "event",
        "handlers",
        "key",
        "lane",
        "sequence",
        "state",
        "waits_since",
    )

    def __init__(  # noqa: PLR0917
        self, event: Event, handlers: Sequence[Handler], key: str, lane: str, sequence: int, state: State
    ) -> None:
        self.event = event
        self.handlers = handlers
        self.key = key
        self.lane = lane
        self.sequence = sequence
        self.state = state
        self.attempt = 1
        self.claim: Claim | None = None
        self.ahead = False  # a claim ahead was asked for
        self.claimed_at: float | None = None  # monotonic, of the claim that a handler thread made
        self.ended_at = 0.0
        self.waits_since = event.received_at  # since when it stands in its lane
        self.entry: Any = None  # the leader path's own; without one, which of several equal events it is

    @property
    def order(self) -> str:
        """What the replicas are ranked by."""
        identity = self.event.identity
        return identity.order or identity.key or self.event.name

    def request(self) -> ClaimRequest:
        """The claim to make. The payload goes along from the second attempt on."""
        raw = self.event.raw if self.attempt > 1 else None
        return ClaimRequest(self.key, self.attempt, raw, self.event.shard_id)


class ClaimStore(Protocol):
    """What the dispatcher needs of ``Claims``."""

    def hint(self, key: str) -> Hint: ...

    def previous_attempts(self, key: str) -> int | None: ...

    def claim(self, requests: Sequence[ClaimRequest]) -> list[Claim | Held | Done | None]: ...

    def claim_later(
        self, requests: Sequence[ClaimRequest], answer: Callable[[ClaimRequest, Claim | None], None]
    ) -> None: ...

    def mark(self, claim: Claim, done: Callable[[Claim, bool], None] | None = None) -> None: ...

    def release(self, claim: Claim) -> None: ...


class Preference(Protocol):
    """Who claims first: ``Members``, or among a shard's hosts ``ShardPreference``; nobody else where there is
    no etcd.
    """

    @property
    def version(self) -> object:
        """Differs once ranks may."""

    def has_received(self, shard: int, moment: float) -> bool:
        """Whether another replica that stays has received what this one received at a moment."""

    def rank(self, ordering_key: str, shard: int = 0) -> int: ...


class LeaderPath(Protocol):
    """Where events without an identity of their own go (``leadership.LeaderEvents``)."""

    def received(self, item: Item) -> None: ...

    def begin(self, item: Item) -> CurrentEvent | None: ...

    def finished(self, item: Item, outcome: Outcome) -> None: ...


class AgeGuard:
    """Refuses events older than their mark could be, by the age in their snowflake.

    No clock of ours is compared with Discord's: the newest snowflake seen, moved on by the local monotonic
    clock, is *now*. Used on the gateway thread only.
    """

    #: Discord's snowflakes hold milliseconds above their 22 lowest bits.
    SHIFT = 22

    def __init__(self, retention: float, clock: Callable[[], float]) -> None:
        self._retention = retention
        self._clock = clock
        self._offset: float | None = None

    def refuses(self, snowflake: int) -> bool:
        """True when the event may be older than its mark."""
        created = (snowflake >> self.SHIFT) / 1000
        now = self._clock()
        if self._offset is None or created - now > self._offset:
            self._offset = created - now
        return now + self._offset - created > self._retention
