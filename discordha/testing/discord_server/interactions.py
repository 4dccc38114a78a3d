"""The interactions that users cause (slash commands, buttons, selects, modals), and their answers.

As Discord documents: the first answer must come within 3 s (else 10062) and only once (else 40060); the token
takes follow-ups for 15 minutes. Options with the id of a user, member, role or channel bring its data along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from simcord.backend import serializers

from discordha.testing.discord_server.world import World

__all__ = ["UserInteractions"]

_OPTION_TYPES = {str: 3, int: 4, bool: 5, float: 10}
_USER, _CHANNEL, _ROLE, _MENTIONABLE = 6, 7, 8, 9


class UserInteractions:
    """Makes interactions. simcord's backend keeps their answers."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._called: dict[int, str] = {}  # what the user did, by interaction

    def slash(
        self, path: str, options: Mapping[str, Any], channel_id: int, user_id: int, autocomplete: str | None
    ) -> int:
        """Runs a command, such as ``roll`` or ``config set``, and returns the interaction's id."""
        names = path.split()
        backend = self.world.backend
        command = backend.find_command(names[0], self.world.guild_of(channel_id))
        declared = _declared_types(command, names[1:])
        values: list[dict[str, Any]] = []
        resolved: dict[str, dict[str, Any]] = {}
        for name, value in options.items():
            kind = declared.get(name, _OPTION_TYPES[type(value)])
            option = {"name": name, "type": kind, "value": value}
            if kind in (_USER, _CHANNEL, _ROLE, _MENTIONABLE):
                option["value"] = str(value)
                self._resolve(kind, int(value), self.world.guild_of(channel_id), resolved)
            if name == autocomplete:
                option["focused"] = True
            values.append(option)
        for depth, name in enumerate(reversed(names[1:])):
            values = [{"name": name, "type": 1 if depth == 0 else 2, "options": values}]
        data = {
            "id": str(command["id"]) if command is not None else "1",
            "name": names[0],
            "type": 1,
            "options": values,
        }
        if resolved:
            data["resolved"] = resolved
        if command is not None and command.get("guild_id"):
            data["guild_id"] = command["guild_id"]
        return self._emit(4 if autocomplete else 2, data, channel_id, user_id)

    def _resolve(
        self, kind: int, value: int, guild_id: int | None, resolved: dict[str, dict[str, Any]]
    ) -> None:
        """Adds the data behind the id of an option."""
        backend = self.world.backend
        if kind == _CHANNEL:
            channel = dict(serializers.channel_payload(backend, backend.get_channel(value)))
            channel["permissions"] = str((1 << 50) - 1)
            resolved.setdefault("channels", {})[str(value)] = channel
            return
        guild = backend.get_guild(guild_id) if guild_id is not None else None
        if guild is not None and (kind == _ROLE or (kind == _MENTIONABLE and value in guild.roles)):
            resolved.setdefault("roles", {})[str(value)] = serializers.role_payload(guild.roles[value])
            return
        resolved.setdefault("users", {})[str(value)] = self.world.user_payload(value)
        if guild is not None and value in guild.members:
            member = self.world.member_payload(guild.id, value)
            member["permissions"] = str(backend.compute_permissions(guild.id, value, None))
            resolved.setdefault("members", {})[str(value)] = member

    def context_menu(
        self, name: str, channel_id: int, user_id: int, *, message_id: int | None, target_user: int | None
    ) -> int:
        """Picks a command from the menu of a message or a user."""
        backend = self.world.backend
        kind = 3 if message_id is not None else 2
        command = backend.find_command(name, self.world.guild_of(channel_id), kind)
        data: dict[str, Any] = {"id": str(command["id"]) if command else "1", "name": name, "type": kind}
        if message_id is not None:
            message = serializers.message_payload(backend, backend.get_message(channel_id, message_id))
            data.update(target_id=str(message_id), resolved={"messages": {str(message_id): message}})
        else:
            assert target_user is not None
            guild_id = self.world.guild_of(channel_id)
            resolved: dict[str, Any] = {"users": {str(target_user): self.world.user_payload(target_user)}}
            if guild_id is not None:
                resolved["members"] = {str(target_user): self.world.member_payload(guild_id, target_user)}
            data.update(target_id=str(target_user), resolved=resolved)
        return self._emit(2, data, channel_id, user_id)

    def click(
        self, custom_id: str, channel_id: int, message_id: int, user_id: int, values: list[str] | None
    ) -> int:
        """Presses a button, or with ``values`` chooses from a select."""
        data: dict[str, Any] = {"custom_id": custom_id, "component_type": 2}
        if values is not None:
            data.update(component_type=3, values=values)
        return self._emit(3, data, channel_id, user_id, message_id)

    def submit(
        self, custom_id: str, fields: Mapping[str, str], channel_id: int, user_id: int, message_id: int | None
    ) -> int:
        """Submits a modal."""
        rows = [
            {"type": 1, "components": [{"type": 4, "custom_id": name, "value": value}]}
            for name, value in fields.items()
        ]
        return self._emit(5, {"custom_id": custom_id, "components": rows}, channel_id, user_id, message_id)

    def _emit(
        self, kind: int, data: dict[str, Any], channel_id: int, user_id: int, message_id: int | None = None
    ) -> int:
        backend = self.world.backend
        channel = backend.get_channel(channel_id)
        guild_id = channel.guild_id
        record = backend.new_interaction(kind, channel_id, user_id, guild_id)
        record.command_name = data.get("name")
        self._called[record.id] = f"/{_path(data)}" if kind in (2, 4) else str(data["custom_id"])
        payload: dict[str, Any] = {
            "id": str(record.id),
            "application_id": str(backend.application_id),
            "type": kind,
            "data": data,
            "channel_id": str(channel_id),
            "channel": serializers.channel_payload(backend, channel),
            "token": record.token,
            "version": 1,
            "locale": "en-US",
            "app_permissions": str((1 << 50) - 1),
            "entitlements": [],
            "authorizing_integration_owners": {},
            "context": 0,
            "attachment_size_limit": 10_485_760,
        }
        if guild_id is not None:
            member = self.world.member_payload(guild_id, user_id)
            member["permissions"] = str(backend.compute_permissions(guild_id, user_id, channel_id))
            payload.update(guild_id=str(guild_id), member=member, guild_locale="en-US")
        else:
            payload["user"] = self.world.user_payload(user_id)
        if message_id is not None:
            message = backend.get_message(channel_id, message_id)
            record.source_message_id = message_id
            payload["message"] = serializers.message_payload(backend, message)
        backend.emit("INTERACTION_CREATE", payload)
        return int(record.id)

    def describe(self, interaction_id: int) -> dict[str, Any]:
        """The answer to an interaction."""
        backend = self.world.backend
        record = backend.interactions[interaction_id]
        message = backend.messages.get(record.channel_id, {}).get(record.message_id or 0)
        return {
            "channel_id": record.channel_id,
            "called": self._called[interaction_id],
            "responded": record.responded,
            "kind": record.response_kind.value if record.response_kind is not None else None,
            "content": message.content if message is not None else None,
            "message_id": record.message_id,
            "ephemeral": record.ephemeral,
            "thinking": record.loading,
            "modal": record.modal,
            "choices": record.autocomplete_choices,
            "followups": [
                backend.messages[record.channel_id][followup].content
                for followup in record.followup_ids
                if followup in backend.messages[record.channel_id]
            ],
        }

    def age(self, interaction_id: int, seconds: float) -> None:
        """Makes an interaction older, by moving its deadlines."""
        record = self.world.backend.interactions[interaction_id]
        for name in ("initial_response_deadline", "expires_at"):
            at = datetime.fromisoformat(getattr(record, name)) - timedelta(seconds=seconds)
            setattr(record, name, at.isoformat())

    def trim(self) -> None:
        """Drops all but the newest interactions."""
        backend = self.world.backend
        while len(backend.interactions) > 20_000:
            oldest = next(iter(backend.interactions))
            backend.interaction_tokens.pop(backend.interactions.pop(oldest).token, None)
            self._called.pop(oldest, None)


def _path(data: Mapping[str, Any]) -> str:
    """A command's name with those of its groups."""
    inner = next((each for each in data.get("options", ()) if each["type"] in (1, 2)), None)
    return f"{data['name']} {_path(inner)}" if inner is not None else str(data["name"])


def _declared_types(command: Mapping[str, Any] | None, path: Sequence[str]) -> dict[str, int]:
    """The types of a registered command's options, by name."""
    options: Sequence[Mapping[str, Any]] = command["options"] if command is not None else ()
    for name in path:
        options = next((each.get("options", ()) for each in options if each["name"] == name), ())
    return {each["name"]: each["type"] for each in options}
