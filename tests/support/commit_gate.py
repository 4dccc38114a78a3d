"""A store for the group commit that answers when the test says so."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from discordha.coordination.etcd.group_commit import Operation
from discordha.coordination.etcd.store import LeaseNotFound, Put, PutDone, Txn, TxnResult

__all__ = ["Gate", "put"]


class Gate:
    """A store whose transactions wait for ``open``; remembers what each one carried."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.fail: list[Exception] = []
        self.dead_lease = 0
        self.revision = 0

    def txn(self, compare: Sequence[Any], success: Sequence[Any], failure: Sequence[Any] = ()) -> TxnResult:
        nested = [op for op in success if isinstance(op, Txn)]
        puts = [put for txn in nested for put in txn.success] if nested else list(success)
        self.batches.append([put.key for put in puts])
        self.entered.set()
        assert self.open.wait(10)
        if self.fail:
            raise self.fail.pop(0)
        if self.dead_lease and any(put.lease == self.dead_lease for put in puts):
            raise LeaseNotFound("gone")
        self.revision += 1
        if not nested:
            return TxnResult(True, self.revision, [PutDone()])
        return TxnResult(True, self.revision, [TxnResult(True, self.revision, [PutDone()]) for _ in nested])


def put(key: str, lease: int = 0, **options: Any) -> Operation:
    return Operation(Txn((), (Put(key, b"x", lease),), ()), (key,), **options)
