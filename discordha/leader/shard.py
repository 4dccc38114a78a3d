"""One shard whose journal this replica keeps, and which it may lead: its state, and the way of its events.

Promises
- An event is begun here only while this replica leads the shard, and by the journal's order; what its handler
  sees (``CurrentEvent``) is lost when the leadership is, unless it was handed over.

Does not promise anything of leading itself: ``LeaderEvents`` makes its shards stand, act and resign.

Concurrency: no thread, no lock; the journal has a lock of its own. ``received`` runs on the gateway thread,
``begin`` and ``finished`` on handler threads; only ``begin`` blocks, on etcd. The attributes are single
values: ``stands`` and ``resign`` are written by whoever asks for it, and acted upon by the thread of
``LeaderEvents``. At stop and at a lost lease nothing is to be done here: what has not begun is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from discordha.context import CurrentEvent
from discordha.coordination.election.election import Election, LeaderTerm
from discordha.coordination.journal.entries import Entry
from discordha.coordination.journal.journal import Journal
from discordha.dispatch.runner import Outcome
from discordha.events import guild_of
from discordha.leader.candidacy import Seniority
from discordha.stats import Stats

if TYPE_CHECKING:
    from discordha.dispatch import Item

__all__ = ["LeaderShard"]

_log = logging.getLogger(__name__)

#: Said of an event that is run again although an earlier leader may have handled it (see guarantees.md).
DOUBTFUL = "; it may have been handled: it came just as this replica's gateway session began"


class LeaderShard:
    """See the module. ``hears``: connected to Discord; ``stands``: a candidate, or the leader.

    :param number: the shard's number, of ``count``; no count: there are no shards.
    :param may_act: a leader waits until it says so.
    """

    def __init__(
        self,
        journal: Journal,
        seniority: Seniority,
        number: int,
        count: int | None,
        may_act: Callable[[], bool],
    ) -> None:
        self.journal = journal
        self.seniority = seniority
        self.number = number
        self.count = count
        self.may_act = may_act
        self.retired = False  # leads no more, and does not stand
        self.fresh = False  # a gateway session has begun, and etcd does not know yet
        self.ask_at = 0.0  # when the leader may be asked (``Reconciler``); and after how many seconds again
        self.ask_pause = 0.0
        self.election: Election
        self.elected: LeaderTerm | None = None  # to be made to act
        self.resign: bool | None = None  # asked to resign; true: stand again at once
        self.hears = False
        self.stands = False

    @property
    def busy(self) -> bool:
        """Whether events run here, or wait for their mark, or wait to be run by this leader."""
        return self.election.is_leader or self.journal.under_way > 0

    @property
    def waiting_since(self) -> float | None:
        """When the oldest event came in that this replica is to run as a leader."""
        return self.journal.oldest_in_line if self.election.is_leader and self.may_act() else None

    def received(self, item: Item) -> None:
        """Takes an event. Gateway thread."""
        partition = "0" if self.count is None else str(guild_of(item.event, self.number, self.count))
        self.journal.received(item.key, item.lane, item, item.event.raw, partition=partition)

    def begin(self, item: Item, stats: Stats) -> CurrentEvent | None:
        """Before an event is run; ``None`` when it is not this replica's to run. Handler threads; may block
        on etcd.
        """
        entry: Entry | None = item.entry
        if entry is None or not self.journal.begin(entry):
            return None
        leadership = entry.leadership
        assert leadership is not None
        event = item.event
        if entry.attempt > 1:
            stats.add("taken_over", event.name)
            why = DOUBTFUL if entry.doubtful else ""
            _log.info("%s is run again (attempt %d)%s", item.key, entry.attempt, why)
        return CurrentEvent(
            identity=event.identity.key,
            name=event.name,
            attempt=entry.attempt,
            shard_id=self.number,
            fencing_token=leadership.fencing_token,
            occurrence=entry.occurrence,
            is_lost=lambda: entry.lost,
        )

    def finished(self, item: Item, outcome: Outcome) -> None:
        """After an event was run. Handler threads; never blocks."""
        entry: Entry = item.entry
        self.journal.finished(entry, handled=outcome is not Outcome.LOST)
