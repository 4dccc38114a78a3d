"""Which versions may run side by side, by what their member records say."""

from __future__ import annotations

import pytest

from discordha.coordination.membership.formats import FORMAT, READS, incompatibility


@pytest.mark.parametrize(
    "record",
    [
        {"format": FORMAT, "reads": READS},
        {"format": FORMAT},  # from before ``reads`` was written
        {"format": FORMAT + 1, "reads": FORMAT},  # the next version, which can still do without its news
        {},  # just starting, or no replica
    ],
)
def test_neighbours_run_side_by_side(record: dict[str, int]) -> None:
    assert incompatibility("r1", {"version": "9", **record}) is None


@pytest.mark.parametrize(
    "record",
    [
        {"format": FORMAT + 1, "reads": FORMAT + 1},
        {"format": FORMAT + 1},
        {"format": READS - 1, "reads": READS - 1},
        {"format": "two"},
        {"format": None},
    ],
)
def test_others_are_named(record: dict[str, object]) -> None:
    reason = incompatibility("r1", {"version": "9", **record})  # type: ignore[dict-item]
    assert reason is not None
    assert "r1 (version 9)" in reason
    assert f"format {record['format']!r}" in reason
