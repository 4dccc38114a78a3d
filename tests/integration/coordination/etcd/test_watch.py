"""The watch on a real etcd: nothing missed, nothing twice, whatever happens to the stream."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from store_helpers import Recorder, running, settings_of, store_of

from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.store import Delete, KeyValue, Put, Snapshot, Txn, WatchEvent
from discordha.coordination.etcd.watch import EtcdWatch
from discordha.errors import StoreUnavailable
from discordha.testing import FaultProxy, LocalEtcd, wait_for
from discordha.testing.etcd.local_etcd import find_etcd
from discordha.testing.ports import ReservedPort


@pytest.fixture
def store(local_etcd: LocalEtcd) -> Iterator[EtcdStore]:
    with store_of(local_etcd) as opened:
        yield opened


@pytest.fixture
def single() -> Iterator[LocalEtcd]:
    """An etcd to break."""
    with LocalEtcd() as etcd:
        yield etcd


class Writers:
    """Threads that put, delete and run transactions below a prefix until told to stop, through every
    outage."""

    def __init__(self, store: EtcdStore, root: str, count: int = 4) -> None:
        self._store = store
        self._root = root
        self._stop = threading.Event()
        self.written = 0
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(count)]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        count = 0
        while not self._stop.is_set():
            count += 1
            key = f"{self._root}{number}/{count % 20}"
            try:
                if count % 3:
                    puts = [Txn((), (Put(f"{key}/{n}", str(count).encode()),)) for n in range(5)]
                    self._store.txn((), puts, timeout=1.0)
                else:
                    self._store.txn((), [Delete(f"{key}/{n}") for n in range(5)], timeout=1.0)
                self.written += 1
            except StoreUnavailable:
                self._stop.wait(0.02)


def assert_complete(store: EtcdStore, watch: EtcdWatch, recorder: Recorder, root: str) -> None:
    """Catches up, then compares what was told with what is there."""
    assert watch.sync(10)
    truth = {kv.key: kv.value for kv in store.range(root).items if kv.key != f"{root}~sync"}
    assert recorder.state == truth
    assert recorder.faults == []


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


def test_a_quiet_watch_resumes_each_part_where_it_was(single: LocalEtcd) -> None:
    """Deletes are told once over a loss of the stream, also where nothing else has changed for long."""
    recorder, root = Recorder(), "/quiet/"
    with (
        FaultProxy.to(single.endpoints[0]) as proxy,
        store_of(single) as direct,
        store_of(single, endpoints=[proxy.endpoint]) as store,
    ):
        for number in range(20):
            direct.put(f"{root}e/{number}", b"r")
        with running(store.watch(root, recorder, silence=5.0, heartbeats=True, quiet=f"{root}e/")) as watch:
            for number in range(20):
                direct.delete(f"{root}e/{number}")
                if number % 5 == 2:
                    proxy.cut()
                direct.put(f"{root}m/{number}", b"")
            assert watch.sync(20)
            deleted = lambda: [  # noqa: E731
                event.kv.key for _, batch in recorder.batches for event in batch if event.kind == "delete"
            ]
            wait_for(lambda: len(deleted()) >= 20, 20, "all deletes")
            assert sorted(deleted()) == sorted(f"{root}e/{number}" for number in range(20))
            assert watch.losses >= 1
            assert watch.snapshots == 1


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


@pytest.mark.parametrize("graceful", [True, False])
def test_etcd_restarts_under_load(graceful: bool) -> None:
    root = "/discordha/w/"
    recorder = Recorder()
    # Without fsync a killed etcd may come back with an older revision, and the watch rightly begins anew. So
    # may a single member before 3.5.5, which tells of a write before it is on the disk (etcd's issue 14370).
    with (
        LocalEtcd(members=1 if graceful else 3, unsafe_no_fsync=False) as single,
        store_of(single) as store,
        running(store.watch(root, recorder, silence=5.0)) as watch,
    ):
        with Writers(store, root) as writers:
            for _ in range(3):
                goal = writers.written + 30
                wait_for(lambda goal=goal: writers.written > goal, 20, "transactions")
                single.restart_all(graceful=graceful)
                revision = wait_for(lambda: put(store, f"{root}again"), 20, "a write")
                assert watch.wait_revision(revision, 20)
        assert_complete(store, watch, recorder, root)
        assert watch.losses == recorder.lost >= 3
        assert watch.snapshots == 1, "resumed, not begun again"


def test_the_connection_is_cut_again_and_again_under_load(local_etcd: LocalEtcd, root: str) -> None:
    recorder = Recorder()
    with (
        FaultProxy.to(local_etcd.endpoints[0]) as proxy,
        store_of(local_etcd) as store,
        store_of(local_etcd, endpoints=[proxy.endpoint]) as watcher,
        running(watcher.watch(root, recorder, silence=5.0)) as watch,
    ):
        with Writers(store, root) as writers:
            for _ in range(10):
                goal = writers.written + 10
                wait_for(lambda goal=goal: writers.written > goal, 20, "transactions")
                lost = recorder.lost
                proxy.cut()
                wait_for(lambda lost=lost: recorder.lost > lost, 10, "the loss to be noticed")
                assert watch.wait_revision(store.put(f"{root}again", b""), 10)
        revision = store.put(f"{root}last", b"")
        assert watch.wait_revision(revision, 10)
        truth = {kv.key: kv.value for kv in store.range(root).items}
        assert recorder.state == truth
        assert recorder.faults == []
        assert watch.snapshots == 1


def test_compaction_while_the_stream_is_down_leads_to_a_new_snapshot(single: LocalEtcd) -> None:
    root = "/discordha/w/"
    recorder = Recorder()
    with FaultProxy.to(single.endpoints[0]) as proxy, store_of(single) as store:
        store.put(f"{root}goes", b"1")
        with (
            store_of(single, endpoints=[proxy.endpoint]) as watcher,
            running(watcher.watch(root, recorder, silence=5.0)) as watch,
        ):
            proxy.down()
            wait_for(lambda: recorder.lost == 1, 10, "the loss to be noticed")
            store.delete(f"{root}goes")
            for number in range(10):
                store.put(f"{root}{number}", b"new")
            single.compact()
            proxy.heal()
            wait_for(lambda: watch.snapshots == 2, 10, "a second snapshot")
            assert recorder.calls[:3] == ["snapshot", "lost", "snapshot"]
            assert_complete(store, watch, recorder, root)
            assert watch.losses == recorder.lost == 1


class Meddler:
    """A store for one watch, with something happening just before a stream is opened."""

    def __init__(self, store: EtcdStore, before_open: Callable[[int], None]) -> None:
        self._store = store
        self._before_open = before_open
        self.opened = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def open_watch(self, prefix: str, start_revision: int, pulse: Callable[[], bool] | None = None) -> Any:
        self.opened += 1
        self._before_open(self.opened)
        return self._store.open_watch(prefix, start_revision, pulse)


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


def test_etcd_that_has_lost_its_data_leads_to_a_new_snapshot(single: LocalEtcd) -> None:
    import shutil

    root = "/discordha/w/"
    recorder = Recorder()
    with store_of(single) as store, running(store.watch(root, recorder, silence=5.0)) as watch:
        for number in range(20):
            store.put(f"{root}{number}", b"old")
        assert watch.sync(5)
        single.member(0).kill()
        shutil.rmtree(single.member(0).directory)
        single.member(0).restart()
        wait_for(lambda: watch.snapshots == 2, 10, "a second snapshot")
        wait_for(lambda: watch.alive, 10, "the stream")
        store.put(f"{root}new", b"1")
        assert_complete(store, watch, recorder, root)
        assert set(recorder.state) == {f"{root}new"}


def test_the_connected_member_of_three_is_paused(local_etcd_cluster: LocalEtcd) -> None:
    """The stream dies without any sign; it must be noticed, and resumed on another member."""
    etcd, root = local_etcd_cluster, "/discordha/w/"
    recorder = Recorder()
    with store_of(etcd) as store, running(store.watch(root, recorder, silence=1.0)) as watch:
        store.put(f"{root}0", b"1")
        assert watch.sync(5)
        paused = watch.endpoint
        assert paused is not None
        member = etcd.member(etcd.endpoints.index(paused))
        member.pause()
        paused_at = time.monotonic()
        wait_for(lambda: recorder.lost == 1, 5, "the silence to be noticed")
        wait_for(lambda: watch.alive, 15, "the stream on another member")
        recovered = time.monotonic() - paused_at
        assert watch.endpoint not in (None, paused)
        with store_of(etcd, endpoints=[other for other in etcd.endpoints if other != paused]) as writer:
            revision = wait_for(lambda: put(writer, f"{root}1"), 15, "a write to go through")
        assert watch.wait_revision(revision, 5)
        assert watch.snapshots == 1
        assert recovered < 6.0
        member.resume()


def put(store: EtcdStore, key: str) -> int:
    try:
        return store.put(key, b"1", timeout=1.0)
    except StoreUnavailable:
        return 0


def test_a_black_hole_is_noticed_and_left(local_etcd: LocalEtcd, root: str) -> None:
    recorder = Recorder()
    with (
        FaultProxy.to(local_etcd.endpoints[0]) as proxy,
        store_of(local_etcd) as store,
        store_of(local_etcd, endpoints=[proxy.endpoint], timeout=0.5) as watcher,
        running(watcher.watch(root, recorder, silence=0.5)),
    ):
        proxy.black_hole("to_client")
        store.put(f"{root}unseen", b"1")
        wait_for(lambda: recorder.lost == 1, 5, "the silence to be noticed")
        assert recorder.batches == []
        proxy.heal()
        wait_for(lambda: f"{root}unseen" in recorder.state, 10, "the change that was missed")
        assert recorder.faults == []


def test_a_quiet_prefix_is_no_silence(store: EtcdStore, root: str) -> None:
    recorder = Recorder()
    with running(store.watch(root, recorder, silence=1.5)) as watch:
        wait_for(lambda: watch.alive, 15, "the stream")
        threading.Event().wait(4.0)
        assert watch.alive
        assert recorder.lost == 0


def test_where_heartbeats_are_promised_only_changes_are_signs_of_life(store: EtcdStore, root: str) -> None:
    recorder = Recorder()
    with running(store.watch(root, recorder, silence=2.0, heartbeats=True)) as watch:
        over = time.monotonic() + 3.0  # without any sign of life it would have been given up by then
        while time.monotonic() < over:
            store.put(f"{root}beat", b"1")
            threading.Event().wait(0.1)
        assert recorder.lost == 0
        wait_for(lambda: recorder.lost >= 1, 10, "the missing heartbeat to be noticed")
        revision = store.put(f"{root}beat", b"2")
        assert watch.wait_revision(revision, 15)
        assert watch.snapshots == 1
        assert recorder.faults == []


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


def test_a_listener_that_fails_or_stops_the_watch(store: EtcdStore, root: str) -> None:
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
        wait_for(lambda: watch.listener_errors == 1, 5, "the fault")
        store.put(f"{root}2", b"1")
        threads = threading.enumerate
        wait_for(lambda: "stopped-by-its-listener" not in {t.name for t in threads()}, 5, "the thread's end")
        assert set(recorder.state) == {f"{root}1", f"{root}2"}


def test_a_token_that_etcd_forgot_does_not_keep_a_watch_down() -> None:
    root = "/discordha/w/"
    recorder = Recorder()
    with (
        LocalEtcd(auth=True) as etcd,
        store_of(etcd) as store,
        running(store.watch(root, recorder, silence=5.0)) as watch,
    ):
        store.put(f"{root}1", b"1")
        settings = settings_of(etcd)
        etcd.api.call(
            etcd.url(), "auth/user/changepw", {"name": settings.user, "password": settings.password}
        )
        etcd.member(0).restart()
        revision = wait_for(lambda: put(store, f"{root}2"), 10, "a write")
        assert watch.wait_revision(revision, 10)
        assert recorder.faults == []
        assert watch.snapshots == 1


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
