"""A watermark in the place of questions and answers, over all interleavings up to a bound: what it promises,
what it does not, and that nothing which rests on heartbeats can.

docs/design.md says what follows from that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from beginnings import BOTH, DOUBT, ENDED, NEW, NEXT_LEADER, YOUNG_LEADER, YOUNGER
from explore import Result, Violation, explore, follow
from sessions_state import Mark, State
from watermark_model import THROUGH_DISCORD, WatermarkModel
from watermark_tally import Uncapped


def check(
    replicas: int, stream: str, begins: Sequence[str] = (), **options: Any
) -> tuple[Result, WatermarkModel]:
    model = WatermarkModel(replicas, stream, **{**ENDED, **options})
    initial = follow(model.initial(), model.steps, begins)
    result = explore(initial, model.steps, model.invariant, model.goal, most=1_500_000)
    print(f"{replicas} replicas, {stream}, {begins}, {options}: {result}, struck {model.struck}")
    return result, model


def test_a_watermark_settles_what_a_checkpoint_counts() -> None:
    result, model = check(2, "a", exact=True)
    assert result.states > 3_000
    assert model.struck > 100


#: The shortest way to an event that the watermark leaves in doubt. The leader handled the second of two
#: equal events before its stamps passed the checkpoint, and the young replica received it behind that. Its
#: mark is certain and strikes out the first one, as it may be about either.
IN_THE_WINDOW = [
    "0 receives a (1), stamped 1",
    "0 runs a (1)",
    "the mark of a (0) by 0, received at 0, session 0 arrives",
    "0 sees the mark of a (0) by 0, received at 0, session 0",
    "1 sees the mark of a (0) by 0, received at 0, session 0",
    "the mark of a (1) by 0, received at 1, session 0 arrives",
    "0 sees the mark of a (1) by 0, received at 1, session 0",
    "checkpoint 1 of 1 arrives",
    "0 sees checkpoint 1 of 1",
    "1 receives a (1), stamped 0",
    "1 sees the mark of a (1) by 0, received at 1, session 0",
    "1 sees checkpoint 1 of 1",
    "the low 4 of 0 arrives",
    "0 dies",
    "1 sees the low 4 of 0",
    "etcd ends the lease of 0",
    "1 leads",
    "1 runs a (1)",
]


def test_an_equal_event_in_the_window_may_run_again() -> None:
    with pytest.raises(Violation, match="run again") as caught:
        check(2, "aa", (*DOUBT, *IN_THE_WINDOW[:5]), exact=True)
    assert sorted(caught.value.trace[:-1]) == sorted(IN_THE_WINDOW[5:])


@pytest.mark.long
def test_no_other_event_runs_again() -> None:
    result, model = check(2, "aa", DOUBT)
    assert result.states > 20_000
    assert model.struck > 1_000


def world(before: int, rounds: int) -> tuple[WatermarkModel, State]:
    """A young replica received ``rounds`` events, and its leader handled as many, each as the next one was
    there already.

    :param before: so many more happened before the young session, and were on their way to the leader.
    """
    steps = [f"1 has a new session from {before}", "the marker of 1", "0 sees", "1 sees", "1 notes"]
    for n in range(rounds):
        stamp = (0, 1, 3)[
            min(n, 2)
        ]  # the greeting's, then the checkpoint's: the answer comes behind the next
        steps += [f"1 receives a ({before + n}), stamped 0", f"0 receives a ({n}), stamped {stamp}"]
        steps += [f"0 runs a ({n})", f"the mark of a ({n})", "0 sees", "1 sees"]
        steps += {0: ["checkpoint 1", "0 sees", "1 sees"], 1: ["the low", "0 sees", "1 sees"]}.get(n, [])
    model = WatermarkModel(2, "a" * (before + rounds), **ENDED)
    return model, follow(model.initial(), model.steps, steps)


@pytest.mark.parametrize("rounds", [1, 2, 3, 6])
def test_heartbeats_can_not_tell_two_worlds_apart_while_equal_events_keep_coming(rounds: int) -> None:
    """One event of the first world is left to be handled, and none of the second. All that etcd, Discord and
    heartbeats told each replica is equal. So no rule that rests on these is right in both.
    """
    seen = []
    for before, left in ((1, 1), (0, 0)):
        model, state = world(before, rounds)
        leader, young = state.replicas
        assert model.left(state, "a") == left
        log = [w._replace(index=0) if isinstance(w, Mark) else w for w in state.log]
        heard = (young.received - before, young.stamp, young.beats and len(young.beats), leader.received)
        seen.append((repr([w for w in log if isinstance(w, Mark)]), len(log), heard))
    assert seen[0] == seen[1]


def test_a_checkpoint_through_discord_leaves_no_window() -> None:
    result, model = check(2, f"a{THROUGH_DISCORD}a", DOUBT, exact=True, lively=False)
    assert result.states > 1_000
    assert model.struck > 100


#: The mark of an event from before the session was seen, and the session's first event is on its way to the
#: leader.
EARLIER_MARK = (
    *("0 receives a (0)", "0 runs a", "1 has a new session from 1", "1 receives a (1)"),
    *("the marker of 1", "0 sees", "1 sees", "1 notes"),
)


DROPS = {"drops": 1, "complete": False}


@pytest.mark.parametrize(
    ("begins", "options"),
    [
        (EARLIER_MARK, {"acknowledged": False}),
        (YOUNGER, {**BOTH, "since": False, "tally": Uncapped}),
        ((*NEW, "checkpoint 1"), {"counted": False, "tally": Uncapped}),
        (("1 has a new session from 0", "0 lets a", "1 receives a"), {**DROPS, "tally": Uncapped}),
    ],
    ids=["acknowledged", "since", "counted", "drops"],
)
def test_a_wrong_one_is_found_out(begins: Sequence[str], options: dict[str, Any]) -> None:
    with pytest.raises(Violation, match="lost"):
        check(2, "aa", begins, **{"repeats": False, "lively": False, **options})


@pytest.mark.long
def test_a_leader_that_lacks_what_the_young_replica_has_tells_nothing() -> None:
    result, model = check(2, "aa", YOUNGER, **BOTH, repeats=False)
    assert result.states > 10_000
    assert not model.struck


@pytest.mark.long
@pytest.mark.parametrize(
    ("replicas", "stream", "begins", "options"),
    [
        (2, "aa", (), {}),
        (2, "aa", DOUBT, {"checkpoints": 2}),
        (2, "aba", DOUBT, {}),
        (2, "aa", NEW[:1], {"drops": 1, "lively": False, "repeats": False}),
        (2, "a", YOUNG_LEADER, {**BOTH, "repeats": False}),
        (3, "a", NEXT_LEADER, {"cut": (1, 2), "lively": False, "deaths": 2, "repeats": False}),
    ],
    ids=str,
)
def test_larger_bounds(replicas: int, stream: str, begins: Sequence[str], options: dict[str, Any]) -> None:
    result, model = check(replicas, stream, begins, **options)
    assert result.states > 500
    assert model.struck > 10
