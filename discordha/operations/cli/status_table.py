"""A fleet's status as a table. Pure functions; any thread."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

__all__ = ["status_table"]

_COLUMNS = ("replica", "version", "state", "uptime", "leads", "shards", "waiting", "running", "handled")
_COLOURS = {"ready": "green", "draining": "yellow"}


def status_table(status: Mapping[str, Any], error: str | None = None) -> Table:
    """The table of a ``Fleet.status``. A member record that can't be read shows as ``?``.

    :param error: the reason why the status is old.
    """
    table = Table(title=escape(status["root"]))
    for column in _COLUMNS:
        table.add_column(column)
    for replica, record in sorted(status["replicas"].items()):
        table.add_row(*_row(replica, record))
    members = "; ".join(_member(member) for member in status["etcd"])
    caption = f"etcd {members}. Dead letters: {status['dead_letters']}"
    shards = status["shards"]
    if shards["count"]:
        caption += f". Shards: {shards['count']}"
        caption += f", {shards['next']} to come" if shards["next"] else ""
    if status["identify"] is not None:
        caption += ". New sessions left: {remaining} of {total}".format_map(status["identify"])
    reasons = [
        f"{replica}: {reason}"
        for replica, record in sorted(status["replicas"].items())
        for reason in _list(record.get("reasons"))
    ]
    table.caption = escape("\n".join([caption, *reasons]))
    if error is not None:
        table.caption += f"\n[red]as it was: {escape(error)}[/]"
    return table


def _row(replica: str, record: Mapping[str, Any]) -> list[str]:
    queue = record.get("queue")
    queue = queue if isinstance(queue, Mapping) else {}
    state = str(record.get("state", "?"))
    return [
        escape(replica),
        escape(str(record.get("version", "?"))),
        f"[{_COLOURS.get(state, 'red')}]{escape(state)}[/]",
        _uptime(record.get("started")),
        ", ".join(map(str, _list(record.get("leads")))),
        ", ".join(map(str, _list(record.get("shards")))),
        str(_number(queue.get("waiting")) + _number(queue.get("delayed"))),
        str(_number(queue.get("running"))),
        str(_number(record.get("handled"))),
    ]


def _uptime(started: object) -> str:
    if not isinstance(started, int):
        return "?"
    seconds = max(int(time.time()) - started, 0)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _member(member: Mapping[str, Any]) -> str:
    what = member["error"] or f"{member['latency'] * 1000:.1f} ms{', leads' if member['is_leader'] else ''}"
    return f"{member['endpoint']}: {what}"


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
