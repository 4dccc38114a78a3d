"""A campaign of seeds goes on after an end, waits while it is held, and survives its workers."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simulation.campaign import SEEDS_OF_WORKER, Campaign


def wait_until(condition: Callable[[], Any], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def run(seed: int) -> dict[str, Any]:
    return {"seed": seed, "violations": [], "worker": os.getpid()}


def test_a_campaign_runs_only_what_its_record_lacks(tmp_path: Path) -> None:
    record = tmp_path / "lines"
    first = list(Campaign(run, workers=2, record=record).lines(range(1, 6)))
    with record.open("a") as file:
        file.write('{"seed": 6, "viol')  # the machine went down
    again = list(Campaign(run, workers=2, record=record).lines(range(1, 9)))
    assert sorted(line["seed"] for line in again) == list(range(1, 9))
    kept = [line for line in again if line["seed"] <= 5]
    assert sorted(kept, key=lambda line: line["seed"]) == sorted(first, key=lambda line: line["seed"])


def test_a_worker_that_dies_or_hangs_fails_its_seed_alone() -> None:
    def fails(seed: int) -> dict[str, Any]:
        if seed == 2:
            os._exit(3)
        while seed == 3:
            pass
        return run(seed)

    lines = {line["seed"]: line for line in Campaign(fails, workers=2, limit=1).lines(range(1, 6))}
    assert {seed: line["violations"] for seed, line in lines.items()} == {
        1: [],
        2: [[0.0, "the simulation failed", "ended by 3"]],
        3: [[0.0, "the simulation failed", "hung"]],
        4: [],
        5: [],
    }


def test_workers_are_replaced_after_some_seeds() -> None:
    lines = list(Campaign(run, workers=1).lines(range(SEEDS_OF_WORKER + 1)))
    assert len({line["worker"] for line in lines}) == 2


def test_workers_end_with_a_campaign_that_is_killed(tmp_path: Path) -> None:
    record, held = tmp_path / "lines", tmp_path / "held"

    def run_and_hold(seed: int) -> dict[str, Any]:
        held.touch()
        return run(seed)

    campaign = Campaign(run_and_hold, workers=1, record=record, held=held)
    context = multiprocessing.get_context("fork")
    process = context.Process(target=lambda: list(campaign.lines([1, 2])))
    process.start()
    wait_until(lambda: record.exists() and record.read_text().endswith("\n"), 30)
    worker = Path(f"/proc/{json.loads(record.read_text())['worker']}")
    assert worker.exists()
    process.kill()
    process.join()
    wait_until(lambda: not worker.exists(), 30)


def test_no_seed_begins_while_a_campaign_is_held(tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.touch()
    found: list[dict[str, Any]] = []
    campaign = Campaign(run, workers=1, held=held)
    thread = threading.Thread(target=lambda: found.extend(campaign.lines([1])))
    thread.start()
    time.sleep(0.3)
    assert not found
    held.unlink()
    thread.join(30)
    assert [line["seed"] for line in found] == [1]
