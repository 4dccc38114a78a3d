"""The bot of the tests of interactions: its settings, and its requests to Discord."""

from __future__ import annotations

from collections.abc import Callable

from fleet import BOTS

from discordha.testing import LocalDiscord, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

__all__ = [
    "BOT",
    "TTL",
    "contents",
    "per_replica",
    "say_until",
    "started",
    "syncs",
    "wait_looked",
    "wait_synced",
]

BOT = BOTS / "commands.py"
TTL = "2"


def per_replica(discord: LocalDiscord, **env: str) -> Callable[[int], dict[str, str]]:
    """Gives each replica its name, and the record the name of the caller."""
    return lambda index: {**discord.env(f"r{index}"), "WHO": f"r{index}", **env}


def started(
    replicas: ReplicasFactory, discord: LocalDiscord, count: int, *, restart: bool = False, **env: str
) -> Replicas:
    """So many replicas with a short TTL, ready, and their commands registered.

    :param env: more of their environment.
    """
    fleet = replicas(
        BOT,
        count,
        discord=None,
        restart=restart,
        env={"DISCORDHA_SESSION_TTL": TTL, **env},
        per_replica_env=per_replica(discord),
    )
    fleet.wait_ready(60)
    wait_synced(discord)
    return fleet


def syncs(discord: LocalDiscord) -> list[tuple[str, list[str]]]:
    """The bulk overwrites: path, and names of the commands."""
    return [
        (request.path, sorted(command["name"] for command in request.body))
        for request in discord.requests()
        if request.method == "PUT" and request.path.endswith("/commands") and request.status == 200
    ]


def wait_synced(discord: LocalDiscord, count: int = 1) -> None:
    """Blocks until the commands have been registered ``count`` times."""
    wait_for(lambda: len(syncs(discord)) >= count, 30, lambda: f"{count} syncs, not {syncs(discord)}")


def wait_looked(discord: LocalDiscord, interaction: int) -> None:
    """Blocks until the second attempt has asked for the first one's answer."""
    at = f"/webhooks/{discord.bot_id}/"
    wait_for(
        lambda: any(r.path.startswith(at) and str(interaction) in r.path for r in discord.requests()),
        10,
        "the second attempt to look",
    )


def contents(discord: LocalDiscord) -> list[str]:
    """The texts of the bot's messages."""
    return [message.content for message in discord.messages()]


def say_until(
    discord: LocalDiscord, channel: int, content: str, heard: Callable[[], bool], timeout: float = 10.0
) -> None:
    """Sends a message until it is received: a handler waits for it only after its question is seen."""

    def said() -> bool:
        if heard():
            return True
        discord.send(channel, content)
        return False

    wait_for(said, timeout, lambda: f"{content!r} to be heard, not {contents(discord)[-3:]}", interval=0.5)
