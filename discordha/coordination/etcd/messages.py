"""etcd's messages: requests are filled in place, and answers are read, without the client's own objects.

A part of the store; see there for why. Pure; any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from etcd3 import etcdrpc

from discordha.coordination.etcd.operations import (
    Compare,
    Delete,
    DeleteDone,
    Get,
    Guarded,
    KeyValue,
    Op,
    Put,
    PutDone,
    Response,
    Txn,
    TxnResult,
    WatchBatch,
    WatchEvent,
    prefix_end,
)

__all__ = ["fill_txn", "key_value", "read_txn", "read_watch"]

_PUT_DONE = PutDone()
_DONE: list[Response] = [_PUT_DONE]  # nobody writes to it
_CREATE = etcdrpc.Compare.CREATE
_TARGETS = {
    "version": etcdrpc.Compare.VERSION,
    "create_revision": etcdrpc.Compare.CREATE,
    "mod_revision": etcdrpc.Compare.MOD,
    "value": etcdrpc.Compare.VALUE,
}
_make = tuple.__new__  # builds a NamedTuple in half the time of its own constructor


def _key(key: bytes) -> str:
    """Ours are ASCII; one that is not even UTF-8 was written by something else, and must not stop a watch."""
    return key.decode("utf-8", "backslashreplace")


def key_value(kv: Any) -> KeyValue:
    """A key as an answer has it."""
    fields = (_key(kv.key), kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)
    return _make(KeyValue, fields)


def fill_txn(message: Any, compare: Sequence[Compare], success: Sequence[Op], failure: Sequence[Op]) -> None:
    """Writes a transaction into its message. ``VERSION`` is the default; 0 is ``EQUAL``, 2 ``LESS``."""
    for key, target, expected, below in compare:
        condition = message.compare.add()
        condition.key = key.encode()
        condition.result = 2 if below else 0
        if target != "version":
            condition.target = _TARGETS[target]
        setattr(condition, target, expected)
    if success:
        _fill_ops(message.success.add, success)
    if failure:
        _fill_ops(message.failure.add, failure)


def _fill_ops(add: Callable[[], Any], ops: Sequence[Op]) -> None:
    for op in ops:
        if isinstance(op, Guarded):
            key = op.key.encode()
            whole = add().request_txn
            condition = whole.compare.add()
            condition.key = key
            if op.target == "version":
                condition.version = op.expected
            else:
                condition.target = _CREATE
                condition.create_revision = op.expected
            put = whole.success.add().request_put
            put.key = key
            put.value = op.value
            put.lease = op.lease
            whole.failure.add().request_range.key = key
        elif isinstance(op, Put):
            put = add().request_put
            put.key = op.key.encode()
            put.value = op.value
            put.lease = op.lease
        elif isinstance(op, Txn):
            nested = add().request_txn
            nested.SetInParent()
            fill_txn(nested, op.compare, op.success, op.failure)
        elif isinstance(op, Get):
            add().request_range.key = op.key.encode()
        elif isinstance(op, Delete):
            add().request_delete_range.key = op.key.encode()
        else:
            scan = add().request_range
            scan.key = op.prefix.encode()
            scan.range_end = prefix_end(scan.key)


def read_txn(message: Any, success: Sequence[Op], failure: Sequence[Op], revision: int) -> TxnResult:
    """Reads an answer. What was asked says which fields are set, which is quicker than asking the message."""
    succeeded: bool = message.succeeded
    responses: list[Response] = []
    for op, response in zip(success if succeeded else failure, message.responses, strict=True):
        if isinstance(op, Guarded):
            inner = response.response_txn
            if inner.succeeded:
                responses.append(_make(TxnResult, (True, revision, _DONE)))
            else:
                found = [key_value(kv) for kv in inner.responses[0].response_range.kvs]
                responses.append(TxnResult(False, revision, [found]))
        elif isinstance(op, Put):
            responses.append(_PUT_DONE)
        elif isinstance(op, Txn):
            responses.append(read_txn(response.response_txn, op.success, op.failure, revision))
        elif isinstance(op, Delete):
            responses.append(DeleteDone(response.response_delete_range.deleted))
        else:
            responses.append([key_value(kv) for kv in response.response_range.kvs])
    return TxnResult(succeeded, revision, responses)


def read_watch(message: Any) -> WatchBatch:
    """What a watch's message tells."""
    events: list[WatchEvent] = []
    mod_revision = 0
    for event in message.events:
        kv = event.kv
        mod_revision = kv.mod_revision
        fields = (_key(kv.key), kv.value, kv.create_revision, mod_revision, kv.version, kv.lease)
        events.append(_make(WatchEvent, ("delete" if event.type else "put", _make(KeyValue, fields))))
    if events:
        return WatchBatch(mod_revision, events)
    cancelled = (message.cancel_reason or "no reason given") if message.canceled else None
    return WatchBatch(
        0, events, message.created, message.compact_revision, cancelled, message.header.revision
    )
