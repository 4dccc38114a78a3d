"""The bot of the tests of interactions: its settings, and what Discord has heard of it."""

from __future__ import annotations

from collections.abc import Callable

from fleet import BOTS

from discordha.testing import LocalDiscord, wait_for

__all__ = ["BOT", "TTL", "per_replica", "syncs", "wait_looked", "wait_synced"]

BOT = BOTS / "commands.py"
TTL = "2"


def per_replica(discord: LocalDiscord, **env: str) -> Callable[[int], dict[str, str]]:
    """So that the record knows which replica called, and the replica who it is."""
    return lambda index: {**discord.env(f"r{index}"), "WHO": f"r{index}", **env}


def syncs(discord: LocalDiscord) -> list[tuple[str, list[str]]]:
    """Each bulk overwrite: its path, and the names of the commands."""
    return [
        (request.path, sorted(command["name"] for command in request.body))
        for request in discord.requests()
        if request.method == "PUT" and request.path.endswith("/commands") and request.status == 200
    ]


def wait_synced(discord: LocalDiscord, count: int = 1) -> None:
    """Blocks until Discord has heard of the commands so often."""
    wait_for(lambda: len(syncs(discord)) >= count, 30, lambda: f"{count} syncs, not {syncs(discord)}")


def wait_looked(discord: LocalDiscord, interaction: int) -> None:
    """Blocks until the second attempt has looked for what the first one has answered."""
    at = f"/webhooks/{discord.bot_id}/"
    wait_for(
        lambda: any(r.path.startswith(at) and str(interaction) in r.path for r in discord.requests()),
        10,
        "the second attempt to look",
    )
