"""A watch whose stream ends, or falls silent, on a real etcd: nothing missed, nothing twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from store_helpers import Recorder, running, settings_of, store_of
from watch_writers import Writers, assert_complete, put

from discordha.coordination.etcd.client import EtcdStore
from discordha.testing import FaultProxy, LocalEtcd, wait_for


@pytest.fixture
def store(local_etcd: LocalEtcd) -> Iterator[EtcdStore]:
    with store_of(local_etcd) as opened:
        yield opened


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
