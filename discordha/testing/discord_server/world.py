"""Guilds, channels, users and their actions. State and payloads are simcord's; time is real."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import discord
from simcord.backend import Backend, serializers
from simcord.backend.access import channel_accessible
from simcord.backend.models import Channel, Overwrite
from simcord.backend.state import DEFAULT_EVERYONE_PERMISSIONS
from simcord.enums import AuditLogAction, ChannelType, OverwriteType

from discordha.testing.discord_server.options import Options, names_of

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
        self.users = [backend.make_user(name).id for name in names_of(options.users, "user")]
        self.guilds: list[int] = []
        self.channels: list[int] = []
        self.voice_channels: list[int] = []
        for index, name in enumerate(names_of(options.guilds, "guild")):
            self._add_guild(index, name)
        backend.subscribers.append(emit)
        self._emit = emit
        self._number: int | None = None

    def _add_guild(self, index: int, name: str) -> None:
        backend, options = self.backend, self.options
        guild = backend.create_guild(name, shard_id=index % options.shards, shard_count=options.shards)
        self.guilds.append(guild.id)
        for user in self.users:
            backend.add_member(guild.id, user)
        for channel_name in names_of(options.channels, "channel"):
            channel = backend.create_channel(guild.id, channel_name, announce=False)
            self.channels.append(channel.id)
        voice = backend.create_channel(guild.id, "voice", type=ChannelType.VOICE, announce=False)
        self.voice_channels.append(voice.id)

    # -- payloads --------------------------------------------------------------------------------------------

    def guild_payload(self, guild_id: int) -> dict[str, Any]:
        """The payload of GUILD_CREATE."""
        payload = dict(serializers.guild_create_payload(self.backend, self.backend.get_guild(guild_id)))
        payload["threads"] = [
            serializers.thread_payload(self.backend, thread) for thread in self.visible_threads(guild_id)
        ]
        return payload

    def visible_threads(self, guild_id: int) -> list[Channel]:
        """A guild's active threads that the bot may see."""
        bot_id = self.backend.bot_user.id
        return [
            thread
            for thread in self.backend.active_threads(guild_id)
            if channel_accessible(self.backend, thread.id, bot_id)
        ]

    def as_sent(self, name: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """A payload as the gateway sends it: of a guild's message, the author and those who are mentioned
        come as members.
        """
        if self._number is not None and name.startswith("MESSAGE_REACTION_"):
            return {**payload, "message_author_id": str(self._number)}
        if name not in ("MESSAGE_CREATE", "MESSAGE_UPDATE") or payload.get("guild_id") is None:
            return payload
        guild = self.backend.guilds[int(payload["guild_id"])]

        def partial(user_id: int) -> dict[str, Any]:
            member = guild.members[user_id]
            return dict(serializers.member_payload(self.backend, guild, member, with_user=False))

        changes: dict[str, Any] = {}
        author = int((payload.get("author") or {}).get("id", 0))
        if "member" not in payload and author in guild.members and not payload.get("webhook_id"):
            changes["member"] = partial(author)
        if payload.get("mentions"):
            changes["mentions"] = [
                {**user, "member": partial(int(user["id"]))} if int(user["id"]) in guild.members else user
                for user in payload["mentions"]
            ]
        return {**payload, **changes} if changes else payload

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

    def react(
        self, channel_id: int, message_id: int, emoji: str, user_id: int, number: int | None = None
    ) -> None:
        """Adds a user's reaction.

        :param number: stands for the message's author in the event: tells equal events apart.
        """
        self._set_reaction(channel_id, message_id, emoji, user_id, True, number)

    def unreact(
        self, channel_id: int, message_id: int, emoji: str, user_id: int, number: int | None = None
    ) -> None:
        """Removes a user's reaction. ``number``: as ``react``."""
        self._set_reaction(channel_id, message_id, emoji, user_id, False, number)

    def _set_reaction(  # noqa: PLR0917
        self, channel_id: int, message_id: int, emoji: str, user_id: int, adds: bool, number: int | None
    ) -> None:
        self._number = number
        try:
            self.backend.set_reaction(channel_id, message_id, emoji, user_id, adds)
        finally:
            self._number = None

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

    def direct_message(self, user_id: int, content: str) -> tuple[int, int]:
        """Sends the bot a direct message, and returns the channel's and the message's id."""
        channel = self.backend.get_dm_channel(user_id)
        return int(channel.id), self.send(channel.id, content, user_id)

    def create_thread(
        self, channel_id: int, name: str, user_id: int, *, message_id: int | None = None
    ) -> int:
        """Starts a public thread, also from a message, and returns its id."""
        return int(self.backend.create_thread(channel_id, name, user_id, message_id=message_id).id)

    def archive_thread(self, thread_id: int) -> None:
        """Archives a thread."""
        now = self.backend.now_iso()
        self.backend.edit_channel(thread_id, {}, thread_metadata={"archived": True, "archive_timestamp": now})

    def create_event(self, guild_id: int, name: str) -> int:
        """Plans an event of an hour in a day's time, as the guild's owner, and returns its id."""
        event = self.backend.create_scheduled_event(
            guild_id,
            name=name,
            entity_type=3,
            scheduled_start_time=self.backend.iso_after(86_400),
            scheduled_end_time=self.backend.iso_after(90_000),
            creator_id=self.backend.get_guild(guild_id).owner_id,
            entity_metadata={"location": "here"},
        )
        self._log_action(guild_id, AuditLogAction.SCHEDULED_EVENT_CREATE, event.id)
        return int(event.id)

    # -- moderators ------------------------------------------------------------------------------------------

    def _log_action(
        self, guild_id: int, action: AuditLogAction, target_id: int, reason: str | None = None
    ) -> int:
        """The action of a guild's owner in its audit log."""
        owner = self.backend.get_guild(guild_id).owner_id
        entry = self.backend.record_audit_log(
            guild_id, action, target_id=target_id, user_id=owner, reason=reason
        )
        return int(entry.id)

    def kick(self, guild_id: int, user_id: int, reason: str | None = None) -> int:
        """Removes a member, as the owner, and returns the audit log entry's id."""
        self.backend.remove_member(guild_id, user_id)
        return self._log_action(guild_id, AuditLogAction.MEMBER_KICK, user_id, reason)

    def ban(self, guild_id: int, user_id: int, reason: str | None = None) -> int:
        """Bans a user, as the owner, and returns the audit log entry's id."""
        self.backend.apply_ban(guild_id, user_id, reason)
        return self._log_action(guild_id, AuditLogAction.MEMBER_BAN, user_id, reason)

    def unban(self, guild_id: int, user_id: int) -> int:
        """Takes a ban back, as the owner, and returns the audit log entry's id."""
        self.backend.remove_ban(guild_id, user_id)
        return self._log_action(guild_id, AuditLogAction.MEMBER_UNBAN, user_id)

    def delete_channel(self, channel_id: int) -> None:
        """Deletes a channel or a thread, as the owner."""
        guild_id = self.guild_of(channel_id)
        self.backend.delete_channel(channel_id)
        if channel_id in self.channels:
            self.channels.remove(channel_id)
            assert guild_id is not None
            self._log_action(guild_id, AuditLogAction.CHANNEL_DELETE, channel_id)

    def create_role(self, guild_id: int, name: str, permissions: list[str]) -> int:
        """Adds a role with permissions by discord.py's names, below the bot's, and returns its id."""
        bits = discord.Permissions(**dict.fromkeys(permissions, True)).value
        role = self.backend.create_role(guild_id, name, permissions=bits)
        self._log_action(guild_id, AuditLogAction.ROLE_CREATE, role.id)
        return int(role.id)

    def give_role(self, guild_id: int, user_id: int, role_id: int) -> None:
        """Gives a member a role."""
        self.backend.get_role(guild_id, role_id)
        self.backend.add_member_role(guild_id, user_id, role_id)
        self._log_action(guild_id, AuditLogAction.MEMBER_ROLE_UPDATE, user_id)

    def take_role(self, guild_id: int, user_id: int, role_id: int) -> None:
        """Takes a role from a member."""
        self.backend.remove_member_role(guild_id, user_id, role_id)
        self._log_action(guild_id, AuditLogAction.MEMBER_ROLE_UPDATE, user_id)

    def set_system_channel(self, guild_id: int, channel_id: int | None) -> None:
        """Chooses the channel for Discord's own messages, such as those about new members."""
        if channel_id is not None and self.guild_of(channel_id) != guild_id:
            raise ValueError(f"channel {channel_id} is not one of guild {guild_id}")
        self.backend.edit_guild(guild_id, {"system_channel_id": channel_id})
        self._log_action(guild_id, AuditLogAction.GUILD_UPDATE, guild_id)

    def deny(self, channel_id: int, permissions: list[str]) -> None:
        """Takes permissions in a channel from the bot, by discord.py's names; none: gives all back."""
        bits = discord.Permissions(**dict.fromkeys(permissions, True)).value
        bot_id = self.backend.bot_user.id
        self.backend.set_overwrite(channel_id, Overwrite(bot_id, OverwriteType.MEMBER, deny=bits))

    def deny_guild(self, guild_id: int, permissions: list[str]) -> None:
        """Takes permissions in a guild from the bot's role, by discord.py's names; none: gives all back."""
        allowed = discord.Permissions.all()
        allowed.update(administrator=False, **dict.fromkeys(permissions, False))
        guild = self.backend.get_guild(guild_id)
        (role_id,) = guild.members[self.backend.bot_user.id].role_ids[:1]
        self.backend.edit_role(guild_id, role_id, {"permissions": allowed.value})
        everyone = discord.Permissions(DEFAULT_EVERYONE_PERMISSIONS)
        everyone.update(**dict.fromkeys(permissions, False))
        self.backend.edit_role(guild_id, guild_id, {"permissions": everyone.value})

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
