"""A tally whose clock stands still, and marks as etcd shows them."""

from __future__ import annotations

from discordha.coordination.etcd.store import KeyValue, WatchEvent
from discordha.coordination.journal.entries import JournalEntry, digest
from discordha.coordination.journal.sessions import SETTLE
from discordha.coordination.journal.tally import Tally

__all__ = ["EARLIER", "SESSION", "Bench", "value"]

#: The revision of the present gateway session.
SESSION = 50


#: That of the one before.
EARLIER = 10


class Bench:
    """A tally with a clock of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sequence = 0
        self.tally = Tally("/j/", "/jc/", "/ja/", replica_id="me", clock=lambda: self.now)
        self.tally.snapshot([])
        self.versions: dict[str, int] = {}
        self.seen(EARLIER)

    def new_session(self) -> None:
        """Its marker is not seen yet: ``seen`` says when it is."""
        self.now += 1
        self.tally.new_session()

    def seen(self, revision: int = SESSION) -> None:
        self.tally.sessions.note(revision)
        self.now += SETTLE + 1

    def receive(self, key: str, lane: str = "lane", *, stamp: int | None = None) -> JournalEntry | None:
        """``None`` when a mark was here before."""
        self.now += 0.001
        self.sequence += 1
        revision = stamp if stamp is not None else self.tally.sessions.revision or SESSION - 1
        entry = JournalEntry(key, lane, sequence=self.sequence, received_at=self.now, revision=revision)
        if self.tally.take_early_mark(entry):
            return None
        self.tally.add(entry)
        return entry

    def mark(
        self,
        key: str,
        *,
        received: int = SESSION,
        by: str = "leader",
        began: int | str | None = EARLIER,
        written: int = 1,
    ) -> None:
        """Some replica has handled one event of this content.

        :param began: its session; ``None``: of a version that did not tell.
        :param written: the revision of the mark.
        """
        version = self.versions[key] = self.versions.get(key, 0) + 1
        content = f"{by} {received}{'' if began is None else f' {began}'}".encode()
        self.tally.apply([WatchEvent("put", value(f"/j/{digest(key)}", version, content, written))])

    def left(self) -> list[str]:
        return [entry.key for entry in self.tally]


def value(key: str, version: int, content: bytes = b"", revision: int = 1) -> KeyValue:
    return KeyValue(key, content, 1, revision, version, 0)
