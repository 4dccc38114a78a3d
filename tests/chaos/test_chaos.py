"""Chaos: a mixed load and a seeded schedule of faults; nothing lost, nothing repeated, order kept.

``make chaos`` runs for CHAOS_SECONDS (600); the same CHAOS_SEED gives the same faults in the same order.
CHAOS_FAULTS names the only kinds of faults, between commas without spaces. CHAOS_OVERLAP=2 has two at once.
And the checker is checked: builds that are broken on purpose must be caught.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from machine import slowness
from run import chaos, from_environment


class Broken(NamedTuple):
    """How a broken build shows: under which faults, and as what."""

    faults: tuple[str, ...]
    shows: set[str]
    handler: float = 0.03
    seconds: float = 25.0


BUILDS = {
    "claim": Broken(("gateway duplicates",), {"started again"}, seconds=3.0),
    "mark": Broken(("kill -9",), {"started again"}),
    "nonce": Broken(("kill -9, before answers",), {"repeated"}),
    "fence": Broken(("pause above the TTL",), {"acted after its loss"}, handler=0.12, seconds=35.0),
    "fence and nonce": Broken(("pause above the TTL",), {"repeated"}, handler=0.12, seconds=35.0),
    "journal": Broken(("kill -9",), {"lost"}),
}


def test_a_short_run(tmp_path: Path) -> None:
    seed = from_environment(0, seed=1)[1]
    report = chaos(20, seed, directory=tmp_path, rate=1 / slowness())
    print(report.table())
    # How long things take is judged by the long run, on a machine that does nothing else.
    assert not report.kinds_of_violations() - {"late"}, f"CHAOS_SEED={seed}\n{report.table()}"


def _is_caught(name: str, directory: Path) -> None:
    build = BUILDS[name]
    seed = from_environment(0, seed=1)[1]
    report = chaos(
        build.seconds,
        seed,
        directory=directory,
        only=build.faults,
        broken=name,
        handler=build.handler,
        rate=1 / slowness(),
    )
    print(report.table())
    assert build.shows & report.kinds_of_violations(), f"not caught: CHAOS_SEED={seed}\n{report.table()}"
    assert report.seconds < 60 * slowness()


def test_a_build_that_does_not_check_its_claims_is_caught(tmp_path: Path) -> None:
    _is_caught("claim", tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in BUILDS if name != "claim"])
def test_a_broken_build_is_caught(name: str, tmp_path: Path) -> None:
    _is_caught(name, tmp_path)


@pytest.mark.long
def test_a_long_run(tmp_path: Path) -> None:
    from page import write  # needs matplotlib, which nothing else here does

    seconds, seed, rate = from_environment(600)
    print(f"\nCHAOS_SECONDS={seconds:g} CHAOS_SEED={seed}")
    only = [name for name in re.split(r",(?! )", os.environ.get("CHAOS_FAULTS", "")) if name]
    overlap = int(os.environ.get("CHAOS_OVERLAP") or 1)
    report = chaos(seconds, seed, directory=tmp_path, only=only, overlap=overlap, rate=rate)
    print(report.table())
    print(f"look at {write(report, Path('out'))}")
    assert report.ok, f"CHAOS_SEED={seed}\n{report.table()}"
