"""A fleet of replicas under load, and the verdict on what they answered."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from discordha.leader.shard import AMBIGUOUS
from discordha.testing import History, LocalDiscord, LocalEtcd, Replicas, Verdict, wait_for
from discordha.testing.discord.records import Sent

__all__ = [
    "BOTS",
    "EXAMPLES",
    "answer",
    "answered",
    "created",
    "doubtful_runs",
    "logs",
    "members",
    "per_replica",
    "values",
    "verdict",
    "wait_members",
    "whole_logs",
]

EXAMPLES = Path(__file__).parents[2] / "examples"
BOTS = Path(__file__).parent / "bots"


def per_replica(discord: LocalDiscord) -> Callable[[int], dict[str, str]]:
    """So that the record knows which replica called."""
    return lambda index: discord.env(f"r{index}")


def doubtful_runs(fleet: Replicas) -> int:
    """How often a leader said that it runs an event again that may have been handled: what guarantees.md does
    not promise, where a gateway session had just begun.
    """
    return whole_logs(fleet).count(AMBIGUOUS)


def answered(discord: LocalDiscord, prefix: str = "pong") -> list[Any]:
    """The bot's messages that answer something."""
    return [message for message in discord.messages() if message.content.startswith(prefix)]


def answer(discord: LocalDiscord, interaction: int, timeout: float = 20.0) -> dict[str, Any]:
    """How an interaction was answered, once it is and no longer shows that the bot thinks."""

    def answered() -> bool:
        state = discord.interaction(interaction)
        return bool(state["responded"]) and not state["thinking"]

    wait_for(answered, timeout, lambda: f"an answer, not {discord.interaction(interaction)}", interval=0.02)
    return discord.interaction(interaction)


def verdict(
    discord: LocalDiscord,
    sent: Sequence[Sent],
    *,
    timeout: float = 60.0,
    question: str = "!ping",
    answer: str = "pong",
) -> Verdict:
    """Waits until everything is answered, or nothing more comes; then says what was lost or repeated."""

    def count() -> int:
        return len({message.content for message in answered(discord, answer)})

    with contextlib.suppress(TimeoutError):  # the verdict names what is missing
        wait_for(lambda: count() >= len(sent), timeout, "every answer", interval=0.1)
    history = History()
    for each in sent:
        history.sent("message", each.key, at=each.at, channel=str(each.channel_id))
    for message in answered(discord, answer):
        key = message.content.replace(answer, question, 1)
        history.answered("message", key, at=message.at, replica=message.replica)
    return history.verdict()


def logs(fleet: Replicas) -> str:
    """The ends of all logs."""
    return "\n".join(f"--- {replica.replica_id}\n{replica.log_text()[-2000:]}" for replica in fleet)


def whole_logs(fleet: Replicas) -> str:
    """All logs, over all runs."""
    return "\n".join(replica.log_text() for replica in fleet)


def created(etcd: LocalEtcd, prefix: str, *, changed: bool = False) -> dict[str, int]:
    """The revisions at which the keys below a prefix were created, or changed last."""
    below = base64.b64encode(prefix.encode()).decode()
    end = base64.b64encode((prefix[:-1] + chr(ord(prefix[-1]) + 1)).encode()).decode()
    url = next(etcd.url(member.index) for member in etcd.members if member.alive and not member.paused)
    found = etcd.api.call(url, "kv/range", {"key": below, "range_end": end}).get("kvs", [])
    what = "mod_revision" if changed else "create_revision"
    return {base64.b64decode(kv["key"]).decode(): int(kv[what]) for kv in found}


def values(etcd: LocalEtcd, prefix: str) -> dict[str, tuple[bytes, int]]:
    """What lies in etcd below a prefix: value and lease, by key."""
    below = base64.b64encode(prefix.encode()).decode()
    end = base64.b64encode((prefix[:-1] + chr(ord(prefix[-1]) + 1)).encode()).decode()
    url = next(etcd.url(member.index) for member in etcd.members if member.alive and not member.paused)
    found = etcd.api.call(url, "kv/range", {"key": below, "range_end": end}).get("kvs", [])
    return {
        base64.b64decode(kv["key"]).decode(): (base64.b64decode(kv.get("value", "")), int(kv.get("lease", 0)))
        for kv in found
    }


def members(etcd: LocalEtcd, name: str) -> dict[str, dict[str, Any]]:
    """The records of the living replicas of a bot, by replica id."""
    prefix = f"/discordha/v1/{name}/m/"
    return {key.removeprefix(prefix): json.loads(value) for key, (value, _) in values(etcd, prefix).items()}


def wait_members(etcd: LocalEtcd, name: str, count: int, timeout: float = 30.0) -> None:
    """Blocks until so many replicas say that they are ready."""

    def ready() -> int:
        return sum(record["state"] == "ready" for record in members(etcd, name).values())

    wait_for(
        lambda: ready() == count, timeout, lambda: f"{count} ready replicas, not {ready()}", interval=0.05
    )
