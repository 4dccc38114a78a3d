"""make bench: all benchmarks as one table, in out/bench.json, and in docs/performance.md.

``BENCH=name,name`` (or arguments) picks some; their results replace those of an earlier run, and all others
stay. The rows of all are kept in docs/performance.json. ``steady``, five minutes long, runs only when picked.
A benchmark that fails is a line of the table, and the exit status.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import bench_curves
import bench_events
import bench_shards
import bench_shared_state
import bench_start
import bench_steady
import table

ROOT = Path(__file__).parents[2]
OUT = ROOT / "out" / "bench.json"
PAGE = ROOT / "docs" / "performance.md"
RECORD = PAGE.with_suffix(".json")


class Benchmark(NamedTuple):
    """One group of the table."""

    title: str
    run: Callable[[], dict[str, Any]]
    when_asked: bool = False
    """Only when it is named."""


def _shared_state() -> dict[str, Any]:
    found = bench_shared_state.measure()
    return {"rows": [table.Row(name, value).as_dict() for name, value in found.items()]}


BENCHMARKS = {
    "throughput": Benchmark("One replica against plain discord.py, bursts", bench_events.throughput),
    "fleet": Benchmark("Three replicas on one machine, bursts", bench_events.fleet),
    "latency": Benchmark("One replica against raw etcd transactions, 100 a second", bench_events.latency),
    "writes": Benchmark("Consensus writes at a steady rate", bench_events.writes),
    "losing": Benchmark("A replica that loses every event, against plain discord.py", bench_events.losing),
    "original": Benchmark("Three replicas against the original's protocol, bursts", bench_events.original),
    "steady": Benchmark("Five minutes at 1,000 events a second", bench_steady.steady, when_asked=True),
    "curves": Benchmark("How it scales", bench_curves.curves),
    "shared_state": Benchmark("Caches, counters, locks", _shared_state),
    "start": Benchmark("A replica's start beside many marks", bench_start.start),
    "shards": Benchmark("Shards", bench_shards.shards),
    "scaling": Benchmark("Eight replicas with eight shards against two with two", bench_shards.scaling),
}


def main(names: list[str]) -> int:
    """Runs them; 1 when one failed, 2 for an unknown name. A goal that is missed is told, and no failure."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    results: dict[str, dict[str, Any]] = {}
    for name in names or [name for name, benchmark in BENCHMARKS.items() if not benchmark.when_asked]:
        begun = time.monotonic()
        about = table.machine()
        try:
            results[name] = BENCHMARKS[name].run()
        except Exception as error:  # noqa: BLE001 - the other benchmarks run all the same
            traceback.print_exc()
            results[name] = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        results[name] |= {"machine": about, "took": round(time.monotonic() - begun, 1)}
        print(f"{name}: {results[name]['took']} s", flush=True)
        table.write(OUT, about, _merged(OUT, results))
    table.show(results)
    print(f"written: {OUT.relative_to(ROOT)}")
    publish(results)
    return int(any("error" in result for result in results.values()))


def _merged(path: Path, results: Mapping[str, Any]) -> dict[str, Any]:
    """What the file has, and the new results, in the order of the table."""
    known = {**(json.loads(path.read_text())["benchmarks"] if path.exists() else {}), **results}
    return {name: known[name] for name in BENCHMARKS if name in known}


def publish(results: Mapping[str, Any], page: Path = PAGE, record: Path = RECORD) -> None:
    """Brings page, record and plots up to date; what has not run now stays in them as it is.

    :param record: the rows of all benchmarks, part of the sources like the page.
    """
    kept = {
        name: {key: result[key] for key in ("rows", "error", "machine", "took") if key in result}
        for name, result in results.items()
    }
    everything = _merged(record, kept)
    about = next(reversed(list(results.values())))["machine"]
    table.write(record, about, everything)
    titles = {name: benchmark.title for name, benchmark in BENCHMARKS.items()}
    table.fill(page, about, everything, titles)
    import plots  # matplotlib takes its time to load

    for path in (record, page, *plots.draw(results, page.parent)):
        print(f"written: {path.name}")


if __name__ == "__main__":
    picked = sys.argv[1:] or os.environ.get("BENCH", "").replace(",", " ").split()
    sys.exit(main(picked))
