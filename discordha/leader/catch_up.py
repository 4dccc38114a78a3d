"""Reconciler: gets a young replica out of doubt, by asking the leader; and answers, as the leader.

Promises
- A replica that has entries which a leader may have handled asks, again and again, until it is in
  no doubt any more, or leads itself.
- A leader answers only when it has received all that the asker had received: it lets ``LAG`` seconds pass,
  for what Discord sends to different connections at different times, then waits for the answer to a
  heartbeat, behind which nothing older is on its way to it, and for an event, without which it might be deaf.

Does not promise an answer (where nothing happens there is none), nor that there is time for one: whoever
leads while in doubt runs the event again.

Concurrency: no thread, no lock: everything belongs to the thread of ``LeaderEvents``, but for
``new_session``, which writes single values, and ``_on_question``, which is the watch's. It blocks on etcd,
never on the gateway. At stop, at a lost lease or watch nothing is asked or answered; it goes on when they are
back.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from discordha.coordination.etcd.store import LeaseNotFound
from discordha.coordination.journal.exchange import Question, Reconciliation
from discordha.coordination.journal.tally import AWARE
from discordha.coordination.session import Session
from discordha.errors import DiscordHAError
from discordha.leader.shard import LeaderShard

__all__ = ["LAG", "Ears", "Reconciler"]

_log = logging.getLogger(__name__)

#: How much later than one connection another may get an event from Discord, seconds, beyond the time of a
#: heartbeat's answer.
LAG = 0.5
#: Who is still in doubt asks again after so many seconds: doubled each time, up to the last. A leader sends
#: no more than one heartbeat for that in the first.
ASK_AGAIN = 1.0
ASK_LAST = 30.0
#: How often a leader looks while it has questions, seconds.
LOOK = 0.1


class Ears(Protocol):
    """What the gateway tells of a shard; see ``Gateway``."""

    def acknowledged_revision(self, shard_id: int) -> int:
        """A revision of etcd that is older than all events which come from now on. Gateway thread."""

    def beat(self, shard_id: int, seen: int = 0) -> None:
        """Lets ``acknowledged_revision`` follow. Does not block; any thread."""

    def caught_up(self, shard_id: int) -> Future[bool]:
        """Tells when all that Discord had sent has been received. Does not block; any thread."""


class Reconciler:
    """See the module.

    :param wake: called when something is to be done; any thread.
    """

    def __init__(
        self,
        reconciliation: Reconciliation,
        session: Session,
        ears: Ears,
        wake: Callable[[], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reconciliation = reconciliation
        self._session = session
        self._ears = ears
        self._wake = wake
        self._clock = clock
        self._answered: dict[tuple[int, str], int] = {}  # by shard and replica: the last number
        self._proofs: dict[int, tuple[Future[bool], float]] = {}  # by shard, and when it was begun
        reconciliation.on_question = self._on_question

    def due(self, shard: LeaderShard) -> float:
        """In how many seconds a shard is to be tended."""
        if shard.election.is_leader:
            proof, _ = self._proofs.get(shard.election.shard_id, (None, 0.0))
            if proof is not None and not proof.done():
                return math.inf  # it wakes
            return LOOK if self._waiting(shard) else math.inf
        return max(shard.ask_at - self._clock(), LOOK) if shard.journal.questions.may_ask else math.inf

    def tend(self, shard: LeaderShard) -> None:
        """Asks or answers what is to be asked or answered now. Blocks on etcd."""
        try:
            if shard.election.is_leader:
                self._answer(shard)
            else:
                self._ask(shard)
        except (DiscordHAError, LeaseNotFound) as error:
            _log.debug("shard %d: what is in doubt stays so for now: %s", shard.number, error)

    def forget(self, shard: LeaderShard) -> None:
        """The shard is closed."""
        key = shard.election.shard_id
        self._proofs.pop(key, None)
        self._answered = {at: number for at, number in self._answered.items() if at[0] != key}

    def new_session(self, shard: LeaderShard) -> None:
        """A gateway session began: it asks as soon as the leader should know of it. Gateway thread."""
        shard.ask_at, shard.ask_pause = self._clock() + AWARE, ASK_AGAIN

    def _on_question(self, shard_id: int, revision: int) -> None:
        """Watch thread. What this replica receives from now on belongs to the asker's session, too: its marks
        are to say so soon, or else all that it runs stays in doubt there.
        """
        self._ears.beat(shard_id, revision)
        self._wake()

    def _ask(self, shard: LeaderShard) -> None:
        grant = self._session.current
        if grant is None or shard.election.leader is None or self._clock() < shard.ask_at:
            return
        question = shard.journal.questions.ask()
        if question is None:
            return
        shard.ask_at = self._clock() + shard.ask_pause
        shard.ask_pause = min(2 * shard.ask_pause, ASK_LAST)
        number, names = question
        self._reconciliation.ask(shard.election.shard_id, number, names, lease=grant.lease_id)

    def _waiting(self, shard: LeaderShard) -> list[Question]:
        """The questions that this leader can answer, and has not."""
        key = shard.election.shard_id
        return [
            question
            for question in self._reconciliation.questions(key)
            if question.names
            and self._answered.get((key, question.replica)) != question.number
            and shard.journal.questions.may_answer(question.names)
        ]

    def _answer(self, shard: LeaderShard) -> None:
        key, now = shard.election.shard_id, self._clock()
        waiting = self._waiting(shard)
        proof, begun = self._proofs.get(key, (None, -math.inf))
        if proof is not None and not proof.done():
            return
        proven = [q for q in waiting if q.seen_at + LAG <= begun] if _is_true(proof) else []
        for question in proven:
            self._answer_one(shard, question)
        unproven = [q for q in waiting if q not in proven and q.seen_at + LAG <= now]
        if unproven and begun + ASK_AGAIN <= now:
            proof = self._ears.caught_up(key)
            self._proofs[key] = (proof, now)
            proof.add_done_callback(lambda _: self._wake())

    def _answer_one(self, shard: LeaderShard, question: Question) -> None:
        left, leadership = shard.journal.questions.answer(question.names), shard.election.leadership
        if left is None or leadership is None:
            return
        if self._reconciliation.answer(question, left, leadership):
            self._answered[shard.election.shard_id, question.replica] = question.number


def _is_true(proof: Future[bool] | None) -> bool:
    return proof is not None and not proof.cancelled() and proof.exception() is None and proof.result()
