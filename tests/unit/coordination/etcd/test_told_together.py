"""Operations of one transaction that are answered in one call."""

from __future__ import annotations

from discordha.coordination.etcd.group_commit import GroupCommit, Operation
from discordha.coordination.etcd.store import Put, Txn
from discordha.coordination.memory.store import MemoryStore


def _operation(key: str) -> Operation:
    return Operation(Txn((), (Put(key, b"1"),), ()), (key,))


def test_those_of_one_transaction_that_share_a_callback_are_told_together() -> None:
    commit = GroupCommit(MemoryStore())
    told: list[list[str]] = []
    alone: list[str] = []

    def together(operations: list[Operation]) -> None:
        told.append([operation.keys[0] for operation in operations])

    def fails(operations: list[Operation]) -> None:
        raise ValueError("a bug")

    operations = [_operation(f"/{number}") for number in range(6)]
    for operation in operations[:3]:
        operation.together = together
    operations[3].together = fails
    operations[4].callback = lambda operation: alone.append(operation.keys[0])
    commit.submit(operations[:5])
    commit.execute(operations[5:])
    assert told == [["/0", "/1", "/2"]]
    assert alone == ["/4"], "whatever becomes of the others' callbacks"
    assert commit.transactions == 1
