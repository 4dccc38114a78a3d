"""The plots in docs/, from the points of ``bench_curves``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

__all__ = ["draw"]


def draw(curves: Mapping[str, Any], to: Path) -> list[Path]:
    """Writes one PNG for each curve; returns their paths."""
    made = []
    figure, axes = pyplot.subplots(figsize=(6, 3.6))
    points = curves["replicas"]
    axes.plot([p["replicas"] for p in points], [p["rate"] for p in points], "o-")
    axes.set(xlabel="replicas on one machine", ylabel="events/s, each once", ylim=(0, None))
    axes.set_xticks([p["replicas"] for p in points])
    made.append(_save(figure, axes, to / "performance-replicas.png"))

    figure, axes = pyplot.subplots(figsize=(6, 3.6))
    points = curves["rates"]
    for share, style in (("p50", "o-"), ("p99", "s--")):
        axes.plot([p["handled"] for p in points], [p[share] * 1000 for p in points], style, label=share)
    axes.set(xlabel="events/s, one replica", ylabel="added latency, ms", xscale="log", yscale="log")
    axes.legend()
    made.append(_save(figure, axes, to / "performance-latency.png"))

    figure, axes = pyplot.subplots(figsize=(6, 3.6))
    points = curves["workers"]
    axes.plot([p["workers"] for p in points], [p["rate"] for p in points], "o-")
    axes.set(xlabel="workers", ylabel="events/s, handlers of 10 ms", xscale="log", ylim=(0, None))
    axes.set_xticks([p["workers"] for p in points], [str(p["workers"]) for p in points])
    made.append(_save(figure, axes, to / "performance-workers.png"))
    return made


def _save(figure: Any, axes: Any, path: Path) -> Path:
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    return path
