"""One replica's journal on a real etcd, with its election; the test is its handler threads."""

from __future__ import annotations

from discordha.config import Config
from discordha.coordination.claims.last_attempts import LastAttempts
from discordha.coordination.election.candidates import Leadership
from discordha.coordination.election.election import Election
from discordha.coordination.journal.entries import Entry
from discordha.coordination.journal.journal import Journal
from discordha.coordination.node import Coordination
from discordha.errors import StoreUnavailable
from discordha.testing import FaultProxy, LocalEtcd, wait_for

__all__ = ["Node"]

TOKEN = "MTAwMDAwMDAwMDAwMDAwMDAwMQ.AAAAAA.aaaaaaaaaaaaaaaaaaaaaaaaaaa"


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
        self.coordination = Coordination(config, root, name, dict)
        self.line: list[Entry] = []
        self.dropped: list[str] = []
        self.buried: list[str] = []
        parts = self.coordination
        self.journal = Journal(
            parts.store,
            parts.commit,
            parts.leases,
            root,
            0,
            replica_id=name,
            ready=self._queue,
            size=size,
            retention=600.0,
            last_attempts=LastAttempts(max_attempts),
            dropped=self.dropped.append,
            proven=lambda: parts.watch.revision,
            buried=self.buried.append,
        )
        self.election: Election
        self.terms: list[Leadership] = []

    def _queue(self, entries: object) -> None:
        self.line.extend(entries)  # type: ignore[arg-type]

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

    def lead(self) -> Leadership:
        """Campaigns, and acts as the leader once all marks have been seen."""
        self.election.campaign()
        wait_for(lambda: self.election.is_leader, 10, f"{self.name} to lead")
        return self.act()

    def act(self) -> Leadership:
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
            self.journal.received(key, lane, key, f'{{"t":"{key}"}}')

    def begin(self) -> Entry | None:
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
