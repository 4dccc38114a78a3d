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


def shown(status: dict[str, Any], error: str | None = None, width: int = 140) -> str:
    console = Console(width=width, force_terminal=False)
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
            "bot-1": {"state": "unready", "reasons": ["shard 0 is deaf [sic]"]},
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
    assert row.split() == ["bot-0", "0.1.0", "ready", "1:02:05", "0", "0", "5", "1", "7"]
    assert "bot-1: shard 0 is deaf [sic]" in text
    assert "etcd etcd-0:2379: 1.2 ms, leads\netcd etcd-1:2379: can't be reached\n" in text
    assert "Dead letters: 1" in text
    assert "New sessions" not in text


def test_the_lines_below_show_the_session_budget_and_an_error() -> None:
    text = shown(status(identify={"remaining": 7, "total": 1000}), "etcd does not answer")
    assert "New sessions left: 7 of 1000" in text
    assert "as it was: etcd does not answer" in text


def test_the_lines_below_show_present_and_next_shards() -> None:
    assert "Shards: 4, 8 to come" in shown(status(shards={"count": 4, "next": 8}))
    assert "to come" not in shown(status(shards={"count": 8, "next": None}))


def test_the_lines_below_say_that_a_gap_is_caught_up() -> None:
    gap = {"counts": {"MESSAGE_CREATE": 40, "GUILD_MEMBER_ADD": 2}, "over": False}
    assert "Catching up: gaps 1, events so far 42 (discordha gaps)" in shown(status(gaps=[gap]))
    assert "Catching up" not in shown(status())


def test_a_pipe_gets_each_thing_on_one_line() -> None:
    """However many members and reasons there are; a terminal wraps them at its own width."""
    member = {"endpoint": "etcd-0.etcd.default.svc.cluster.local:2379", "error": "x" * 200}
    reason = "shard 0 is deaf: " + "y" * 200
    found = status(etcd=[member], replicas={"bot-0": {"state": "unready", "reasons": [reason]}})
    lines = shown(found, "z" * 200, fleet_commands.UNCUT).splitlines()
    assert lines[-4:] == [
        f"etcd {member['endpoint']}: {'x' * 200}",
        "Dead letters: 1",
        f"bot-0: {reason}",
        f"as it was: {'z' * 200}",
    ]
    narrow = shown(found, "z" * 200, 80)
    assert max(map(len, narrow.splitlines())) <= 80
    assert "\N{HORIZONTAL ELLIPSIS}" not in narrow, "nothing is cut"
