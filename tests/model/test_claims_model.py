"""All interleavings of claims, sessions and faults up to a bound; and that each broken build is found out."""

from __future__ import annotations

import pytest
from claims_model import Break, ClaimsModel
from explore import Result, Violation, explore


def check(model: ClaimsModel) -> Result:
    return explore(model.initial(), model.steps, model.invariant, model.goal)


@pytest.mark.parametrize(
    "faults",
    [
        {"deaths": 1, "pauses": 0, "lost_answers": 2},
        {"deaths": 0, "pauses": 2, "lost_answers": 1},
        {"deaths": 1, "pauses": 1, "lost_answers": 1},
    ],
    ids=str,
)
def test_two_replicas(faults: dict[str, int]) -> None:
    result = check(ClaimsModel(2, **faults))
    assert result.states > 1000, result


def test_three_replicas_two_of_which_die() -> None:
    result = check(ClaimsModel(3, deaths=2, pauses=0, lost_answers=0))
    assert result.states > 1000, result


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        (Break(claim_unchecked=True), "P1"),
        (Break(mark_skipped=True), "P3|stuck"),
        (Break(fence_removed=True), "P5: a replica acts without its session"),
        (Break(nonce_removed=True), "P5: the message stands twice"),
        (Break(early_lease_end=True), "P1"),
        (Break(lost_answer_is_won=True), "P1"),
        (Break(lost_answer_is_lost=True), "stuck"),
        (Break(absent_is_won=True), "P1"),
        (Break(running_is_final=True), "stuck"),
        (Break(lost_look_is_done=True), "stuck"),
    ],
    ids=lambda value: (
        "+".join(n for n, on in value._asdict().items() if on) if isinstance(value, Break) else ""
    ),
)
def test_a_broken_build_is_found_out(broken: Break, found: str) -> None:
    with pytest.raises(Violation, match=found) as caught:
        check(ClaimsModel(2, deaths=1, pauses=1, lost_answers=1, broken=broken))
    assert len(caught.value.trace) < 25, caught.value
