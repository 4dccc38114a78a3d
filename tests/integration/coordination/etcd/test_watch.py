"""The watch on a real etcd: what it tells, in which order, and how it ends."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from store_helpers import Recorder, running, store_of
from watch_writers import Writers, assert_complete

from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.store import KeyValue, Put, Snapshot, WatchEvent
from discordha.coordination.etcd.watch import EtcdWatch
from discordha.errors import StoreUnavailable
from discordha.testing import LocalEtcd, wait_for
from discordha.testing.etcd.local_etcd import find_etcd
from discordha.testing.ports import ReservedPort


@pytest.fixture
def store(local_etcd: LocalEtcd) -> Iterator[EtcdStore]:
    with store_of(local_etcd) as opened:
        yield opened


def test_a_snapshot_then_every_change_each_revision_whole(store: EtcdStore, root: str) -> None:
    recorder = Recorder()
    store.put(f"{root}before", b"1")
    with running(store.watch(root, recorder, silence=5.0)) as watch, Writers(store, root) as writers:
        wait_for(lambda: writers.written > 200, 30, "200 transactions")
        wait_for(lambda: recorder.batches, 10, "some of them to be told")
    with running(store.watch(root, Recorder(), silence=5.0)):
        pass
    assert recorder.calls[0] == "snapshot"
    assert recorder.snapshots[0].items[0].key == f"{root}before"
    seen: set[int] = set()
    for revision, batch in recorder.batches:
        revisions = {event.kv.mod_revision for event in batch}
        assert not revisions & seen, "a revision in two calls"
        assert max(revisions) == revision
        seen |= revisions
    assert watch.losses == 0
    assert 0 < len(recorder.batches) <= watch.messages <= 1 + len(recorder.batches)  # one says: created
    assert recorder.faults == []
    assert not watch.alive


def test_below_a_quiet_prefix_only_deletes_are_told_with_what_they_deleted(
    store: EtcdStore, root: str
) -> None:
    recorder = Recorder()
    for key in ("d/0", "e/0", "e0"):
        store.put(root + key, b"before")
    with running(store.watch(root, recorder, silence=5.0, heartbeats=True, quiet=f"{root}e/")) as watch:
        assert [kv.key for kv in recorder.snapshots[0].items] == [f"{root}d/0", f"{root}e0"]
        for key in ("a/1", "e/1", "e/2", "m/1"):
            store.put(root + key, key.encode())
        store.put(f"{root}e/1", b"again")
        for key in ("a/1", "e/1", "e/0"):
            store.delete(root + key)
        assert watch.sync(10)
        told = lambda: [event for _, batch in recorder.batches for event in batch]  # noqa: E731
        wait_for(lambda: len(told()) >= 5, 10, "all of it")
        found = {(event.kind, event.kv.key.removeprefix(root), event.kv.value) for event in told()}
        assert found == {
            ("put", "a/1", b"a/1"),
            ("put", "m/1", b"m/1"),
            ("delete", "a/1", b""),
            ("delete", "e/1", b"again"),
            ("delete", "e/0", b"before"),
        }
        assert len(told()) == 5
        assert watch.losses == 0


def no_part(part: tuple[str, str], snapshot: Snapshot) -> None:
    raise AssertionError(f"{part} is none")


def test_a_watch_that_is_narrowed_is_told_of_less_and_misses_nothing_else(
    store: EtcdStore, root: str
) -> None:
    """Also while it is narrowed again and again under load."""
    recorder = Recorder()
    halves = [(f"{root}e/0", f"{root}e/5"), (f"{root}e/5", f"{root}e/a")]
    with running(store.watch(root, recorder, silence=5.0, heartbeats=True, quiet=f"{root}e/")) as watch:
        with Writers(store, f"{root}m/") as writers:
            for number in range(20):
                goal = writers.written + 5
                assert watch.narrow([halves[number % 2]], [], no_part, 10)
                wait_for(lambda goal=goal: writers.written > goal, 30, "transactions")
        assert not watch.narrow([halves[1]], [], no_part, 10)
        truth = {kv.key: kv.value for kv in store.range(f"{root}m/").items}
        assert watch.sync(10)
        assert {key: value for key, value in recorder.state.items() if key.startswith(f"{root}m/")} == truth
        revisions = [revision for revision, _ in recorder.batches]
        assert revisions == sorted(set(revisions)), "told twice, or in another order"
        for key in ("3", "7", "8"):
            store.put(f"{root}e/{key}", b"r")
            store.delete(f"{root}e/{key}")
        told = lambda: [  # noqa: E731
            event.kv.key.removeprefix(root)
            for _, batch in recorder.batches
            for event in batch
            if event.kv.key.startswith(f"{root}e/")
        ]
        wait_for(lambda: len(told()) >= 2, 10, "the deletes in the range")
        assert watch.sync(10)
        assert told() == ["e/7", "e/8"]
        assert (watch.losses, watch.snapshots) == (0, 1)
        assert recorder.faults == []


def test_parts_are_told_from_a_snapshot_on_each_change_once_whichever_parts_follow(
    store: EtcdStore, root: str
) -> None:
    """Parts that come, go, grow and are divided under load, as shards do."""
    apart = f"{root}~~"
    state: dict[str, bytes] = {}
    faults: list[str] = []

    def on_part(part: tuple[str, str], snapshot: Snapshot) -> None:
        for key in [key for key in state if part[0] <= key < part[1]]:
            del state[key]
        state.update({kv.key: kv.value for kv in snapshot.items})

    class Told(Recorder):
        def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
            super().on_events(revision, events)
            for kind, kv in events:
                if kv.key.startswith(apart) and kind == "put" and kv.value != b"":
                    if state.get(kv.key, b"-1") and int(state.get(kv.key, b"-1")) >= int(kv.value):
                        faults.append(f"{kv.key} was {state[kv.key]!r} and is {kv.value!r}")
                    state[kv.key] = kv.value

    recorder = Told()
    stop = threading.Event()

    def write(number: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            store.txn((), [Put(f"{apart}{(number + 2 * n) % 8}/{number}", b"%d" % count) for n in range(4)])

    writers = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    spans = [(0, 4), (0, 8), (2, 6), (2, 3), (5, 8), (0, 1)]
    with running(
        store.watch(root, recorder, silence=5.0, heartbeats=True, quiet=f"{root}e/", apart=apart)
    ) as watch:
        for writer in writers:
            writer.start()
        try:
            for round_ in range(4):
                for first, end in spans:
                    watch.narrow([], [(f"{apart}{first}/", f"{apart}{end - 1}0")], on_part, 10)
                    assert watch.sync(10), round_
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        watch.narrow([], [(f"{apart}2/", f"{apart}50")], on_part, 10)
        assert watch.sync(10)
        truth = {kv.key: kv.value for kv in store.range(apart).items if not kv.key.endswith("~sync")}
        wanted = {key: value for key, value in truth.items() if key[len(apart)] in "2345"}
        told = {key: value for key, value in state.items() if not key.endswith("~sync")}
        assert told == wanted
        assert len(wanted) == 4
        assert faults == []
        assert watch.wait_revision(store.put(f"{apart}3/x", b"9"), 5, f"{apart}3/x")
        assert not watch.wait_revision(store.put(f"{apart}7/x", b"9"), 0.1, f"{apart}7/x")
        assert (watch.losses, watch.snapshots) == (0, 1)


def test_all_is_there_when_it_has_caught_up(store: EtcdStore, root: str) -> None:
    recorder = Recorder()
    with running(store.watch(root, recorder, silence=5.0)) as watch:
        with Writers(store, root) as writers:
            wait_for(lambda: writers.written > 100, 30, "100 transactions")
        assert_complete(store, watch, recorder, root)
        revision = store.put(f"{root}x", b"1")
        assert watch.wait_revision(revision, 5)
        assert recorder.state[f"{root}x"] == b"1"
        store.delete(f"{root}x")
        assert watch.sync(5)
        assert f"{root}x" not in recorder.state
        assert recorder.events()[-1][:2] == ("delete", f"{root}x")
        assert not watch.wait_revision(watch.revision + 1_000_000, 0.05)


def test_the_marker_of_sync_is_never_shown(store: EtcdStore, root: str) -> None:
    recorder = Recorder()
    with running(store.watch(root, recorder, silence=5.0)) as watch:
        assert watch.sync(5)
        assert watch.sync(5)
        assert recorder.batches == []
    with running(store.watch(root, recorder, silence=5.0)):
        assert recorder.snapshots[-1].items == []


class Meddler:
    """A store for one watch, with something happening just before a stream is opened."""

    def __init__(self, store: EtcdStore, before_open: Callable[[int], None]) -> None:
        self._store = store
        self._before_open = before_open
        self.opened = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def open_watch(self, *arguments: Any) -> Any:
        self.opened += 1
        self._before_open(self.opened)
        return self._store.open_watch(*arguments)


def test_compaction_between_the_snapshot_and_the_stream(single: LocalEtcd) -> None:
    root = "/discordha/w/"
    recorder = Recorder()

    def meddle(opened: int) -> None:
        if opened <= 2:
            for number in range(5):
                store.put(f"{root}{opened}-{number}", b"x")
            store.delete(f"{root}{opened}-0")
            single.compact()

    with store_of(single) as store:
        watch = EtcdWatch(Meddler(store.clone(), meddle), root, recorder, silence=5.0)
        with running(watch):
            wait_for(lambda: watch.snapshots == 3 and watch.alive, 10, "a stream")
            assert_complete(store, watch, recorder, root)
            assert recorder.calls[:5] == ["snapshot", "lost", "snapshot", "lost", "snapshot"]


def test_writes_between_the_snapshot_and_the_stream(store: EtcdStore, root: str) -> None:
    recorder = Recorder()
    watch = EtcdWatch(
        Meddler(store.clone(), lambda opened: bool(store.put(f"{root}between", b"1"))),
        root,
        recorder,
        silence=5.0,
    )
    with running(watch):
        assert watch.sync(5)
        assert recorder.events()[0][:2] == ("put", f"{root}between")


@pytest.mark.parametrize("state", ["connected", "paused", "gone", "never there"])
def test_stop_ends_it_at_once_in_every_state(single: LocalEtcd, state: str) -> None:
    known = set(threading.enumerate())
    with store_of(single, timeout=30.0) as store:
        if state == "never there":
            single.member(0).pause()
        watch = store.watch("/discordha/w/", Recorder(), silence=0.3)
        with running(watch, synced=state != "never there"):
            if state == "paused":
                single.member(0).pause()
                wait_for(lambda: watch.losses == 1, 5, "the loss")
            elif state == "gone":
                single.member(0).kill()
                wait_for(lambda: watch.losses == 1, 5, "the loss")
            begun = time.monotonic()
            watch.stop()
            assert time.monotonic() - begun < 1.0
            watch.stop()
            assert not watch.alive
            with pytest.raises(RuntimeError):
                watch.start()
            assert not watch.wait_revision(10**9, 60)
    single.member(0).resume()
    wait_for(lambda: not set(threading.enumerate()) - known, 5, "all threads, gRPC's too, to end")


def test_a_listener_that_fails_or_stops_the_watch(
    store: EtcdStore, root: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Faulty(Recorder):
        def on_events(self, revision: int, events: Any) -> None:
            super().on_events(revision, events)
            if self.calls.count("events") == 1:
                raise LookupError("a fault of the listener")
            watch.stop()

    recorder = Faulty()
    watch = store.watch(root, recorder, silence=5.0, name="stopped-by-its-listener")
    with running(watch):
        store.put(f"{root}1", b"1")
        wait_for(lambda: "a fault of the listener" in caplog.text, 5, "the fault")
        store.put(f"{root}2", b"1")
        threads = threading.enumerate
        wait_for(lambda: "stopped-by-its-listener" not in {t.name for t in threads()}, 5, "the thread's end")
        assert set(recorder.state) == {f"{root}1", f"{root}2"}


def test_a_prefix_that_the_role_does_not_cover(caplog: pytest.LogCaptureFixture) -> None:
    with LocalEtcd(auth=True) as etcd, store_of(etcd) as store:
        watch = store.watch("/elsewhere/", Recorder(), silence=5.0)
        with running(watch, synced=False):
            wait_for(lambda: watch.losses == 1, 5, "the refusal")
            assert not watch.wait_synced(0.3)
        assert caplog.text.count("print-role") == 1


def test_an_event_carries_all_that_etcd_says(store: EtcdStore, root: str) -> None:
    recorder = Recorder()
    with running(store.watch(root, recorder, silence=5.0)) as watch:
        lease = store.grant(30)
        created = store.put(f"{root}a", b"\xff\0", lease=lease.id)
        store.revoke(lease.id)
        assert watch.sync(5)
    put_event, gone = [event for _, events in recorder.batches for event in events][:2]
    assert put_event == WatchEvent("put", KeyValue(f"{root}a", b"\xff\0", created, created, 1, lease.id))
    assert (gone.kind, gone.kv.key, gone.kv.mod_revision) == ("delete", f"{root}a", created + 1)
    assert isinstance(recorder.snapshots[0], Snapshot)


def test_through_etcds_own_proxy_which_ends_a_watch_that_asks_nothing_more(
    single: LocalEtcd,
) -> None:
    """``grpc-proxy`` takes the end of the requests for the end of the watch; etcd does not."""
    root = "/discordha/w/"
    with ExitStack() as ends:
        port = ReservedPort()
        ends.callback(port.release)
        address = f"127.0.0.1:{port.number}"
        command = [find_etcd(), "grpc-proxy", "start", f"--endpoints={single.endpoints[0]}"]
        proxy = subprocess.Popen(
            [*command, f"--listen-addr={address}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        ends.callback(proxy.wait)
        ends.callback(proxy.kill)
        store = ends.enter_context(store_of(single, endpoints=(address,)))
        wait_for(lambda: _answers(store), 10, "the proxy")
        recorder = Recorder()
        watch = store.watch(root, recorder, silence=5.0, heartbeats=True)
        with running(watch):
            wait_for(lambda: watch.alive and watch.losses == 1, 10, "the watch in the other way")
            store.put(f"{root}key", b"1")
            assert watch.sync(5)
            assert recorder.state == {f"{root}key": b"1"}
            assert watch.losses == 1


def _answers(store: EtcdStore) -> bool:
    try:
        store.get("nothing", timeout=0.5)
    except StoreUnavailable:
        return False
    return True
