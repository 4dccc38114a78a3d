"""One replica's journal on a real etcd, with its election; the test is its handler threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from kept_journal import KeptEntry

from discordha.config import Config
from discordha.coordination.claims.last_attempts import LastAttempts
from discordha.coordination.election.election import Election, LeaderTerm
from discordha.coordination.etcd.group_commit import GroupCommit, Operation
from discordha.coordination.journal.entries import JournalEntry, JournalKeys
from discordha.coordination.journal.journal import Journal
from discordha.coordination.journal.marks import JournalWriter
from discordha.coordination.node import CoordinationNode
from discordha.errors import StoreUnavailable
from discordha.testing import FaultProxy, LocalEtcd, wait_for

__all__ = ["Node", "SlowCommit"]

TOKEN = "MTAwMDAwMDAwMDAwMDAwMDAwMQ.AAAAAA.aaaaaaaaaaaaaaaaaaaaaaaaaaa"


class SlowCommit:
    """Group commit, over a wire that may be slow: then what is submitted is kept until it is let through."""

    def __init__(self, commit: GroupCommit) -> None:
        self._commit = commit
        self._kept: list[Sequence[Operation]] | None = None
        self.execute = commit.execute

    def submit(self, operations: Sequence[Operation]) -> None:
        if self._kept is None:
            self._commit.submit(operations)
        else:
            self._kept.append(operations)

    def keep(self) -> None:
        self._kept = []

    def let_through(self) -> None:
        kept, self._kept = self._kept or [], None
        for operations in kept:
            self._commit.submit(operations)


class Node:
    """One replica's journal, with its election; the test is its handler threads."""

    def __init__(
        self,
        etcd: LocalEtcd,
        root: str,
        name: str,
        *,
        max_attempts: int = 3,
        size: int = 100,
        link: FaultProxy | None = None,
    ) -> None:
        settings = etcd.client_settings()
        if link is not None:
            settings |= {"etcd_endpoints": [link.endpoint], "etcd_timeout": 1.5}
        config = Config(token=TOKEN, session_ttl=6.0, **settings)
        self.name = name
        self.clock: Callable[[], float] = time.monotonic
        self.coordination = CoordinationNode(config, root, name, dict)
        self.sequence = 0
        self.line: list[JournalEntry] = []
        self.dropped: list[str] = []
        self.buried: list[str] = []
        parts = self.coordination
        self.wire = SlowCommit(parts.commit)
        wire: Any = self.wire
        self.journal = Journal(
            JournalWriter(
                parts.store, wire, parts.leases, JournalKeys(root), 0, name, max_attempts=max_attempts
            ),
            put=self.line.append,
            size=size,
            retention=600.0,
            last_attempts=LastAttempts(max_attempts),
            dropped=self.dropped.append,
            buried=self.buried.append,
            clock=self._now,
        )
        self.election: Election
        self.terms: list[LeaderTerm] = []

    def _now(self) -> float:
        return self.clock()

    def start(self) -> None:
        self.coordination.start()
        self.coordination.journals.open(0, self.journal)
        self.election = self.coordination.elections.open(
            0, self.terms.append, lambda term: self.journal.deactivate()
        )
        self.note_session()

    def note_session(self) -> int:
        """Writes a marker: what others receive once they have seen it comes in here, too."""
        grant, watch = self.coordination.session.current, self.coordination.watch
        assert grant is not None
        assert watch.sync(15, lease=grant.lease_id)
        assert self.journal.note_session(watch.revision, self.journal.sessions)
        return watch.revision

    def lead(self) -> LeaderTerm:
        """Campaigns, and acts as the leader once all marks have been seen."""
        self.election.campaign()
        wait_for(lambda: self.election.is_leader, 10, f"{self.name} to lead")
        return self.act()

    def act(self) -> LeaderTerm:
        leadership = self.election.leadership
        assert leadership is not None
        assert self.coordination.watch.sync(15, lease=leadership.lease_id)
        self.journal.activate(leadership)
        return leadership

    def resign(self) -> None:
        leadership = self.election.leadership
        assert leadership is not None
        assert self.journal.hand_over(leadership)
        assert self.election.resign(False, timeout=15)

    def receive(self, *keys: str, lane: str = "lane") -> None:
        for key in keys:
            self.sequence += 1
            self.journal.received(
                KeptEntry(
                    key,
                    lane,
                    sequence=self.sequence,
                    received_at=self.clock(),
                    revision=self.coordination.watch.revision,
                    payload=f'{{"t":"{key}"}}',
                    partition="0",
                )
            )

    def begin(self) -> JournalEntry | None:
        """Begins what stands first in line; ``None`` when it is not to be run."""
        entry = self.line.pop(0)
        return entry if self.journal.begin(entry) else None

    def work(self, count: int = 1) -> list[str]:
        """Runs what stands in line; the keys of what was run."""
        done = []
        for _ in range(count):
            entry = self.begin()
            if entry is not None:
                done.append(f"{entry.key} {entry.occurrence} {entry.attempt}")
                self.journal.finished(entry, handled=True)
        return done

    def caught_up(self) -> bool:
        """Whether its watch has told all that was written; not where etcd is not to be had."""
        try:
            return self.coordination.watch.sync(5)
        except StoreUnavailable:
            return False

    def settled(self, left: int) -> bool:
        return len(self.journal) == left and not self.journal.under_way
