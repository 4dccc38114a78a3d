"""The gateway sessions of one replica, on etcd's clock: which events a session must have received.

Guarantees: an event that is younger than a session's greeting in etcd was received in that session, for an
event is stamped with a revision that a heartbeat has proven to be older (docs/design.md). So a mark whose
stamp is not below the greeting is *certain*: its event is one of the session.

Threads and locks: no I/O, no thread, no lock. The journal's lock guards all of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from discordha.coordination.journal.entries import JournalEntry, JournalMark

__all__ = ["AWARE", "SETTLE", "GatewaySessions"]

#: A gateway session younger than this, seconds, may lack what is still under way; and for so long the mark of
#: an event that was struck out with a later one may still come.
SETTLE = 5.0
#: Seconds after which a leader whose watch does not lag has seen the greeting that was seen here.
AWARE = 0.25


class GatewaySessions:
    """See the module.

    :ivar revision: the revision of the present session's greeting; ``None`` until it is noted.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began_at = clock()
        self.revision: int | None = None
        self._noted_at = 0.0
        self.earlier: list[tuple[float, int | None]] = []  # when each session ended, and its revision

    def begin(self, oldest: float | None) -> None:
        """A new session begins.

        :param oldest: when the oldest entry was received; earlier sessions are forgotten.
        """
        now = self._clock()
        self.earlier = [(end, began) for end, began in self.earlier if oldest is not None and oldest < end]
        if oldest is not None:
            self.earlier.append((now, self.revision))
        self._began_at = now
        self.revision = None

    def note(self, revision: int) -> None:
        """The present session's greeting was written at a revision, and seen here."""
        self.revision = revision
        self._noted_at = self._clock()

    def is_present(self, entry: JournalEntry) -> bool:
        """Whether an entry was received in the present session."""
        return entry.received_at >= self._began_at

    def covers(self, revision: int) -> bool:
        """Whether the present session has received everything that is younger than a revision."""
        return self.revision is not None and revision >= self.revision

    def began(self, entry: JournalEntry) -> int | None:
        """The revision of the session that received an entry; ``None`` when that was never noted."""
        return next((began for end, began in self.earlier if entry.received_at < end), self.revision)

    def may_be_of(self, entry: JournalEntry, mark: JournalMark) -> bool:
        """Whether a mark is about an event of the entry's session or a later one, and its writer has received
        the entry's event. Otherwise there may be an equal event that only the writer received.
        """
        began = self.began(entry)
        return began is not None and mark.revision >= began and mark.session <= entry.revision

    def is_settled(self, entry: JournalEntry) -> bool:
        """Whether the mark of an entry will be certain, even if its leader's watch lags behind."""
        return self.covers(entry.revision) and entry.received_at >= self._noted_at + SETTLE

    @property
    def is_young(self) -> bool:
        """Whether marks that are under way may be from before the session."""
        return self.revision is None or not self.settled_at(self._clock())

    def settled_at(self, moment: float) -> bool:
        """Whether a moment is long after the last session that was noted."""
        return moment >= self._noted_at + SETTLE

    @property
    def aware_at(self) -> float:
        """From when on leaders know of the session, whose watch does not lag."""
        return self._noted_at + AWARE if self.revision is not None else math.inf
