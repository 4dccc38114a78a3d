"""Lanes while events come in bursts: who is called, and when what was gathered is handed over."""

from __future__ import annotations

import threading

import pytest
from lane_jobs import Job

from discordha.dispatch.lanes import GATHER, Lane, Lanes
from discordha.testing import wait_for


class Gathering:
    """Lanes on a clock that stands still, whose work waits until it is let go on."""

    def __init__(self, workers: int = 4) -> None:
        self.now = 0.0
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()
        self.workers: set[threading.Thread] = set()
        self.lanes = Lanes(workers=workers, max_workers=workers, clock=lambda: self.now)
        self.lanes.start(self._work)

    def _work(self, lane: Lane) -> None:
        self.lanes.take(lane, 1)
        self.workers.add(threading.current_thread())
        self.begun.release()
        self.gate.wait(10)

    def have_idle_threads(self, count: int) -> None:
        for number in range(count):
            self.lanes.put(Job(number, f"first{number}"))
        self.wait_begun(count)
        self.gate.set()
        wait_for(lambda: self.lanes._idle == count, 10, "idle threads")
        self.gate.clear()

    def wait_begun(self, count: int) -> None:
        assert all(self.begun.acquire(timeout=10) for _ in range(count))

    def put(self, count: int) -> None:
        for number in range(count):
            self.lanes.put(Job(number, f"k{number}"))

    def end(self) -> None:
        self.gate.set()
        assert self.lanes.stop(5)
        assert self.lanes.sizes() == (0, 0, 0)


@pytest.mark.parametrize("idle", [0, 4])
def test_what_is_gathered_waits_until_it_is_handed_over(idle: int) -> None:
    world = Gathering()
    world.have_idle_threads(idle)
    world.lanes.gather()
    world.put(4)
    assert not world.begun.acquire(timeout=0.1)
    assert world.lanes.hand_over() == GATHER
    assert world.begun.acquire(timeout=10)
    assert not world.begun.acquire(timeout=0.1)  # it works alone at first
    world.lanes.spread()
    world.wait_begun(3)  # though none of them ends: each thread calls the next
    world.lanes.put(Job(5, "k5"))
    world.gate.set()
    assert world.begun.acquire(timeout=10)
    world.end()


def test_one_that_is_about_to_wait_calls_another() -> None:
    world = Gathering()
    world.have_idle_threads(3)
    world.lanes.gather()
    world.put(3)
    world.lanes.hand_over()
    for _ in range(3):
        assert world.begun.acquire(timeout=10)
        assert not world.begun.acquire(timeout=0.05)
        world.lanes.call_another()
    world.end()


def test_a_burst_that_is_over_is_not_spread_while_the_next_one_comes() -> None:
    world = Gathering()
    world.have_idle_threads(3)
    world.lanes.gather()
    world.put(3)
    assert world.lanes.hand_over() == GATHER
    assert world.begun.acquire(timeout=10)
    world.lanes.gather()
    world.lanes.spread()
    assert not world.begun.acquire(timeout=0.1)
    assert world.lanes.hand_over() == GATHER
    assert world.begun.acquire(timeout=10)
    world.lanes.spread()
    assert world.begun.acquire(timeout=10)
    assert world.lanes.hand_over() is None
    world.end()


def test_what_comes_alone_after_a_burst_is_worked_at_once() -> None:
    world = Gathering()
    world.have_idle_threads(1)
    world.lanes.gather()
    world.lanes.hand_over()
    world.put(1)
    assert world.begun.acquire(timeout=10)
    world.end()


@pytest.mark.parametrize("idle", [0, 4])
def test_those_who_gather_for_long_hand_over_in_between(idle: int) -> None:
    world = Gathering()
    world.have_idle_threads(idle)
    world.lanes.gather()
    world.put(3)
    for number in range(3, 6):  # one thread each time, though none of them ends
        world.now += GATHER
        world.lanes.put(Job(number, f"k{number}"))
        assert world.begun.acquire(timeout=10)
        assert not world.begun.acquire(timeout=0.05)
    world.now += GATHER
    world.lanes.hand_over()
    world.now += GATHER
    world.lanes.tend()
    world.gate.set()
    world.wait_begun(3)
    world.end()


def test_one_thread_works_all_lanes_while_they_are_gathered() -> None:
    world = Gathering()
    world.have_idle_threads(4)
    world.gate.set()
    world.lanes.gather()
    for _ in range(5):
        world.workers.clear()
        world.put(20)
        world.now += GATHER
        world.lanes.put(Job(20, "k20"))
        for _ in range(21):
            assert world.begun.acquire(timeout=10)
        assert len(world.workers) == 1
    world.end()


def test_the_timer_calls_threads_for_what_was_never_handed_over() -> None:
    world = Gathering()
    world.have_idle_threads(2)
    world.lanes.gather()
    world.lanes.put(Job(0, "k0"))
    assert not world.begun.acquire(timeout=0.1)
    world.lanes.tend()
    assert world.begun.acquire(timeout=10)
    world.end()
