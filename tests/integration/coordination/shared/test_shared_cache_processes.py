"""Caches over outages, processes and deaths."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from shared_node import Node, Programs
from store_helpers import settings_of

from discordha.errors import StoreUnavailable
from discordha.testing import LocalEtcd, wait_for


def test_a_local_layer_asks_etcd_while_its_watch_is_lost(nodes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = nodes("a"), nodes("b")
    local = b.cache("c", local=True)
    a.cache("c").set("k", 0)
    wait_for(lambda: local.get("k") == 0 and b.shared.caches._layers["c"].fresh, 10, "the layer to be fresh")
    layer = b.shared.caches._layers["c"]
    watch = layer._watch
    opens = watch._store.open_watch

    def refuse(*_: Any) -> Any:
        raise StoreUnavailable("the watch can't be opened")

    for number in range(1, 4):
        losses = watch.losses
        monkeypatch.setattr(watch._store, "open_watch", refuse)
        with watch._state:
            stream = watch._stream
        assert stream is not None
        stream.cancel()
        wait_for(
            lambda losses=losses: watch.losses > losses and not layer.fresh, 15, "the loss to be noticed"
        )
        for step in range(10):
            a.cache("c").set("k", number * 100 + step)
            assert local.get("k") == number * 100 + step  # of etcd
        a.cache("c").delete("gone")
        monkeypatch.setattr(watch._store, "open_watch", opens)
        wait_for(lambda: (local.get("k"), layer.fresh)[1], 10, "the layer to be fresh again")
        hits = layer.hits
        assert local.get("k") == number * 100 + 9
        assert layer.hits == hits + 1


def test_two_replicas_count_one_counter(local_etcd: LocalEtcd, root: str) -> None:
    with Programs(settings_of(local_etcd), root) as program:
        both = [
            program(name, "count", options={"cache": "c", "key": "n", "threads": 16, "each": 625})
            for name in "ab"
        ]
        for each in both:
            wait_for(lambda each=each: each.said("ready"), 30, "it to be ready")
        for each in both:
            each.begin()
        for each in both:
            each.wait(90)
        numbers = [number for each in both for number in each.said("numbers")[0]]
        assert sorted(numbers) == list(range(1, 20_001))
        assert [each.said("unknown")[0] for each in both] == [0, 0]
        for each in both:
            said = each.answers[-1]
            rate = 10_000 / said["seconds"]
            print(f"{each.name}: {rate:.0f}/s, {said['transactions']} txns, {said['conflicts']} conflicts")
    with Node(settings_of(local_etcd), root, "c") as node:
        assert node.cache_read("c", "n") == 20_000


def test_fifty_callers_on_three_processes_compute_once(local_etcd: LocalEtcd, root: str) -> None:
    with Programs(settings_of(local_etcd), root) as program:
        sizes = {"a": 17, "b": 17, "c": 16}
        all_three = [
            program(name, "compute", options={"cache": "c", "key": "k", "callers": size, "seconds": 0.3})
            for name, size in sizes.items()
        ]
        for each in all_three:
            wait_for(lambda each=each: each.said("ready"), 30, "it to be ready")
        for each in all_three:
            each.begin()
        for each in all_three:
            each.wait(30)
        computed = [name for each in all_three for name in each.said("computing")]
        values = [value for each in all_three for value in each.said("values")[0]]
        assert len(computed) == 1
        assert values == [{"by": computed[0]}] * 50


def test_when_the_computing_replica_dies_another_computes(local_etcd: LocalEtcd, root: str) -> None:
    options = {"cache": "c", "key": "k", "callers": 3}
    with Programs(settings_of(local_etcd), root) as program:
        a = program("a", "compute", ttl=2.0, options={**options, "seconds": 60.0})
        b = program("b", "compute", ttl=10.0, options={**options, "seconds": 0.1})
        wait_for(lambda: a.said("ready") and b.said("ready"), 30, "both to be ready")
        a.begin()
        wait_for(lambda: a.said("computing"), 10, "a to compute")
        b.begin()
        threading.Event().wait(0.3)
        assert not b.said("computing")
        a.kill()
        b.wait(20)
        assert b.said("computing") == ["b"]
        assert b.said("values") == [[{"by": "b"}] * 3]


def test_after_the_end_calls_say_so(local_etcd: LocalEtcd, root: str) -> None:
    node = Node(settings_of(local_etcd), root, "a")
    with node:
        cache = node.cache("c", ttl=5.0, local=True)
        cache.set("k", 1)
        assert cache.get("k") == 1
    for call in (lambda: cache.get("k"), lambda: cache.set("k", 2), lambda: cache.increment("k")):
        with pytest.raises(StoreUnavailable):
            call()
