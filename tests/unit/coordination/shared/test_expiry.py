"""Leases by bucket of time, with a clock that tests step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from discordha.coordination.etcd.store import Lease
from discordha.coordination.shared.expiry import Expiry


class Leases:
    """Grants leases and notes their length."""

    def __init__(self) -> None:
        self.granted: list[float] = []

    def grant(self, ttl: float, *, timeout: float | None = None) -> Lease:
        self.granted.append(ttl)
        return Lease(len(self.granted), ttl)

    def get(self, key: str, *, timeout: float | None = None) -> None:
        raise AssertionError("not asked for")

    def txn(self, compare: Sequence[Any], success: Sequence[Any], failure: Sequence[Any] = ()) -> Any:
        raise AssertionError("not asked for")


@pytest.mark.parametrize("ttl", [0.01, 0.3, 1.0, 7.0, 8.0, 60.0, 100.0, 3600.0, 86400.0 * 30])
def test_a_lease_lives_as_long_as_asked_and_a_bucket_more(ttl: float) -> None:
    leases, now = Leases(), [1000.0]
    expiry = Expiry(leases, clock=lambda: now[0])
    ends: dict[int, float] = {}
    for _ in range(500):
        lease = expiry.lease_for(ttl)
        ends.setdefault(lease, now[0] + leases.granted[lease - 1])
        left = ends[lease] - now[0]
        assert ttl <= left <= ttl + max(ttl / 8, 1.0) + 1.0 + 1e-6
        now[0] += ttl / 50
    # Ten times the time to live has passed: a lease for each bucket, not for each key.
    assert len(leases.granted) <= 10 * ttl / max(ttl / 16, 1.0) + 2
    assert len(expiry._leases) <= 18


def test_a_lease_that_etcd_has_lost_is_replaced() -> None:
    leases = Leases()
    expiry = Expiry(leases, clock=lambda: 5.0)
    first = expiry.lease_for(60.0)
    assert expiry.lease_for(60.0) == first
    expiry.forget(first)
    assert expiry.lease_for(60.0) != first
