"""Messages as landmarks: a replica with a young gateway session counts equal events as its leader does, while
they keep coming.
"""

from __future__ import annotations

from kept_journal import GUILD, Kept, name

from discordha.coordination.journal.landmarks import PASSED, Landmarks
from discordha.coordination.journal.questions import Question

ADD = name("add")


class Pair:
    """A leader, and a replica whose gateway session has just begun. Both see the same marks."""

    def __init__(self, *, before: int = 0) -> None:
        self.leader, self.young = Kept(), Kept()
        self.both = (self.leader, self.young)
        self.leader.new_session(5)
        self.leader.lead()
        self.leader.receive(*["add"] * before)
        self.young.new_session(10)
        self.number = 0

    def receive(self, count: int = 1) -> None:
        for kept in self.both:
            kept.receive(*["add"] * count)

    def mark(self, count: int = 1, *, certain: bool = True, again: bool = False) -> None:
        for _ in range(count):
            for kept in self.both:
                kept.mark("add", certain=certain or kept is self.leader, again=again)

    def message(self, id: int, *, guild: str = GUILD) -> None:
        for kept in self.both:
            kept.message(id, guild=guild)

    def ask(self) -> None:
        """The leader sees the question."""
        self.number, names = self.young.ask()
        asked = Question("young", self.number, names, self.young.journal.questions.guilds, 0.0)
        self.leader.journal.questions.want([asked])

    def answer(self) -> dict[str, dict[str, int]]:
        """The young replica sees the answer to its question."""
        questions = self.leader.journal.questions
        left = questions.answer({ADD: 11})
        assert left is not None
        landmarks = questions.landmarks(left)
        self.young.journal.questions.on_answer(self.number, left, landmarks)
        return landmarks

    @property
    def left(self) -> tuple[int, int]:
        return len(self.leader.journal), len(self.young.journal)


def test_equal_events_keep_coming_and_nothing_stays_ambiguous() -> None:
    pair = Pair(before=2)
    pair.receive(3)
    pair.mark(4, certain=False)  # about two from before the session, and two of it
    assert pair.left == (1, 3)
    pair.ask()
    pair.receive(2)
    pair.message(77)
    pair.receive()
    pair.mark(2)
    assert pair.left == (2, 4)
    assert pair.answer() == {"77": {ADD: 7}}  # the fifth and the first two of those that came since
    assert pair.left == (2, 2)
    pair.receive()
    pair.mark(certain=False)  # however late its leader learned of the session
    assert pair.left == (2, 2)
    assert not pair.young.journal.questions.may_ask


def test_a_message_that_comes_after_the_answer() -> None:
    pair = Pair()
    pair.receive(2)
    pair.mark(certain=False)
    pair.ask()
    pair.leader.message(77)
    pair.leader.receive("add")
    pair.answer()
    assert pair.left == (2, 2)
    pair.mark()
    pair.young.message(77)
    assert len(pair.young.journal) == 0
    pair.young.receive("add")
    assert pair.left == (1, 1)


def test_marks_may_be_ahead_of_the_events_that_they_are_about() -> None:
    pair = Pair()
    pair.receive(1)
    pair.mark(certain=False)
    pair.ask()
    pair.message(77)
    pair.leader.receive("add", "add", "add")
    pair.mark(2, certain=False)
    pair.answer()
    assert pair.left == (1, 0)
    pair.young.receive("add", "add")
    assert len(pair.young.journal) == 0
    pair.young.receive("add")
    assert pair.left == (1, 1)


def test_events_from_before_the_session_that_are_not_handled_yet() -> None:
    """Their marks strike out nothing here, and the next one does, however low its stamp."""
    pair = Pair(before=2)
    pair.receive(1)
    pair.young.mark("add", certain=False)
    pair.leader.versions["add"] = 1  # was that of one that nobody here has
    pair.leader.journal._tally._versions[ADD] = 1
    pair.ask()
    pair.message(77)
    assert pair.answer() == {"77": {ADD: 4}}
    pair.mark(2, certain=False)
    assert pair.left == (1, 1)
    pair.mark(certain=False)
    assert pair.left == (0, 0)


def test_a_message_that_only_one_of_them_receives_tells_nothing() -> None:
    pair = Pair()
    pair.receive(2)
    pair.mark(certain=False)
    pair.young.message(76)
    pair.ask()
    pair.leader.message(76)
    pair.message(78, guild="8")
    pair.receive()
    assert pair.answer() == {"76": {ADD: 2}}
    assert pair.left == (2, 3)
    pair.ask()  # ends what was told before
    pair.young.message(76)
    assert pair.left == (2, 3)


def test_a_leader_that_may_run_an_event_again_does_not_tell_its_number() -> None:
    pair = Pair()
    pair.receive(2)
    for kept in pair.both:
        kept.mark("add", certain=False)  # the leader does not know either
    pair.leader.journal._tally.ambiguous.note_uncertain(ADD)
    pair.leader.journal._tally._spread(ADD)
    pair.ask()
    pair.message(77)
    assert pair.answer() == {}
    assert pair.left[1] == 2


def test_the_mark_of_a_second_run_makes_numbers_void() -> None:
    pair = Pair()
    pair.receive(2)
    pair.mark(certain=False)
    pair.ask()
    pair.leader.message(77)
    pair.leader.receive("add")
    assert pair.answer() == {"77": {ADD: 2}}
    pair.young.mark("add", again=True)  # by a leader that knew less
    pair.young.message(77)
    assert len(pair.young.journal) == 2
    assert pair.young.journal.questions.may_ask


def test_the_mark_of_a_second_run_strikes_out_nothing_where_nothing_was_ambiguous() -> None:
    kept = Kept()
    kept.new_session(10)
    kept.now += 10
    kept.receive("add", "add")
    kept.mark("add", again=True)
    assert len(kept.journal) == 2
    kept.mark("add")
    assert len(kept.journal) == 1
    assert kept.journal.questions.may_ask


def test_a_new_leader_takes_no_numbers_of_an_earlier_one() -> None:
    pair = Pair()
    pair.receive(2)
    pair.mark(certain=False)
    pair.ask()
    pair.leader.message(77)
    pair.leader.receive("add")
    pair.answer()
    pair.young.lead()
    pair.young.message(77)
    assert len(pair.young.journal) == 2


def test_a_new_session_counts_anew() -> None:
    pair = Pair()
    pair.receive(2)
    pair.mark(certain=False)
    pair.ask()
    pair.message(77)
    pair.answer()
    assert pair.left == (1, 1)
    pair.young.new_session(20)
    pair.young.receive("add")
    pair.mark(certain=False)
    assert len(pair.young.journal) == 2
    assert pair.young.journal.questions.may_ask


def test_only_the_last_messages_are_remembered() -> None:
    marks = Landmarks()
    marks.open({"name": 1}, lambda name: "7")
    for message in range(PASSED + 1):
        marks.received("name")
        assert list(marks.passes("7", str(message))) == []
    assert list(marks.told("0", {"name": 3})) == []
    assert list(marks.told("1", {"name": 3, "other": 4})) == [("name", 3, PASSED - 1)]
    marks.close()
    assert list(marks.told("1", {"name": 3})) == []
    assert list(marks.passes("7", "1")) == []


def test_messages_count_until_the_question_is_answered() -> None:
    marks = Landmarks()
    marks.open({"name": 1}, lambda name: "7")
    assert list(marks.passes("7", "1")) == []
    marks.received("name")
    assert list(marks.told("1", {"name": 3})) == [("name", 3, 1)]
    marks.answered()
    assert marks.guilds == {}
    marks.open({"name": 1}, lambda name: "7")
    assert list(marks.told("2", {"name": 3})) == []
    marks.answered()
    assert list(marks.passes("7", "1")) == []
    assert list(marks.passes("7", "2")) == [("name", 3, 0)]
    marks.received("name")
    marks.open({"name": 1, "private": 1}, {"name": "7"}.get)
    assert marks.guilds == {"7": {"name": 1}}


def test_what_was_counted_before_a_question_is_not_told() -> None:
    """A second run may have made it void before the asker listened."""
    pair = Pair()
    pair.receive(2)
    pair.mark(certain=False)
    pair.ask()
    pair.leader.message(77)
    pair.leader.receive("add")
    pair.ask()
    assert pair.answer() == {}
    pair.ask()
    pair.leader.message(78)
    assert pair.answer() == {"78": {ADD: 3}}
    pair.leader.new_session(30)
    pair.leader.lead()
    assert pair.leader.journal.questions.landmarks({ADD}) == {}
