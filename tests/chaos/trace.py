"""Writes down what a replica's journal does, where ``CHAOS_TRACE`` names a directory: each entry that comes
and goes, each mark and what becomes of it, each run. One file a process; a line begins with the machine's
monotonic time. ``docs/chaos.md`` says how to read it.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from discordha.coordination.journal.journal import Journal
from discordha.coordination.journal.matching import MarkMatching
from discordha.coordination.journal.questions import JournalQuestions
from discordha.coordination.journal.tally import Tally
from discordha.leader.shard import LeaderShard

__all__ = ["begin"]

#: Frames of the callers that say why an entry goes.
_WHY = 4


def begin(directory: str, process: str) -> None:
    """Has this process write its file."""
    _Trace(open(Path(directory) / f"trace-{process}-{os.getpid()}.log", "a", buffering=1)).patch()  # noqa: SIM115


class _Trace:
    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lock = threading.Lock()

    def say(self, *words: object) -> None:
        with self._lock:
            self._file.write(f"{time.monotonic():.4f} {' '.join(map(str, words))}\n")

    def patch(self) -> None:
        """Puts a note around each step."""
        self._after(MarkMatching, "add", _added)
        self._after(MarkMatching, "forget", lambda tally, entry: ("forget", _entry(entry), _callers()))
        self._before(
            MarkMatching,
            "acknowledge",
            lambda tally, name, mark: ("mark", name, *mark, "known", tally._versions.get(name, 0)),
        )
        self._after(
            MarkMatching,
            "acknowledge",
            lambda tally, name, mark: ("marked", name, _doubts(tally, name), len(tally.entries.equal(name))),
        )
        self._after(Tally, "new_session", lambda tally: ("session",))
        self._after(Tally, "place", lambda tally, name, last, after: ("place", name, last, after))
        self._after(Tally, "settle", lambda tally, left: ("settle", left))
        self._before(Tally, "snapshot", lambda tally, items: ("snapshot", len(items)))
        self._after(Journal, "note_session", lambda journal, revision, number: ("greeted", revision, number))
        self._before(JournalQuestions, "reached", lambda questions, revision: ("reached", revision))
        self._before(Journal, "activate", lambda journal, leadership, since=0: ("leads", since))
        self._before(Journal, "_deactivate", lambda journal: ("leads no more",))
        self._before(
            Journal, "finished", lambda journal, entry, handled: ("finished", _entry(entry), handled)
        )
        begin = LeaderShard.begin

        @functools.wraps(begin)
        def begins(shard: LeaderShard, item: Any) -> Any:
            current = begin(shard, item)
            if current is not None:
                self.say(
                    "runs", _entry(item), "epoch", current.epoch, "gap", item.gap, "doubt", item.ambiguous
                )
            return current

        LeaderShard.begin = begins  # type: ignore[method-assign]

    def _after(self, kind: type, name: str, words: Callable[..., tuple[object, ...]]) -> None:
        method = getattr(kind, name)

        @functools.wraps(method)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            self.say(*words(*args, **kwargs))
            return result

        setattr(kind, name, wrapped)

    def _before(self, kind: type, name: str, words: Callable[..., tuple[object, ...]]) -> None:
        method = getattr(kind, name)

        @functools.wraps(method)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.say(*words(*args, **kwargs))
            return method(*args, **kwargs)

        setattr(kind, name, wrapped)


def _added(tally: Any, entry: Any) -> tuple[object, ...]:
    return "add", _entry(entry), _doubts(tally, entry.name)


def _entry(entry: Any) -> str:
    where = f"#{entry.sequence} @{entry.position or '-'} stamp {entry.revision}"
    return f"{entry.name} {entry.key} {where} n {entry.occurrence} {entry.state.value}"


def _doubts(tally: Any, name: str) -> str:
    return (
        f"uncertain {tally.ambiguous.uncertain(name)} early {tally.early.count(name)} "
        f"unplaced {tally.unplaced.count(name)} inferred {tally._inferred.count(name)}"
    )


def _callers() -> str:
    frame, names = sys._getframe(3), []
    for _ in range(_WHY):
        names.append(frame.f_code.co_name)
        if frame.f_back is None:
            break
        frame = frame.f_back
    return "<".join(names)
