"""Writes about an event that this replica has claimed. No I/O, no threads.

Each is guarded by the claim's create revision: none touches a key that another replica owns by now.
"""

from __future__ import annotations

from collections.abc import Callable

from discordha.coordination.claims.records import ASIDE, Claim
from discordha.coordination.etcd.group_commit import Operation
from discordha.coordination.etcd.store import Compare, Delete, Guarded, Put, Txn

__all__ = ["MarkWrite", "aside", "releases"]


class MarkWrite(Operation):
    """The write of a mark; ``late`` if the claim is gone."""

    __slots__ = ("claim", "done", "late")

    def __init__(
        self,
        txn: Txn | Guarded,
        keys: tuple[str, ...],
        claim: Claim,
        done: Callable[[Claim, bool], None] | None,
        callback: Callable[[Operation], None],
        *,
        late: bool = False,
    ) -> None:
        super().__init__(txn, keys, callback, persistent=True)
        self.claim = claim
        self.done = done
        self.late = late


def aside(key: str, claim: Claim, value: bytes) -> Operation:
    """Puts ``ASIDE`` behind a claim's value, unless the event is marked: a mark is the key's second version,
    which nothing may replace.
    """
    compare = (Compare.create_revision(key, claim.token), Compare.version(key, 1))
    put = Put(key, value + b" " + ASIDE, claim.grant.lease_id)
    return Operation(Txn(compare, (put,), ()), (key,), persistent=True)


def releases(key: str, claim: Claim, value: bytes) -> tuple[Operation, Operation]:
    """Takes the attempt back with ``value``, then deletes the claim."""
    mine = Compare.create_revision(key, claim.token)
    uncount = Put(key, value, claim.grant.lease_id)
    return (
        Operation(Txn((mine,), (uncount,), ()), (key,), persistent=True),
        Operation(Txn((mine,), (Delete(key),), ()), (key,), persistent=True),
    )
