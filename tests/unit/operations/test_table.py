"""The table that ``status`` and ``top`` show."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from discordha.operations.cli import fleet_commands
from discordha.operations.cli.fleet_commands import status_table

STARTED = 1_700_000_000


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_commands.time, "time", lambda: STARTED + 3725.5)


def shown(status: dict[str, Any], error: str | None = None) -> str:
    console = Console(width=140, force_terminal=False)
    with console.capture() as capture:
        console.print(status_table(status, error))
    return capture.get()


def status(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "root": "/discordha/v1/mybot/",
        "replicas": {
            "bot-0": {
                "version": "0.1.0",
                "state": "ready",
                "started": STARTED,
                "leads": [0],
                "shards": [0],
                "queue": {"waiting": 2, "delayed": 3, "running": 1},
                "handled": 7,
                "reasons": [],
            },
            "bot-1": {"state": "deaf", "reasons": ["shard 0 is deaf [sic]"]},
            "odd": {},
        },
        "etcd": [
            {"endpoint": "etcd-0:2379", "error": None, "latency": 0.0012, "is_leader": True},
            {"endpoint": "etcd-1:2379", "error": "can't be reached", "latency": 0.0, "is_leader": False},
        ],
        "shards": {"count": None, "next": None},
        "identify": None,
        "dead_letters": 1,
        "gaps": [],
    }
    return {**found, **changes}


def test_the_table_shows_replicas_and_why_one_is_not_ready() -> None:
    text = shown(status())
    row = next(line for line in text.splitlines() if "bot-0" in line)
    assert [cell.strip() for cell in row.strip("│ ").split("│")][1:] == [
        "0.1.0",
        "ready",
        "1:02:05",
        "0",
        "0",
        "5",
        "1",
        "7",
    ]
    assert "bot-1: shard 0 is deaf [sic]" in text
    assert "etcd-0:2379: 1.2 ms, leads; etcd-1:2379: can't be reached" in text
    assert "Dead letters: 1" in text
    assert "New sessions" not in text


def test_the_caption_shows_the_session_budget_and_an_error() -> None:
    text = " ".join(shown(status(identify={"remaining": 7, "total": 1000}), "etcd does not answer").split())
    assert "New sessions left: 7 of 1000" in text
    assert "as it was: etcd does not answer" in text


def test_the_caption_shows_present_and_next_shards() -> None:
    assert "Shards: 4, 8 to come" in shown(status(shards={"count": 4, "next": 8}))
    assert "to come" not in shown(status(shards={"count": 8, "next": None}))


def test_the_caption_says_that_a_gap_is_caught_up() -> None:
    gap = {"counts": {"MESSAGE_CREATE": 40, "GUILD_MEMBER_ADD": 2}, "over": False}
    assert "Catching up: 1 gaps, 42 events so far" in shown(status(gaps=[gap]))
    assert "Catching up" not in shown(status())
