"""One shard whose journal this replica keeps, and which it may lead.

Guarantees: an event begins here only while this replica leads the shard, in the journal's order. Its
handler's ``CurrentEvent`` is lost when the leadership is, unless the event was handed over.

Threads and locks: no thread, no lock; the journal has a lock of its own. ``received`` runs on the gateway
thread, ``begin`` and ``finished`` on handler threads; only ``begin`` and ``hand_over`` block, on etcd. The
attributes are single values: any thread asks for a change, ``Takeover`` acts upon it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from discordha.context import CurrentEvent
from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.election.elections import Elections
from discordha.coordination.etcd.store import Compare
from discordha.coordination.journal.journal import Journal
from discordha.dispatch.handlers import Handler
from discordha.dispatch.items import LeaderItem
from discordha.dispatch.runner import Outcome
from discordha.events import Event, guild_of
from discordha.leader.candidacy import CandidacyPolicy
from discordha.stats import Stats

__all__ = ["AMBIGUOUS", "LeaderShard"]

_log = logging.getLogger(__name__)

#: Said of an event that is run again although an earlier leader may have handled it (see guarantees.md).
AMBIGUOUS = "; it may have been handled: it came just as this replica's gateway session began"


class LeaderShard:
    """See the module.

    :param key: the shard's key.
    :param number: the shard's number, of ``count``; no count: there are no shards.
    :param participate: false only observes the election.
    :param guard: conditions that etcd checks when a candidate registers.
    :param may_act: a leader waits until it says so; asked on the leader's thread; quick.
    :param wake: wakes the leader's thread.
    """

    def __init__(  # noqa: PLR0917
        self,
        key: int,
        number: int,
        count: int | None,
        journal: Journal,
        candidacy: CandidacyPolicy,
        elections: Elections,
        stats: Stats,
        *,
        participate: bool,
        guard: Sequence[Compare],
        may_act: Callable[[], bool],
        wake: Callable[[], None],
    ) -> None:
        self.key = key
        self.number = number
        self._count = count
        self.journal = journal
        self.candidacy = candidacy
        self._stats = stats
        self.may_act = may_act
        self._wake = wake
        self.is_connected = False  # to Discord
        self.is_candidate = False  # or the leader
        self.is_retired = False  # leads no more, and does not stand
        self.is_unannounced = False  # a gateway session has begun, and etcd does not know yet
        self.elected: LeaderTerm | None = None  # to be made to act
        self.resigns: bool | None = None  # asked to resign; true: stand again at once
        self.election = elections.open(
            key, self._on_elected, self._on_deposed, participate=participate, guard=guard
        )
        self.election.on_asked = lambda: self.ask_to_resign(again=True)
        self.election.on_vacant = wake  # a young replica may stand now: at once

    # -- leadership ------------------------------------------------------------------------------------------

    @property
    def is_waiting(self) -> bool:
        """Whether this replica is to stand for election, and does not yet."""
        return self.is_connected and not self.is_candidate and not self.is_retired

    def set_connected(self, connected: bool) -> None:
        """The shard is connected to Discord, or has not been for too long: this replica stands for election
        in time, or hands over. Does not block.
        """
        self.is_connected = connected
        if self.is_waiting:
            self._wake()
        elif not connected and self.is_candidate and not self.is_retired:
            self.is_candidate = False
            self.ask_to_resign(again=False)

    def new_session(self) -> None:
        """The gateway began a new session. Gateway thread.

        This replica has not received what happened since the last one: if it leads, another replica that has
        takes over, and it does not stand before those.
        """
        self.journal.deactivate()  # nothing that comes now may run before what another has received meanwhile
        self.journal.on_new_session()
        self.is_unannounced = True
        self.candidacy.session_began()
        self._wake()
        if self.is_candidate:
            self.ask_to_resign(again=False)

    def retire(self) -> None:
        """Hands the leadership over for good, and keeps the journal. Does not block."""
        self.is_retired = True
        self.is_candidate = False
        self.ask_to_resign(again=False)

    def ask_to_resign(self, *, again: bool) -> None:
        """Hands over soon. Does not block; any thread.

        :param again: stand again at once.
        """
        self.resigns = again
        self._wake()

    def hand_over(self, *, again: bool, timeout: float) -> None:
        """Leaves carries for what runs here, and resigns. Blocks on etcd, for ``timeout`` seconds at the
        most.
        """
        leadership = self.election.leadership
        if leadership is not None:
            self.journal.hand_over(leadership)
        self.is_candidate = again and self.is_connected and not self.is_retired
        self.election.resign(self.is_candidate, timeout=timeout)

    def _on_elected(self, leadership: LeaderTerm) -> None:
        self.candidacy.saw_leader()
        self.elected = leadership
        self._wake()

    def _on_deposed(self, leadership: LeaderTerm) -> None:
        self.elected = None
        self.journal.deactivate()

    @property
    def busy(self) -> bool:
        """Whether events run here, or wait for their mark, or wait to be run by this leader."""
        return self.election.is_leader or self.journal.under_way > 0

    @property
    def waiting_since(self) -> float | None:
        """When the oldest event was received that this replica is to run as the leader."""
        return self.journal.oldest_unstarted if self.election.is_leader and self.may_act() else None

    # -- events ----------------------------------------------------------------------------------------------

    def received(self, event: Event, handlers: Sequence[Handler], sequence: int) -> None:
        """Takes an event. Gateway thread."""
        partition = "0" if self._count is None else str(guild_of(event, self.number, self._count))
        self.journal.received(LeaderItem(event, handlers, sequence, partition))

    def begin(self, item: LeaderItem) -> CurrentEvent | None:
        """Before an event is run; ``None`` when it is not this replica's to run. Handler threads; may block
        on etcd.
        """
        if not self.journal.begin(item):
            return None
        leadership = item.leadership
        assert leadership is not None
        if item.attempt > 1:
            self._stats.add("taken_over", item.event_name)
            why = AMBIGUOUS if item.ambiguous else ""
            _log.info("%s is run again (attempt %d)%s", item.key, item.attempt, why)
        return CurrentEvent(
            identity=item.event.identity.key,
            name=item.event_name,
            attempt=item.attempt,
            shard_id=self.number,
            fencing_token=leadership.fencing_token,
            occurrence=item.occurrence,
            is_lost=lambda: item.lost,
        )

    def finished(self, item: LeaderItem, outcome: Outcome) -> None:
        """After an event was run. Handler threads; never blocks."""
        self.journal.finished(item, handled=outcome is not Outcome.LOST)
