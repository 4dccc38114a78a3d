"""The verdict on chaos runs, on histories made by hand: each kind of violation is seen, and each excuse is
an excuse for nothing else.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from evidence import Evidence
from observer import LogLine
from report import Report
from verdict import SETTLE, Judgement, judge
from world import Hit

from discordha.testing.discord.records import BotMessage, Request, Sent


class Story:
    """A history under construction."""

    def __init__(self) -> None:
        self.sent: dict[str, list[Sent]] = {}
        self.messages: list[BotMessage] = []
        self.requests: list[Request] = []
        self.hits: list[Hit] = []
        self.losses: list[LogLine] = []

    def asks(self, kind: str, key: str, at: float) -> None:
        sent = self.sent.setdefault(kind, [])
        sent.append(Sent(len(sent), key, 1, at))

    def runs(
        self, kind: str, key: str, at: float, process: str, *, message: bool = True, attempt: int = 1
    ) -> None:
        """A handler runs for 0.1 s; ``message``: and what it sends is new to Discord."""
        number = len(self.requests)
        content = f"{kind} {key}\n{process} {number} {at - 0.1:.3f} {attempt}"
        body, path = {"content": content}, "/channels/1/messages"
        if kind == "slash":
            body, path = {"data": body}, "/interactions/1/x/callback"  # type: ignore[dict-item]
        self.requests.append(Request(number, at, "POST", path, process[:2], body, not message, 200))
        if message:
            self.messages.append(BotMessage(number, number, 1, content, at, process[:2], None))

    def fault(self, name: str, target: int | None, begun: float, ended: float) -> None:
        self.hits.append(Hit(name, target, begun, begun, ended, ended + 1.0))

    def nobody_hears(self, name: str, begun: float, ended: float) -> None:
        self.hits.append(Hit(name, None, begun, ended, ended + 1.0, ended + 2.0, gap=(begun, ended)))

    def verdict(self) -> Judgement:
        return judge(Evidence(self.sent, self.messages, self.requests, self.hits, self.losses, []))

    def report(self) -> Report:
        evidence = Evidence(self.sent, self.messages, self.requests, self.hits, self.losses, [])
        leaders = [LogLine(0.5, "r0-1", 0, "leads shard 0"), LogLine(20.0, "r1-1", 1, "leads shard 0")]
        return Report(7, 30.0, 0.0, judge(evidence), evidence, leaders)


def _kinds(judgement: Judgement) -> list[str]:
    return [violation.what.partition(":")[0] for violation in judgement.violations]


def test_what_is_answered_once_is_well() -> None:
    story = Story()
    for number in range(3):
        story.asks("reaction", "add/1", float(number))
        story.runs("reaction", "add/1", number + 0.5, "r0-1")
    judgement = story.verdict()
    assert _kinds(judgement) == []
    tally = judgement.events["reaction"]
    assert (tally.sent, tally.handled, tally.lost, tally.repeated, tally.retried) == (3, 3, 0, 0, 0)
    assert tally.max == 0.5


def test_of_equal_events_each_must_be_answered() -> None:
    story = Story()
    for number in range(3):
        story.asks("reaction", "add/1", float(number))
    story.runs("reaction", "add/1", 1.5, "r0-1")
    story.runs("reaction", "add/1", 2.5, "r0-1")
    judgement = story.verdict()
    assert _kinds(judgement) == ["lost"]
    assert judgement.events["reaction"].lost == 1


def test_a_second_message_is_a_violation_whatever_broke() -> None:
    story = Story()
    story.asks("message", "!ping 1", 9.0)
    story.runs("message", "!ping 1", 10.0, "r0-1")
    story.fault("kill -9", 0, 10.05, 13.0)
    story.runs("message", "!ping 1", 12.0, "r1-1")
    assert _kinds(story.verdict()) == ["repeated"]


def test_a_run_after_a_death_is_a_retry_and_the_same_without_one_is_not() -> None:
    story = Story()
    story.asks("message", "!ping 1", 9.0)
    story.runs("message", "!ping 1", 10.0, "r0-1")
    story.runs("message", "!ping 1", 12.0, "r1-1", message=False)
    assert _kinds(story.verdict()) == ["started again"]
    story.fault("kill -9", 0, 10.05, 13.0)
    judgement = story.verdict()
    assert _kinds(judgement) == []
    assert judgement.events["message"].retried == 1


def test_the_death_of_another_or_long_after_excuses_nothing() -> None:
    for target, died in ((2, 10.05), (0, 10.1 + SETTLE)):
        story = Story()
        story.asks("message", "!ping 1", 9.0)
        story.runs("message", "!ping 1", 10.0, "r0-1")
        story.fault("kill -9", target, died, died + 2)
        story.runs("message", "!ping 1", died + 2, "r1-1", message=False)
        assert _kinds(story.verdict()) == ["started again"]


def test_a_fault_that_costs_no_session_excuses_no_second_run() -> None:
    story = Story()
    story.asks("message", "!ping 1", 9.0)
    story.runs("message", "!ping 1", 10.0, "r0-1")
    story.fault("drain", 0, 10.0, 12.0)
    story.runs("message", "!ping 1", 11.0, "r1-1", message=False)
    assert _kinds(story.verdict()) == ["started again"]
    story.losses.append(LogLine(10.5, "r0-1", 0, "session 1 is lost: the process stood still"))
    assert _kinds(story.verdict()) == []


def test_a_lost_answer_that_is_asked_for_again_by_the_same_run_is_one_run() -> None:
    story = Story()
    story.asks("message", "!ping 1", 9.0)
    story.runs("message", "!ping 1", 10.0, "r0-1")
    story.requests.append(story.requests[0]._replace(at=11.0, duplicate=True))
    assert _kinds(story.verdict()) == []


def test_reactions_keep_their_order_and_messages_are_counted() -> None:
    story = Story()
    for kind in ("reaction", "message"):
        story.asks(kind, "a", 1.0)
        story.asks(kind, "b", 1.1)
        story.runs(kind, "b", 1.3, "r0-1")
        story.runs(kind, "a", 1.4, "r0-1")
    judgement = story.verdict()
    assert _kinds(judgement) == ["out of order in 1"]
    assert [judgement.events[kind].out_of_order for kind in ("reaction", "message")] == [1, 1]


def test_an_interaction_may_be_lost_while_something_is_broken_only() -> None:
    story = Story()
    story.asks("slash", "1", 10.0)
    story.asks("slash", "2", 30.0)
    story.fault("kill -9", 0, 11.0, 13.0)
    judgement = story.verdict()
    assert [violation.what for violation in judgement.violations] == ["lost: slash 2"]
    assert judgement.events["slash"].excused == 1


def test_what_waits_longer_than_a_promise_says_is_late() -> None:
    story = Story()
    story.asks("message", "!ping 1", 9.9)
    story.fault("kill -9", 0, 10.0, 16.0)
    story.runs("message", "!ping 1", 15.0, "r1-1")
    judgement = story.verdict()
    assert _kinds(judgement) == ["late"]
    assert story.hits[0].recovery == 5.0


def test_who_slept_longer_than_its_session_lives_must_not_act() -> None:
    story = Story()
    for number in (1, 2):
        story.asks("message", f"!ping {number}", 9.9)
        story.runs("message", f"!ping {number}", 12.4, "r1-1")
        body = {"content": f"message !ping {number}\nr0-1 {number} 9.95 1"}
        path = "/channels/1/messages"
        story.requests.append(Request(number, 13.1, "POST", path, "r0", body, True, 200))
    story.fault("pause above the TTL", 0, 10.0, 13.0)
    assert _kinds(story.verdict()) == []
    story.hits[0].woken = 13.0
    judgement = story.verdict()
    assert _kinds(judgement) == ["acted after its loss"] * 2
    assert judgement.acted == 2


def test_of_equal_events_the_one_without_an_answer_is_named() -> None:
    story = Story()
    for number in range(3):
        story.asks("reaction", "add/1", float(number))
    story.runs("reaction", "add/1", 0.5, "r0-1")
    story.runs("reaction", "add/1", 2.5, "r0-1")
    assert [violation.at for violation in story.verdict().violations] == [1.0]


def test_a_violation_comes_with_its_history(tmp_path: Path) -> None:
    from page import write

    story = Story()
    story.asks("message", "!ping 1", 9.0)
    story.asks("message", "!ping 2", 9.5)
    story.runs("message", "!ping 1", 10.0, "r0-1")
    story.runs("message", "!ping 2", 10.1, "r2-1")
    story.fault("kill -9", 0, 10.05, 13.0)
    story.runs("message", "!ping 1", 12.0, "r1-1")
    report = story.report()
    text = report.table()
    for part in ("CHAOS_SEED=7", "VIOLATIONS", "repeated: message !ping 1", "begun by r1-1", "kill -9 of r0"):
        assert part in text
    assert "!ping 2" not in text.partition("repeated: ")[2]
    page = write(report, tmp_path)
    assert page.name == "chaos-7.html"
    assert "repeated: message !ping 1" in page.read_text()
    assert (tmp_path / "chaos-7.png").read_bytes().startswith(b"\x89PNG")


def test_what_discord_does_not_keep_may_be_lost_while_nobody_hears_and_nothing_else() -> None:
    for name in ("everybody dies", "all sessions end"):
        story = Story()
        for kind in ("message", "voice", "edit", "join", "delete", "reaction", "typing", "slash"):
            story.asks(kind, "1", 12.0)
        story.nobody_hears(name, 10.0, 13.0)
        judgement = story.verdict()
        assert sorted(violation.what for violation in judgement.violations) == [
            "lost: edit 1",
            "lost: join 1",
            "lost: message 1",
            "lost: voice 1",
        ]
        assert {kind for kind, tally in judgement.events.items() if tally.excused} == {
            "delete",
            "reaction",
            "typing",
            "slash",
        }


def test_what_happened_while_somebody_heard_is_not_excused_by_a_gap() -> None:
    for name, at, ok in (
        ("everybody dies", 9.5, True),  # received, and not finished
        ("all sessions end", 9.5, False),  # those who received it live
        ("everybody dies", 8.5, False),
        ("everybody dies", 14.0, False),
        ("kill -9", 12.0, False),
    ):
        story = Story()
        story.asks("reaction", "add/1", at)
        if name == "kill -9":
            story.fault(name, 0, 10.0, 13.0)
        else:
            story.nobody_hears(name, 10.0, 13.0)
        assert _kinds(story.verdict()) == ([] if ok else ["lost"]), (name, at)


def test_a_caught_up_event_that_comes_twice_is_a_violation() -> None:
    story = Story()
    story.asks("join", "1", 12.0)
    story.nobody_hears("everybody dies", 10.0, 13.0)
    story.runs("join", "1", 14.0, "r0-2")
    assert _kinds(story.verdict()) == []
    story.runs("join", "1", 15.0, "r1-2", message=False)
    assert _kinds(story.verdict()) == ["started again"]
    story.runs("join", "1", 15.5, "r1-2")
    assert "repeated" in _kinds(story.verdict())


def test_who_was_under_way_as_everybody_died_may_run_again_and_not_as_sessions_ended() -> None:
    for name, kinds in (("everybody dies", []), ("all sessions end", ["started again"])):
        story = Story()
        story.asks("message", "!ping 1", 9.9)
        story.runs("message", "!ping 1", 10.0, "r0-1")
        story.nobody_hears(name, 10.05, 13.0)
        story.runs("message", "!ping 1", 14.0, "r1-2", message=False)
        assert _kinds(story.verdict()) == kinds


def test_reactions_that_are_lost_in_a_gap_are_in_nobodys_order() -> None:
    story = Story()
    for at, key in ((12.0, "add/1"), (15.0, "remove/1"), (16.0, "add/1"), (17.0, "add/2")):
        story.asks("reaction", key, at)
    story.nobody_hears("everybody dies", 10.0, 13.0)
    story.runs("reaction", "remove/1", 15.2, "r0-2")
    story.runs("reaction", "add/1", 16.2, "r0-2")
    story.runs("reaction", "add/2", 17.2, "r0-2")
    judgement = story.verdict()
    assert _kinds(judgement) == []
    assert judgement.events["reaction"].excused == 1
    story.messages[-1], story.messages[-2] = story.messages[-2], story.messages[-1]
    assert _kinds(story.verdict()) == ["out of order in 1"]


def test_who_received_a_reaction_of_a_gap_handles_it_when_it_leads() -> None:
    story = Story()
    for at, key in ((12.0, "add/1"), (15.0, "remove/1"), (16.0, "add/1"), (17.0, "add/2"), (18.0, "add/1")):
        story.asks("reaction", key, at)
    story.nobody_hears("all sessions end", 11.9, 12.5)
    story.runs("reaction", "remove/1", 15.2, "r0-2")
    story.runs("reaction", "add/1", 16.2, "r0-2")
    story.runs("reaction", "add/2", 17.2, "r0-2")
    story.runs("reaction", "add/1", 17.5, "r1-2")
    story.runs("reaction", "add/1", 18.2, "r1-2")
    assert _kinds(story.verdict()) == []
    story.messages[0], story.messages[1] = story.messages[1], story.messages[0]
    assert _kinds(story.verdict()) == ["out of order in 1"]


@pytest.mark.parametrize("attempt", [1, 2])
def test_that_may_be_long_after_equal_ones_that_came_later(attempt: int) -> None:
    """It runs as one that an earlier leader may have begun; else it is a repetition."""
    story = Story()
    for at in (12.0, 15.0, 20.0, 60.0):
        story.asks("reaction", "add/1", at)
    story.nobody_hears("all sessions end", 11.9, 12.5)
    for at in (15.2, 20.2, 60.2):
        story.runs("reaction", "add/1", at, "r0-2")
    story.runs("reaction", "add/1", 50.0, "r1-2", attempt=attempt)
    assert _kinds(story.verdict()) == ([] if attempt == 2 else ["repeated"])


def test_what_only_a_follower_had_received_is_in_nobodys_order() -> None:
    story = Story()
    for at, key in ((12.0, "add/1"), (18.0, "add/2"), (18.5, "add/1"), (19.0, "add/3")):
        story.asks("reaction", key, at)
    story.nobody_hears("all sessions end", 11.9, 12.5)
    story.fault("etcd outage", None, 17.0, 20.0)
    story.runs("reaction", "add/1", 20.0, "r1-2", attempt=2)
    for at, key in ((20.1, "add/2"), (20.2, "add/1"), (20.3, "add/3")):
        story.runs("reaction", key, at, "r1-2")
    assert _kinds(story.verdict()) == []
    story.messages[1], story.messages[3] = story.messages[3], story.messages[1]
    assert "out of order in 1" in _kinds(story.verdict())


def test_and_newer_equal_ones_may_wait_behind_it() -> None:
    """Nothing tells which of the answers is whose: the last ones have attempt 1."""
    story = Story()
    for at in (12.0, 30.0, 31.0):
        story.asks("reaction", "add/1", at)
    story.nobody_hears("all sessions end", 11.9, 12.5)
    story.fault("etcd outage", None, 28.0, 34.0)
    story.runs("reaction", "add/1", 35.0, "r1-2", attempt=2)
    for at in (35.1, 35.2):
        story.runs("reaction", "add/1", at, "r1-2")
    assert _kinds(story.verdict()) == []
    story.runs("reaction", "add/1", 35.3, "r1-2")
    assert "repeated" in _kinds(story.verdict())


def test_what_is_lost_in_a_gap_makes_no_later_equal_event_late() -> None:
    story = Story()
    for at in (12.0, 15.0, 20.0, 25.0, 30.0):
        story.asks("reaction", "add/1", at)
    story.nobody_hears("everybody dies", 10.0, 13.0)
    story.fault("clock jump", 1, 26.0, 28.0)
    for at in (15.0, 20.0, 25.0, 30.0):
        story.runs("reaction", "add/1", at + 0.2, "r0-2")
    judgement = story.verdict()
    assert _kinds(judgement) == []
    assert 0.1 < judgement.events["reaction"].max < 0.3
    assert [round(answer.sent) for answer in judgement.answers if answer.answered] == [15, 20, 25, 30]


def test_a_lost_event_hides_no_equal_one_that_is_answered_twice() -> None:
    story = Story()
    for at in (12.0, 15.0, 40.0, 41.0):
        story.asks("reaction", "add/1", at)
    story.nobody_hears("everybody dies", 10.0, 13.0)
    for at in (15.2, 40.2, 41.2, 41.4):
        story.runs("reaction", "add/1", at, "r0-2")
    judgement = story.verdict()
    assert _kinds(judgement) == ["repeated"]
    assert (judgement.events["reaction"].excused, judgement.events["reaction"].repeated) == (1, 1)


def test_edits_that_are_caught_up_are_in_order_among_themselves() -> None:
    story = Story()
    for number, at in enumerate((8.0, 11.0, 12.0, 16.0, 17.0)):
        story.asks("edit", str(number), at)
    story.nobody_hears("everybody dies", 10.0, 13.0)
    for at, key in ((8.1, "0"), (16.1, "3"), (16.5, "1"), (17.1, "4"), (17.5, "2")):
        story.runs("edit", key, at, "r0-2")
    assert _kinds(story.verdict()) == []
    story.messages[2], story.messages[4] = story.messages[4], story.messages[2]
    assert _kinds(story.verdict()) == ["out of order in 1"]
    story.messages[2], story.messages[4] = story.messages[4], story.messages[2]
    story.messages[1], story.messages[3] = story.messages[3], story.messages[1]
    assert _kinds(story.verdict()) == ["out of order in 1"]


def test_what_is_worked_off_after_a_fault_is_neither_lost_nor_repeated() -> None:
    """etcd was away for 11 s, and equal events came on: the answers to the oldest stand behind newer ones."""
    story = Story()
    story.fault("etcd outage", None, 0.0, 40.0)
    for number in range(20):
        story.asks("reaction", "add/1", 2.0 * number)
        story.runs("reaction", "add/1", 11.0 + 1.5 * number, "r0-1")
    assert not {"lost", "repeated"} & {*_kinds(story.verdict())}
    story.runs("reaction", "add/1", 45.0, "r0-1")
    assert "repeated" in _kinds(story.verdict())
