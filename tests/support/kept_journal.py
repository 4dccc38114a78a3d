"""A journal without etcd, whose gateway and watch the test is."""

from __future__ import annotations

from typing import Any

from discordha.coordination.claims.last_attempts import LastAttempts
from discordha.coordination.etcd.store import KeyValue, WatchEvent
from discordha.coordination.journal.entries import AGAIN, JournalEntry, JournalKeys, digest
from discordha.coordination.journal.journal import Journal
from discordha.coordination.journal.marks import JournalWriter

__all__ = ["GUILD", "Kept", "KeptEntry", "name"]


def name(key: str) -> str:
    """That of its entry."""
    return f"0/{digest(key)}"


#: Where everything happens.
GUILD = "7"


class KeptEntry(JournalEntry):
    """An event of the guild."""

    __slots__ = ()

    @property
    def guild(self) -> str:
        return GUILD


class Kept:
    """A journal without etcd; the test is its gateway and its watch."""

    def __init__(self, shard: int = 0, *, size: int = 100) -> None:
        self.stamp = 0
        self.received = 0
        self.now = 1000.0
        self.alive = True
        self.versions: dict[str, int] = {}
        self.dropped: list[str] = []
        nothing: Any = None
        self.journal = Journal(
            JournalWriter(nothing, nothing, nothing, JournalKeys("/x/"), shard, "me", max_attempts=3),
            put=lambda entry: None,
            size=size,
            retention=600.0,
            last_attempts=LastAttempts(3),
            dropped=self.dropped.append,
            buried=lambda event: None,
            clock=lambda: self.now,
        )
        self.journal.on_snapshot([])

    def new_session(self, marker: int) -> None:
        """Is connected, and has written its marker."""
        self.now += 1
        self.journal.on_new_session()
        assert self.journal.note_session(marker, self.journal.sessions)
        self.stamp = marker + 1

    def lead(self) -> None:
        """Until ``alive`` is false."""
        term: Any = self
        self.journal.activate(term)

    def message(self, id: int, *, guild: str = GUILD) -> None:
        """Comes in, in its place among the events."""
        self.journal.questions.passes(guild, str(id))

    def mark(self, key: str, *, certain: bool = True, again: bool = False) -> None:
        """A leader that has received all has handled it; ``certain``: it knew of the session; ``again``: an
        earlier one may have handled it.
        """
        self.versions[key] = self.versions.get(key, 0) + 1
        content = f"leader {self.stamp if certain else 1} 0{f' 0 {AGAIN}' if again else ''}".encode()
        mark = KeyValue(f"/x/j/{name(key)}", content, 1, 1, self.versions[key], 0)
        self.journal.on_events([WatchEvent("put", mark)])

    def left(self) -> list[str]:
        return self.journal.keys()

    def receive(self, *keys: str) -> None:
        for key in keys:
            self.now += 0.001
            self.received += 1
            self.journal.received(
                KeptEntry(
                    key,
                    "lane",
                    sequence=self.received,
                    received_at=self.now,
                    revision=self.stamp,
                    partition="0",
                )
            )

    def ask(self) -> tuple[int, dict[str, int]]:
        question = self.journal.questions.ask()
        assert question is not None
        return question
