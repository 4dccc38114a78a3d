"""Writes about an event that this replica claims or has claimed. No I/O, no threads.

Those about a claim are guarded by its create revision: none touches a key that another replica owns by now.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TypeAlias

from discordha.coordination.claims.records import ASIDE, Attempts, Claim, ClaimRequest, parse_claim, value_of
from discordha.coordination.etcd.group_commit import Operation
from discordha.coordination.etcd.store import Compare, Delete, Get, Guarded, Put, Txn, TxnResult
from discordha.coordination.partitions import bare

__all__ = ["MarkAnswer", "MarkWrite", "aside", "claims_with_record", "is_mark_of", "releases"]


#: Is told of claims that are marked, or refused.
MarkAnswer: TypeAlias = Callable[[Sequence[Claim], bool], None]


class MarkWrite(Operation):
    """The write of a mark; ``late`` if the claim is gone."""

    __slots__ = ("claim", "done", "late")

    def __init__(
        self,
        txn: Txn | Guarded,
        keys: tuple[str, ...],
        claim: Claim,
        done: MarkAnswer | None,
        answered: Callable[[list[Operation]], None],
        *,
        late: bool = False,
    ) -> None:
        super().__init__(txn, keys, persistent=True, together=answered)
        self.claim = claim
        self.done = done
        self.late = late


def claims_with_record(
    root: str,
    request: ClaimRequest,
    known: Attempts | None,
    replica_id: str,
    max_attempts: int,
    *,
    session: int,
    retention: int,
) -> Operation:
    """Claims an event and writes its record of attempts, or makes a dead letter of it. etcd refuses it if
    somebody owns the event, or its record is not the known one, and answers with both.

    :param session: the lease of the claim.
    :param retention: that of the record, and of a mark.
    """
    key, attempts_key = f"{root}e/{request.key}", f"{root}a/{request.key}"
    record = request.record(known, replica_id, max_attempts, session)
    writes: tuple[Put | Delete, ...]
    if request.burial(known, max_attempts) is not None:
        writes = (
            Put(key, value_of("d", replica_id, request.attempt), retention),
            Put(f"{root}dead/{bare(request.key)}", request.letter(record)),
            Delete(attempts_key),
        )
    else:
        writes = (
            Put(key, value_of("r", replica_id, request.attempt), session),
            Put(attempts_key, json.dumps(record).encode(), retention),
        )
    same = Compare.mod_revision(attempts_key, known.revision if known is not None else 0)
    txn = Txn((Compare.version(key, 0), same), writes, (Get(key), Get(attempts_key)))
    return Operation(txn, (key, attempts_key))


def is_mark_of(replica_id: str, refused: TxnResult) -> bool:
    """Whether a replica's own mark refused a mark: an earlier try was applied, but its answer was lost."""
    found = refused.responses[0]
    assert isinstance(found, list)
    parsed = parse_claim(found[0].value) if found else None
    return parsed is not None and parsed[:2] == ("d", replica_id)


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
