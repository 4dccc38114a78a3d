"""The plots in docs/, from the points of the benchmarks that have some."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

__all__ = ["draw"]

MB = 1e6


def draw(results: Mapping[str, Mapping[str, Any]], to: Path) -> list[Path]:
    """Writes the PNGs of each benchmark that has run; returns their paths."""
    painters: Mapping[str, Callable[[Mapping[str, Any], Path], list[Path]]] = {
        "curves": _curves,
        "shards": _shards,
        "steady": _steady,
    }
    return [
        path
        for name, paint in painters.items()
        if name in results and "error" not in results[name]
        for path in paint(results[name], to)
    ]


def _curves(curves: Mapping[str, Any], to: Path) -> list[Path]:
    made = []
    figure, axes = pyplot.subplots(figsize=(6, 3.6))
    points = curves["replicas"]
    axes.plot([p["replicas"] for p in points], [p["rate"] for p in points], "o-")
    axes.set(xlabel="replicas on one machine", ylabel="events/s, each once", ylim=(0, None))
    axes.set_xticks([p["replicas"] for p in points])
    made.append(_save(figure, [axes], to / "performance-replicas.png"))

    figure, axes = pyplot.subplots(figsize=(6, 3.6))
    points = curves["rates"]
    for share, style in (("p50", "o-"), ("p99", "s--")):
        axes.plot([p["handled"] for p in points], [p[share] * 1000 for p in points], style, label=share)
    axes.set(xlabel="events/s, one replica", ylabel="added latency, ms", xscale="log", yscale="log")
    axes.legend()
    made.append(_save(figure, [axes], to / "performance-latency.png"))

    figure, axes = pyplot.subplots(figsize=(6, 3.6))
    points = curves["workers"]
    axes.plot([p["workers"] for p in points], [p["rate"] for p in points], "o-")
    axes.set(xlabel="workers", ylabel="events/s, handlers of 10 ms", xscale="log", ylim=(0, None))
    axes.set_xticks([p["workers"] for p in points], [str(p["workers"]) for p in points])
    made.append(_save(figure, [axes], to / "performance-workers.png"))
    return made


def _shards(found: Mapping[str, Any], to: Path) -> list[Path]:
    points = found["shards"]
    numbers = [p["shards"] for p in points]
    figure, (rate, ready, memory) = pyplot.subplots(1, 3, figsize=(11, 3.4))
    rate.plot(numbers, [p["rate"] for p in points], "o-")
    rate.set(ylabel="events/s in a burst, each once")
    ready.plot(numbers, [p["seconds"] for p in points], "o-", label="all ready")
    ready.plot(numbers, [p["possible"] for p in points], "k:", label="possible: one IDENTIFY a second")
    ready.set(ylabel="seconds from the start")
    ready.legend(fontsize="small")
    memory.plot(numbers, [p["memory"] / MB for p in points], "o-")
    memory.set(ylabel="memory of a replica, MB")
    for axes in (rate, ready, memory):
        axes.set(
            xlabel="shards, each on both of 2 replicas", xscale="log", ylim=(0, axes.get_ylim()[1] * 1.05)
        )
        axes.set_xticks(numbers, [str(number) for number in numbers])
        axes.minorticks_off()
    return [_save(figure, (rate, ready, memory), to / "performance-shards.png")]


def _steady(found: Mapping[str, Any], to: Path) -> list[Path]:
    samples = found["samples"]
    at = [s["at"] for s in samples]
    figure, (keys, size, memory) = pyplot.subplots(1, 3, figsize=(11, 3.4))
    keys.plot(at, [s["prefixes"]["e"] for s in samples])
    keys.set(ylabel="claims and marks in etcd")
    size.plot(at, [s["size"] / MB for s in samples], "--", label="file")
    size.plot(at, [s["in_use"] / MB for s in samples], label="in use")
    size.set(ylabel="etcd's database, MB")
    size.legend(fontsize="small")
    memory.plot(at, [s["memory"] / MB for s in samples])
    memory.set(ylabel="memory of the largest replica, MB")
    for axes in (keys, size, memory):
        axes.set(xlabel="seconds", ylim=(0, None))
        axes.axvline(found["retention"] * 1.1, color="k", linestyle=":")
    return [_save(figure, (keys, size, memory), to / "performance-steady.png")]


def _save(figure: Any, all_axes: Sequence[Any], path: Path) -> Path:
    for axes in all_axes:
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    return path
