"""MarkLeases: the leases of all marks, so that a catch-up can prolong every mark without reading one.

``ml/<lease id hex>`` says that marks may be under the lease; the key ends with the lease. A lease is
announced before the first mark is written under it (``RetentionLeases``), so the coordination watch shows all
of them.

Guarantees: leases that were known at a call of ``hold`` live on until ``let_go``, as long as ``renew`` is
called often. A call renews ``BATCH`` of them at the most, for all shards together.

Not guaranteed: that marks of version 0.1, or of replicas without ``catch_up``, live longer than they were
written for: these announce no leases.

Threads and locks: no lock, no thread. ``keys`` is replaced as a whole by the watch's thread. One thread calls
``hold``, ``renew`` and ``let_go``; ``renew`` and ``announce`` block on etcd.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from discordha.coordination.etcd.router import KeyView
from discordha.coordination.etcd.store import Put, Store

__all__ = ["RENEW_INTERVAL", "MarkLeases"]

#: How often a lease is renewed, seconds. A third of the time that a fetched event's mark lives at the least.
RENEW_INTERVAL = 20.0
#: Leases that one call renews: its thread has other work.
BATCH = 10


class MarkLeases(KeyView):
    """See the module. Listens to the component ``ml`` below the key prefix ``root``."""

    def __init__(self, store: Store, root: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._store = store
        self._prefix = f"{root}ml/"
        self._clock = clock
        self._due: dict[int, float] = {}  # the leases that are held, in the order of their next renewals

    def announce(self, lease: int) -> None:
        """Says that marks will be under a lease.

        :raises StoreUnavailable: etcd does not answer; do not use the lease.
        """
        self._store.txn((), (Put(f"{self._prefix}{lease:x}", b"", lease),))

    def hold(self) -> None:
        """Lets the marks live on that exist by now. Does not block."""
        cut = len(self._prefix)
        known = {int(key[cut:], 16) for key in self.keys}
        self._due = dict.fromkeys(known - self._due.keys(), 0.0) | self._due

    def renew(self) -> None:
        """Renews leases that are due.

        :raises StoreUnavailable: etcd does not answer; the next call goes on.
        """
        now = self._clock()
        for lease, due in list(self._due.items())[:BATCH]:
            if due > now:
                return
            lives = self._store.keep_alive(lease) > 0.0
            del self._due[lease]
            if lives:
                self._due[lease] = now + RENEW_INTERVAL

    def let_go(self) -> None:
        """Renews none any more. Does not block."""
        self._due = {}
