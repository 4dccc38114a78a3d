"""How often a bot that crashes at start may identify."""

from __future__ import annotations

import pytest

from discordha.coordination.quotas.identify_budget import CRASHES_KEPT, PROVEN, allowance, delay, free_crashes


def most_in_an_hour(lives_for: float, shards: int, total: int, duration: float) -> int:
    """The IDENTIFYs in the worst hour of a bot that is started again at once when it crashes."""
    now = 0.0
    runs: list[tuple[float, int]] = []
    while now < duration:
        known = [(at, used) for at, used in runs if now - at < CRASHES_KEPT]
        spent = sum(used for _, used in known)
        begins = now + delay(len(known), total)
        used = shards if not known else max(min(shards, allowance(total) - spent), 0)
        if used:
            runs.append((begins, used))
            now = begins + lives_for
        else:
            now += 1.0  # it waits for its turn
    return max(sum(used for at, used in runs if 0 <= at - start < 3600.0) for start, _ in runs)


@pytest.mark.parametrize("lives_for", [0.1, 1.0, 10.0, 60.0, PROVEN - 0.1])
def test_a_crash_loop_uses_at_most_30_identifies_an_hour(lives_for: float) -> None:
    most = most_in_an_hour(lives_for, 1, 1000, 5 * 3600.0)
    assert 10 <= most <= 30


@pytest.mark.parametrize("shards", [2, 8, 16])
def test_so_does_one_with_several_shards(shards: int) -> None:
    most = most_in_an_hour(1.0, shards, 1000, 5 * 3600.0)
    assert most <= 30


def test_a_run_that_is_never_counted_is_long_enough() -> None:
    assert 3600.0 / PROVEN <= 30


def test_the_first_crashes_cost_nothing() -> None:
    assert free_crashes(1000) == 3
    assert [delay(crashes, 1000) for crashes in range(6)] == [0.0, 0.0, 0.0, 2.0, 4.0, 8.0]
    assert delay(1000, 1000) == 300.0
