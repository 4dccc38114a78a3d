"""The users of a local Discord: the part of its handle that acts for them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from discordha.testing.discord.records import Load

__all__ = ["DiscordUsers"]


class DiscordUsers(ABC):
    """The users of a ``LocalDiscord``, which it is derived from. Each method blocks until the server has done
    what it asks for; any thread, one at a time.
    """

    @abstractmethod
    def control(self, name: str, /, **arguments: Any) -> Any:
        """Calls the server."""

    @property
    def channel_ids(self) -> list[int]:
        """All text channels."""
        return list(self.control("describe")["channels"])

    @property
    def user_ids(self) -> list[int]:
        """The users that are in all guilds."""
        return list(self.control("describe")["users"])

    @property
    def owner_ids(self) -> list[int]:
        """The owner of each guild, who may do everything there."""
        return list(self.control("describe")["owners"])

    def names(self) -> dict[str, dict[int, str]]:
        """The names of ``users``, ``channels`` and ``roles`` by their ids."""
        found = self.control("names")
        return {kind: {int(id): name for id, name in names.items()} for kind, names in found.items()}

    def open_direct(self, user_id: int | None = None) -> int:
        """The id of the channel for direct messages between a user and the bot."""
        return int(self.control("open_direct", user_id=user_id or self.user_ids[0]))

    def history(self, channel_id: int, limit: int = 50) -> list[dict[str, Any]]:
        """A channel's newest messages, the newest first: ``id``, ``author_id``, ``content``, ``ephemeral``,
        and ``components``, the buttons and selects in it, each with ``kind``, ``custom_id``, ``label``,
        ``disabled`` and ``values``.
        """
        return list(self.control("history", channel_id=channel_id, limit=limit))

    def send(
        self,
        channel_id: int,
        content: str,
        user_id: int | None = None,
        *,
        reply_to: int | None = None,
        attachment: str | None = None,
    ) -> int:
        """Sends a message of a user, and returns its id."""
        return int(
            self.control(
                "send",
                channel_id=channel_id,
                content=content,
                user_id=user_id or self.user_ids[0],
                reply_to=reply_to,
                attachment=attachment,
            )
        )

    def edit(self, channel_id: int, message_id: int, content: str) -> None:
        """Edits a message, as its author."""
        self.control("edit", channel_id=channel_id, message_id=message_id, content=content)

    def delete(self, channel_id: int, message_id: int) -> None:
        """Deletes a message, as its author."""
        self.control("delete", channel_id=channel_id, message_id=message_id)

    def bulk_delete(self, channel_id: int, message_ids: Sequence[int]) -> None:
        """Deletes several messages at once."""
        self.control("bulk_delete", channel_id=channel_id, message_ids=list(message_ids))

    def react(self, channel_id: int, message_id: int, emoji: str, user_id: int | None = None) -> None:
        """Adds a user's reaction."""
        user = user_id or self.user_ids[0]
        self.control("react", channel_id=channel_id, message_id=message_id, emoji=emoji, user_id=user)

    def unreact(self, channel_id: int, message_id: int, emoji: str, user_id: int | None = None) -> None:
        """Removes a user's reaction."""
        user = user_id or self.user_ids[0]
        self.control("unreact", channel_id=channel_id, message_id=message_id, emoji=emoji, user_id=user)

    def typing(self, channel_id: int, user_id: int | None = None) -> None:
        """Lets a user type."""
        self.control("typing", channel_id=channel_id, user_id=user_id or self.user_ids[0])

    def join(self, guild_id: int, user_id: int | None = None) -> int:
        """Adds a member, by default a new user, and returns the user's id."""
        return int(self.control("join", guild_id=guild_id, user_id=user_id))

    def leave(self, guild_id: int, user_id: int) -> None:
        """Removes a member."""
        self.control("leave", guild_id=guild_id, user_id=user_id)

    def move_voice(self, guild_id: int, user_id: int, channel_id: int | None) -> None:
        """Moves a member to a voice channel; ``None`` for out of it."""
        self.control("move_voice", guild_id=guild_id, user_id=user_id, channel_id=channel_id)

    def presence(self, guild_id: int, user_id: int, status: str) -> None:
        """Changes a member's presence."""
        self.control("presence", guild_id=guild_id, user_id=user_id, status=status)

    def direct_message(self, content: str, user_id: int | None = None) -> tuple[int, int]:
        """Sends the bot a direct message, and returns the channel's and the message's id."""
        user = user_id or self.user_ids[0]
        channel, message = self.control("direct_message", user_id=user, content=content)
        return int(channel), int(message)

    def create_thread(
        self, channel_id: int, name: str, user_id: int | None = None, *, message_id: int | None = None
    ) -> int:
        """Starts a public thread, and returns its id, which is a channel's id for ``send`` and all others.

        :param message_id: the message to start it from.
        """
        user = user_id or self.user_ids[0]
        return int(
            self.control(
                "create_thread", channel_id=channel_id, name=name, user_id=user, message_id=message_id
            )
        )

    def archive_thread(self, thread_id: int) -> None:
        """Archives a thread."""
        self.control("archive_thread", thread_id=thread_id)

    def create_event(self, guild_id: int, name: str) -> int:
        """Plans a scheduled event, as the guild's owner, and returns its id."""
        return int(self.control("create_event", guild_id=guild_id, name=name))

    # What follows is done by the guild's owner and appears in its audit log.

    def kick(self, guild_id: int, user_id: int, *, reason: str | None = None) -> int:
        """Kicks a member, and returns the audit log entry's id."""
        return int(self.control("kick", guild_id=guild_id, user_id=user_id, reason=reason))

    def ban(self, guild_id: int, user_id: int, *, reason: str | None = None) -> int:
        """Bans a user, and returns the audit log entry's id."""
        return int(self.control("ban", guild_id=guild_id, user_id=user_id, reason=reason))

    def unban(self, guild_id: int, user_id: int) -> int:
        """Takes a ban back, and returns the audit log entry's id."""
        return int(self.control("unban", guild_id=guild_id, user_id=user_id))

    def delete_channel(self, channel_id: int) -> None:
        """Deletes a channel, or a thread."""
        self.control("delete_channel", channel_id=channel_id)

    def create_role(self, guild_id: int, name: str, *permissions: str) -> int:
        """Adds a role, below the bot's, and returns its id.

        :param permissions: by discord.py's names, such as ``"kick_members"``.
        """
        return int(self.control("create_role", guild_id=guild_id, name=name, permissions=permissions))

    def give_role(self, guild_id: int, user_id: int, role_id: int) -> None:
        """Gives a member a role."""
        self.control("give_role", guild_id=guild_id, user_id=user_id, role_id=role_id)

    def take_role(self, guild_id: int, user_id: int, role_id: int) -> None:
        """Takes a role from a member."""
        self.control("take_role", guild_id=guild_id, user_id=user_id, role_id=role_id)

    def set_system_channel(self, guild_id: int, channel_id: int | None) -> None:
        """Chooses the channel in which Discord greets new members; ``None`` for none."""
        self.control("set_system_channel", guild_id=guild_id, channel_id=channel_id)

    def deny(self, channel_id: int, *permissions: str) -> None:
        """Takes permissions in a channel from the bot, such as ``"view_channel"``; none: gives all back."""
        self.control("deny", channel_id=channel_id, permissions=permissions)

    def deny_guild(self, guild_id: int, *permissions: str) -> None:
        """Takes permissions in a guild from the bot, such as ``"view_audit_log"``; none: gives all back."""
        self.control("deny_guild", guild_id=guild_id, permissions=permissions)

    def emit(self, name: str, payload: Mapping[str, Any]) -> None:
        """Sends any gateway event."""
        self.control("emit", name=name, payload=dict(payload))

    def slash(
        self,
        command: str,
        options: Mapping[str, Any] | None = None,
        *,
        channel_id: int | None = None,
        user_id: int | None = None,
        autocomplete: str | None = None,
    ) -> int:
        """Runs a slash command, such as ``"roll"`` or ``"config set"``, and returns the interaction's id.

        :param options: by name; users, roles and channels by their ids.
        :param autocomplete: the option that the user is still typing.
        """
        return int(
            self.control(
                "slash",
                path=command,
                options=dict(options or {}),
                channel_id=channel_id or self.channel_ids[0],
                user_id=user_id or self.user_ids[0],
                autocomplete=autocomplete,
            )
        )

    def context_menu(
        self,
        command: str,
        *,
        message_id: int | None = None,
        target_user: int | None = None,
        channel_id: int | None = None,
        user_id: int | None = None,
    ) -> int:
        """Picks a command from a message's or a user's menu, and returns the interaction's id."""
        return int(
            self.control(
                "context_menu",
                name=command,
                channel_id=channel_id or self.channel_ids[0],
                user_id=user_id or self.user_ids[0],
                message_id=message_id,
                target_user=target_user,
            )
        )

    def click(
        self,
        custom_id: str,
        message_id: int,
        *,
        channel_id: int | None = None,
        user_id: int | None = None,
        values: Sequence[str] | None = None,
    ) -> int:
        """Presses a button, or chooses ``values`` of a select, and returns the interaction's id."""
        return int(
            self.control(
                "click",
                custom_id=custom_id,
                channel_id=channel_id or self.channel_ids[0],
                message_id=message_id,
                user_id=user_id or self.user_ids[0],
                values=None if values is None else list(values),
            )
        )

    def submit(
        self,
        custom_id: str,
        fields: Mapping[str, str],
        *,
        channel_id: int | None = None,
        user_id: int | None = None,
        message_id: int | None = None,
    ) -> int:
        """Submits a modal, and returns the interaction's id."""
        return int(
            self.control(
                "submit",
                custom_id=custom_id,
                fields=dict(fields),
                channel_id=channel_id or self.channel_ids[0],
                user_id=user_id or self.user_ids[0],
                message_id=message_id,
            )
        )

    def age_interaction(self, interaction_id: int, seconds: float) -> None:
        """Makes an interaction older: after 3 s it takes no first answer, after 15 minutes none at all."""
        self.control("age_interaction", interaction_id=interaction_id, seconds=seconds)

    def interaction(self, interaction_id: int) -> dict[str, Any]:
        """An interaction, by ``channel_id`` and ``called`` (``/roll``, or a custom id), and the answer to it:
        ``responded``, ``kind``, ``content``, ``ephemeral``, ``thinking``, ``modal``, ``followups``,
        ``choices``, ...
        """
        return dict(self.control("interaction", interaction_id=interaction_id))

    def load(
        self,
        kind: str = "message",
        *,
        rate: float = 50.0,
        count: int | None = None,
        duration: float | None = None,
        channels: Sequence[int] | None = None,
        template: str = "!ping {n}",
        users: Sequence[int] | None = None,
    ) -> Load:
        """Lets users act at a steady rate until ``count`` or ``duration`` is reached, or ``Load.stop``.

        :param kind: ``message``, ``edit``, ``edit once`` (each message), ``delete``, ``reaction``,
            ``numbered reaction`` (the message's author in the event is the action's number), ``typing``,
            ``join``, ``slash`` or ``button``.
        :param rate: actions a second; 0 for as many as possible.
        :param template: a message's content, with ``{n}`` for the action's number; a slash command's name; a
            button's custom id.
        """
        number = self.control(
            "load",
            kind=kind,
            rate=rate,
            count=count,
            duration=duration,
            channels=list(channels or ()),
            template=template,
            users=list(users or ()),
        )
        return Load(self, number, kind)
