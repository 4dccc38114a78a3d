"""``top`` survives an outage of etcd, and shows the last status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from click.testing import CliRunner

from discordha.errors import StoreUnavailable
from discordha.operations.cli import fleet_commands as commands
from discordha.operations.cli import options as shared


class Fleet:
    def __init__(self) -> None:
        self.asked = 0

    def status(self) -> dict[str, Any]:
        self.asked += 1
        if self.asked == 2:
            raise StoreUnavailable("etcd went for a walk")
        return {"root": "/x/", "replicas": {}, "etcd": [], "identify": None, "dead_letters": self.asked}


def test_top_goes_on_when_etcd_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet()
    shown: list[tuple[int, str | None]] = []

    @contextmanager
    def opened(options: dict[str, Any]) -> Iterator[Fleet]:
        yield fleet

    def table(status: dict[str, Any], error: str | None = None) -> str:
        shown.append((status["dead_letters"], error))
        return "x" * 300

    monkeypatch.setattr(shared, "open_fleet", opened)
    monkeypatch.setattr(commands, "status_table", table)
    result = CliRunner().invoke(commands.cli, ["top", "--count", "3", "--interval", "0", "--name", "x"])
    assert result.exit_code == 0, result.output
    assert shown == [(1, None), (1, "etcd went for a walk"), (3, None)]
    assert result.output == ("x" * 300 + "\n") * 3, "a pipe gets each look, uncut"
