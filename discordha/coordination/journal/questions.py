"""What a standby journal asks the leader, and what the leader's journal answers. No I/O.

Promises
- A replica in doubt asks of what names its entries are that the leader may have handled; the answer to its
  last question strikes out as many as the leader says it has left none of. An answer to an earlier question,
  to another life of the replica's, or to one that leads by now changes nothing.
- A leader answers only of what it must have received itself: its gateway session is older, and nothing of it
  was dropped.

Does not ask or answer by itself: ``Reconciler`` does, by the keys of ``Reconciliation``.

Concurrency: no thread. The lock is the journal's, which guards the tally and all state here; methods that
say so are called under it.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping

from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.journal.tally import Tally

__all__ = ["JournalQuestions"]

_log = logging.getLogger(__name__)


class JournalQuestions:
    """See the module.

    :param leadership: this replica's, if it has one; called under the lock.
    """

    def __init__(
        self,
        shard_id: int,
        tally: Tally,
        lock: threading.Lock,
        leadership: Callable[[], LeaderTerm | None],
    ) -> None:
        self._shard_id = shard_id
        self._tally = tally
        self._lock = lock
        self._leadership = leadership
        self._complete = True  # nothing of the gateway session had to be dropped
        self._open = 0  # the number of the last question; 0 while none is open
        # An answer to another life of this replica's, or to another journal of the shard's, must not fit.
        self._last = secrets.randbelow(2**48)

    def new_session(self) -> None:
        """A gateway session began. Caller holds the lock."""
        self._complete = True
        self._open = 0

    def dropped(self) -> None:
        """An event had to be let go. Caller holds the lock."""
        self._complete = False

    @property
    def may_ask(self) -> bool:
        """Whether there is something to ask the leader. Any thread."""
        with self._lock:
            return self._leadership() is None and self._tally.may_ask

    @property
    def in_doubt(self) -> bool:
        """Whether a leader may have handled what came in just as the gateway session began, or may do so with
        what comes now. Any thread.
        """
        with self._lock:
            return self._leadership() is None and self._tally.in_doubt

    def ask(self) -> tuple[int, dict[str, int]] | None:
        """A new question to the leader: its number; names, each with a revision that is older than all that
        it stands for. ``None`` when there is nothing to ask. Any thread.
        """
        with self._lock:
            names = self._tally.ask() if self._leadership() is None else {}
            if not names:
                return None
            self._last += 1
            self._open = self._last
            return self._open, names

    def on_answer(self, number: int, left: Mapping[str, int]) -> None:
        """The leader's answer: of each name that it can tell of, how many entries it has not seen the marks
        of. Watch thread, after all marks that were written before it.
        """
        with self._lock:
            if number != self._open or self._leadership() is not None:
                return
            self._open = 0
            handled, doubtful = self._tally.settle(left), self._tally.doubtful
        if handled:
            _log.info(
                "shard %d: of what was in doubt its leader has handled %d events; %d are left",
                self._shard_id,
                handled,
                doubtful,
            )

    def may_answer(self, names: Mapping[str, int]) -> bool:
        """Whether this leader has received everything that one of the names stands for: its own gateway
        session began before that. Any thread.
        """
        with self._lock:
            return self._can_tell() and any(map(self._tally.has_received, names.values()))

    def answer(self, names: Mapping[str, int]) -> dict[str, int] | None:
        """What a leader answers: of each name that it can tell of, how many entries it has not seen the marks
        of. ``None`` when it can't tell of any. Any thread.
        """
        with self._lock:
            return (self._tally.left(names) or None) if self._can_tell() else None

    def _can_tell(self) -> bool:
        leadership = self._leadership()
        return leadership is not None and leadership.alive and self._complete
