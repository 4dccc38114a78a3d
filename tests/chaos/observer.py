"""What the harness sees while a chaos run goes on: what is open, who leads, how noisy the machine is.

Concurrency: ``Observer`` belongs to one thread; ``Noise`` has a thread of its own, ``discordha-test-noise``,
joined by ``close``. ``_lock`` guards its samples.
"""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from discordha.testing import LocalDiscord, Replicas
from discordha.testing.discord.records import Load

__all__ = ["BEST_EFFORT", "LogLine", "Noise", "Observer", "log_lines"]

#: Answered at the most once: 3 seconds are Discord's limit, and a dead replica's claim lives longer.
BEST_EFFORT = frozenset({"slash", "button"})
#: How long an event may take in quiet times, seconds.
MOMENT = 0.5
_LINE = re.compile(r"^(\d+\.\d+) (r(\d+)-\d+) (\w+) ([\w.]+): (.*)$", re.MULTILINE)


class LogLine(NamedTuple):
    """A line of a bot's log."""

    at: float
    process: str
    replica: int
    text: str


def log_lines(fleet: Replicas, wanted: str) -> list[LogLine]:
    """The lines of all replicas whose text fits a pattern, by time."""
    pattern = re.compile(wanted)
    found = [
        LogLine(float(line[1]), line[2], int(line[3]), line[6])
        for replica in fleet
        for line in _LINE.finditer(replica.log_text())
        if pattern.match(line[6])
    ]
    return sorted(found)


class Observer:
    """Follows what users did and what the bot said."""

    def __init__(self, discord: LocalDiscord, loads: Mapping[str, Load]) -> None:
        self._discord = discord
        self._loads = loads
        self._messages = 0
        self._read: dict[str, int] = defaultdict(int)
        self._open: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._given_up: set[tuple[str, str]] = set()

    def poll(self) -> None:
        """Reads what is new."""
        # Messages first: what they answer was sent before, and is then seen, too.
        messages = self._discord.messages(self._messages)
        for kind, load in self._loads.items():
            sent = load.sent()
            for action in sent[self._read[kind] :]:
                self._open[kind, action.key].append(action.at)
            self._read[kind] = len(sent)
        for message in messages:
            kind, _, key = message.content.partition("\n")[0].partition(" ")
            waiting = self._open.get((kind, key), [])
            # The last one before it, as the verdict has it: one that was lost stays the oldest (``forget``).
            asked = next((at for at in reversed(waiting) if at <= message.at), None)
            if asked is not None:
                waiting.remove(asked)
                if not waiting:
                    del self._open[kind, key]
        if messages:
            self._messages = messages[-1].number + 1

    def open(self, before: float) -> int:
        """How many of the events that were sent before a moment have no answer yet."""
        self.poll()
        return sum(
            sum(at < before for at in waiting)
            for (kind, key), waiting in self._open.items()
            if kind not in BEST_EFFORT and (kind, key) not in self._given_up
        )

    def forget(self, kinds: Collection[str], since: float, until: float) -> None:
        """Expects no answer to some kinds of events from a time."""
        self.poll()
        for name, waiting in list(self._open.items()):
            if name[0] in kinds:
                left = [at for at in waiting if not since <= at <= until]
                if left:
                    self._open[name] = left
                else:
                    del self._open[name]

    def wait_calm(self, patience: float) -> None:
        """Blocks until all events but those of the last moment are answered; ``patience`` seconds at most."""
        stop = threading.Event()
        deadline = time.monotonic() + patience
        while self.open(time.monotonic() - MOMENT) and time.monotonic() < deadline:
            stop.wait(0.02)

    def wait_answered(self, before: float, patience: float) -> bool:
        """Blocks until all events from before a moment are answered; false, and never asked for again, when
        ``patience`` seconds pass and no more are.
        """
        stop = threading.Event()
        least, changed = self.open(before), time.monotonic()
        while least and time.monotonic() - changed < patience:
            stop.wait(0.1)
            now = self.open(before)
            if now < least:
                least, changed = now, time.monotonic()
        if least:
            self._given_up.update(name for name, waiting in self._open.items() if waiting[0] < before)
        return not least


class Noise:
    """How late this machine wakes a thread up that waits: the part of every latency that is not the bot's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: list[tuple[float, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="discordha-test-noise", daemon=True)

    def __enter__(self) -> Noise:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            due = time.monotonic() + 0.02
            if self._stop.wait(0.02):
                return
            late = time.monotonic() - due
            if late > 0.01:
                with self._lock:
                    self._samples.append((due, late))

    def samples(self) -> list[tuple[float, float]]:
        """When, and by how much, beyond 10 ms."""
        with self._lock:
            return list(self._samples)


def worst(samples: Iterable[tuple[float, float]], start: float, end: float) -> float:
    """The latest of a time."""
    return max((late for at, late in samples if start <= at <= end), default=0.0)
