"""What users of a local Discord do: the part of the handle that acts for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .records import Load

__all__ = ["DiscordUsers"]


class DiscordUsers:
    """Base of ``LocalDiscord``. Each method returns when the server has done it."""

    def control(self, name: str, /, **arguments: Any) -> Any:
        """One call to the server."""
        raise RuntimeError("a part of LocalDiscord, of no use alone")

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

    def send(
        self,
        channel_id: int,
        content: str,
        user_id: int | None = None,
        *,
        reply_to: int | None = None,
        attachment: str | None = None,
    ) -> int:
        """A user sends a message; its id."""
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
        """A message is edited by its author."""
        self.control("edit", channel_id=channel_id, message_id=message_id, content=content)

    def delete(self, channel_id: int, message_id: int) -> None:
        """A message is deleted."""
        self.control("delete", channel_id=channel_id, message_id=message_id)

    def bulk_delete(self, channel_id: int, message_ids: Sequence[int]) -> None:
        """Several messages are deleted at once."""
        self.control("bulk_delete", channel_id=channel_id, message_ids=list(message_ids))

    def react(self, channel_id: int, message_id: int, emoji: str, user_id: int | None = None) -> None:
        """A user adds a reaction."""
        user = user_id or self.user_ids[0]
        self.control("react", channel_id=channel_id, message_id=message_id, emoji=emoji, user_id=user)

    def unreact(self, channel_id: int, message_id: int, emoji: str, user_id: int | None = None) -> None:
        """A user takes a reaction back."""
        user = user_id or self.user_ids[0]
        self.control("unreact", channel_id=channel_id, message_id=message_id, emoji=emoji, user_id=user)

    def typing(self, channel_id: int, user_id: int | None = None) -> None:
        """A user types."""
        self.control("typing", channel_id=channel_id, user_id=user_id or self.user_ids[0])

    def join(self, guild_id: int, user_id: int | None = None) -> int:
        """A user joins, a new one unless given; the user's id."""
        return int(self.control("join", guild_id=guild_id, user_id=user_id))

    def leave(self, guild_id: int, user_id: int) -> None:
        """A member leaves."""
        self.control("leave", guild_id=guild_id, user_id=user_id)

    def move_voice(self, guild_id: int, user_id: int, channel_id: int | None) -> None:
        """A member goes to a voice channel, or leaves it."""
        self.control("move_voice", guild_id=guild_id, user_id=user_id, channel_id=channel_id)

    def presence(self, guild_id: int, user_id: int, status: str) -> None:
        """A member's presence changes."""
        self.control("presence", guild_id=guild_id, user_id=user_id, status=status)

    def emit(self, name: str, payload: Mapping[str, Any]) -> None:
        """Any gateway event."""
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
        """A user runs a slash command, such as ``"roll"`` or ``"config set"``; the interaction's id. Users,
        roles and channels are given by their ids.

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
        """A user picks a command from a message's or a user's menu; the interaction's id."""
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
        """A user presses a button, or chooses ``values`` of a select; the interaction's id."""
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
        """A user sends a modal off; the interaction's id."""
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
        """Makes an interaction older than it is: after 3 s it can't be answered for the first time, after 15
        minutes not at all.
        """
        self.control("age_interaction", interaction_id=interaction_id, seconds=seconds)

    def interaction(self, interaction_id: int) -> dict[str, Any]:
        """How an interaction was answered: ``responded``, ``kind``, ``content``, ``ephemeral``, ``thinking``,
        ``modal``, ``followups``, ``choices``, ...
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
        """Users act at a steady rate until ``count`` or ``duration``, or ``Load.stop``.

        :param kind: ``message``, ``edit``, ``delete``, ``reaction``, ``typing``, ``join``, ``slash`` or
            ``button``.
        :param rate: actions a second; 0 is as fast as can be.
        :param template: a message's content, ``{n}`` being the action's number; a slash command's name; a
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
