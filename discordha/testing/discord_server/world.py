"""Guilds, channels, users and their actions. State and payloads are simcord's; time is real."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from simcord.backend import Backend, serializers
from simcord.enums import ChannelType

from discordha.testing.discord_server.options import Options

__all__ = ["World"]


class _WallClock:
    """The real time, for snowflakes and deadlines; simcord's own clock stands still."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def advance(self, seconds: float) -> None:
        raise RuntimeError("the local Discord's time is real")


class _Sink(list[Any]):
    """Stands for simcord's lists of requests and events, which nothing here reads."""

    def append(self, item: Any) -> None:
        return


class World:
    """simcord's backend, filled according to the options.

    :param emit: takes every gateway event: name and payload.
    """

    def __init__(self, options: Options, emit: Callable[[str, Mapping[str, Any]], None]) -> None:
        self.options = options
        backend = self.backend = Backend(clock=_WallClock())  # type: ignore[arg-type]
        backend.http_requests = _Sink()
        backend.transcript = _Sink()
        del backend.users[backend.bot_user.id]
        backend.bot_user.id = backend.application_id = options.bot_id
        backend.users[options.bot_id] = backend.bot_user
        self.users = [backend.make_user(f"user{index}").id for index in range(options.users)]
        self.guilds: list[int] = []
        self.channels: list[int] = []
        self.voice_channels: list[int] = []
        for index in range(options.guilds):
            self._add_guild(index)
        backend.subscribers.append(emit)
        self._emit = emit

    def _add_guild(self, index: int) -> None:
        backend, options = self.backend, self.options
        guild = backend.create_guild(
            f"guild{index}", shard_id=index % options.shards, shard_count=options.shards
        )
        self.guilds.append(guild.id)
        for user in self.users:
            backend.add_member(guild.id, user)
        for number in range(options.channels):
            channel = backend.create_channel(guild.id, f"channel{number}", announce=False)
            self.channels.append(channel.id)
        voice = backend.create_channel(guild.id, "voice", type=ChannelType.VOICE, announce=False)
        self.voice_channels.append(voice.id)

    # -- payloads --------------------------------------------------------------------------------------------

    def guild_payload(self, guild_id: int) -> dict[str, Any]:
        """The payload of GUILD_CREATE."""
        return dict(serializers.guild_create_payload(self.backend, self.backend.get_guild(guild_id)))

    def guild_of(self, channel_id: int) -> int | None:
        """The guild of a channel."""
        guild_id: int | None = self.backend.get_channel(channel_id).guild_id
        return guild_id

    def member_payload(self, guild_id: int, user_id: int) -> dict[str, Any]:
        """The payload of a member."""
        guild = self.backend.get_guild(guild_id)
        return dict(serializers.member_payload(self.backend, guild, guild.members[user_id]))

    def user_payload(self, user_id: int) -> dict[str, Any]:
        """The payload of a user."""
        return dict(serializers.user_payload(self.backend.get_user(user_id)))

    # -- users -----------------------------------------------------------------------------------------------

    def send(
        self,
        channel_id: int,
        content: str,
        user_id: int,
        *,
        reply_to: int | None = None,
        attachment: str | None = None,
    ) -> int:
        """Sends a message of a user, and returns its id."""
        backend = self.backend
        reference = None
        if reply_to is not None:
            reference = {"message_id": str(reply_to), "channel_id": str(channel_id)}
        attachments = None
        if attachment is not None:
            attachments = backend.store_attachments(channel_id, [(attachment, b"data")])
        message = backend.create_message(
            channel_id, user_id, content, reference=reference, attachments=attachments
        )
        self.trim(channel_id)
        return int(message.id)

    def edit(self, channel_id: int, message_id: int, content: str) -> None:
        """Edits a message, as its author."""
        self.backend.edit_message(channel_id, message_id, {"content": content})

    def delete(self, channel_id: int, message_id: int) -> None:
        """Deletes a message, as its author."""
        self.backend.delete_message(channel_id, message_id)

    def bulk_delete(self, channel_id: int, message_ids: list[int]) -> None:
        """Deletes several messages at once, as a moderator."""
        self.backend.bulk_delete_messages(channel_id, message_ids)

    def react(self, channel_id: int, message_id: int, emoji: str, user_id: int) -> None:
        """Adds a user's reaction."""
        self.backend.set_reaction(channel_id, message_id, emoji, user_id, True)

    def unreact(self, channel_id: int, message_id: int, emoji: str, user_id: int) -> None:
        """Removes a user's reaction."""
        self.backend.set_reaction(channel_id, message_id, emoji, user_id, False)

    def typing(self, channel_id: int, user_id: int) -> None:
        """Lets a user type."""
        guild_id = self.guild_of(channel_id)
        payload: dict[str, Any] = {
            "channel_id": str(channel_id),
            "user_id": str(user_id),
            "timestamp": int(datetime.now(UTC).timestamp()),
        }
        if guild_id is not None:
            payload["guild_id"] = str(guild_id)
            payload["member"] = self.member_payload(guild_id, user_id)
        self._emit("TYPING_START", payload)

    def join(self, guild_id: int, user_id: int | None = None) -> int:
        """Adds a member, by default a new user, and returns the user's id."""
        backend = self.backend
        if user_id is None:
            user_id = int(backend.make_user(f"guest{len(backend.users)}").id)
        backend.add_member(guild_id, user_id, announce=True)
        return user_id

    def leave(self, guild_id: int, user_id: int) -> None:
        """Removes a member."""
        self.backend.remove_member(guild_id, user_id)

    def move_voice(self, guild_id: int, user_id: int, channel_id: int | None) -> None:
        """Moves a member to a voice channel; ``None`` for out of it."""
        self.backend.set_voice_state(guild_id, user_id, channel_id)

    def presence(self, guild_id: int, user_id: int, status: str) -> None:
        """Changes a member's presence."""
        self._emit(
            "PRESENCE_UPDATE",
            {
                "user": {"id": str(user_id)},
                "guild_id": str(guild_id),
                "status": status,
                "activities": [],
                "client_status": {"desktop": status},
            },
        )

    # -- memory ----------------------------------------------------------------------------------------------

    def trim(self, channel_id: int) -> None:
        """Drops a channel's oldest messages."""
        messages = self.backend.messages[channel_id]
        while len(messages) > self.options.max_messages:
            del messages[next(iter(messages))]
        reserved = self.backend._reserved_ids
        if len(reserved) > 200_000:
            reserved.clear()
            self.backend._sequences.clear()
