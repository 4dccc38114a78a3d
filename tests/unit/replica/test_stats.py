"""Counters that each thread keeps for itself."""

from __future__ import annotations

import threading
from bisect import bisect_left

import pytest

from discordha.stats import BUCKETS, FOLD, Stats


def test_counts_of_many_threads_add_up_also_after_their_end() -> None:
    stats = Stats()

    def work() -> None:
        for _ in range(1000):
            stats.add("handled", "message")
            stats.observe("claim", 0.002)

    for _ in range(3):
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        stats.counters()  # a reader in between takes nothing away
        for thread in threads:
            thread.join()
    stats.add("handled", "reaction", 5)
    assert stats.count("handled") == 24_005
    assert stats.count("handled", "message") == 24_000
    assert stats.counters() == {("handled", "message"): 24_000, ("handled", "reaction"): 5}
    claim = stats.histograms()["claim"]
    assert sum(claim.counts) == claim.counts[1] == 24_000
    assert abs(claim.total - 48) < 1e-6


def test_ended_threads_leave_no_cells() -> None:
    stats = Stats()
    for _ in range(50):
        thread = threading.Thread(target=stats.add, args=("handled",))
        thread.start()
        thread.join()
    assert stats.count("handled") == 50
    assert len(stats._cells) <= 1


def test_what_is_noted_at_once_is_what_is_noted_one_by_one() -> None:
    at_once, one_by_one = Stats(), Stats()
    for name, seconds in (("wait", 0.0005), ("claim", 0.002), ("claim", 40.0)):
        at_once.note((("handled", "message"), ("claimed", "message")), (name, "event"), (seconds, 7.0))
        one_by_one.add("handled", "message")
        one_by_one.add("claimed", "message")
        one_by_one.observe(name, seconds)
        one_by_one.observe("event", 7.0)
    assert at_once.counters() == one_by_one.counters() != {}
    assert at_once.histograms() == one_by_one.histograms() != {}


def test_each_latency_is_in_its_bucket_once_and_at_once() -> None:
    stats, expected = Stats(), [0] * (len(BUCKETS) + 1)
    values = [0.0, 1e9, *BUCKETS, *(bound * 1.001 for bound in BUCKETS)] * 5
    for count, seconds in enumerate(values, 1):
        stats.observe("claim", seconds)
        expected[bisect_left(BUCKETS, seconds)] += 1
        found = stats.histograms()["claim"]
        assert found.counts == tuple(expected)
        assert found.total == pytest.approx(sum(values[:count]))
    assert count > 2 * FOLD


def test_a_reader_never_sees_less_than_before() -> None:
    stats, stop = Stats(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            stats.note((("handled", "message"),), ("claim", "event"), (0.002, 0.003))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    seen = {"claim": 0, "event": 0}
    for _ in range(200):
        for name, histogram in stats.histograms().items():
            assert sum(histogram.counts) >= seen[name]
            seen[name] = sum(histogram.counts)
    stop.set()
    for thread in threads:
        thread.join()
    assert {sum(each.counts) for each in stats.histograms().values()} == {stats.count("handled")}


def test_new_stats_are_empty() -> None:
    stats = Stats()
    assert stats.count("handled") == 0
    assert stats.counters() == {}
    assert stats.histograms() == {}
