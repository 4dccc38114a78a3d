"""Chaos: a mixed load and a seeded schedule of faults; nothing lost, nothing repeated, order kept.

``make chaos`` runs for CHAOS_SECONDS (600); the same CHAOS_SEED gives the same faults in the same order.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from run import chaos, from_environment


def test_a_short_run(tmp_path: Path) -> None:
    seed = from_environment(0)[1]
    report = chaos(30, seed, directory=tmp_path)
    print(report.table())
    assert report.ok, f"CHAOS_SEED={seed}\n{report.table()}"


@pytest.mark.long
def test_a_long_run(tmp_path: Path) -> None:
    seconds, seed = from_environment(600)
    print(f"\nCHAOS_SECONDS={seconds:g} CHAOS_SEED={seed}")
    report = chaos(seconds, seed, directory=tmp_path)
    print(report.table())
    out = Path("out")
    out.mkdir(exist_ok=True)
    (out / "chaos.json").write_text(report.json())
    assert report.ok, f"CHAOS_SEED={seed}\n{report.table()}"
