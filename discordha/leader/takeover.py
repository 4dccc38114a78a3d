"""Takeover: the thread that makes replicas stand for election, new leaders act, and old leaders hand over.

Guarantees: a new leader acts once its watch has shown all marks that its predecessors wrote, and runs events
once it knows whether some were missed (``LeaderShard.note_gap``). Gateway sessions that begin are announced
in etcd as soon as it answers.

Threads and locks: owns ``discordha-leader``, which blocks on etcd: started by ``start``, joined by ``stop``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection

from discordha.coordination.etcd.store import LeaseNotFound
from discordha.coordination.node import CoordinationNode
from discordha.errors import DiscordHAError
from discordha.leader.shard import LeaderShard
from discordha.process.threads import note_failure, unending

__all__ = ["Takeover"]

_log = logging.getLogger(__name__)

#: How often old entries are forgotten, seconds.
SWEEP_INTERVAL = 5.0
#: How often a replica that waits to stand for election looks, seconds: while somebody leads, while nobody
#: does.
WAITING_CHECK = 0.1
VACANT_CHECK = 0.02
#: How long the watch may take to show what was written before, seconds; then it is asked again.
SYNC_TIMEOUT = 2.0


class Takeover:
    """See the module."""

    def __init__(
        self,
        coordination: CoordinationNode,
        shards: Callable[[], Collection[LeaderShard]],
        on_acting: Callable[[], None] = lambda: None,
    ) -> None:
        self._coordination = coordination
        self._shards = shards
        self._on_acting = on_acting
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._swept_at = time.monotonic()
        self._thread = threading.Thread(
            target=unending(self._run, self._stop), name="discordha-leader", daemon=True
        )

    def start(self) -> None:
        """Starts the thread. Does not block."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread. Blocks for a call in flight. Idempotent."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def wake(self) -> None:
        """There is something to do. Never blocks; any thread."""
        self._wake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(self._pause())
            self._wake.clear()
            self._announce_sessions()
            for shard in self._shards():
                try:
                    self._tend(shard)
                    shard.catch_up.tend()
                except DiscordHAError as error:
                    _log.warning("shard %d: its leader waits: %s", shard.number, error)
                    self._wake.set()
                    self._stop.wait(0.1)
                except Exception as error:  # noqa: BLE001 - the thread must not end
                    _log.exception("shard %d: the leader's work failed", shard.number)
                    note_failure(error)
            if time.monotonic() - self._swept_at >= SWEEP_INTERVAL:
                self._swept_at = time.monotonic()
                for shard in self._shards():
                    shard.journal.sweep()

    def _pause(self) -> float:
        """For how many seconds nothing is due."""
        pause = SWEEP_INTERVAL
        for shard in self._shards():
            pause = min(pause, shard.catch_up.due())
            if shard.is_waiting or shard.elected or shard.is_unannounced:
                vacant = shard.is_waiting and shard.candidacy.yields
                pause = min(pause, VACANT_CHECK if vacant else WAITING_CHECK)
        return pause

    def _announce_sessions(self) -> None:
        """Greets after gateway sessions began: events younger than a greeting are received here, too.
        While the bot is resharded, the leaders of both generations have to know that.
        """
        shards = [shard for shard in self._shards() if shard.is_unannounced]
        grant, watch = self._coordination.session.current, self._coordination.watch
        if not shards or grant is None or not watch.alive:
            return
        for shard in shards:
            shard.is_unannounced = False
        sessions = {shard: shard.journal.sessions for shard in shards}
        greeted: dict[LeaderShard, int] = {}
        try:
            for shard in shards:
                others = self._coordination.plan.sharing(shard.key)
                greeted[shard] = self._coordination.exchange.greet(shard.key, others, lease=grant.lease_id)
            key_of = self._coordination.exchange.question_key
            until = time.monotonic() + SYNC_TIMEOUT
            shown = all(
                watch.wait_revision(revision, until - time.monotonic(), key_of(shard.key))
                for shard, revision in greeted.items()
            )
        except (DiscordHAError, LeaseNotFound):
            shown = False
        for shard in shards:
            if not shown or not shard.journal.note_session(greeted[shard], sessions[shard]):
                shard.is_unannounced = True

    def _tend(self, shard: LeaderShard) -> None:
        again = shard.resigns
        if again is not None and not shard.hand_over(again=again, timeout=1.0):
            self._stop.wait(WAITING_CHECK)
        shard.stand()
        shard.ask_to_lead()
        leadership = shard.elected
        if leadership is None or not leadership.alive or not shard.may_act():
            return
        if shard.acts is not leadership:
            # Once the watch shows a key that is written now, it has shown everything that was written before.
            if not self._coordination.watch.sync(SYNC_TIMEOUT, lease=leadership.lease_id):
                self._wake.set()
                return
            shard.act(leadership)
            self._on_acting()
        if not shard.knows_gap():
            return
        shard.elected = None
        if leadership.alive:
            _log.info("leads shard %d (token %d)", shard.number, leadership.fencing_token)
            since = self._coordination.watch.revision
            shard.catch_up.leads(since)
            shard.journal.activate(leadership, since)
            shard.journal.bury_orphans()
