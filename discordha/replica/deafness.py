"""Deafness by comparison: a connection that answers heartbeats, and on which no events come although peers
receive some.

Every replica says in its member record how many events each shard has received. One whose own number stands
still while a peer's grows is deaf.

Concurrency: ``Comparison`` belongs to the thread that calls it (the monitor). No I/O.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

__all__ = ["Comparison"]

#: A peer must have received at least so many events meanwhile: one or two may be on their way.
ENOUGH = 3


class Comparison:
    """One shard's.

    :param patience: seconds without an event after which peers are believed.
    :param settle: seconds that a peer's record may lag behind: what it says sooner after this replica's last
        event may be of events that both have received.
    """

    def __init__(
        self, patience: float, *, settle: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience = patience
        self._settle = settle
        self._clock = clock
        self._events = -1
        self._since = 0.0
        self._peers: dict[str, int] = {}
        self.deaf = False
        self.tries = 0

    def observe(self, events: int, peers: Mapping[str, int]) -> bool:
        """Whether something should be done now: the shard is deaf, and the last remedy had its time.

        ``tries`` counts the remedies since the last event. A shard is no longer deaf when an event comes, or
        when peers receive none either after a remedy. Never blocks.

        :param events: how many this replica has received, missed ones that RESUME brought included.
        :param peers: how many each peer has, without those.
        """
        now = self._clock()
        if events != self._events:
            self._events, self._since, self._peers = events, now, dict(peers)
            self.deaf = False
            self.tries = 0
            return False
        if now - self._since < self._settle:
            self._peers = dict(peers)
            return False
        for peer, count in peers.items():
            self._peers.setdefault(peer, count)
        if now - self._since < self._patience:
            return False
        more = max((count - self._peers[peer] for peer, count in peers.items()), default=0)
        if more < ENOUGH:
            self.deaf = False
            return False
        self.deaf = True
        self.tries += 1
        self._since, self._peers = now, dict(peers)
        return True
