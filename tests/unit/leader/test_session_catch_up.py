"""When a replica in doubt asks, and when its leader answers: against a clock of the test's own."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from questions_bench import Bench

from discordha.coordination.etcd.store import LeaseNotFound
from discordha.coordination.journal.questions import Question
from discordha.coordination.journal.sessions import AWARE
from discordha.coordination.membership.unreceived import LISTED_AFTER
from discordha.errors import StoreUnavailable
from discordha.leader.catch_up import ANSWER_CHECK, ASK_AGAIN, ASK_LAST, CONNECTION_LAG


def test_who_is_in_doubt_asks_soon_and_again_after_ever_longer_pauses() -> None:
    bench = Bench()
    shard = bench.shard(3)
    times: list[float] = []
    begun = bench.now
    while bench.now < begun + 200:
        before = len(bench.etcd.asked)
        shard.catch_up.tend()
        times += [bench.now] * (len(bench.etcd.asked) - before)
        bench.now += shard.catch_up.due()
    pauses = [round(after - before, 3) for before, after in pairwise(times)]
    assert times[0] == begun + AWARE  # by then the leader should know of the session
    assert pauses[:8] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert pauses[0] == ASK_AGAIN
    assert max(pauses) == ASK_LAST
    assert bench.etcd.asked[:2] == [(3, 1, {"name": 20}, 7), (3, 2, {"name": 20}, 7)]


def test_a_doubt_that_comes_once_others_are_over_is_asked_about_as_soon_as_the_first() -> None:
    """The mark of a second run, say."""
    bench = Bench()
    shard = bench.shard(3)
    bench.run(shard, 40)
    shard.questions.may_ask = False
    bench.run(shard, 40)
    asked = len(bench.etcd.asked)
    shard.questions.may_ask = True
    bench.run(shard, 3.5)
    assert len(bench.etcd.asked) == asked + 3


def test_a_new_session_asks_soon() -> None:
    bench = Bench()
    shard = bench.shard()
    bench.run(shard, 20)
    asked = len(bench.etcd.asked)
    shard.catch_up.new_session()
    bench.run(shard, AWARE)
    assert len(bench.etcd.asked) == asked + 1
    assert shard.catch_up.due() == pytest.approx(ASK_AGAIN)


@pytest.mark.parametrize("missing", ["leader", "session", "doubts"])
def test_nothing_is_asked_without(missing: str) -> None:
    bench = Bench()
    shard = bench.shard()
    grant = bench.session.current
    if missing == "leader":
        shard.election.leader = None
    elif missing == "session":
        bench.session.current = None
    else:
        shard.questions.may_ask = False
    bench.run(shard, 5)
    assert bench.etcd.asked == []
    assert (shard.catch_up.due() == math.inf) == (missing == "doubts")
    # And at once when it is there, with no pause for what was not asked.
    shard.election.leader, bench.session.current, shard.questions.may_ask = "other", grant, True
    shard.catch_up.tend()
    assert len(bench.etcd.asked) == 1


@pytest.mark.parametrize("error", [StoreUnavailable("etcd is away"), LeaseNotFound("gone")])
def test_while_etcd_does_not_take_a_question_it_is_asked_again(error: Exception) -> None:
    bench = Bench()
    shard = bench.shard()
    bench.etcd.error = error
    bench.run(shard, 2)
    assert bench.etcd.asked == []
    bench.etcd.error = None
    bench.run(shard, 4)
    assert bench.etcd.asked


def test_a_leader_asks_nobody() -> None:
    bench = Bench()
    bench.run(bench.shard(leads=True), 5)
    assert bench.etcd.asked == []
    assert bench.proofs == []


def test_a_leader_answers_once_and_when_it_has_received_everything() -> None:
    bench = Bench()
    shard = bench.shard(leads=True)
    assert shard.catch_up.due() == math.inf
    bench.question()
    asked = bench.now
    assert shard.catch_up.due() == ANSWER_CHECK
    bench.run(shard, 5)
    ((key, begun, proof),) = bench.proofs
    assert key == 0
    assert CONNECTION_LAG <= begun - asked <= CONNECTION_LAG + 2 * ANSWER_CHECK
    assert bench.etcd.answered == []
    assert shard.catch_up.due() == math.inf
    proof.set_result(True)
    assert bench.woken == 1
    bench.run(shard, 5)
    assert bench.etcd.answered == [("young", 1, {"name": 1})]
    assert len(bench.proofs) == 1
    assert shard.catch_up.due() == math.inf


def test_a_proof_that_is_older_than_a_question_does_not_count_for_it() -> None:
    bench = Bench()
    shard = bench.shard(leads=True)
    bench.question("first")
    bench.run(shard, CONNECTION_LAG + 2 * ANSWER_CHECK)
    bench.question("second")  # while the proof of the first is under way
    bench.run(shard, 5)
    ((_, _, proof),) = bench.proofs
    proof.set_result(True)
    bench.run(shard, ANSWER_CHECK)
    assert bench.answers() == [("first", 1)]
    assert len(bench.proofs) == 2
    bench.proofs[1][2].set_result(True)
    bench.run(shard, ANSWER_CHECK)
    assert bench.answers() == [("first", 1), ("second", 1)]


def test_nor_does_one_that_was_begun_too_soon_after_it() -> None:
    """Another connection may have got the event before this one."""
    bench = Bench()
    shard = bench.shard(leads=True)
    bench.question("first")
    bench.run(shard, CONNECTION_LAG - 0.05, step=CONNECTION_LAG)
    bench.question("second")
    bench.run(shard, ANSWER_CHECK)
    ((_, begun, proof),) = bench.proofs
    proof.set_result(True)
    bench.run(shard, ANSWER_CHECK)
    assert bench.answers() == [("first", 1)]
    bench.run(shard, ASK_AGAIN + CONNECTION_LAG)
    assert bench.proofs[1][1] >= max(begun + ASK_AGAIN, bench.etcd.open[0][1].seen_at + CONNECTION_LAG)


def test_there_is_one_proof_at_a_time_and_one_in_a_second() -> None:
    bench = Bench()
    shard = bench.shard(leads=True)
    for number in range(200):
        if number % 3 == 0:
            bench.question(f"r{number % 5}", number)
        bench.run(shard, 0.05, step=0.01)
        if number % 7 == 0:
            for _, _, proof in bench.proofs[:-1]:
                assert proof.done()
            if bench.proofs and not bench.proofs[-1][2].done():
                bench.proofs[-1][2].set_result(True)
    times = [begun for _, begun, _ in bench.proofs]
    assert len(times) > 5
    assert min(after - before for before, after in pairwise(times)) >= ASK_AGAIN
    assert bench.etcd.answered


@pytest.mark.parametrize("outcome", [False, None, RuntimeError("the loop is closed")])
def test_a_proof_that_fails_proves_nothing_and_is_tried_again(outcome: object) -> None:
    bench = Bench()
    shard = bench.shard(leads=True)
    bench.question()
    for tried in (1, 2, 3):
        bench.run(shard, 2 * ASK_AGAIN)
        assert len(bench.proofs) == tried
        proof = bench.proofs[-1][2]
        if tried == 3:
            proof.set_result(True)
        elif isinstance(outcome, Exception):
            proof.set_exception(outcome)
        elif outcome is None:
            assert proof.cancel()
        else:
            proof.set_result(False)
        assert bench.etcd.answered == []
    bench.run(shard, ANSWER_CHECK)
    assert bench.answers() == [("young", 1)]


def test_who_asks_again_is_answered_again() -> None:
    bench = Bench()
    shard = bench.shard(leads=True)
    for number in (1, 2):
        bench.question(number=number)
        bench.run(shard, 3)
        bench.proofs[-1][2].set_result(True)
        bench.run(shard, ANSWER_CHECK)
    assert bench.answers() == [("young", 1), ("young", 2)]
    assert len(bench.proofs) == 2


@pytest.mark.parametrize("own", [None, 21])
def test_what_a_leader_can_not_answer_costs_nothing(own: int | None) -> None:
    """Its own session is younger, or not known to etcd yet."""
    bench = Bench()
    shard = bench.shard(leads=True)
    shard.questions.own = own
    bench.question()
    bench.run(shard, 5)
    assert bench.proofs == []
    assert shard.catch_up.due() == math.inf


def test_a_leader_answers_what_it_can_tell_of_a_question() -> None:
    bench = Bench()
    shard = bench.shard(leads=True)
    shard.questions.own = 15
    bench.question(number=1, old=14, young=15)
    bench.question("none", number=1, old=14)
    bench.run(shard, 1)
    assert [question.replica for question in shard.questions.wanted] == ["young"]
    bench.proofs[0][2].set_result(True)
    bench.run(shard, 5)
    assert bench.etcd.answered == [("young", 1, {"young": 1})]
    # Once, though a part is left: who is still in doubt asks again.
    assert len(bench.proofs) == 1
    assert shard.catch_up.due() == math.inf
    # A message tells nothing more, once it does not lead.
    bench.question(number=2, young=15)
    bench.run(shard, ANSWER_CHECK)
    assert len(shard.questions.wanted) == 1
    shard.election.is_leader = False
    bench.run(shard, ANSWER_CHECK)
    assert not shard.questions.wanted


def test_a_greeting_is_no_question() -> None:
    bench = Bench()
    shard = bench.shard(leads=True)
    bench.etcd.open[0] = [Question("young", 0, {}, {}, bench.now)]
    shard.questions.may_answer = lambda names: True
    bench.run(shard, 5)
    assert bench.proofs == []
    assert shard.catch_up.due() == math.inf


def test_whoever_asks_or_greets_lets_marks_tell_that_soon() -> None:
    """What is received from now on belongs to the asker's session, too."""
    bench = Bench()
    shard = bench.shard(3)
    bench.etcd.listeners[3]["on_question"](17)
    assert bench.beats == [(3, 17)]
    assert bench.etcd.listeners[3]["on_answer"] == shard.questions.on_answer
    assert bench.woken == 1


def test_a_session_that_began_meanwhile_makes_a_proof_worthless() -> None:
    bench = Bench()
    shard = bench.shard(leads=True)
    bench.question()
    bench.run(shard, 1)
    shard.questions.own = 30
    bench.proofs[0][2].set_result(True)
    bench.run(shard, 5)
    assert bench.etcd.answered == []


def test_an_answer_that_etcd_did_not_take_is_given_again() -> None:
    """Unless the leadership is over: then another leader answers."""
    bench = Bench()
    shard = bench.shard(leads=True)
    bench.question()
    bench.run(shard, 1)
    bench.proofs[0][2].set_result(True)
    bench.etcd.error = StoreUnavailable("etcd is away")
    bench.run(shard, 1)
    bench.etcd.error, bench.etcd.refuses = None, True
    bench.run(shard, 1)
    assert bench.etcd.answered == []
    bench.etcd.refuses = False
    bench.run(shard, ANSWER_CHECK)
    assert bench.answers() == [("young", 1)]
    assert len(bench.proofs) == 1


def test_shards_have_proofs_of_their_own() -> None:
    bench = Bench()
    shards = [bench.shard(key, leads=True) for key in (0, 1)]
    for key in (0, 1):
        bench.question(shard=key)
    bench.now += CONNECTION_LAG
    for shard in shards:
        shard.catch_up.tend()
    assert [key for key, _, _ in bench.proofs] == [0, 1]
    bench.proofs[1][2].set_result(True)
    for shard in shards:
        shard.catch_up.tend()
    assert len(bench.etcd.answered) == 1
    shards[1].catch_up.close()
    assert list(bench.etcd.listeners) == [0]


def test_a_heartbeat_tells_when_a_mark_can_be_placed() -> None:
    bench = Bench()
    shard = bench.shard()
    shard.questions.may_ask = False
    assert math.isinf(shard.catch_up.due())
    shard.questions.unplaced = 50
    bench.acknowledged = 49
    bench.run(shard, 0.5)
    assert bench.beats == [(0, 50)]
    shard.questions.unplaced = 60
    bench.run(shard, 0.5)
    assert bench.beats[1:] == [(0, 60)]
    bench.run(shard, 1.5)
    assert bench.beats[2:] == [(0, 60)]  # the connection may have been replaced
    bench.acknowledged = 60
    shard.catch_up.tend()
    assert not shard.questions.unplaced
    assert math.isinf(shard.catch_up.due())


def test_a_record_is_written_once_it_tells_a_new_session_what_it_waits_for() -> None:
    bench = Bench()
    shard = bench.shard()
    bench.run(shard, 1.0)
    assert bench.announced == [], "nobody has asked"
    bench.etcd.listeners[0]["on_question"](30)
    bench.acknowledged, begun = 29, bench.now
    bench.run(shard, 1.0)
    assert bench.announced == [], "the connection may have ended before the greeting"
    bench.acknowledged = 30
    bench.run(shard, 3.0)
    assert len(bench.announced) == 1
    assert bench.announced[0] <= begun + 1.0 + ANSWER_CHECK
    bench.etcd.listeners[0]["on_question"](25)
    asked = bench.now
    bench.run(shard, 3.0)
    assert len(bench.announced) == 2
    assert asked + 2 * LISTED_AFTER < bench.announced[1] < asked + 0.5, "the asker counts no earlier record"


def test_a_record_that_no_acknowledgement_comes_for_is_written_in_its_rhythm() -> None:
    bench = Bench()
    shard = bench.shard()
    shard.questions.may_ask = False
    bench.etcd.listeners[0]["on_question"](30)
    bench.run(shard, 60.0)
    assert bench.announced == []
    assert shard.catch_up.due() == math.inf, "the thread may sleep"
