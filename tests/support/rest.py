"""The local Discord's REST API, called by a test: to set a guild up, and to see what became of it."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from discordha.testing import LocalDiscord

__all__ = ["buttons", "custom_ids", "make_role", "rest", "roles_of"]


def rest(discord: LocalDiscord, method: str, path: str, body: Any = None) -> Any:
    """One call in the bot's name; its answer."""
    request = urllib.request.Request(
        f"{discord.api_url('test')}/api/v10{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bot {discord.token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        text = response.read()
    return json.loads(text) if text else None


def make_role(discord: LocalDiscord, guild: int, name: str) -> int:
    """A new role's id."""
    return int(rest(discord, "POST", f"/guilds/{guild}/roles", {"name": name})["id"])


def roles_of(discord: LocalDiscord, guild: int, user: int) -> list[int]:
    """The ids of a member's roles."""
    return [int(role) for role in rest(discord, "GET", f"/guilds/{guild}/members/{user}")["roles"]]


def buttons(body: Any) -> list[list[dict[str, Any]]]:
    """The rows of buttons and selects in the body of a message or of an interaction's answer."""
    data = body.get("data", body)
    return [row["components"] for row in data["components"]]


def custom_ids(body: Any) -> dict[str, str]:
    """What to click in such a body, by its label."""
    return {each["label"]: each["custom_id"] for row in buttons(body) for each in row}
