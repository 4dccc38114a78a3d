"""What an operator can do on the page: the same as on the command line.

Guarantees: each action is checked before anything is written, and logged with who asked for it. Requests to
replicas go through etcd, as the command line's do; a reload goes to the ``discordha run`` that this process
belongs to, or to the only one of this user on the machine.

Threads and locks: no state. ``ACTIONS`` block on etcd, on the page's threads; ``reload`` runs on the loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from discordha.errors import DiscordHAError
from discordha.operations.fleet import Fleet
from discordha.supervisor.control import RELOAD, runs

__all__ = ["ACTIONS", "Invalid", "reload", "reloadable"]

_log = logging.getLogger(__name__)

#: Seconds until ``discordha run`` must have said something.
RELOAD_ANSWER = 10.0
MOST_TEXT = 500


class Invalid(DiscordHAError):
    """An argument of an action is missing or impossible."""


def _drain(fleet: Fleet, given: Mapping[str, Any]) -> str:
    replica = _text(given, "replica")
    fleet.drain(replica)
    return f"{replica} was asked to drain"


def _resign(fleet: Fleet, given: Mapping[str, Any]) -> str:
    shard = _number(given, "shard", 0)
    leader = fleet.resign(shard)
    if leader is None:
        raise DiscordHAError(f"no replica leads shard {shard}")
    return f"{leader} was asked to resign shard {shard}"


def _reshard(fleet: Fleet, given: Mapping[str, Any]) -> str:
    count = _number(given, "count", 1)
    before, _ = fleet.reshard(count)
    return f"{count} shards were asked for, {before} before"


def _replay(fleet: Fleet, given: Mapping[str, Any]) -> str:
    return f"{fleet.replay(_text(given, 'event'))} is given back to the replicas"


def _drop(fleet: Fleet, given: Mapping[str, Any]) -> str:
    return f"{fleet.drop(_text(given, 'event'))} is dropped"


#: Each takes the fleet and the request's JSON object, and returns a sentence.
ACTIONS: dict[str, Callable[[Fleet, Mapping[str, Any]], str]] = {
    "drain": _drain,
    "resign": _resign,
    "reshard": _reshard,
    "replay": _replay,
    "drop": _drop,
}


def reloadable() -> Path | None:
    """The socket of the ``discordha run`` to reload; ``None`` if there is none, or several."""
    found = runs(os.environ)
    return found.get(os.getppid()) or (next(iter(found.values())) if len(found) == 1 else None)


async def reload(path: Path) -> tuple[str, asyncio.Task[None]]:
    """Asks for a reload; returns what ``discordha run`` says first, and the task that logs the rest.

    :raises DiscordHAError: it does not answer, or refuses.
    """
    try:
        async with asyncio.timeout(RELOAD_ANSWER):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(RELOAD)
            await writer.drain()
            first = json.loads(await reader.readline())
    except (OSError, ValueError) as error:
        raise DiscordHAError(f"discordha run does not answer: {error or type(error).__name__}") from None
    if first.get("ok") is False:
        writer.close()
        raise DiscordHAError(str(first.get("said")))

    async def follow() -> None:
        try:
            while line := await reader.readline():
                _log.info("reload: %s", json.loads(line).get("said"))
        except (OSError, ValueError):
            return
        finally:
            writer.close()

    return str(first.get("said")), asyncio.create_task(follow())


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MOST_TEXT or not value.isprintable():
        raise Invalid(f"{name} must be a text")
    return value


def _number(given: Mapping[str, Any], name: str, least: int) -> int:
    value = given.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 1_000_000:
        raise Invalid(f"{name} must be a whole number, {least} to 999999")
    return value
