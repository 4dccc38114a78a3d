"""Lanes: order within a key, no thread wasted on a slow key, bounded threads."""

from __future__ import annotations

import random
import threading

import pytest
from lane_jobs import Job

from discordha.dispatch.lanes import Lane, Lanes


def _collect(lanes_kwargs: dict[str, int], jobs: list[Job], wait: float = 10.0) -> dict[str, list[int]]:
    seen: dict[str, list[int]] = {}
    lock = threading.Lock()
    all_done = threading.Event()
    left = [len(jobs)]
    working: set[str] = set()

    def work(lane: Lane) -> None:
        with lock:
            assert lane.key not in working, "two threads in one lane"
            working.add(lane.key)
        taken = lanes.take(lane, random.randint(1, 3))
        with lock:
            seen.setdefault(lane.key, []).extend(job.sequence for job in taken)
            working.discard(lane.key)
            left[0] -= len(taken)
            if not left[0]:
                all_done.set()

    lanes = Lanes(**lanes_kwargs)
    lanes.start(work)
    for job in jobs:
        lanes.put(job)
    assert all_done.wait(wait)
    assert lanes.stop(5)
    assert lanes.sizes() == (0, 0, 0)
    return seen


def test_each_lane_runs_in_order_and_alone() -> None:
    jobs = [Job(n, f"k{n % 7}") for n in range(2000)]
    seen = _collect({"workers": 8, "max_workers": 8}, jobs)
    assert sum(len(v) for v in seen.values()) == 2000
    for key, numbers in seen.items():
        assert numbers == sorted(numbers), key


def test_a_late_item_is_put_where_its_sequence_says() -> None:
    gate = threading.Event()
    order: list[int] = []
    done = threading.Event()

    def work(lane: Lane) -> None:
        for job in lanes.take(lane, 1):
            gate.wait(5)
            order.append(job.sequence)
            if len(order) == 4:
                done.set()

    lanes = Lanes(workers=1, max_workers=1)
    lanes.start(work)
    for n in (1, 4, 2, 3):
        lanes.put(Job(n))
    gate.set()
    assert done.wait(5)
    assert lanes.stop(5)
    assert order == [1, 2, 3, 4]


def test_slow_lanes_do_not_stop_another_and_threads_stay_bounded() -> None:
    release = threading.Event()
    fast = threading.Event()

    def work(lane: Lane) -> None:
        lanes.take(lane, 1)
        if lane.key.startswith("slow"):
            release.wait(10)
        else:
            fast.set()

    lanes = Lanes(workers=4, max_workers=6, patience=0.01)
    lanes.start(work)
    for n in range(4):
        lanes.put(Job(n, f"slow{n}"))
    lanes.put(Job(9, "fast"))
    while not fast.wait(0.02):
        lanes.tend()
    for n in range(20):
        lanes.put(Job(n, f"slow-more{n}"))
        lanes.tend()
    assert lanes.threads <= 6
    release.set()
    assert lanes.stop(5)


def test_an_emptied_lane_is_not_worked_twice_at_once() -> None:
    hold = threading.Event()
    entered = threading.Semaphore(0)
    inside = [0]
    worst = [0]
    lock = threading.Lock()

    def work(lane: Lane) -> None:
        lanes.take(lane, 1)
        if lane.key == "busy":
            hold.wait(5)
            return
        with lock:
            inside[0] += 1
            worst[0] = max(worst[0], inside[0])
        entered.release()
        threading.Event().wait(0.02)
        with lock:
            inside[0] -= 1

    lanes = Lanes(workers=1, max_workers=3, patience=0.0)
    lanes.start(work)
    lanes.put(Job(0, "busy"))
    first = Job(1)
    lanes.put(first)
    assert lanes.remove(first)
    lanes.put(Job(2))
    lanes.put(Job(3))
    lanes.tend()
    lanes.tend()
    hold.set()
    assert entered.acquire(timeout=5)
    assert entered.acquire(timeout=5)
    assert worst[0] == 1
    assert lanes.stop(5)


def test_behind_names_what_waits_for_a_slow_item() -> None:
    release = threading.Event()
    started = threading.Event()

    def work(lane: Lane) -> None:
        lanes.take(lane, 1)
        started.set()
        release.wait(5)

    lanes = Lanes(workers=1, max_workers=1)
    lanes.start(work)
    lanes.put(Job(1))
    assert started.wait(5)
    second = Job(2)
    lanes.put(second)
    assert lanes.behind(60.0, 10) == []
    assert lanes.behind(0.0, 10) == [second]
    third, fourth = Job(3), Job(4)
    lanes.put(third)
    lanes.put(fourth)
    assert lanes.behind(0.0, 1) == [third], "each is named once, and so many as were asked for"
    assert lanes.behind(0.0, 1) == [fourth]
    assert lanes.behind(0.0, 1) == []
    release.set()
    assert lanes.stop(5)


def test_what_is_put_before_the_start_waits_for_it() -> None:
    done = threading.Semaphore(0)

    def work(lane: Lane) -> None:
        lanes.take(lane, 1)
        done.release()

    readied: list[float] = []
    lanes = Lanes(workers=2, max_workers=2)
    for number in range(5):
        lanes.put(Job(number, f"k{number}"))
    assert lanes.threads == 0
    lanes.start(work, readied.append)
    lanes.put(Job(5, "k5"))
    for _ in range(6):
        assert done.acquire(timeout=5)
    assert len(readied) == 1
    with pytest.raises(RuntimeError):
        lanes.start(work)
    assert lanes.stop(5)


def test_late_items_get_half_of_the_threads_and_others_go_first() -> None:
    gates = {name: threading.Event() for name in ("late", "live")}
    order: list[str] = []
    begun = threading.Semaphore(0)

    def work(lane: Lane) -> None:
        (job,) = lanes.take(lane, 1)
        order.append(job.event_name)
        begun.release()
        gates[job.event_name].wait(10)

    lanes = Lanes(workers=4, max_workers=4)
    lanes.start(work)
    for number in range(6):
        lanes.put(Job(number, f"late{number}", "late", is_late=True))
    for _ in range(2):
        assert begun.acquire(timeout=10)
    assert not begun.acquire(timeout=0.1), "half of the threads are left for others"
    for number in range(2):
        lanes.put(Job(number, f"live{number}", "live"))
    for _ in range(2):
        assert begun.acquire(timeout=10)
    assert order == ["late", "late", "live", "live"]
    lanes.put(Job(9, "live9", "live"))
    gates["late"].set()
    for _ in range(5):
        assert begun.acquire(timeout=10)
    assert order[4] == "live", order
    gates["live"].set()
    assert lanes.stop(5)
    assert lanes.sizes() == (0, 0, 0)


def test_a_late_lane_goes_on_as_one_that_is_not_once_its_late_items_are_done() -> None:
    seen = _collect(
        {"workers": 2, "max_workers": 2},
        [Job(n, f"k{n % 5}", is_late=n < 150) for n in range(300)],
    )
    assert all(numbers == sorted(numbers) for numbers in seen.values())
    assert sum(map(len, seen.values())) == 300


def test_lanes_in_which_others_wait_behind_late_items_go_first_among_the_late() -> None:
    gate, order, begun = threading.Event(), list[str](), threading.Semaphore(0)

    def work(lane: Lane) -> None:
        (job,) = lanes.take(lane, 1)
        order.append(job.lane)
        begun.release()
        gate.wait(10)

    lanes = Lanes(workers=2, max_workers=2)
    lanes.start(work)
    lanes.put(Job(0, "first", is_late=True))
    assert begun.acquire(timeout=10)
    for number in range(20):
        for sequence in range(3):
            lanes.put(Job(sequence, f"late{number}", is_late=True))
    lanes.put(Job(3, "late17"))
    lanes.put(Job(4, "late17"))
    gate.set()
    for _ in range(62):
        assert begun.acquire(timeout=10)
    assert order[1:4] == ["late17"] * 3, order
    assert order.index("late0") > 0
    assert lanes.stop(5)
    assert len(order) == 63
