"""Which versions may run side by side, by what their member records say."""

from __future__ import annotations

import pytest

from discordha.coordination.membership.formats import (
    FORMAT,
    PARTITIONED,
    READS,
    incompatibility,
    reading,
    writing,
)


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


def test_a_replica_that_knows_no_partitions_stays_out_of_a_bot_that_has_them() -> None:
    older, newer = {"format": 1, "reads": 1}, {"format": FORMAT, "reads": PARTITIONED}
    assert incompatibility("r1", older) is None
    assert incompatibility("r1", older, True) is not None
    assert incompatibility("r1", newer, True) is None


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


@pytest.mark.parametrize(
    ("record", "stored"),
    [
        ({"state": "unready", "pid": 1}, {"state": "deaf", "pid": 1}),
        ({"state": "ready"}, {"state": "ready"}),
        ({"state": "of another version"}, {"state": "of another version"}),
        ({"state": ["?"]}, {"state": ["?"]}),
        ({}, {}),
    ],
)
def test_states_have_the_names_of_the_earliest_version_in_etcd(
    record: dict[str, object], stored: dict[str, object]
) -> None:
    assert writing(record) == stored
    assert reading(stored) == record
