"""Session catch-up: a replica with a young gateway session asks its leader what was handled.

Guarantees: a replica that has entries which a leader may have handled asks, after ever longer pauses, until
it has none or leads itself. A leader answers only once it has received everything that the asker had: it lets
``CONNECTION_LAG`` seconds pass, then waits for a heartbeat's answer, behind which nothing older is on its
way, and for an event, without which it might be deaf. A replica that leads before it has an answer runs the
event again.

Some marks of a leader with a younger gateway session can't be matched before everything older than they are
has arrived (``Tally``): a heartbeat tells when.

A replica whose session has just begun holds new events back until others' member records tell that their
sessions lived on (``outage.reaches``) and what they have unfinished. So the record is written as soon as it
tells that, not only in its rhythm.

Threads and locks: no thread, no lock. ``new_session`` and ``_on_question`` write single values; all else
belongs to the leader's thread, and blocks on etcd, never on the gateway.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from discordha.coordination.election.election import Election
from discordha.coordination.etcd.store import LeaseNotFound
from discordha.coordination.journal.questions import JournalQuestions, Question, QuestionExchange
from discordha.coordination.journal.sessions import AWARE
from discordha.coordination.membership.shard_keys import number_of
from discordha.coordination.membership.unreceived import LISTED_AFTER
from discordha.coordination.session import Session
from discordha.errors import DiscordHAError

__all__ = ["ANSWER_CHECK", "ASK_AGAIN", "ASK_LAST", "CONNECTION_LAG", "GatewayProbe", "SessionCatchUp"]

_log = logging.getLogger(__name__)

#: How much later than one connection another may get an event from Discord, seconds, beyond the time of a
#: heartbeat's answer.
CONNECTION_LAG = 0.5
#: A replica in doubt asks again after so many seconds: doubled each time, up to the last. A leader sends at
#: most one heartbeat for that in the first.
ASK_AGAIN = 1.0
ASK_LAST = 30.0
#: How often a leader with open questions, or a replica with unplaced marks, looks at them, seconds.
ANSWER_CHECK = 0.1
#: A record tells what is unfinished of the time before another's session began from so many seconds on.
TELLS_AFTER = 3 * LISTED_AFTER
#: After so many seconds without an acknowledgement the record's rhythm will do.
TELLS_WITHIN = 5.0


class GatewayProbe(Protocol):
    """Finds out what a shard's connection has received: ``Gateway``. Does not block; any thread."""

    def beat(self, shard_id: int, seen: int = 0) -> None:
        """Sends a heartbeat, so that later events are stamped with ``seen``."""

    def acknowledged_revision(self, shard_id: int) -> int:
        """The latest known revision that is older than every event to come."""

    def caught_up(self, shard_id: int) -> Future[bool]:
        """Tells when everything that Discord had sent has been received."""


class SessionCatchUp:
    """One shard's.

    :param wake: called when there is something to do; any thread.
    :param announce: has the member record written; must not block.
    """

    def __init__(  # noqa: PLR0917
        self,
        shard_id: int,
        questions: JournalQuestions,
        election: Election,
        exchange: QuestionExchange,
        session: Session,
        probe: GatewayProbe,
        wake: Callable[[], None],
        *,
        announce: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shard_id = shard_id
        self._announce = announce
        self._asked: tuple[int, float] | None = None  # the last greeting or question, and when it was seen
        self._questions = questions
        self._election = election
        self._exchange = exchange
        self._session = session
        self._probe = probe
        self._wake = wake
        self._clock = clock
        self._ask_at = 0.0
        self._ask_pause = ASK_AGAIN
        self._answered: dict[str, int] = {}  # by replica: the last number
        self._beat_for, self._beat_at = 0, 0.0  # the unplaced mark of the last heartbeat, and when it left
        self._proof: Future[bool] | None = None
        self._proof_begun = -math.inf
        exchange.listen(shard_id, on_question=self._on_question, on_answer=questions.on_answer)

    def close(self) -> None:
        """Listens no longer."""
        self._exchange.close(self._shard_id)

    def new_session(self) -> None:
        """A gateway session began: ask as soon as the leader should know of it. Gateway thread."""
        self._ask_at, self._ask_pause = self._clock() + AWARE, ASK_AGAIN

    def leads(self, revision: int) -> None:
        """This replica leads, and has seen a revision: later events are to be told from those that an earlier
        leader may have handled. Does not block.
        """
        self._probe.beat(self._shard_id, revision)

    def due(self) -> float:
        """In how many seconds ``tend`` is due."""
        if self._questions.unplaced or self._asked is not None:
            return ANSWER_CHECK
        if not self._election.is_leader:
            return max(self._ask_at - self._clock(), ANSWER_CHECK) if self._questions.may_ask else math.inf
        if self._proof is not None and not self._proof.done():
            return math.inf  # it wakes
        return ANSWER_CHECK if self._waiting() else math.inf

    def tend(self) -> None:
        """Asks or answers if that is due. Blocks on etcd."""
        self._place()
        self._tell()
        try:
            if self._election.is_leader:
                self._answer()
            else:
                self._questions.want(())
                self._ask()
        except (DiscordHAError, LeaseNotFound) as error:
            _log.debug(
                "shard %d: its question or answer is tried again: %s", number_of(self._shard_id), error
            )

    def _place(self) -> None:
        """Places marks as far as the connection has come; a heartbeat lets it prove more."""
        if not self._questions.unplaced:
            return
        self._questions.reached(self._probe.acknowledged_revision(self._shard_id))
        last, now = self._questions.unplaced, self._clock()
        if last > self._beat_for or (last and self._beat_at + ASK_AGAIN <= now):
            self._beat_for, self._beat_at = last, now
            self._probe.beat(self._shard_id, last)

    def _on_question(self, revision: int) -> None:
        """Marks must say soon that events received from now on belong to the asker's session, too."""
        self._asked = revision, self._clock()
        self._probe.beat(self._shard_id, revision)
        self._wake()

    def _tell(self) -> None:
        """Has the record written once it tells the last asker what it waits for."""
        asked = self._asked
        if asked is None:
            return
        revision, seen_for = asked[0], self._clock() - asked[1]
        if seen_for < TELLS_AFTER:
            return
        if self._probe.acknowledged_revision(self._shard_id) >= revision:
            self._announce()
        elif seen_for < TELLS_WITHIN:
            return
        if self._asked is asked:  # else another has asked meanwhile
            self._asked = None

    def _ask(self) -> None:
        grant = self._session.current
        if grant is None or self._election.leader is None or self._clock() < self._ask_at:
            return
        question = self._questions.ask()
        if question is None:
            self._ask_pause = ASK_AGAIN  # if another doubt comes, that is a new one
            return
        self._ask_at = self._clock() + self._ask_pause
        self._ask_pause = min(2 * self._ask_pause, ASK_LAST)
        guilds = self._questions.guilds
        self._exchange.ask(self._shard_id, *question, guilds=guilds, lease=grant.lease_id)

    def _waiting(self) -> list[Question]:
        """The questions that this leader can answer, and has not."""
        return [
            question
            for question in self._exchange.questions(self._shard_id)
            if question.names
            and self._answered.get(question.replica) != question.number
            and self._questions.may_answer(question.names)
        ]

    def _answer(self) -> None:
        now, proof = self._clock(), self._proof
        if proof is not None and not proof.done():
            return
        waiting = self._waiting()
        self._questions.want(waiting)
        proven = [q for q in waiting if q.seen_at + CONNECTION_LAG <= self._proof_begun and _is_true(proof)]
        for question in proven:
            self._answer_one(question)
        unproven = any(q not in proven and q.seen_at + CONNECTION_LAG <= now for q in waiting)
        if unproven and self._proof_begun + ASK_AGAIN <= now:
            self._proof_begun = now
            self._proof = proof = self._probe.caught_up(self._shard_id)
            proof.add_done_callback(lambda _: self._wake())

    def _answer_one(self, question: Question) -> None:
        left, leadership = self._questions.answer(question.names), self._election.leadership
        if left is None or leadership is None:
            return
        landmarks = self._questions.landmarks(left)
        if self._exchange.answer(question, left, leadership, landmarks):
            self._answered[question.replica] = question.number


def _is_true(proof: Future[bool] | None) -> bool:
    return proof is not None and not proof.cancelled() and proof.exception() is None and proof.result()
