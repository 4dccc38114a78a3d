"""The benchmarks in small, so that they can't rot: each kind of bot, each kind of load, table and file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import bench
import bench_events
import bench_shards
import bench_start
import bench_steady
import pytest
import table
from rich.console import Console
from rig import Rig
from table import Row


def test_verdicts() -> None:
    assert Row("a", 0.6, at_least=0.5).verdict == "met"
    assert Row("a", 0.25, at_least=0.5).verdict == "missed by a factor of 2"
    assert Row("a", 3.0, at_most=1.5).verdict == "missed by a factor of 2"
    assert Row("a", 1.0).verdict == ""
    assert Row("a", 3.0, at_most=0).verdict == "missed"
    assert Row("a", 0.0, at_most=0).verdict == "met"
    assert Row("a", 23_000.0, at_most=22_000.0).goal == "≤ 22,000"


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


def test_a_start_reads_no_marks() -> None:
    found = bench_start.start(marks=20_000, rounds=1)["rounds"]
    without, read = found["without"][0], found["with"][0]
    assert without["cpu"] < read["cpu"] / 2, found


@pytest.mark.parametrize("etcd", [False, True])
def test_the_floor_handles_a_burst(etcd: bool) -> None:
    with Rig(["floor"], etcd=etcd, warm_up=0) as rig:
        burst = rig.burst(100)
    assert burst.handled == 100
    assert (burst.writes > 0) is etcd


PAGE = "# Title\n<!-- written by make bench -->\nold\n<!-- end -->\nafter\n"


def result(*rows: Row) -> dict[str, object]:
    return {"rows": [row.as_dict() for row in rows], "machine": table.machine(), "took": 1.0, "rounds": []}


def test_what_did_not_run_stays_on_the_page(tmp_path: Path) -> None:
    page, record = tmp_path / "page.md", tmp_path / "page.json"
    page.write_text(PAGE)
    bench.publish(
        {
            "fleet": result(Row("fleet's rate", 4_000.0, at_least=3_000)),
            "writes": result(Row("writes of old", 1.9, at_most=2.1), Row("no goal", 7.0)),
        },
        page,
        record,
    )
    # The next run picks two: one that is there, and one that comes before all others.
    bench.publish(
        {
            "writes": result(Row("writes of now", 4.2, at_most=2.1)),
            "throughput": result(Row("ratio", 0.6, at_least=0.5)),
        },
        page,
        record,
    )
    text = page.read_text()
    assert text.startswith("# Title")
    assert text.endswith("after\n")
    assert "old\n" not in text
    assert "writes of old" not in text
    assert "no goal" not in text
    goals, numbers = text.split("## All numbers")
    for part in (goals, numbers):
        places = [part.index(word) for word in ("ratio", "fleet's rate", "writes of now")]
        assert places == sorted(places), "in the order of the benchmarks, whatever ran first"
    assert "2 of 3 are met" in goals
    assert "**missed by a factor of 2**" in goals
    assert list(json.loads(record.read_text())["benchmarks"]) == ["throughput", "fleet", "writes"]
    assert "rounds" not in record.read_text(), "single rounds are in out/bench.json alone"


def test_a_benchmark_that_failed_and_another_version_are_told(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    about = table.machine()
    old = {**result(Row("rate", 1.0)), "machine": {**about, "discord.py": "2.0"}}
    table.fill(page, about, {"fleet": old, "writes": {"error": "OSError: full", "machine": about}})
    goals, numbers = page.read_text().split("## All numbers")
    assert "**failed**" in goals
    assert "OSError: full" in numbers
    assert "discord.py 2.0" in numbers


def test_the_five_minutes_run_only_when_they_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[str] = []

    def pretend(name: str) -> dict[str, object]:
        ran.append(name)
        return {"rows": []}

    every = {
        name: each._replace(run=lambda name=name: pretend(name)) for name, each in bench.BENCHMARKS.items()
    }
    monkeypatch.setattr(bench, "BENCHMARKS", every)
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    monkeypatch.setattr(bench, "OUT", tmp_path / "out" / "bench.json")
    monkeypatch.setattr(bench, "publish", lambda results: None)
    assert bench.main([]) == 0
    assert ran == [name for name in every if name != "steady"]
    assert bench.main(["steady"]) == 0
    assert ran[-1] == "steady"
    assert list(json.loads(bench.OUT.read_text())["benchmarks"]) == list(every)


def values(found: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    return {str(row["what"]): row["value"] for row in found["rows"]}


def test_a_steady_load_in_small() -> None:
    found = bench_steady.steady(seconds=4, rate=100, replicas=2, retention=6)
    rows = values(found)
    assert rows["lost, of 400 events"] == 0
    assert rows["handled again, of 400 events"] == 0
    assert rows["handled by r0"] + rows["handled by r1"] == 400
    assert 0 < rows["added latency, p50"] <= rows["added latency, p99"]
    assert rows["added latency, p99"] < rows["from sent to handler begun, most"]
    assert 300 <= rows["claims and marks in etcd, most"] <= 400 + 100, "one an event, of those before it, too"
    assert len(found["samples"]) > 3


def test_shards_in_small() -> None:
    found = bench_shards.shards(counts=(2,), burst=100, against=False)
    assert [point["handled"] for point in found["shards"]] == [100]
    assert values(found)["IDENTIFYs that came too early"] == 0
    assert found["shards"][0]["seconds"] > found["shards"][0]["possible"] == 3.0
