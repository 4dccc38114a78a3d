"""Plans which replicas host each shard, and when another generation of shards serves.

Guarantees
- When replicas come, go or drain, one of them writes the plan for the present members: at once when a host is
  gone, after ``JOIN_PAUSE`` seconds without another change when replicas have joined.
- During resharding both generations run until every shard of the new one is ready, and no leader of the old
  one has events in line that the new one did not receive. Then the new one serves.

Not guaranteed: that only one replica writes. Each write compares with the plan before it.

Threads and locks: no thread and no lock. The thread of ``ShardHost`` calls ``write`` and ``switch``, which
block on etcd; any thread reads ``planned``. Lost sessions and watches cost nothing: both methods read the
present state.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from discordha.coordination.journal.sessions import SETTLE
from discordha.coordination.membership.placement import Placement, order, place
from discordha.coordination.membership.shard_keys import key_of
from discordha.coordination.node import CoordinationNode

__all__ = ["ShardPlanner"]

_log = logging.getLogger(__name__)

#: How long a new plan waits for more replicas to join, seconds: they rarely come alone.
JOIN_PAUSE = 1.0
#: The first replica in line writes a new plan at once, each further one by this later, seconds.
WRITER_INTERVAL = 0.3


class ShardPlanner:
    """One replica's part in the plan.

    :param replication: the number of replicas for each shard.
    """

    def __init__(self, coordination: CoordinationNode, replica_id: str, replication: int) -> None:
        self._coordination = coordination
        self._plan = coordination.plan
        self._replica_id = replica_id
        self._replication = replication
        self._clock = time.monotonic
        # By generation: the members that a new plan is for, and since when.
        self._changing: dict[int, tuple[tuple[str, ...], float]] = {}
        # By generation: what the last plan was computed from, and that plan.
        self._computed: dict[int, tuple[tuple[Placement, int, tuple[str, ...]], Placement]] = {}
        self._ready_since: float | None = None  # the next generation
        self.planned = False  # the plan is for the present members, this replica among them

    def _eligible(self) -> tuple[str, ...]:
        """The replicas that may host."""
        members = self._coordination.members
        return tuple(sorted(set(members.records()) - members.draining))

    def successors(self) -> tuple[str, ...]:
        """The other replicas that may host."""
        return tuple(member for member in self._eligible() if member != self._replica_id)

    def write(self) -> None:
        """Writes the plan for the present members when it is this replica's turn."""
        plan, members = self._plan, self._eligible()
        if not members:
            return
        for generation, count in plan.generations.items():
            present = plan.placement(generation)
            following = self._following(generation, count, members)
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
            pause = self._pause_before(f"plan/{generation}", members)
            if self._clock() - since >= pause + (0.0 if gone else JOIN_PAUSE):
                plan.propose(generation, following)
                self._changing.pop(generation, None)

    def _following(self, generation: int, count: int, members: tuple[str, ...]) -> Placement:
        """The plan for these members. Computed once for each change: a large fleet's takes a while."""
        source = (self._plan.placement(generation), count, members)
        known = self._computed.get(generation)
        if known is None or known[0] != source:
            keys = [key_of(generation, number) for number in range(count)]
            known = source, place(source[0], keys, members, self._replication)
            self._computed = {g: each for g, each in self._computed.items() if g in self._plan.generations}
            self._computed[generation] = known
        return known[1]

    def switch(self) -> None:
        """Lets the next generation serve once no event can be lost by it."""
        plan = self._plan
        following = next((g for g in plan.generations if g > (plan.serving or 0)), None)
        if following is None or not self._is_ready(following):
            self._ready_since = None
            return
        now = self._clock()
        if self._ready_since is None:
            self._ready_since = now
            _log.info("all %d shards of the next generation are ready", plan.generations[following])
        pause = self._pause_before(f"switch/{following}", self._eligible())
        if now - self._ready_since < SETTLE + pause or self._in_line_before(self._ready_since):
            return
        if plan.switch(following):
            _log.info("the bot now runs with %d shards", plan.generations.get(following, 0))

    def _pause_before(self, write: str, members: Sequence[str]) -> float:
        """How long this replica leaves a write to the replicas before it in line, seconds."""
        writers = order(write, members)
        turn = writers.index(self._replica_id) if self._replica_id in writers else len(writers)
        return turn * WRITER_INTERVAL

    def _is_ready(self, generation: int) -> bool:
        plan = self._plan
        enough = min(self._replication, max(len(self._eligible()), 1))
        keys = (key_of(generation, number) for number in range(plan.generations[generation]))
        return all(len(plan.ready(key)) >= enough for key in keys)

    def _in_line_before(self, moment: float) -> bool:
        """Whether a leader may have events in line from before a moment, which perhaps only it received."""
        members = self._coordination.members
        for replica, record in members.records().items():
            told_at, backlog = self._clock() - members.silence(replica), record.get("backlog")
            waited = float(backlog) if isinstance(backlog, int | float) else 0.0
            if told_at - waited < moment + 1.0:
                return True
        return False
