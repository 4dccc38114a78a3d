"""Reaches: what this replica and the others know of their shards.

Guarantees: a replica claims nothing for a shard that it is deaf to. A replica counts as one that lives for
sure only once it has written its record in time while this one watched. Another's session counts as one that
outlived the beginning of this replica's only once Discord has acknowledged a heartbeat on it that left after
this replica's greeting: all sessions may have ended together, and one replica may notice later than another.

Threads and locks: no lock. ``began`` and ``on_change`` run on the gateway's thread, ``on_point`` on the
watch's; any thread asks. ``_coverage`` is replaced as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from discordha.coordination.gaps.points import Point, Reach
from discordha.coordination.membership.members import Members, session_age
from discordha.dispatch import Dispatcher
from discordha.gateway import Gateway
from discordha.leader.service import LeaderService
from discordha.outage.coverage import Coverage

__all__ = ["Reaches"]

#: What ages in records lose by rounding, seconds.
GRAIN = 0.01


class Reaches:
    """See the module.

    :param is_deaf: whether peers receive a shard's events while this replica does not.
    """

    def __init__(
        self,
        members: Members,
        gateway: Gateway,
        leaders: LeaderService,
        dispatcher: Dispatcher,
        replica_id: str,
        *,
        is_deaf: Callable[[int], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._members = members
        self._gateway = gateway
        self._leaders = leaders
        self._dispatcher = dispatcher
        self._replica_id = replica_id
        self._is_deaf = is_deaf
        self._clock = clock
        self._coverage: Mapping[int, Coverage] = {}  # by shard
        self._began: dict[int, float] = {}  # when this replica's sessions began, by shard

    def began(self, shard: int) -> None:
        """A gateway session begins."""
        if shard not in self._coverage:
            self._coverage = {**self._coverage, shard: Coverage(self._gateway.dates)}
        now = self._began[shard] = self._clock()
        self._coverage[shard].began(now)

    def on_change(self) -> None:
        """A connection was made or lost."""
        for shard, coverage in self._coverage.items():
            client = self._gateway.clients.get(shard)
            if client is not None:
                state = client.state()
                now = self._clock()
                coverage.set_connected(state.connected, now, now - state.silent, self.oldest(shard))

    def oldest(self, shard: int) -> float | None:
        found = (self._dispatcher.oldest(shard), self._leaders.oldest(shard))
        return min((moment for moment in found if moment is not None), default=None)

    def reach(self, shard: int) -> Reach | None:
        """What this replica knows of a shard. No I/O; any thread."""
        coverage, client = self._coverage.get(shard), self._gateway.clients.get(shard)
        if coverage is None or client is None or self._is_deaf(shard):
            return None
        heard_at = self._clock() - client.state().silent
        return coverage.reach(heard_at, self.oldest(shard))

    def reaches(self) -> dict[str, list[float]]:
        """For the member record."""
        found = {shard: self.reach(shard) for shard in self._coverage}
        return {
            str(shard): [round(reach.since + 0.0005, 3), round(reach.until - 0.0005, 3), reach.connected]
            for shard, reach in found.items()
            if reach is not None
        }

    def acknowledged(self) -> dict[str, int]:
        """For the member record, before ``reaches``: a session that lived then may be over now."""
        clients = self._gateway.clients
        return {
            str(shard): client.acknowledged_revision
            for shard, client in clients.items()
            if shard in self._coverage
        }

    def founded(self, shard: int) -> float | None:
        """See ``Coverage``."""
        coverage = self._coverage.get(shard)
        return coverage.founded() if coverage is not None else None

    def on_point(self, shard: int, point: Point) -> None:
        """A point was written. Watch thread."""
        coverage = self._coverage.get(shard)
        if point.clean and coverage is not None:
            coverage.joined(point.moment, self._clock())

    def is_covered(self, shard: int, point: Point, after: float, own: int | None = None) -> bool:
        """Whether a replica that lives for sure has received everything since the point.

        :param after: only records count that came after this moment, and tell of a session that lived after
            the beginning of this replica's.
        :param own: the shard of that session, if this replica does not host ``shard``.
        """
        mine = self.reach(shard)
        if mine is not None and mine.since <= point.moment:
            return True
        own = shard if own is None else own
        greeting = self._leaders.greeting(own)
        if greeting is None or not self._is_announced(own):
            return False
        for member, record in self._members.records().items():
            if member == self._replica_id or not self._members.is_heard(member):
                continue
            if self._clock() - self._members.silence(member) < after:
                continue
            theirs = Reach.of(record, shard)
            if theirs is not None and theirs.connected and theirs.since <= point.moment:
                if _has_lived(record, shard, greeting):
                    return True
            elif theirs is None and "reach" not in record and session_age(record, shard) is not None:
                return True  # an earlier version's
        return False

    def _is_announced(self, shard: int) -> bool:
        """Whether this replica knows what older ones owe to its present session (``Members.owes``)."""
        began, seen = self._began.get(shard), self._members.session_began(shard)
        return began is not None and seen is not None and seen >= began - GRAIN

    def all(self, shard: int, mine: Reach) -> tuple[list[Reach], bool]:
        """What all members know of a shard, and whether one may know more than it says."""
        reaches, unknown = [mine], False
        for member, record in self._members.records().items():
            theirs = Reach.of(record, shard) if member != self._replica_id else None
            if theirs is not None:
                reaches.append(theirs)
            elif member != self._replica_id and "reach" not in record:
                unknown = unknown or session_age(record, shard) is not None
        return reaches, unknown

    def gone(self, shard: int) -> list[Reach]:
        """What members that are gone had said of a shard in their last records: it stays true."""
        found = (Reach.of(departure.record, shard) for departure in self._members.departures.latest())
        return [reach for reach in found if reach is not None]


def _has_lived(record: Mapping[str, object], shard: int, greeting: int) -> bool:
    """Whether a member's session has outlived a greeting, which its connection has acknowledged. Records of
    earlier versions do not tell.
    """
    acknowledged = record.get("acknowledged")
    if not isinstance(acknowledged, dict):
        return True
    revision = acknowledged.get(str(shard))
    return isinstance(revision, int) and revision >= greeting
