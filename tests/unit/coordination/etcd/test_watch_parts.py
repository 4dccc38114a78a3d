"""A watch on parts of the keys: what it waits for, when one of its ranges lags behind another."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from discordha.coordination.etcd.messages import WatchBatch, WatchedRanges, WatchRange
from discordha.coordination.etcd.store import KeyValue, Snapshot, WatchEvent
from discordha.coordination.etcd.watch import EtcdWatch
from discordha.errors import StoreUnavailable
from discordha.testing import wait_for

ROOT, APART = "/x/", "/x/~~"
PART = (f"{APART}000/", f"{APART}0070")


class Streams:
    """An etcd whose watches the test feeds, range by range."""

    def __init__(self) -> None:
        self.revision = 10
        self.keys: dict[str, int] = {}
        self.opened: list[Sequence[WatchRange]] = []
        self.batches: queue.SimpleQueue[WatchBatch | None] = queue.SimpleQueue()

    def range(self, prefix: str, **options: Any) -> Snapshot:
        first, end = options.get("after") or prefix, options.get("until") or f"{prefix}\x7f"
        found = [KeyValue(key, b"", at, at, 1, 0) for key, at in self.keys.items() if first < key < end]
        return Snapshot(self.revision, found)

    def txn(self, compare: Any, puts: Sequence[Any], *, timeout: float) -> Any:
        self.revision += 1
        self.keys |= {put.key: self.revision for put in puts}
        return SimpleNamespace(revision=self.revision)

    def open_watch(self, prefix: str, start: int, pulse: Any, ranges: Sequence[WatchRange]) -> Any:
        self.opened.append(ranges)
        self.batches = batches = queue.SimpleQueue()

        def read() -> Iterator[WatchBatch]:
            while (batch := batches.get()) is not None:
                yield batch
            raise StoreUnavailable("cancelled")

        class Stream:
            endpoint = "here"

            def __iter__(self) -> Iterator[WatchBatch]:
                return read()

            def cancel(self, *, blame: bool = False) -> None:
                batches.put(None)

        return Stream()

    def tell(self, key: str) -> None:
        """Tells of a key in its range."""
        ranges = self.opened[-1]
        number = next(n for n, each in enumerate(ranges) if each.start <= key.encode() < each.end)
        at = self.keys[key]
        self.batches.put(WatchBatch(at, [WatchEvent("put", KeyValue(key, b"", at, at, 1, 0))], watch=number))

    def close(self) -> None: ...

    def forget_token(self) -> None: ...

    def refused(self, error: Exception) -> Exception:
        return error


class Told:
    """A listener, and what it was told."""

    def __init__(self) -> None:
        self.parts: list[tuple[tuple[str, str], list[str]]] = []
        self.keys: list[str] = []

    def on_snapshot(self, snapshot: Snapshot) -> None:
        self.keys += [kv.key for kv in snapshot.items]

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        self.keys += [event.kv.key for event in events]

    def on_lost(self) -> None: ...

    def on_part(self, part: tuple[str, str], snapshot: Snapshot) -> None:
        self.parts.append((part, [kv.key for kv in snapshot.items]))


@pytest.fixture
def scene() -> Iterator[tuple[Streams, Told, EtcdWatch]]:
    store, told = Streams(), Told()
    watch = EtcdWatch(store, ROOT, told, silence=60.0, quiet=f"{ROOT}e/", apart=APART)  # type: ignore[arg-type]
    watch.start()
    assert watch.wait_synced(10)
    yield store, told, watch
    watch.stop()


def in_background(call: Any) -> list[Any]:
    found: list[Any] = []
    threading.Thread(target=lambda: found.append(call()), daemon=True).start()
    return found


def test_what_was_written_before_is_shown_once_every_part_has_told_its_marker(
    scene: tuple[Streams, Told, EtcdWatch],
) -> None:
    """A new leader acts on that: its predecessors' marks lie in the parts."""
    store, told, watch = scene
    assert watch.narrow([], [PART], told.on_part, 10)
    wait_for(lambda: len(store.opened[-1]) == 3, 10, "a stream with the part")
    synced = in_background(lambda: watch.sync(20))
    wait_for(lambda: f"{ROOT}~sync" in store.keys, 10, "the markers")
    store.tell(f"{ROOT}~sync")
    wait_for(lambda: watch.revision == store.revision, 10, "the first range's")
    assert not threading.Event().wait(0.1)
    assert synced == []
    assert not watch.wait_revision(store.revision, 0.05, f"{APART}003/jq/0/me")
    store.tell(f"{PART[0]}~sync")
    wait_for(lambda: synced == [True], 10, "sync to return")
    assert watch.wait_revision(store.revision, 0.05, f"{APART}003/jq/0/me")


def test_a_part_is_read_before_it_is_followed_and_forgotten_when_it_is_not_needed(
    scene: tuple[Streams, Told, EtcdWatch],
) -> None:
    store, told, watch = scene
    before = f"{APART}003/j/7/abc"
    store.keys[before] = store.revision = 12
    assert watch.narrow([], [PART], told.on_part, 10)
    assert told.parts == [(PART, [before])]
    (followed,) = store.opened[-1][2:]
    assert (followed.start, followed.end, followed.revision) == (PART[0].encode(), PART[1].encode(), 13)
    assert not watch.narrow([], [PART], told.on_part, 10)
    less = (PART[0], f"{APART}0030")
    assert watch.narrow([], [less], told.on_part, 10)
    assert told.parts[1:] == [((less[1], PART[1]), [])]
    assert store.opened[-1][2].revision == 13


def test_no_part_is_watched_before_one_is_asked_for(scene: tuple[Streams, Told, EtcdWatch]) -> None:
    store, _, watch = scene
    wait_for(lambda: store.opened, 10, "a stream")
    key = f"{APART}003/j/7/abc"
    assert not any(each.start <= key.encode() < each.end for each in store.opened[-1])
    assert not watch.wait_revision(1, 0.05, key)


def test_etcd_that_does_not_answer_is_told_and_tried_on(scene: tuple[Streams, Told, EtcdWatch]) -> None:
    store, told, watch = scene
    wait_for(lambda: store.opened, 10, "a stream")
    read = store.range

    def down(prefix: str, **options: Any) -> Snapshot:
        raise StoreUnavailable("down")

    store.range = down  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable, match="narrowed"):
        watch.narrow([], [PART], told.on_part, 0.1)
    store.range = read  # type: ignore[method-assign]
    assert not watch.narrow([], [PART], told.on_part, 10)
    assert told.parts == [(PART, [])]


def test_ranges_that_follow_one_another() -> None:
    ranges = WatchedRanges("/x/", "/x/e/", "/x/~~")
    ranges.restart(5, {})
    for parts, missing, gone in (
        ([("a", "d")], [("a", "d")], []),
        ([("a", "g")], [("d", "g")], []),
        ([("b", "c"), ("e", "f")], [], [("a", "b"), ("c", "d"), ("d", "e"), ("f", "g")]),
        ([("a", "z")], [("a", "b"), ("c", "e"), ("f", "z")], []),
        ([], [], [("b", "c"), ("e", "f"), ("a", "b"), ("c", "e"), ("f", "z")]),
    ):
        assert ranges.missing(parts) == missing
        assert ranges.refit([], parts, dict.fromkeys(missing, 9)) == gone
