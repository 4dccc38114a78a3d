"""Questions of a standby journal to its leader, and the answers of a leader's journal. No I/O.

Guarantees
- A replica in doubt asks for the names of entries that the leader may have handled. The answer to its last
  question strikes entries out. An answer to an earlier question, to another life of this replica's, or to a
  replica that leads by now changes nothing.
- A leader answers only for entries that it must have received itself: its gateway session is older, and it
  dropped nothing since.

``SessionCatchUp`` decides when to ask and to answer, and ``QuestionExchange`` carries both.

Threads and locks: no thread. The lock is the journal's; methods that say so are called under it, all others
from any thread.
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

    :param leadership: gives this replica's, if it has one; called under the lock.
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
        self._complete = True  # no event of the gateway session was dropped
        self._open = 0  # the number of the last question; 0 while none is open
        # An answer to another life of this replica's, or to another journal of the shard's, must not fit.
        self._last = secrets.randbelow(2**48)

    def new_session(self) -> None:
        """A gateway session began. Caller holds the lock."""
        self._complete = True
        self._open = 0

    def dropped(self) -> None:
        """An event was dropped. Caller holds the lock."""
        self._complete = False

    @property
    def may_ask(self) -> bool:
        """Whether there is something to ask the leader."""
        with self._lock:
            return self._leadership() is None and self._tally.may_ask

    @property
    def in_doubt(self) -> bool:
        """Whether a leader may have handled events that came in just as the gateway session began, or may
        still handle events without knowing of it.
        """
        with self._lock:
            return self._leadership() is None and self._tally.in_doubt

    def ask(self) -> tuple[int, dict[str, int]] | None:
        """A new question to the leader: its number, and names, each with a revision that is older than all
        its entries. ``None`` when there is nothing to ask.
        """
        with self._lock:
            names = self._tally.ask() if self._leadership() is None else {}
            if not names:
                return None
            self._last += 1
            self._open = self._last
            return self._open, names

    def on_answer(self, number: int, left: Mapping[str, int]) -> None:
        """Takes the leader's answer. Watch thread, after all marks that were written before it.

        :param left: of each name that the leader can tell of, how many entries it has not seen the marks of.
        """
        with self._lock:
            if number != self._open or self._leadership() is not None:
                return
            self._open = 0
            handled, ambiguous = self._tally.settle(left), self._tally.ambiguous.held
        if handled:
            _log.info(
                "shard %d: its leader has handled %d events that were in doubt; %d are left",
                self._shard_id,
                handled,
                ambiguous,
            )

    def may_answer(self, names: Mapping[str, int]) -> bool:
        """Whether this leader has received all entries of one of the names, at the least."""
        with self._lock:
            return self._can_tell() and any(map(self._tally.sessions.covers, names.values()))

    def answer(self, names: Mapping[str, int]) -> dict[str, int] | None:
        """A leader's answer: of each name that it can tell of, how many entries it has not seen the marks of.
        ``None`` when it can't tell of any.
        """
        with self._lock:
            return (self._tally.left(names) or None) if self._can_tell() else None

    def _can_tell(self) -> bool:
        leadership = self._leadership()
        return leadership is not None and leadership.alive and self._complete
