"""One shard's election, as one replica takes part in it. What it promises is said in ``elections``.

Concurrency: a handle without a thread; the state is guarded by the lock of ``Elections``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from discordha.coordination.election.candidates import Leadership
from discordha.coordination.etcd.store import Compare
from discordha.coordination.session import Grant

if TYPE_CHECKING:
    from discordha.coordination.election.elections import Elections

__all__ = ["FIRST_PAUSE", "Election"]

#: The first pause between two tries while etcd does not answer, seconds.
FIRST_PAUSE = 0.05


def _nothing() -> None:
    """Nobody waits for the place."""


class Election:
    """One shard's election as one replica takes part in it. Made by ``Elections.open``; any thread."""

    def __init__(
        self,
        elections: Elections,
        shard_id: int,
        on_elected: Callable[[Leadership], None],
        on_deposed: Callable[[Leadership], None],
        participate: bool,
    ) -> None:
        self._elections = elections
        self.shard_id = shard_id
        self.participate = participate
        self.guard: Sequence[Compare] = ()  # conditions for standing
        self.on_elected = on_elected
        self.on_deposed = on_deposed
        #: Called on the watch's thread when somebody asks this leader to resign; it must be quick.
        self.on_asked: Callable[[], None] = self._resign_at_once
        #: Called on the watch's thread when the last candidate is gone; it must be quick.
        self.on_vacant: Callable[[], None] = _nothing
        # Guarded by the lock of ``Elections``:
        self.wanted = False  # campaigns, or leads
        self.leaving = False  # its key is to be deleted
        self.closed = False  # to be forgotten once it has left
        self.entered: Grant | None = None  # a key may stand in etcd under this grant
        self.revision = 0  # of that key's creation, once known
        self.look = False  # something changed: read again
        self.leading: Leadership | None = None
        # The election's thread only:
        self.retry_at = 0.0
        self.pause = FIRST_PAUSE

    def _resign_at_once(self) -> None:
        self.resign(True)

    @property
    def leadership(self) -> Leadership | None:
        """The present term; ``None`` when this replica does not lead. No I/O."""
        leading = self.leading
        return leading if leading is not None and leading.alive else None

    @property
    def is_leader(self) -> bool:
        """Whether this replica leads the shard. No I/O."""
        return self.leadership is not None

    @property
    def leader(self) -> str | None:
        """The replica that leads as far as the watch shows; ``None`` when it is known to be dead. No I/O."""
        return self._elections.leader(self)

    @property
    def is_out(self) -> bool:
        """Whether this replica has no key here, as far as it knows. No I/O."""
        return self.entered is None

    def campaign(self) -> None:
        """Wants to lead, from now on and after every loss. Does not block. Without effect for a replica that
        does not participate."""
        self._elections.campaign(self)

    def resign(self, again: bool, *, timeout: float = 0.0) -> bool:
        """Ends the leadership here and now, or the candidature, and lets the next candidate lead.

        :param again: stand again, at the back of the queue.
        :param timeout: seconds to wait until etcd has taken it; 0 does not block. If etcd does not answer, it
            is tried until the session ends.
        :return: whether etcd has taken it.
        """
        return self._elections.resign(self, again, timeout)

    def proclaim(self, record: Mapping[str, Any]) -> None:
        """Adds to what the leader's key says, for those who look. Blocks on etcd.

        :raises NotLeader: this replica does not lead (any more); nothing was written.
        :raises StoreUnavailable: etcd does not answer.
        """
        self._elections.proclaim(self, record)
