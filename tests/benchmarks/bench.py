"""make bench: all benchmarks as one table, in out/bench.json, and in docs/performance.md.

``BENCH=name,name`` (or arguments) picks some; their results replace those of an earlier run in the file.
A benchmark that fails is a line of the table, and the exit status.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import bench_curves
import bench_events
import table

ROOT = Path(__file__).parents[2]
OUT = ROOT / "out" / "bench.json"
PAGE = ROOT / "docs" / "performance.md"


def _measured(module: str) -> Callable[[], dict[str, Any]]:
    """A module of another part, with ``measure() -> dict``: each number of it is a row."""

    def run() -> dict[str, Any]:
        found = importlib.import_module(module).measure()
        rows: list[dict[str, Any]] = []

        def flatten(name: str, value: Any) -> None:
            if isinstance(value, dict):
                for key, part in value.items():
                    flatten(f"{name} {key}".strip(), part)
            elif isinstance(value, int | float):
                rows.append(table.Row(name.replace("_", " "), float(value)).as_dict())

        flatten("", found)
        return {"rows": rows, "found": found}

    return run


def benchmarks() -> dict[str, Callable[[], dict[str, Any]]]:
    """All there are, by name, in the order of the table."""
    found: dict[str, Callable[[], dict[str, Any]]] = {
        "throughput": bench_events.throughput,
        "fleet": bench_events.fleet,
        "latency": bench_events.latency,
        "writes": bench_events.writes,
        "losing": bench_events.losing,
        "original": bench_events.original,
        "curves": bench_curves.curves,
        "shared_state": _measured("bench_shared_state"),
    }
    if importlib.util.find_spec("bench_shards") is not None:
        found["shards"] = _measured("bench_shards")
    return found


def main(names: list[str]) -> int:
    """Runs them; 1 when one failed, 2 for an unknown name. A goal that is missed is told, and no failure."""
    known = benchmarks()
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    results: dict[str, dict[str, Any]] = {}
    for name in names or known:
        begun = time.monotonic()
        about = table.machine()
        try:
            results[name] = known[name]()
        except Exception as error:  # noqa: BLE001 - the other benchmarks run all the same
            traceback.print_exc()
            results[name] = {"error": f"{type(error).__name__}: {error}"[:300]}
        results[name] |= {"machine": about, "took": round(time.monotonic() - begun, 1)}
        print(f"{name}: {results[name]['took']} s", flush=True)
        before = json.loads(OUT.read_text())["benchmarks"] if OUT.exists() else {}
        known_now = {**before, **results}
        table.write(OUT, about, {name: known_now[name] for name in known if name in known_now})
    table.show(results)
    print(f"written: {OUT.relative_to(ROOT)}")
    if PAGE.exists():
        everything = json.loads(OUT.read_text())
        table.fill(PAGE, everything["machine"], everything["benchmarks"])
        print(f"written: {PAGE.relative_to(ROOT)}")
    if "curves" in results and "error" not in results["curves"]:
        import plots  # matplotlib takes its time to load

        for path in plots.draw(results["curves"], ROOT / "docs"):
            print(f"written: {path.relative_to(ROOT)}")
    return int(any("error" in result for result in results.values()))


if __name__ == "__main__":
    picked = sys.argv[1:] or os.environ.get("BENCH", "").replace(",", " ").split()
    sys.exit(main(picked))
