"""Which worker gets which file with ``--quiet-worker``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from quiet_worker import QuietScheduling

FILES = [f"tests/integration/test_{n}.py" for n in "abc"] + [f"tests/unit/test_{n}.py" for n in "xyz"]
#: Enough for a worker to be given the next file only when it has ended most of one.
TESTS = [f"{file}::test_{number}" for file in FILES for number in range(5)]


class Worker:
    """A worker as the scheduler sees it."""

    def __init__(self, number: int) -> None:
        self.gateway = SimpleNamespace(id=f"gw{number}")
        self.shutting_down = False
        self.given: list[int] = []
        self.done = 0

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += indices

    def shutdown(self) -> None:
        self.shutting_down = True

    def files(self) -> list[str]:
        return list(dict.fromkeys(TESTS[index].split("::")[0] for index in self.given))


def scheduled(workers: list[Worker], tests: list[str]) -> Any:
    config = SimpleNamespace(
        getvalue=lambda name: ["popen"] * len(workers), option=SimpleNamespace(loadscopereorder=False)
    )
    scheduler: Any = QuietScheduling(config)  # type: ignore[arg-type]
    for worker in workers:
        scheduler.add_node(worker)
    for worker in workers:
        scheduler.add_node_collection(worker, tests)
    scheduler.schedule()
    return scheduler


def work(scheduler: Any, worker: Worker) -> None:
    """Ends everything that a worker is given, and is given meanwhile."""
    while worker.done < len(worker.given):
        worker.done += 1
        scheduler.mark_test_complete(worker, worker.given[worker.done - 1])


def test_the_last_worker_takes_quiet_files_alone() -> None:
    workers = [Worker(number) for number in range(3)]
    scheduler = scheduled(workers, TESTS)
    assert [worker.files() for worker in workers] == [FILES[:1], FILES[1:2], FILES[3:4]]
    work(scheduler, workers[2])
    assert workers[2].files() == FILES[3:]
    assert workers[2].shutting_down
    assert not workers[0].shutting_down
    work(scheduler, workers[0])
    work(scheduler, workers[1])
    assert sorted(index for worker in workers for index in worker.given) == list(range(len(TESTS)))
    assert scheduler.tests_finished


def test_the_others_help_with_quiet_files_when_nothing_else_is_left() -> None:
    workers = [Worker(number) for number in range(3)]
    scheduler = scheduled(workers, TESTS)
    work(scheduler, workers[0])
    assert workers[0].files() == [FILES[0], FILES[2], *FILES[4:]]
    work(scheduler, workers[2])
    work(scheduler, workers[1])
    assert workers[2].files() == FILES[3:4]
    assert scheduler.tests_finished
