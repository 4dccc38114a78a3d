"""Runs many seeds on all cores, and keeps what came of each, so that a campaign can go on after an end.

Each worker is a fork of this process, which has imported the library once. A worker that hangs or crashes
fails its seed, and is replaced; all are replaced after some seeds, so that nothing accumulates.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

__all__ = ["Campaign"]

#: A worker is replaced after so many seeds.
SEEDS_OF_WORKER = 50
#: How often a campaign looks whether it is still held, seconds.
HELD_CHECK = 2.0
#: How often an idle worker looks whether the campaign still runs, seconds.
PARENT_CHECK = 5.0

Line = dict[str, Any]


class _Worker:
    """One child: it gets seeds, and answers with lines."""

    def __init__(self, run: Callable[[int], Line], limit: int) -> None:
        context: Any = multiprocessing.get_context("fork")
        self.connection, theirs = context.Pipe()
        self.seed: int | None = None
        self.left = SEEDS_OF_WORKER
        self.process = context.Process(target=_serve, args=(theirs, run, limit, os.getpid()), daemon=True)
        self.process.start()
        theirs.close()

    def begin(self, seed: int) -> None:
        """Has it run a seed."""
        self.seed = seed
        self.left -= 1
        self.connection.send(seed)

    def answer(self) -> Line:
        """What came of the seed."""
        seed, self.seed = self.seed, None
        assert seed is not None
        try:
            line: Line = self.connection.recv()
            return line
        except EOFError:
            self.process.join()
            self.left = 0
            how = self.process.exitcode
            text = "hung" if how == -signal.SIGVTALRM else f"ended by {how}"
            return {"seed": seed, "violations": [[0.0, "the simulation failed", text]], "report": text}

    def end(self) -> None:
        """Ends it."""
        if self.process.is_alive() and self.seed is None:
            self.connection.send(None)
        else:
            self.process.terminate()
        self.process.join()
        self.connection.close()


def _serve(connection: Connection, run: Callable[[int], Line], limit: int, parent: int) -> None:
    while True:
        while not connection.poll(PARENT_CHECK):
            if os.getppid() != parent:
                return
        seed = connection.recv()
        if seed is None:
            return
        signal.setitimer(signal.ITIMER_VIRTUAL, limit)  # nobody handles its signal: the process ends
        connection.send(run(seed))


class Campaign:
    """See the module.

    :param run: runs a seed, in a worker; its line goes through JSON.
    :param record: the file that keeps the lines; seeds that it has are not run again.
    :param held: while this file exists, no seed begins.
    :param limit: the most seconds of CPU that a seed may take.
    """

    def __init__(
        self,
        run: Callable[[int], Line],
        *,
        workers: int | None = None,
        record: Path | None = None,
        held: Path | None = None,
        limit: int = 600,
    ) -> None:
        self._run = run
        self._workers = workers or os.cpu_count() or 1
        self._record = record
        self._held = held
        self._limit = limit

    def known(self) -> list[Line]:
        """The lines of an earlier campaign with this record."""
        if self._record is None or not self._record.exists():
            return []
        whole = [line for line in self._record.read_text().splitlines(keepends=True) if line.endswith("}\n")]
        self._record.write_text("".join(whole))  # without a line that the end cut off
        return [json.loads(line) for line in whole]

    def lines(self, seeds: Iterable[int]) -> Iterator[Line]:
        """The lines of the seeds, in the order of their ends; first those on record."""
        known = {line["seed"]: line for line in self.known()}
        wanted = list(seeds)
        yield from (known[seed] for seed in wanted if seed in known)
        left = iter([seed for seed in wanted if seed not in known])
        busy: list[_Worker] = []
        try:
            while True:
                self._wait_while_held()
                busy += self._begin(left, self._workers - len(busy))
                if not busy:
                    return
                for ready in wait([worker.connection for worker in busy]):
                    worker = next(each for each in busy if each.connection is ready)
                    line = worker.answer()
                    self._note(line)
                    yield line
                    self._wait_while_held()
                    following = next(left, None) if worker.left else None
                    if following is not None:
                        worker.begin(following)
                    else:
                        busy.remove(worker)
                        worker.end()
        finally:
            for worker in busy:
                worker.end()

    def _begin(self, left: Iterator[int], most: int) -> list[_Worker]:
        begun = []
        for _ in range(most):
            seed = next(left, None)
            if seed is None:
                break
            begun.append(_Worker(self._run, self._limit))
            begun[-1].begin(seed)
        return begun

    def _note(self, line: Line) -> None:
        if self._record is not None:
            with self._record.open("a") as file:
                file.write(json.dumps(line) + "\n")

    def _wait_while_held(self) -> None:
        while self._held is not None and self._held.exists():
            time.sleep(HELD_CHECK)
