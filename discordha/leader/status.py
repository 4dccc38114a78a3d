"""Leadership status: which replica leads which shard, by the shards' numbers.

Guarantees: no I/O. That this replica leads holds when it is said, by its session's own deadline; that another
one leads is as far as the watch has told. Without etcd this replica leads everything.

Threads and locks: no state of its own; any thread.
"""

from __future__ import annotations

from collections.abc import Callable

from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.election.elections import Elections
from discordha.errors import NotLeader
from discordha.leader.service import LeaderService

__all__ = ["LeadershipStatus"]


class LeadershipStatus:
    """See the module.

    :param leaders: the shards that this replica keeps journals of; ``None`` without etcd.
    :param elections: tells of all other shards.
    :param key_of: gives a shard's key by its number.
    """

    def __init__(
        self,
        leaders: LeaderService | None,
        elections: Elections | None,
        key_of: Callable[[int], int],
        replica_id: str,
    ) -> None:
        self._leaders = leaders
        self._elections = elections
        self._key_of = key_of
        self._replica_id = replica_id

    def term(self, shard_id: int = 0) -> LeaderTerm | None:
        """The present term of leading a shard; ``None`` when another replica leads, and without etcd."""
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
        """The replica that leads the shard."""
        if self._leaders is None:
            return self._replica_id
        key = self._key_of(shard_id)
        election = self._leaders.election(key)
        if election is not None:
            return election.leader
        return self._elections.first(key) if self._elections is not None else None
