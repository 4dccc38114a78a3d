"""The simulation: a seed gives one history, the library keeps its promises, and broken builds are found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from machine import slowness

TESTS = Path(__file__).parents[1]
#: One seed with outages and a catch-up, one without, one with shards.
SHORT = ("--mix", "--seeds", "3", "--seconds", "10", "--calm", "20")
#: One with shards and three without.
SHORTER = ("--mix", "--short", "--first", "17", "--seeds", "4")


def start(*arguments: str) -> subprocess.Popen[str]:
    """``python -m simulation``: a process of its own, since it imports the library without real threads."""
    path = [TESTS.parent, TESTS, TESTS / "support", *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(map(str, path))}
    return subprocess.Popen(
        [sys.executable, "-m", "simulation", *arguments], env=environment, stdout=subprocess.PIPE, text=True
    )


def answer(process: subprocess.Popen[str], timeout: float = 200.0) -> str:
    try:
        return process.communicate(timeout=timeout * slowness())[0]
    except BaseException:
        process.kill()
        process.communicate()
        raise


def results(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_a_seed_gives_the_same_history_twice_and_no_violation() -> None:
    both = [start("--json", *SHORT) for _ in range(2)]
    first, second = [answer(process) for process in both]
    assert first == second
    found = results(first)
    assert [each["violations"] for each in found] == [[], [], []], first
    assert len({each["digest"] for each in found}) == 3
    assert all(each["events"] > 150 and each["faults"] > 0 and each["operations"] > 100 for each in found)


def test_a_short_seed_gives_the_same_history_in_any_worker() -> None:
    processes = [start("--json", *SHORTER, "--workers", workers) for workers in ("1", "2")]
    one, two = [{each["seed"]: each for each in results(answer(process))} for process in processes]
    assert one == two
    assert sorted(one) == [17, 18, 19, 20]
    assert [each["violations"] for each in one.values()] == [[]] * 4
    assert all(each["faults"] >= 4 and each["events"] > 40 for each in one.values())


def test_a_broken_build_is_found_and_its_faults_are_cut_down() -> None:
    few = ("--seconds", "8", "--calm", "6", "--tries", "2")
    text = answer(start("--seed", "1", "--broken", "claim-not-compared", *few))
    assert "two at a time" in text
    assert "repeat: make simulate" in text


@pytest.mark.long
def test_every_broken_build_is_found() -> None:
    text = answer(start("--broken", "all", "--short", "--seeds", "1000"), timeout=7200)
    print(text)
    assert "not found" not in text


@pytest.mark.long
def test_many_seeds() -> None:
    text = answer(
        start("--mix", "--short", "--seeds", os.environ.get("SEEDS", "200"), "--keep-going"), timeout=7200
    )
    print(text)
    assert "seeds with a violation: none" in text
