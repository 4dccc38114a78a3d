"""All interleavings of the standby journal up to a bound; and that each broken build is found out."""

from __future__ import annotations

import pytest
from explore import Result, Violation, explore
from journal_model import Break, JournalModel


def check(model: JournalModel) -> Result:
    return explore(model.initial(), model.steps, model.invariant, model.goal)


@pytest.mark.parametrize(
    ("stream", "faults"),
    [
        *(("aa", 0), ("ab", 0), ("aba", 0), ("aab", 0), ("aa", 1), ("ab", 1)),
        pytest.param("aba", 1, marks=pytest.mark.long),
        pytest.param("aab", 1, marks=pytest.mark.long),
    ],
)
def test_two_replicas(stream: str, faults: int) -> None:
    result = check(JournalModel(2, stream, faults=faults))
    assert result.states > 50, result


@pytest.mark.long
def test_two_faults_in_a_row() -> None:
    result = check(JournalModel(2, "aa", faults=2))
    assert result.states > 1000, result


@pytest.mark.long
def test_three_replicas() -> None:
    result = check(JournalModel(3, "aa", faults=1))
    assert result.states > 1000, result


@pytest.mark.parametrize(
    ("broken", "faults", "found"),
    [
        (Break(strikes_by_hash=True), 1, "stuck|P4|there are fewer"),
        (Break(ignores_early_marks=True), 1, "stuck|P4|there are fewer"),
        pytest.param(Break(forgets_marks_under_way=True), 2, "stuck", marks=pytest.mark.long),
        (Break(leads_before_it_has_caught_up=True), 1, "P4|there are fewer"),
        (Break(resigns_without_carries=True), 1, "P4: event . is run again"),
        (Break(marks_by_put_not_by_version=True), 1, "stuck|P4|there are fewer"),
    ],
    ids=lambda value: (
        "+".join(n for n, on in value._asdict().items() if on) if isinstance(value, Break) else ""
    ),
)
def test_a_broken_build_is_found_out(broken: Break, faults: int, found: str) -> None:
    with pytest.raises(Violation, match=found) as caught:
        check(JournalModel(2, "aa", faults=faults, broken=broken))
    assert len(caught.value.trace) < 30, caught.value
