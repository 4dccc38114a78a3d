"""The shard planner: who should host what, and when another generation serves.

Promises
- When replicas come, go or drain, one of them writes the plan that the present members want: at once when a
  host is gone, after ``JOINING`` seconds without another change when some have joined.
- A bot that is resharded runs both generations until every shard of the new one is ready, and no leader of
  the old one has anything in line that the new one did not receive; then the new one serves.

Does not promise that one replica alone writes: plans are written by comparison with the one before.

Concurrency: no thread and no lock: ``write`` and ``switch`` block on etcd, and are called by one thread, that
of ``Hosting``. ``planned`` is a single value that any thread reads. At a lost session or watch nothing is
lost: both ask what is there.
"""

from __future__ import annotations

import logging
import time

from discordha.coordination.journal.tally import SETTLE
from discordha.coordination.membership.placement import order, place
from discordha.coordination.membership.shard_keys import key_of
from discordha.coordination.node import CoordinationNode

__all__ = ["ShardPlanner"]

_log = logging.getLogger(__name__)

#: A new plan waits so long for more replicas to join, seconds: they rarely come alone.
JOINING = 1.0
#: The first in line writes a new plan at once, each next one so many seconds later.
NEXT_WRITER = 0.3


class ShardPlanner:
    """See the module.

    :param replication: on how many replicas each shard runs.
    """

    def __init__(self, coordination: CoordinationNode, replica_id: str, replication: int) -> None:
        self._coordination = coordination
        self._plan = coordination.plan
        self._replica_id = replica_id
        self._replication = replication
        self._clock = time.monotonic
        self._changing: dict[int, tuple[tuple[str, ...], float]] = {}  # whom a new plan is for, since when
        self._ready_since: float | None = None  # the next generation
        self.planned = False  # the plan is one for the present members, this replica among them

    def _eligible(self) -> tuple[str, ...]:
        """The replicas that may host."""
        members = self._coordination.members
        return tuple(sorted(set(members.records()) - members.draining))

    def heirs(self) -> tuple[str, ...]:
        """The other replicas that may."""
        return tuple(member for member in self._eligible() if member != self._replica_id)

    def write(self) -> None:
        """Writes the plan that the present members want, when it is this replica's turn to."""
        plan, members = self._plan, self._eligible()
        if not members:
            return
        for generation, count in plan.generations.items():
            present = plan.placement(generation)
            keys = [key_of(generation, number) for number in range(count)]
            following = place(present, keys, members, self._replication)
            if generation == plan.serving:
                self.planned = following == present and self._replica_id in members
            if following == present:
                self._changing.pop(generation, None)
                continue
            known, since = self._changing.get(generation, ((), 0.0))
            if known != members:
                since = self._clock()
                self._changing[generation] = (members, since)
            gone = any(host not in members for hosts in present.values() for host in hosts)
            writers = order(f"plan/{generation}", members)
            turn = writers.index(self._replica_id) if self._replica_id in writers else len(writers)
            if self._clock() - since >= turn * NEXT_WRITER + (0.0 if gone else JOINING):
                plan.propose(generation, following)
                self._changing.pop(generation, None)

    def switch(self) -> None:
        """Lets the next generation serve, when nothing can be lost by it."""
        plan = self._plan
        following = next((g for g in plan.generations if g > (plan.serving or 0)), None)
        if following is None or not self._is_ready(following):
            self._ready_since = None
            return
        now = self._clock()
        if self._ready_since is None:
            self._ready_since = now
            _log.info("all %d shards of the next generation are ready", plan.generations[following])
        writers = order(f"switch/{following}", self._eligible())
        turn = writers.index(self._replica_id) if self._replica_id in writers else len(writers)
        if now - self._ready_since < SETTLE + turn * NEXT_WRITER:
            return
        if self._in_line_before(self._ready_since):
            return
        if plan.switch(following):
            _log.info("the bot runs with %d shards now", plan.generations.get(following, 0))

    def _is_ready(self, generation: int) -> bool:
        plan = self._plan
        enough = min(self._replication, max(len(self._eligible()), 1))
        keys = (key_of(generation, number) for number in range(plan.generations[generation]))
        return all(len(plan.ready(key)) >= enough for key in keys)

    def _in_line_before(self, moment: float) -> bool:
        """Whether a leader may have events in line that it received before a moment: only it has them for
        certain.
        """
        members = self._coordination.members
        for replica, record in members.records().items():
            heard_at = self._clock() - members.silence(replica)
            waited = record.get("backlog")
            waited = float(waited) if isinstance(waited, int | float) else 0.0
            if heard_at - waited < moment + 1.0:
                return True
        return False
