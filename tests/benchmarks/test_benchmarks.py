"""The benchmarks in small, so that they can't rot: each kind of bot, each kind of load, table and file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import bench
import bench_events
import table
from rich.console import Console
from table import Row


def test_verdicts() -> None:
    assert Row("a", 0.6, at_least=0.5).verdict == "met"
    assert Row("a", 0.25, at_least=0.5).verdict == "missed by a factor of 2"
    assert Row("a", 3.0, at_most=1.5).verdict == "missed by a factor of 2"
    assert Row("a", 1.0).verdict == ""


def test_unknown_names_are_refused() -> None:
    assert bench.main(["fast"]) == 2


def test_original_and_ours_handle_a_burst_once_and_stand_in_the_table(tmp_path: Path) -> None:
    found = bench_events.original(events=100, rounds=1, replicas=2, warm=False)
    assert [rounds[0]["handled"] for rounds in found["rounds"].values()] == [100, 100]
    original, ours = (rounds[0]["writes"] for rounds in found["rounds"].values())
    assert original >= 5 > ours, "2R + 1 consensus writes an event, against a share of one"

    table.write(tmp_path / "out" / "bench.json", table.machine(), {"original": found})
    assert json.loads((tmp_path / "out" / "bench.json").read_text())["benchmarks"]["original"] == found
    shown = io.StringIO()
    table.show({"original": found}, Console(file=shown, width=140))
    assert "the original's protocol: events/s" in shown.getvalue()

    page = tmp_path / "page.md"
    page.write_text("# Title\n<!-- written by make bench -->\nold\n<!-- end -->\nafter\n")
    about = table.machine()
    for _ in range(2):  # the second time finds what the first has written
        table.fill(page, about, {"original": {**found, "machine": about}})
    text = page.read_text()
    assert text.startswith("# Title")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("BENCH=original") == 1
