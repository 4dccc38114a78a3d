"""The scheduler's own promises."""

from __future__ import annotations

from simulation.primitives import Event, Lock, sleep
from simulation.scheduler import Scheduler
from simulation.threads import Thread, current_thread


def test_a_thread_that_ends_does_not_wake_the_one_that_started_it() -> None:
    scheduler = Scheduler(1)
    machine = scheduler.machine("one")
    woken: list[tuple[float, str]] = []

    def starts() -> None:
        Thread(target=lambda: sleep(1.0), name="child").start()
        sleep(5.0)
        woken.append((scheduler.now, current_thread().name))

    scheduler.spawn(machine, "parent", starts)
    scheduler.run(scheduler.now + 10.0)
    scheduler.close()
    ((at, name),) = woken
    assert at >= 1005.0
    assert name == "parent"


def test_who_asks_between_two_threads_does_not_wait_for_a_lock() -> None:
    scheduler, lock, held = Scheduler(1), Lock(), Event()
    machine = scheduler.machine("one")

    def hold() -> None:
        with lock:
            held.set()
            sleep(5.0)

    other = scheduler.spawn(machine, "other", lambda: sleep(60.0))
    scheduler.spawn(machine, "holder", hold)
    scheduler.run(scheduler.now + 1.0)
    assert held._flag
    assert scheduler.ask_as(other, lock.acquire, "busy") == "busy"
    scheduler.run(scheduler.now + 10.0)
    assert scheduler.ask_as(other, lock.acquire, "busy") is True
    scheduler.close()
