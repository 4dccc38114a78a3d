"""Who leads which shard, as one replica knows it, by the shards' numbers.

Promises: no I/O. That this replica leads holds when it is said, by its session's own deadline. Without etcd
it leads everything.

Does not promise that another replica still leads: that is as far as the watch has told.

Concurrency: no state of its own; any thread. At a lost session this replica leads nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.election.elections import Elections
from discordha.errors import NotLeader
from discordha.leader.service import LeaderEvents

__all__ = ["Leading"]


class Leading:
    """See the module.

    :param leaders: the elections that this replica takes part in, with ``elections`` for those that it does
        not; ``None`` without etcd.
    :param key_of: the key of a shard, by its number.
    """

    def __init__(
        self,
        leaders: LeaderEvents | None,
        elections: Elections | None,
        key_of: Callable[[int], int],
        replica_id: str,
    ) -> None:
        self._leaders = leaders
        self._elections = elections
        self._key_of = key_of
        self._replica_id = replica_id

    def term(self, shard_id: int = 0) -> LeaderTerm | None:
        """The present term of leading a shard; ``None`` when another leads, and without etcd."""
        election = self._leaders.election(self._key_of(shard_id)) if self._leaders is not None else None
        return election.leadership if election is not None else None

    def is_leader(self, shard_id: int) -> bool:
        """Whether this replica leads the shard."""
        return self._leaders is None or self.term(shard_id) is not None

    def require(self, shard_id: int) -> int:
        """The fencing token of leading the shard; 0 without etcd.

        :raises NotLeader: another replica leads it.
        """
        if self._leaders is None:
            return 0
        term = self.term(shard_id)
        if term is None:
            raise NotLeader(f"{self.leader(shard_id) or 'nobody'} leads shard {shard_id}, not this replica")
        return term.fencing_token

    def leader(self, shard_id: int) -> str | None:
        """Who leads the shard."""
        if self._leaders is None:
            return self._replica_id
        key = self._key_of(shard_id)
        election = self._leaders.election(key)
        if election is not None:
            return election.leader
        return self._elections.first(key) if self._elections is not None else None
