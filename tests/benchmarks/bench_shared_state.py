"""Shared state in numbers: cache reads and writes, increments, lock hand-over. On an etcd of its own.

``measure()`` returns them; ``python tests/benchmarks/bench_shared_state.py`` prints them as JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from shared_node import Node, Programs
from store_helpers import settings_of

from discordha.testing import LocalEtcd, wait_for

__all__ = ["measure"]


def rate(call: Callable[[], Any], threads: int, seconds: float) -> float:
    """Calls a second, from so many threads."""
    counts = [0] * threads
    over = threading.Event()

    def work(index: int) -> None:
        while not over.is_set():
            call()
            counts[index] += 1

    workers = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
    begun = time.monotonic()
    for worker in workers:
        worker.start()
    over.wait(seconds)
    over.set()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.monotonic() - begun)


def hand_over(a: Node, b: Node, times: int) -> list[float]:
    """Seconds from the end of one holder's ``with`` to the other's beginning, on two replicas in turn."""
    gaps: list[float] = []
    released = [0.0]

    def work(node: Node) -> None:
        for _ in range(times):
            with node.lock("bench"):
                got = time.monotonic()
                if released[0]:
                    gaps.append(got - released[0])
                # The other one stands in line by now, so that the lock is handed over and not found free.
                wait_for(
                    lambda: len(node.shared.locks._queues.get(f"{node.root}k/bench/", ())) > 1 or over, 5.0
                )
                released[0] = time.monotonic()
        over.append(True)

    over: list[bool] = []
    workers = [threading.Thread(target=work, args=(node,)) for node in (a, b)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sorted(gaps)


def count_in_processes(etcd: LocalEtcd, root: str, processes: int, each: int) -> float:
    """Increments a second of one counter, by 16 threads in each process."""
    with Programs(settings_of(etcd), root) as program:
        options = {"cache": "bench", "key": "shared", "threads": 16, "each": each // 16}
        programs = [program(f"p{number}", "count", options=options) for number in range(processes)]
        for started in programs:
            wait_for(lambda started=started: started.said("ready"), 60, "it to be ready")
        begun = time.monotonic()
        for started in programs:
            started.begin()
        wait_for(lambda: all(started.said("seconds") for started in programs), 300, "the end", interval=0.001)
        took = time.monotonic() - begun
        for started in programs:
            started.wait()
        return processes * (each // 16) * 16 / took


def measure(seconds: float = 2.0) -> dict[str, float]:
    """All numbers: calls a second, and milliseconds where the name says so. Blocks for about ten times
    ``seconds``."""
    found: dict[str, float] = {}
    root = f"/discordha/v1/{LocalEtcd.namespace('bench')}/"
    with ExitStack() as ends:
        etcd = ends.enter_context(LocalEtcd())
        a, b = (ends.enter_context(Node(settings_of(etcd), root, name, ttl=5.0)) for name in "ab")
        cache, local = a.cache("bench"), a.cache("bench", local=True)
        cache.set("k", {"user": 2**60, "words": ["a", "b"]})
        local.get("k")
        layer = a.shared.caches._layers["bench"]
        wait_for(lambda: (local.get("k"), layer.fresh)[1], 10, "the local layer")
        for threads in (1, 16):
            found[f"cache reads/s, remote, {threads} threads"] = rate(
                lambda: cache.get("k"), threads, seconds
            )
            found[f"cache reads/s, local, {threads} threads"] = rate(lambda: local.get("k"), threads, seconds)
            found[f"cache writes/s, {threads} threads"] = rate(
                lambda: cache.set(threading.get_ident(), 1), threads, seconds
            )
            found[f"increments/s, one counter, {threads} threads"] = rate(
                lambda: cache.increment("n"), threads, seconds
            )
        gaps = hand_over(a, b, max(int(seconds * 50), 10))
        found["lock hand-over ms, median"] = statistics.median(gaps) * 1000
        found["lock hand-over ms, p99"] = gaps[int(len(gaps) * 0.99)] * 1000
        found["increments/s, one counter, 2 processes of 16 threads"] = count_in_processes(
            etcd, root, 2, int(seconds * 8_000)
        )
    return found


if __name__ == "__main__":
    print(json.dumps({name: round(value, 2) for name, value in measure().items()}, indent=2))
