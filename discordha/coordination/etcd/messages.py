"""etcd's messages: fills requests in place and reads answers, without the client's own objects.

Pure functions; any thread. ``client`` says why the client's objects are avoided.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from etcd3 import etcdrpc

from discordha.coordination.etcd.store import (
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
    WatchEvent,
)

__all__ = [
    "WatchBatch",
    "WatchRange",
    "WatchedRanges",
    "fill_txn",
    "key_value",
    "neighbours",
    "prefix_end",
    "read_txn",
    "read_watch",
    "watch_requests",
]

_PUT_DONE = PutDone()
_DONE: list[Response] = [_PUT_DONE]  # shared by all answers, never changed
_CREATE = etcdrpc.Compare.CREATE
_TARGETS = {
    "version": etcdrpc.Compare.VERSION,
    "create_revision": etcdrpc.Compare.CREATE,
    "mod_revision": etcdrpc.Compare.MOD,
    "value": etcdrpc.Compare.VALUE,
}
#: Snowflakes of one range differ by less from one to the next: 0.1 s, of which their lowest 22 bits are not.
NEAR = 100 << 22
_make = tuple.__new__  # builds a NamedTuple in half the time of its own constructor


class WatchBatch(NamedTuple):
    """One message of a watch stream.

    :param revision: of the last change in ``events``; 0 without changes.
    :param compacted: the oldest revision that can be watched, if the requested one is gone; else 0.
    :param cancelled: why etcd ended the watch; ``None`` while it goes on.
    :param store_revision: the member's revision when it sent a message without changes. Before etcd 3.5.8,
        older changes may follow, so it does not tell what has been delivered.
    :param watch: the range that it is about, as a number in the order of the requests.
    """

    revision: int
    events: list[WatchEvent]
    created: bool = False
    compacted: int = 0
    cancelled: str | None = None
    store_revision: int = 0
    watch: int = 0


class WatchRange(NamedTuple):
    """The keys from ``start`` up to ``end``, without that, from a revision on.

    :param deletes_only: no puts are sent, and a delete comes with what it has deleted.
    """

    start: bytes
    end: bytes
    revision: int
    deletes_only: bool = False


Span: TypeAlias = tuple[str, str]
"""Keys, from the first one up to the second one, without that."""


def _without(spans: Sequence[Span], taken: Sequence[Span]) -> list[Span]:
    """What is left of spans without others."""
    for first, end in taken:
        spans = [
            left
            for one, other in spans
            for left in ((one, min(other, first)), (max(one, end), other))
            if left[0] < left[1]
        ]
    return list(spans)


class _Watched:
    __slots__ = ("deletes_only", "end", "first", "revision")

    def __init__(self, span: Span, revision: int = 0, *, deletes_only: bool = False) -> None:
        self.first, self.end = span
        self.revision = revision
        self.deletes_only = deletes_only


class WatchedRanges:
    """The ranges of one watch, and up to which revision each has been delivered. Their numbers are those in
    the requests of a stream.

    Of the keys below ``quiet`` deletes alone are watched, and of those behind ``apart`` only *parts*. The
    first range has all the others but those before ``quiet``. Owned by a watch, which guards it.
    """

    def __init__(self, prefix: str, quiet: str | None, apart: str | None) -> None:
        self.whole = quiet is None
        end = prefix_end(prefix.encode()).decode(errors="replace")
        if quiet is None:
            self.numbered = [_Watched((prefix, end))]
            return
        behind = prefix_end(quiet.encode()).decode()
        self.numbered = [
            _Watched((behind, apart or end)),
            _Watched((prefix, quiet)),
            _Watched((quiet, behind), deletes_only=True),
        ]

    @property
    def first(self) -> int:
        """The revision of the first range."""
        return self.numbered[0].revision

    @property
    def parts(self) -> list[Span]:
        return [(each.first, each.end) for each in self.numbered[2:] if not each.deletes_only]

    def revision_of(self, key: str) -> int:
        """Up to which revision a key's range has been delivered; 0 if it is not watched."""
        if self.whole:
            return self.first
        return next((each.revision for each in self.numbered if each.first <= key < each.end), 0)

    def restart(self, revision: int, parts: Mapping[Span, int]) -> None:
        """All has been delivered up to a revision, and the parts up to one each."""
        for each in self.numbered:
            each.revision = parts.get((each.first, each.end), revision)

    def settle(self, revision: int) -> None:
        """All but the first range have been delivered up to a revision, at the least."""
        for each in self.numbered[1:]:
            each.revision = max(each.revision, revision)

    def requests(self) -> list[WatchRange]:
        """What a stream is to tell from here on; empty for the whole prefix."""
        if self.whole:
            return []
        return [
            WatchRange(each.first.encode(), each.end.encode(), each.revision + 1, each.deletes_only)
            for each in self.numbered
        ]

    def missing(self, parts: Sequence[Span]) -> list[Span]:
        """What is not watched of parts."""
        return _without(parts, self.parts)

    def refit(self, deletes: Sequence[Span], parts: Sequence[Span], new: Mapping[Span, int]) -> list[Span]:
        """Goes over to other ranges. What goes on being watched goes on where it was.

        :param deletes: those of which deletes are told; where they are new, from about now on.
        :param new: what was missing of the parts, each with the revision of its snapshot.
        :return: the parts that are watched no more.
        """
        known = {(each.first, each.end): each.revision for each in self.numbered}
        told = [_Watched(each, known.get(each, self.first), deletes_only=True) for each in deletes]
        kept = [
            _Watched((max(each.first, first), min(each.end, end)), each.revision)
            for each in self.numbered[2:]
            if not each.deletes_only
            for first, end in parts
            if max(each.first, first) < min(each.end, end)
        ]
        added = [_Watched(span, revision) for span, revision in new.items()]
        gone = _without(self.parts, parts)
        self.numbered = [*self.numbered[:2], *told, *kept, *added]
        return gone


def prefix_end(prefix: bytes) -> bytes:
    """The first key after all keys with the prefix, as etcd's range requests want it."""
    end = bytearray(prefix)
    while end:
        if end[-1] < 0xFF:
            end[-1] += 1
            return bytes(end)
        end.pop()
    return b"\0"  # every key from the prefix on


def _key(key: bytes) -> str:
    """discordha's keys are ASCII. A foreign key that is not even UTF-8 must not stop a watch."""
    return key.decode("utf-8", "backslashreplace")


def neighbours(keys: Sequence[str]) -> list[list[str]]:
    """Splits keys into groups that one range each covers without much in between, sorted.

    Keys that end with a snowflake and differ in that alone are neighbours if they are ``NEAR`` one another.
    """
    groups: list[list[str]] = []
    folder, number = "", 0
    for above, _, last in sorted(key.rpartition("/") for key in keys):
        key = f"{above}/{last}"
        found = int(last) if last.isascii() and last.isdigit() and len(last) <= 20 else 0
        near = bool(found) and above == folder and len(last) == len(str(number)) and found - number < NEAR
        if near:
            groups[-1].append(key)
        else:
            groups.append([key])
        folder, number = above, found
    return groups


def key_value(kv: Any) -> KeyValue:
    """Reads a key from an answer."""
    fields = (_key(kv.key), kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)
    return _make(KeyValue, fields)


def fill_txn(message: Any, compare: Sequence[Compare], success: Sequence[Op], failure: Sequence[Op]) -> None:
    """Writes a transaction into its message. ``VERSION`` is the default; 0 is ``EQUAL``, 2 is ``LESS``."""
    for key, target, expected, below in compare:
        condition = message.compare.add()
        condition.key = key.encode()
        condition.result = 2 if below else 0
        if target != "version":
            condition.target = _TARGETS[target]
        setattr(condition, target, expected)
    if success and all(type(op) is Guarded for op in success):  # a batch of claims and marks
        message.MergeFromString(b"".join([_guarded(op) for op in success]))  # type: ignore[arg-type]
    elif success:
        _fill_ops(message.success.add, success)
    if failure:
        _fill_ops(message.failure.add, failure)


def _guarded(op: Guarded) -> bytes:
    """A ``Guarded`` as one of a transaction's ``success``, to be merged into its message. Each event has two,
    and filling them in field by field takes three times as long."""
    name, target, number, value, lease = op
    key, expected = name.encode(), _varint(number)
    head, tag, put, between, tail = _parts(len(key), target, len(expected), len(value), lease)
    return b"".join((head, key, tag, expected, put, key, between, value, tail, key))


@functools.lru_cache(maxsize=256)
def _parts(key: int, target: str, expected: int, value: int, lease: int) -> tuple[bytes, ...]:
    """What stands around key, number and value of a ``Guarded`` in protobuf's wire format: tags and lengths.

    :param key: its length in bytes; so of ``expected`` and ``value``.
    """
    names_key = _header(0x0A, key)  # in a put and in a range
    lease_field = b"\x18" + _varint(lease)
    value_header = _header(0x12, value)
    compare = b"" if target == "version" else b"\x10" + _varint(_CREATE)
    compare += _header(0x1A, key)
    number = b"\x20" if target == "version" else b"\x28"
    compare_header = _header(0x0A, len(compare) + key + len(number) + expected)
    put = _header(0x12, len(names_key) + key + len(value_header) + value + len(lease_field))
    put_size = len(put) + len(names_key) + key + len(value_header) + value + len(lease_field)
    success = _header(0x12, put_size)
    scan = _header(0x0A, len(names_key) + key)
    failure = _header(0x1A, len(scan) + len(names_key) + key)
    size = len(compare_header) + len(compare) + key + len(number) + expected
    size += len(success) + put_size + len(failure) + len(scan) + len(names_key) + key
    nested = _header(0x22, size)
    return (
        _header(0x12, len(nested) + size) + nested + compare_header + compare,
        number,
        success + put + names_key,
        value_header,
        lease_field + failure + scan + names_key,
    )


def _header(tag: int, length: int) -> bytes:
    return bytes((tag,)) + _varint(length)


def _varint(number: int) -> bytes:
    if 0 <= number < 0x80:
        return bytes((number,))
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))


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
    """Reads an answer. The request tells which fields are set, which is faster than asking the message."""
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


def watch_requests(ranges: Sequence[WatchRange]) -> list[Any]:
    """The messages that begin the watches of one stream."""
    return [
        etcdrpc.WatchRequest(
            create_request=etcdrpc.WatchCreateRequest(
                key=each.start,
                range_end=each.end,
                start_revision=each.revision,
                progress_notify=True,
                prev_kv=each.deletes_only,
                filters=[etcdrpc.WatchCreateRequest.NOPUT] if each.deletes_only else [],
            )
        )
        for each in ranges
    ]


def read_watch(message: Any, watch: int = 0) -> WatchBatch:
    """Reads a message of a watch, by the number of its range."""
    events: list[WatchEvent] = []
    mod_revision = 0
    for event in message.events:
        kv = event.kv
        mod_revision = kv.mod_revision
        was = kv if event.type == 0 else event.prev_kv
        fields = (_key(kv.key), was.value, was.create_revision, mod_revision, was.version, was.lease)
        events.append(_make(WatchEvent, ("delete" if event.type else "put", _make(KeyValue, fields))))
    if events:
        return WatchBatch(mod_revision, events, watch=watch)
    cancelled = (message.cancel_reason or "no reason given") if message.canceled else None
    return WatchBatch(
        0, events, message.created, message.compact_revision, cancelled, message.header.revision, watch
    )
