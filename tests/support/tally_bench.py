"""A tally whose clock stands still, and marks as etcd shows them."""

from __future__ import annotations

from typing import Any

from discordha.coordination.etcd.store import KeyValue, WatchEvent
from discordha.coordination.journal.entries import JournalEntry, digest
from discordha.coordination.journal.sessions import SETTLE
from discordha.coordination.journal.tally import Tally

__all__ = ["EARLIER", "SESSION", "Bench", "Young", "value"]

#: The revision of the present gateway session.
SESSION = 50


#: That of the one before.
EARLIER = 10


class BenchEntry(JournalEntry):
    """An event; ``guild``: where it happened."""

    __slots__ = ("_guild",)

    def __init__(self, guild: str | None, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._guild = guild

    @property
    def guild(self) -> str | None:
        return self._guild


class Bench:
    """A tally with a clock of its own."""

    def __init__(self, guild: str | None = None) -> None:
        self.guild = guild
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
        entry = BenchEntry(
            self.guild, key, lane, sequence=self.sequence, received_at=self.now, revision=revision
        )
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
        again: int | None = None,
        at: str = "",
    ) -> None:
        """Some replica has handled one event of this content.

        :param began: its session; ``None``: of a version that did not tell.
        :param written: the revision of the mark.
        :param again: perhaps a second run: the mark with which its writer's doubts began, or 0.
        :param at: the position of its event.
        """
        version = self.versions[key] = self.versions.get(key, 0) + 1
        content = f"{by} {received}{'' if began is None else f' {began}'}"
        content += " 0" if at or again is not None else ""
        content += f" again {again}" if again is not None else ""
        content += f" @{at}" if at else ""
        self.tally.apply([WatchEvent("put", value(f"/j/{digest(key)}", version, content.encode(), written))])

    def message(self, id: int) -> None:
        """Comes in, in its place among the events of the guild."""
        self.tally.passes(self.guild or "", str(id))

    def left(self) -> list[str]:
        return [entry.key for entry in self.tally]


class Young(Bench):
    """A tally whose gateway session has just begun; its marker has been seen."""

    def __init__(self) -> None:
        super().__init__()
        self.new_session()
        self.tally.sessions.note(SESSION)
        self.question: dict[str, int] = {}

    def asked(self) -> list[str]:
        """Asks; the keys rather than the names."""
        return list(self.since())

    def since(self) -> dict[str, int]:
        """Asks; by key, the revision that is older than all that it stands for."""
        self.question = self.tally.ask()
        keys = {entry.name: entry.key for entry in self.tally}
        return {keys[name]: since for name, since in self.question.items()}

    def settle(self, **left: int) -> int:
        """The answer of a leader that can tell of all that was asked for."""
        zeros = dict.fromkeys(self.question, 0)
        return self.tally.settle(zeros | {digest(key): count for key, count in left.items()})

    def partial(self, **left: int) -> int:
        """The answer of one that can tell of these alone."""
        return self.tally.settle({digest(key): count for key, count in left.items()})

    def uncertain(self, key: str) -> None:
        self.mark(key, received=SESSION - 1)


def value(key: str, version: int, content: bytes = b"", revision: int = 1) -> KeyValue:
    return KeyValue(key, content, 1, revision, version, 0)
