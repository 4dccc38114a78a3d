"""Young gateway sessions that ask: ``sessions_model``, and the questions of replicas that can't tell which
events their leader has handled.

Question and answer are those of ``AmbiguousEntries`` and ``Tally``; ``Journal``, ``QuestionExchange`` and
``SessionCatchUp`` are mirrored here.

What is a step beyond those of ``sessions_model``: a replica asks; the leader counts what it has left; its
answer reaches etcd, before or after marks that are on their way. Nothing depends on them: they need not be.

Assumptions and checks, each of which can be dropped:
- ``proven``: who answers has received what the asker had when it asked (a heartbeat's answer, and
  ``CONNECTION_LAG``).
- ``since``: who answers has a session that began before the stamps of all that a name stands for
  (``GatewaySessions.covers``); of other names it says nothing.
- ``numbered``: an answer counts for the question that it was given to. ``forgotten``: no question outlives
  its session.
- ``guarded``: an answer of a leader that leads no more is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from explore import Step
from sessions_model import SessionsModel
from sessions_state import Answer, Question, Replica, State, tell
from tallies import Mark, revision_of

from discordha.coordination.journal.entries import NEVER

__all__ = ["LANDMARK", "QuestionsModel"]

#: A message: all receive it, in its place among the events.
LANDMARK = "M"


class QuestionsModel(SessionsModel):
    """Steps, invariant and goal. ``settled``: what answers did that were looked at: how many struck something
    out, by whether the leader's own session had been a new one; ``placed``: how often a landmark counted.

    :param asks: how many questions there are.
    :param options: those of ``SessionsModel``.
    """

    def __init__(
        self,
        replicas: int,
        stream: str,
        *,
        asks: int = 1,
        proven: bool = True,
        since: bool = True,
        numbered: bool = True,
        forgotten: bool = True,
        guarded: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(replicas, stream, **options)
        self._asks = asks
        self._proven = proven
        self._since = since
        self._numbered = numbered
        self._forgotten = forgotten
        self._guarded = guarded
        self.settled = {False: 0, True: 0}
        self.placed = 0

    def steps(self, state: State) -> Iterator[Step[State]]:
        """All that may happen next."""
        for step in self._all_steps(state):
            yield step._replace(state=self._skim(step.state))

    @staticmethod
    def _skim(state: State) -> State:
        """Each replica sees what tells it nothing at once: fewer states."""
        if not state.asks:
            return state
        replicas = []
        for number, replica in enumerate(state.replicas):
            seen = replica.seen
            while replica.alive and seen < len(state.log):
                write = state.log[seen]
                told = write.replica == number if isinstance(write, Answer) else state.leader == number
                if not isinstance(write, Answer | Question) or told:
                    break
                seen += 1
            replicas.append(replica if seen == replica.seen else replica._replace(seen=seen))
        return state._replace(replicas=tuple(replicas))

    def _all_steps(self, state: State) -> Iterator[Step[State]]:
        yield from super().steps(state)
        for number, replica in enumerate(state.replicas):
            if replica.alive and state.leader != number and state.asks < self._asks:
                yield from self._asks_leader(state, number, replica)
        if state.leader is not None and state.answer is None:
            yield from self._answers(state, state.leader, state.replicas[state.leader])
        if state.answer is not None:
            arrived = state._replace(answer=None, log=(*state.log, state.answer))
            yield Step(f"{tell(state.answer)} arrives", arrived, fault=True)

    def _asks_leader(self, state: State, number: int, replica: Replica) -> Iterator[Step[State]]:
        node, names = self._tallies.do(replica.node, "ask")
        if not names:
            return
        question = Question(number, state.asks + 1, names, replica.received)
        asking = replica._replace(node=node, question=question.number)
        log = (*state.log, question)
        after_it = self._set(state, number, asking, log=log, asks=question.number)
        yield Step(f"{number} asks: {tell(question)}", after_it, fault=True)

    def _answers(self, state: State, number: int, replica: Replica) -> Iterator[Step[State]]:
        if not replica.alive or not replica.connected or not replica.live:
            return
        questions = {
            write.replica: write
            for write in state.log[: replica.seen]
            if isinstance(write, Question) and write.replica != number
        }
        answered = {write.question for write in state.log if isinstance(write, Answer)}
        for question in questions.values():
            if question in answered or (self._proven and replica.received < question.received):
                continue
            names = [(content, since if self._since else NEVER) for content, since in question.names]
            _, left = self._tallies.do(replica.node, "left", *names)
            if not left:
                continue  # it can't tell of any
            answer = Answer(question.replica, question, left, replica.seen, replica.session)
            if replica.landmark is not None:
                message, last = replica.landmark
                known = tuple(each for each in last if each[0] in dict(left))
                answer = answer._replace(landmark=message, last=known)
            yield Step(f"{number} gives {tell(answer)}", state._replace(answer=answer), fault=True)

    def _sees(self, state: State, number: int, replica: Replica) -> Step[State]:
        step = super()._sees(state, number, replica)
        answer = state.log[replica.seen]
        if not isinstance(answer, Answer) or answer.replica != number:
            return step
        return step._replace(state=self._settles(step.state, number, answer))

    def _settles(self, state: State, number: int, answer: Answer) -> State:
        """``JournalQuestions.on_answer``."""
        replica = state.replicas[number]
        if state.leader == number:
            return state
        if replica.question != answer.question.number and (self._numbered or not replica.question):
            return state
        node, struck = self._tallies.do(replica.node, "settle", *answer.left)
        self.settled[answer.session > 0] += struck > 0
        told = replica.told | self._told(state, replica, answer)
        if answer.landmark:
            node, placed = self._tallies.do(node, "told", answer.landmark, *answer.last)
            told |= self._all_of(placed)
        return self._set(state, number, replica._replace(node=node, question=0, told=told))

    def _all_of(self, contents: Collection[str]) -> int:
        """Bits of all equal events: what is counted as the leader counts them leaves no doubt any more."""
        self.placed += len(contents)
        return sum(1 << at for at, content in enumerate(self._stream) if content in contents)

    # -- landmarks -------------------------------------------------------------------------------------------

    def _receives(self, state: State, number: int, replica: Replica) -> Step[State]:
        """``JournalQuestions.passes``."""
        at = replica.received
        if self._stream[at] != LANDMARK:
            return super()._receives(state, number, replica)
        message = str(at + 1)
        node, placed = self._tallies.do(replica.node, "landmark", message)
        told = replica.told | self._all_of(placed)
        come = replica._replace(
            node=node, received=at + 1, missing=False, in_order=replica.stamp, told=told, landmark=None
        )
        asked = [write for write in state.log[: replica.seen] if isinstance(write, Question)]
        if state.leader == number and asked:
            contents = sorted({content for question in asked for content, _ in question.names})
            _, last = self._tallies.do(node, "last", *contents)
            come = come._replace(landmark=(message, last) if last else None)
        return Step(f"{number} receives {LANDMARK}{at}", self._set(state, number, come))

    def _fails(self, state: State, number: int, replica: Replica) -> Iterator[Step[State]]:
        for step in super()._fails(state, number, replica):
            answers = [each for each in state.log if isinstance(each, Answer) and each.replica == number]
            if step.state.snapshots > state.snapshots and answers:
                step = step._replace(state=self._settles(step.state, number, answers[-1]))  # noqa: PLW2901
            yield step

    def _told(self, state: State, replica: Replica, answer: Answer) -> int:
        """Which events an answer tells of, as handled: those whose marks its writer had seen. As many of them
        stay hidden as there are equal ones that came in at its writer, or were marked, too late for that.
        """
        revision = self._tallies.ask(replica.node, revision_of)
        marks = {write.index: write for write in state.log[: replica.seen] if isinstance(write, Mark)}
        known = {write.index for write in state.log[: answer.seen] if isinstance(write, Mark)}
        told = 0
        for content, left in answer.left:
            same = [at for at in range(replica.since, len(self._stream)) if self._stream[at] == content]
            asked = [at for at in same if at < answer.question.received]
            later = sum(1 for at in same if at >= answer.question.received and at in marks)
            hidden = left - sum(1 for at in asked if at not in marks) + later
            # A mark that is certain struck out another one: what stays hidden is one that left a doubt.
            over = sorted((at for at in asked if at in known), key=lambda at: marks[at].stamp < revision)
            told |= sum(1 << at for at in over[: max(len(over) - hidden, 0)])
        return told

    def _begins_session(self, state: State, number: int, replica: Replica) -> Iterator[Step[State]]:
        for step in super()._begins_session(state, number, replica):
            begun = step.state.replicas[number]
            if begun.session == replica.session:
                yield step
                continue
            question = 0 if self._forgotten else begun.question
            begun = begun._replace(told=0, question=question, landmark=None)
            after = self._set(step.state, number, begun)
            if state.leader == number and self._guarded:
                after = after._replace(answer=None)
            yield Step(step.name, after)

    def _lease_ends(self, state: State, number: int) -> Step[State]:
        step = super()._lease_ends(state, number)
        if not self._guarded:
            return step
        return Step(step.name, step.state._replace(answer=None))
