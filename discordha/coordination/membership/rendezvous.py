"""Rendezvous hashing: which of several members is preferred for a key, agreed on without asking anyone.

Promises: every process that knows the same members ranks them equally, on every machine and in every
version; when a member goes, only its keys move, and they spread evenly over the rest.

Does not promise safety: two processes may know different members for a moment.

Source: Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous" (1996), with 64 bits of BLAKE2b
as the weight. Pure; any thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

__all__ = ["order", "weight"]


def weight(key: str, member: str) -> bytes:
    """The weight of a member for a key: the highest is preferred. Part of the format: all versions must
    agree."""
    return blake2b(f"{key}\0{member}".encode(), digest_size=8).digest()


def order(key: str, members: Iterable[str]) -> list[str]:
    """The members, the preferred one first."""
    return sorted(members, key=lambda member: (weight(key, member), member), reverse=True)
