"""Orphans: what is adopted, when, and what is left alone. Logic alone, with a clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from discordha.coordination.claims.records import Attempts, ClaimRequest, Hint
from discordha.dispatch.orphans import ADOPT_AFTER, NO_PAYLOAD, Orphans
from discordha.stats import Stats

KEY = "message/1"


class Bench:
    """Orphans of a bot with three attempts, on a replica that hosts shard 0."""

    def __init__(self) -> None:
        self.now = 100.0
        self.told = Hint.UNKNOWN
        self.recorded: int | None = 1
        self.injected: list[tuple[str, int]] = []
        self.claimed: list[ClaimRequest] = []
        self.is_connected = True
        self.stats = Stats()
        claims: Any = self
        self.orphans = Orphans(
            claims,
            self.stats,
            max_attempts=3,
            inject=self._inject,
            hosts=lambda shard: shard == 0,
            clock=lambda: self.now,
        )

    def _inject(self, text: str, shard: int) -> bool:
        if self.is_connected:
            self.injected.append((text, shard))
        return self.is_connected

    def claim_later(self, requests: Sequence[ClaimRequest], then: Callable[..., None]) -> None:
        self.claimed += requests
        then(requests[0], None)

    def hint(self, key: str) -> Hint:
        return self.told

    def previous_attempts(self, key: str) -> int | None:
        return self.recorded

    def owner(self, key: str) -> str | None:
        return "another" if self.told is Hint.RUNNING else None

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.orphans.adopt(self.now)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def attempts(attempt: int = 1, payload: str | None = "{}", shard: int = 0) -> Attempts:
    return Attempts(attempt, payload, shard, ())


@pytest.mark.parametrize(("shard", "patience"), [(0, ADOPT_AFTER), (1, 3 * ADOPT_AFTER)])
def test_it_is_adopted_after_those_that_received_it_had_their_time(
    bench: Bench, shard: int, patience: float
) -> None:
    bench.orphans.note(KEY, attempts(payload="text", shard=shard))
    bench.passes(patience - 0.01)
    assert bench.injected == []
    assert bench.orphans
    bench.passes(0.02)
    assert bench.injected == [("text", shard)]
    bench.passes(10)
    assert len(bench.injected) == 1
    assert not bench.orphans


def test_what_comes_in_here_is_none_any_more(bench: Bench) -> None:
    bench.orphans.note(KEY, attempts())
    bench.orphans.received(KEY)
    bench.orphans.received("message/2")
    bench.passes(10)
    assert bench.injected == []


@pytest.mark.parametrize("hint", [Hint.RUNNING, Hint.DONE])
def test_what_somebody_has_taken_meanwhile_is_left_alone(bench: Bench, hint: Hint) -> None:
    bench.orphans.note(KEY, attempts())
    bench.told = hint
    bench.passes(10)
    assert (bench.injected, bench.claimed) == ([], [])


@pytest.mark.parametrize(
    ("known", "reason"),
    [(attempts(attempt=3), None), (attempts(payload=None), NO_PAYLOAD)],
    ids=["attempts", "payload"],
)
def test_a_dead_letter_is_made_of_what_can_not_be_tried_again(
    bench: Bench, known: Attempts, reason: str | None
) -> None:
    bench.orphans.note(KEY, known)
    bench.passes(10)
    assert bench.injected == []
    assert bench.claimed == [
        ClaimRequest(KEY, known.attempt + 1, known.payload, known.shard_id, refused=reason)
    ]
    assert bench.stats.count("dead", "message") == 1


def test_attempts_that_did_not_begin_are_no_reason_for_a_dead_letter(bench: Bench) -> None:
    bench.orphans.note(KEY, attempts(attempt=7)._replace(begun=2))
    bench.passes(10)
    assert (bench.injected, bench.claimed) == ([("{}", 0)], [])


def test_an_event_whose_record_went_with_its_mark_is_left_alone(bench: Bench) -> None:
    bench.orphans.note(KEY, attempts())
    bench.recorded = None
    bench.passes(ADOPT_AFTER)
    assert bench.injected == []
    assert bench.claimed == []


def test_a_replica_without_a_connection_adopts_nothing_before_it_has_one(bench: Bench) -> None:
    """Found by chaos: a handler ran on a replica whose session was yet to begin, and found no channel."""
    bench.is_connected = False
    bench.orphans.note(KEY, attempts(payload="text"))
    bench.passes(5 * ADOPT_AFTER)
    assert bench.injected == []
    bench.is_connected = True
    bench.passes(ADOPT_AFTER)
    assert bench.injected == [("text", 0)]
