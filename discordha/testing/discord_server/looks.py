"""What a user sees: names, a channel's messages, their buttons and selects. Reads simcord's state only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from discordha.testing.discord_server.world import World

__all__ = ["Looks"]

#: The number of a component's type, by what a user calls it.
_KINDS = {2: "button", 3: "select", 5: "select", 6: "select", 7: "select", 8: "select"}


class Looks:
    """Looks at the world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def names(self) -> dict[str, dict[str, str]]:
        """The names of users, guilds' owners among them, of channels, also direct ones, and of roles."""
        backend = self.world.backend
        users = {id: user.name for id, user in backend.users.items()}
        several = len(self.world.guilds) > 1
        for number, guild in enumerate(self.world.guilds):
            users[backend.get_guild(guild).owner_id] = f"owner{number}" if several else "owner"
        channels = {}
        for id, channel in backend.channels.items():
            guild_name = backend.get_guild(channel.guild_id).name if channel.guild_id is not None else ""
            channels[id] = f"{guild_name}/{channel.name}" if several and guild_name else channel.name
        for user, id in backend.dm_channels.items():
            channels[id] = f"direct:{users[user]}"
        roles = {
            id: role.name
            for guild in self.world.guilds
            for id, role in backend.get_guild(guild).roles.items()
        }
        return {
            kind: {str(id): str(name) for id, name in found.items()}
            for kind, found in (("users", users), ("channels", channels), ("roles", roles))
        }

    def open_direct(self, user_id: int) -> int:
        """The direct channel of a user and the bot, which begins to exist by this."""
        return int(self.world.backend.get_dm_channel(user_id).id)

    def history(self, channel_id: int, limit: int) -> list[dict[str, Any]]:
        """A channel's newest messages, the newest first."""
        messages = list(self.world.backend.messages.get(channel_id, {}).values())
        return [
            {
                "id": message.id,
                "author_id": message.author_id,
                "content": message.content,
                "ephemeral": message.is_ephemeral,
                "components": list(_usable(message.components)),
            }
            for message in messages[: -limit - 1 : -1]
        ]


def _usable(components: list[dict[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The buttons and selects among nested components."""
    for each in components:
        kind = _KINDS.get(each.get("type", 0))
        if kind is not None and each.get("custom_id"):
            yield {
                "kind": kind,
                "custom_id": each["custom_id"],
                "label": each.get("label") or each.get("placeholder") or "",
                "disabled": bool(each.get("disabled")),
                "values": [option["value"] for option in each.get("options", ())],
            }
        nested = [*each.get("components", ())]
        if isinstance(each.get("accessory"), dict):
            nested.append(each["accessory"])
        yield from _usable(nested)
