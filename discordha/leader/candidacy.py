"""Seniority: when a replica stands for the election of a shard that it hears.

A gateway session that has just begun has not received what is still under way: others should lead first.

Promises
- A replica whose session is older than ``SETTLE`` seconds may stand.
- A younger one waits while somebody leads, or while a peer that stands has an older session; once nobody
  leads, for ``YIELD`` seconds at the most, so that somebody does.

Does not promise that the oldest leads: records of peers lag, and ages within ``SAME_AGE`` seconds are equal.

Concurrency: ``may_stand`` belongs to one thread, that of ``LeaderEvents``. ``begin`` is called on the
gateway's, ``led`` by whoever learned of a leader: both write single values. No lock, no I/O.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from discordha.coordination.journal.tally import SETTLE
from discordha.coordination.membership.members import Members, session_age

__all__ = ["Seniority"]

#: Among replicas whose gateway sessions are all young, the oldest stands first: the others wait this long,
#: seconds, for as long as nobody leads.
YIELD = 1.0
#: Sessions that began within so many seconds count as equally old.
SAME_AGE = 0.05
#: States in which a replica does not stand for election.
LEAVING = frozenset({"draining", "stopping", "deaf"})


class Seniority:
    """One shard's.

    :param led: whether somebody has led it before: else nobody can have more than this replica.
    """

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

    def begin(self) -> None:
        """The gateway session begins now."""
        self._since = self._clock()

    def led(self) -> None:
        """Somebody leads."""
        self._led = True

    @property
    def age(self) -> float | None:
        """For how many seconds the gateway session has lasted; ``None`` before the first."""
        return self._clock() - self._since if self._since else None

    @property
    def waits(self) -> bool:
        """Whether this replica lets others go first, and nobody leads."""
        return self._vacant_since is not None

    def may_stand(self, leader: str | None) -> bool:
        """Whether this replica may stand for election now.

        :param leader: who leads, as far as is known.
        """
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
        """Whether a peer has heard the shard without a break for longer, as far as is known."""
        for replica, record in self._members.records().items():
            since = session_age(record, self._shard_id)
            if replica == self._replica_id or since is None:
                continue
            if record.get("state") in LEAVING:
                continue  # it does not stand
            if since + self._members.silence(replica) > age + SAME_AGE:
                return True
        return False
