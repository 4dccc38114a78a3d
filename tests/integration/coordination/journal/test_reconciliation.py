"""Questions of young replicas and their leaders' answers on a real etcd."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

import pytest
from journal_node import Node
from kept_journal import GUILD
from store_helpers import store_of

from discordha.coordination.etcd.store import KeyValue
from discordha.coordination.journal.questions import Question
from discordha.leader.catch_up import SessionCatchUp
from discordha.testing import FaultProxy, LocalEtcd, wait_for


class Peer(Node):
    """A replica that also asks and answers. ``told``: what its watch told it, in order."""

    def __init__(self, etcd: Any, root: str, name: str) -> None:
        super().__init__(etcd, root, name)
        self.told: list[str] = []
        self.proofs: list[Future[bool]] = []
        self.exchange = self.coordination.exchange

    def beat(self, key: int, seen: int = 0) -> None: ...

    def acknowledged_revision(self, key: int) -> int:
        return 0

    def caught_up(self, key: int) -> Future[bool]:
        proof: Future[bool] = Future()
        proof.set_result(True)
        self.proofs.append(proof)
        return proof

    def start(self) -> None:
        super().start()
        self._listen()

    def _listen(self) -> None:
        self.exchange.listen(0, on_question=lambda revision: None, on_answer=self._on_answer)

    def _on_answer(self, number: int, left: Any, landmarks: Any) -> None:
        self.told.append(f"answer with {len(self.journal)} kept")
        self.journal.questions.on_answer(number, left, landmarks)

    def identify(self) -> None:
        """Its gateway begins a new session; etcd does not know of it yet (``note_session``)."""
        assert self.coordination.watch.sync(15)
        self.journal.on_new_session()

    def ask(self) -> int:
        question = self.journal.questions.ask()
        grant = self.coordination.session.current
        assert question is not None
        assert grant is not None
        number, names = question
        guilds = self.journal.questions.guilds
        self.exchange.ask(0, number, names, guilds, lease=grant.lease_id)
        return number

    def asked(self, replica: str, number: int) -> Question:
        """What another asks, once it is seen here."""

        def find() -> Question | None:
            questions = self.exchange.questions(0)
            return next((q for q in questions if (q.replica, q.number) == (replica, number)), None)

        found = wait_for(find, 10, f"{self.name} to see the question")
        assert found is not None
        return found

    def answer(self, question: Question) -> bool:
        left, term = self.journal.questions.answer(question.names), self.election.leadership
        assert left is not None
        assert term is not None
        return self.exchange.answer(question, left, term, self.journal.questions.landmarks(left))

    def catch_up(self) -> SessionCatchUp:
        """Asks and answers as the leader's thread does."""
        catch_up = SessionCatchUp(
            0,
            self.journal.questions,
            self.election,
            self.exchange,
            self.coordination.session,
            self,
            lambda: None,
            announce=lambda: None,
        )
        self._listen()
        catch_up.new_session()
        return catch_up


Peers = Callable[..., Peer]


@pytest.fixture
def peer(local_etcd: LocalEtcd, root: str) -> Iterator[Peers]:
    """Makes replicas of one bot; ``etcd``: another one, or the way to it."""
    with ExitStack() as ends:
        made: list[Peer] = []

        def make(name: str, etcd: Any = local_etcd) -> Peer:
            new = Peer(etcd, root, name)
            ends.callback(new.coordination.stop)
            new.start()
            made.append(new)
            revision = new.coordination.watch.revision
            assert all(each.coordination.watch.wait_revision(revision, 15) for each in made)
            return new

        yield make


def doubt(leader: Peer, young: Peer, *others: Peer) -> None:
    """The leader handles three of four events that came in before etcd knew of the young session."""
    young.identify()
    for each in (leader, young, *others):
        each.receive("add", "add", "remove", "add")
    leader.work(3)
    wait_for(lambda: leader.settled(1), 10, "the leader to see its marks")
    young.note_session()
    assert len(young.journal) == 4
    assert young.journal.questions.may_ask


def keys(etcd: LocalEtcd, root: str, component: str) -> Sequence[KeyValue]:
    with store_of(etcd) as store:
        return store.range(f"{root}{component}/").items


def test_the_leader_says_what_it_has_handled(peer: Peers, local_etcd: LocalEtcd, root: str) -> None:
    leader, young = peer("a"), peer("b")
    leader.lead()
    doubt(leader, young)
    number = young.ask()
    assert leader.answer(leader.asked("b", number))
    wait_for(lambda: young.settled(1), 10, "the answer")
    assert young.journal.keys() == ["add"]
    (question,), (answer,) = keys(local_etcd, root, "jq"), keys(local_etcd, root, "jr")
    assert question.key == f"{root}jq/0/b"
    assert answer.key == f"{root}jr/0/b"
    term, grant = leader.election.leadership, young.coordination.session.current
    assert term is not None
    assert grant is not None
    assert (question.lease, answer.lease) == (grant.lease_id, term.lease_id)
    # What it has not handled is doubtful until it is marked; that counts no mark twice.
    assert young.journal.questions.may_ask
    number = young.ask()
    leader.work(1)
    wait_for(lambda: leader.settled(0), 10, "the last mark")
    assert leader.answer(leader.asked("b", number))
    wait_for(lambda: young.settled(0), 10, "the second answer")
    assert not young.journal.questions.may_ask
    assert young.journal.questions.ask() is None


def test_the_leader_says_where_it_is_while_equal_events_keep_coming(peer: Peers) -> None:
    leader, young = peer("a"), peer("b")
    leader.lead()
    doubt(leader, young)
    question = leader.asked("b", young.ask())
    leader.journal.questions.want([question])
    for message in range(5):
        for each in (leader, young):
            each.receive("add")
            each.journal.questions.passes(GUILD, str(message))
    for each in (leader, young):
        each.receive("add")
    leader.work(2)
    wait_for(lambda: leader.settled(5), 10, "the leader to see its marks")
    assert leader.answer(question)
    wait_for(lambda: young.settled(5), 10, "the answer")
    leader.work(5)
    wait_for(lambda: young.settled(0), 10, "the last mark")
    assert not young.journal.questions.may_ask


def test_an_answer_comes_after_the_marks_that_it_counts(peer: Peers) -> None:
    """Marks that are certain strike out themselves; the answer finds nothing more to do."""
    leader, young = peer("a"), peer("b")
    leader.lead()
    young.identify()
    assert leader.coordination.watch.wait_revision(young.note_session(), 15)
    now = time.monotonic()
    young.clock = lambda: now  # its session stays young, however long this takes
    for _ in range(20):
        for each in (leader, young):
            each.receive("add", "remove")
        number = young.ask()
        question = leader.asked("b", number)
        leader.work(1)
        wait_for(lambda: leader.settled(1), 10, "the first mark")
        answered = len(young.told)
        assert leader.answer(question)
        wait_for(lambda answered=answered: len(young.told) > answered, 10, "the answer")
        assert young.told[-1] == "answer with 1 kept"
        assert len(young.journal) == 1
        leader.work(1)
        wait_for(lambda: leader.settled(0) and young.settled(0), 10, "the second mark")


def test_whose_term_is_over_answers_nothing(peer: Peers, local_etcd: LocalEtcd, root: str) -> None:
    leader, other, young = peer("a"), peer("c"), peer("b")
    term = leader.lead()
    doubt(leader, young, other)
    question = leader.asked("b", young.ask())
    left = leader.journal.questions.answer(question.names)
    assert left is not None
    assert leader.election.resign(False, timeout=15)
    assert not leader.exchange.answer(question, left, term, {})
    wait_for(lambda: not leader.election.is_leader, 10, "the end of its term")
    assert leader.journal.questions.answer(question.names) is None
    other.lead()
    assert not leader.exchange.answer(question, left, term, {})
    assert keys(local_etcd, root, "jr") == []
    assert len(young.journal) == 4
    # Its successor answers instead.
    assert other.answer(other.asked("b", question.number))
    wait_for(lambda: young.settled(1), 10, "the answer")


def test_questions_and_answers_end_with_their_sessions(peer: Peers, local_etcd: LocalEtcd, root: str) -> None:
    leader, young, other = peer("a"), peer("b"), peer("c")
    leader.lead()
    doubt(leader, young, other)
    number = young.ask()
    assert leader.answer(leader.asked("b", number))
    other.asked("b", number)
    young.coordination.session.stop()
    for each in (leader, other):
        wait_for(lambda each=each: each.exchange.questions(0) == (), 10, "the question to go")
    assert keys(local_etcd, root, "jq") == []
    assert len(keys(local_etcd, root, "jr")) == 1
    leader.coordination.session.stop()
    assert keys(local_etcd, root, "jr") == []


class Behind:
    """An etcd as one replica reaches it: through a proxy."""

    def __init__(self, etcd: LocalEtcd, proxy: FaultProxy) -> None:
        self._settings = {**etcd.client_settings(), "etcd_endpoints": (proxy.endpoint,)}

    def client_settings(self) -> dict[str, Any]:
        return self._settings


def test_a_snapshot_brings_them_after_the_marks(peer: Peers, root: str) -> None:
    """The watch was away for so long that etcd has forgotten what happened meanwhile."""
    with LocalEtcd() as etcd, FaultProxy.to(etcd.endpoints[0]) as proxy:
        leader, young, third = peer("a", etcd), peer("b", Behind(etcd, proxy)), peer("c", etcd)
        leader.lead()
        young.identify()
        for each in (leader, young, third):
            each.receive("add", "add", "remove", "add")
        young.note_session()
        question = leader.asked("b", young.ask())
        watch = young.coordination.watch
        snapshots = watch.snapshots
        proxy.down()
        wait_for(lambda: not watch.alive, 20, "the watch to be lost")
        leader.work(3)
        wait_for(lambda: leader.settled(1), 10, "the leader to see its marks")
        assert leader.answer(question)
        third.identify()
        third.receive("add")
        third.note_session()
        number = third.ask()
        etcd.compact()
        assert len(young.journal) == 4
        proxy.heal()
        wait_for(lambda: watch.snapshots > snapshots, 30, "a snapshot")
        wait_for(lambda: young.settled(1), 10, "the answer")
        assert young.told[0] == "answer with 4 kept"  # the marks alone strike out nothing
        young.asked("c", number)
        leader.resign()
        young.lead()
        assert young.work() == ["add 3 2"], "and they had been seen"
        for each in (young, third, leader):
            each.coordination.stop()


def test_a_leader_whose_session_is_younger_does_not_answer(peer: Peers) -> None:
    """It has not received what the other may have."""
    leader, young = peer("a"), peer("b")
    leader.lead()
    doubt(leader, young)
    question = leader.asked("b", young.ask())
    leader.identify()
    assert leader.journal.questions.answer(question.names) is None  # etcd does not know of it yet
    leader.note_session()
    assert not leader.journal.questions.may_answer(question.names)
    assert leader.journal.questions.answer(question.names) is None
    # It does where the other's session is the younger one.
    leader.work(1)
    wait_for(lambda: leader.settled(0), 10, "the last mark")
    younger = peer("c")
    doubt(leader, younger)
    question = leader.asked("c", younger.ask())
    assert leader.journal.questions.may_answer(question.names)
    assert leader.answer(question)
    wait_for(lambda: younger.settled(1), 10, "the answer")


def test_a_leader_answers_of_what_is_younger_than_its_own_session(peer: Peers) -> None:
    """The other names stay in doubt."""
    leader, young = peer("a"), peer("b")
    leader.lead()
    young.identify()
    young.receive("old", "old")
    leader.identify()
    leader.note_session()
    assert young.coordination.watch.sync(15)
    for each in (leader, young):
        each.receive("new", "new")
    leader.work(1)
    wait_for(lambda: leader.settled(1), 10, "the leader to see its mark")
    young.note_session()
    question = leader.asked("b", young.ask())
    assert len(question.names) == 2
    assert leader.answer(question)
    wait_for(lambda: young.settled(3), 10, "the answer")
    assert young.journal.keys() == ["old", "old", "new"]
    assert young.journal.questions.may_ask


def test_a_mark_of_a_younger_session_strikes_out_nothing_that_is_older(peer: Peers) -> None:
    """Both sessions end; the leader handles an event that the other never got, and that one has an equal one
    from before, which the leader never got.
    """
    leader, other = peer("a"), peer("b")
    leader.lead()
    other.receive("add")  # the leader is not connected
    leader.identify()
    leader.note_session()
    leader.receive("add", "add")
    other.identify()
    leader.work(1)
    wait_for(lambda: leader.settled(1), 10, "the leader to see its mark")
    assert other.coordination.watch.sync(15)
    other.note_session()
    leader.work(1)
    wait_for(lambda: leader.settled(0), 10, "the leader to see its mark")
    assert other.coordination.watch.sync(15)
    assert other.journal.keys() == ["add"]
    # Of what both have received it does strike out what came before the other's next session.
    for each in (leader, other):
        each.receive("remove")
    other.identify()
    leader.work(1)
    wait_for(lambda: other.settled(1), 10, "the other to see the mark")
    assert other.journal.keys() == ["add"]


def test_a_young_replica_gets_out_of_doubt_whichever_leader_answers(peer: Peers) -> None:
    """The first one dies before it has answered."""
    first, second, young = peer("a"), peer("c"), peer("b")
    first.lead()
    doubt(first, young, second)
    asker, other = young.catch_up(), second.catch_up()

    def asks() -> bool:
        asker.tend()
        return any(question.names for question in first.exchange.questions(0))

    wait_for(asks, 10, "the question", interval=0.05)
    first.coordination.session.stop()
    second.lead()

    def settled(left: int) -> bool:
        asker.tend()
        other.tend()
        return young.settled(left)

    wait_for(lambda: settled(1), 30, "the answer", interval=0.05)
    assert second.proofs
    assert second.work(1) == ["add 3 2"]
    wait_for(lambda: settled(0), 30, "the answer about the last", interval=0.05)
    assert not young.journal.questions.may_ask
