"""Candidacy: when a connected replica stands for the election of a shard.

A gateway session that has just begun has not received what is still under way: others should lead first. So a
replica whose session is younger than ``SETTLE`` seconds waits while somebody leads, or while a candidate has
an older session; without a leader it waits for ``YIELD`` seconds at the most. The oldest may not win: records
of peers lag.

Threads and locks: no lock, no I/O. ``may_stand`` belongs to the leader's thread; the others write single
values.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from discordha.coordination.gaps.points import Reach
from discordha.coordination.journal.sessions import SETTLE
from discordha.coordination.membership.members import NOT_READY, READY, Members, session_age

__all__ = ["YIELD", "CandidacyPolicy"]

#: Seconds that a young replica lets an older one stand first while nobody leads.
YIELD = 1.0
#: Sessions that began within so many seconds count as equally old.
SAME_AGE = 0.05
#: States in which a replica stands for election, and so is worth waiting for. One that leaves does not, nor,
#: for all that is known here, one in a state of another version.
CANDIDATES = frozenset({READY, NOT_READY, "starting"})


class CandidacyPolicy:
    """One shard's. ``led``: whether it has had a leader, so that another replica may have received more."""

    def __init__(
        self,
        members: Members,
        replica_id: str,
        shard_id: int,
        *,
        led: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._members = members
        self._replica_id = replica_id
        self._shard_id = shard_id
        self._led = led
        self._clock = clock
        self._since = 0.0  # when the gateway session began
        self._vacant_since: float | None = None

    def session_began(self) -> None:
        """The gateway session begins now. Peers learn of it at once."""
        self._since = self._clock()
        self._members.poke()

    def saw_leader(self) -> None:
        """The shard has a leader."""
        self._led = True

    @property
    def session_age(self) -> float | None:
        """The gateway session's age, seconds; ``None`` before the first."""
        return self._clock() - self._since if self._since else None

    @property
    def yields(self) -> bool:
        """Whether nobody leads, and this replica lets others stand first."""
        return self._vacant_since is not None

    def may_stand(self, leader: str | None) -> bool:
        """Whether this replica may stand for election now, as ``leader`` leads."""
        now = self._clock()
        age = now - self._since
        if age >= SETTLE:
            return True
        if leader is not None:
            self._led = True
            self._vacant_since = None
            return False
        if not self._led or not self._has_elders(age):
            return True
        if self._vacant_since is None:
            self._vacant_since = now
        return now - self._vacant_since >= YIELD

    def _has_elders(self, age: float) -> bool:
        """Whether a candidate is known to have an older gateway session."""
        for replica, record in self._members.records().items():
            since = session_age(record, self._shard_id)
            if replica == self._replica_id or since is None or record.get("state") not in CANDIDATES:
                continue
            if record.get("state") == NOT_READY and self._is_cut_off(record):
                continue
            if since + self._members.silence(replica) > age + SAME_AGE:
                return True
        return False

    def _is_cut_off(self, record: Mapping[str, Any]) -> bool:
        """Whether a replica says that it is not connected. Without ``catch_up`` none does."""
        reach = Reach.of(record, self._shard_id)
        return reach is not None and not reach.connected
