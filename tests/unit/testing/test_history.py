from __future__ import annotations

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discordha.testing import History


def test_an_empty_run_is_all_zero() -> None:
    verdict = History().verdict()
    assert verdict.ok
    assert verdict.total.sent == 0
    assert verdict.total.latency_max == 0.0


def test_lost_repeated_unexpected_and_retried() -> None:
    history = History()
    for key in "abcd":
        history.sent("message", key, at=0.0, channel="c1")
    history.answered("message", "a", at=1.0, replica="r1")
    history.answered("message", "a", at=2.0, replica="r2")
    history.answered("message", "b", at=3.0, attempt=2, replica="r2")
    history.answered("message", "zzz", at=3.0)
    history.sent("reaction_add", "a", at=0.0)
    assert history.unanswered() == 3
    verdict = history.verdict()
    message = verdict.events["message"]
    assert (message.sent, message.handled, message.lost, message.repeated) == (4, 2, 2, 1)
    assert (message.unexpected, message.retried, message.out_of_order) == (1, 1, 0)
    assert message.answered_by == {"r1": 1, "r2": 1}
    assert verdict.lost == ["message c", "message d", "reaction_add a"]
    assert verdict.repeated == ["message a"]
    assert (verdict.total.sent, verdict.total.lost) == (5, 3)
    assert not verdict.ok


def test_order_counts_within_a_channel_only() -> None:
    history = History()
    for at, (key, channel) in enumerate([("1", "a"), ("2", "b"), ("3", "a"), ("4", "a")]):
        history.sent("message", key, at=at, channel=channel)
    for at, key in enumerate(["4", "2", "1", "3"], 10):
        history.answered("message", key, at=at)
    assert history.verdict().total.out_of_order == 2


def test_latency_and_gap() -> None:
    history = History()
    for number in range(100):
        history.sent("message", str(number), at=float(number))
        history.answered("message", str(number), at=number + (number + 1) / 1000)
    history.sent("message", "slow", at=200.0)
    history.sent("message", "quick", at=201.0)
    history.answered("message", "quick", at=204.0)
    history.answered("message", "slow", at=205.0)
    total = history.verdict().total
    assert total.latency_p50 == pytest.approx(0.051)
    assert total.latency_max == 5.0
    assert total.longest_gap == 4.0  # from 200 to 204; idle time is no gap


def test_the_same_key_of_two_events_is_two_things_but_of_one_an_error() -> None:
    history = History()
    history.sent("message", "1", at=0.0)
    history.sent("message_edit", "1", at=0.0)
    with pytest.raises(ValueError, match="message 1 was sent before"):
        history.sent("message", "1", at=1.0)


def test_an_answer_may_be_recorded_before_its_event() -> None:
    history = History()
    history.answered("message", "1", at=0.5)
    history.sent("message", "1", at=0.6)
    verdict = history.verdict()
    assert verdict.ok
    assert verdict.total.latency_max == 0.0


def test_json_and_table_tell_the_same() -> None:
    history = History()
    history.sent("message", "1", at=0.0)
    history.sent("message", "2", at=0.0)
    history.answered("message", "1", at=0.25)
    verdict = history.verdict()
    told = json.loads(verdict.to_json())
    assert told["ok"] is False
    assert told["total"]["lost"] == 1
    assert told["events"]["message"]["latency_max"] == 0.25
    lines = verdict.table().splitlines()
    assert lines[0].split()[:4] == ["event", "sent", "handled", "lost"]
    assert lines[1].split()[:4] == ["message", "2", "1", "1"]
    assert lines[2].split()[0] == "total"
    assert lines[3] == "lost: message 2"


def test_many_threads_may_record() -> None:
    history = History()

    def record(worker: int) -> None:
        for number in range(200):
            history.sent("message", f"{worker}-{number}", at=float(number))
            history.answered("message", f"{worker}-{number}", at=float(number))

    threads = [threading.Thread(target=record, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert history.verdict().total.handled == 800


_times = st.floats(min_value=0, max_value=1000, allow_nan=False)


@given(
    sent=st.dictionaries(st.integers(0, 30), st.tuples(st.sampled_from("abc"), _times), max_size=20),
    answers=st.lists(st.tuples(st.integers(0, 40), _times, st.integers(1, 3)), max_size=60),
)
def test_the_numbers_add_up(
    sent: dict[int, tuple[str, float]], answers: list[tuple[int, float, int]]
) -> None:
    history = History()
    for key, (channel, at) in sent.items():
        history.sent("message", str(key), at=at, channel=channel)
    for key, at, attempt in answers:
        history.answered("message", str(key), at=at, attempt=attempt)
    total = history.verdict().total
    assert total.sent == len(sent)
    assert total.handled + total.lost == total.sent
    assert total.handled + total.repeated + total.unexpected == len(answers)
    assert total.lost == history.unanswered()
    assert total.out_of_order <= max(0, total.handled - 1)
    assert total.retried <= total.handled
    assert 0 <= total.latency_p50 <= total.latency_p95 <= total.latency_p99 <= total.latency_max
    assert total.longest_gap <= total.latency_max  # an event waits during the whole gap
    assert total.ok == (total.lost == total.repeated == total.unexpected == 0)


@given(st.permutations(range(8)))
def test_disorder_is_zero_only_for_the_sorted(order: list[int]) -> None:
    history = History()
    for number in range(8):
        history.sent("message", str(number), at=float(number))
    for at, number in enumerate(order):
        history.answered("message", str(number), at=100.0 + at)
    assert (history.verdict().total.out_of_order == 0) == (order == sorted(order))
