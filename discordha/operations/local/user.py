"""The user of a local session: who speaks, where, and what they do there.

Threads and locks: one thread calls the methods; any thread calls ``channel_name``. No lock: ``_names`` is
replaced as a whole.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from discordha.operations.local.commands import RegisteredCommands
from discordha.operations.local.lines import LineError, id_of

if TYPE_CHECKING:
    from discordha.testing import LocalDiscord

__all__ = ["LocalUser"]

Found = TypeVar("Found")

#: How long the bot may take to make a command, a button or a modal that a line names, seconds.
MADE_WITHIN = 5.0
#: Pause between two looks at the local Discord, seconds.
LOOK_PAUSE = 0.1
#: Messages of a channel that are looked through for a button.
LOOKED_THROUGH = 200


class LocalUser:
    """See the module.

    :param tell: prints a line; any thread.
    :param stop: ends every wait.
    """

    def __init__(self, discord: LocalDiscord, tell: Callable[[str], None], stop: threading.Event) -> None:
        self._discord = discord
        self._tell = tell
        self._stop = stop
        self._user, self._channel = discord.user_ids[0], discord.channel_ids[0]
        self._caused: deque[int] = deque(maxlen=100)  # the newest interactions
        self._look_names()

    # -- who speaks, and where -------------------------------------------------------------------------------

    @property
    def prompt(self) -> str:
        """The user and the channel."""
        return f"{self._names['users'][self._user]} #{self.channel_name(self._channel)}> "

    def become(self, name: str) -> None:
        """Goes on as another user."""
        self._look_names()
        self._user = id_of(name, ("users",), self._names)
        if self._channel not in self._discord.channel_ids:
            self._channel = self._discord.channel_ids[0]  # not in another user's direct channel

    def go(self, name: str) -> None:
        """Goes to another channel; ``direct``: to the one of this user and the bot."""
        if name == "direct":
            self._channel = self._discord.open_direct(self._user)
            self._look_names()
            return
        self._look_names()
        found = id_of(name, ("channels",), self._names)
        if found in self._discord.voice_channel_ids:
            self._discord.move_voice(self._guild(), self._user, found)
            self._tell(f"{self._names['users'][self._user]} joins the voice channel {name}")
            return
        self._channel = found

    def join(self) -> None:
        """A new member joins the guild."""
        user = self._discord.join(self._guild())
        self._look_names()
        name = self._names["users"][user]
        self._tell(f"{name} joins; `as {name}` speaks for the new member")

    def _guild(self) -> int:
        # One guild, unless the library's defaults change: a direct channel stands for the first.
        return self._discord.guild_ids[0]

    def _look_names(self) -> None:
        self._names = self._discord.names()

    def channel_name(self, channel: int) -> str:
        """A channel's name, or its id. Any thread."""
        if channel not in self._names["channels"]:
            self._look_names()
        return self._names["channels"].get(channel, str(channel))

    # -- messages --------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Sends a message to the channel."""
        self._discord.send(self._channel, text, self._user)

    def dm(self, text: str) -> None:
        """Sends a message to the bot alone."""
        self._discord.send(self._discord.open_direct(self._user), text, self._user)

    def edit(self, text: str) -> None:
        """Edits this user's newest message of the channel."""
        self._discord.edit(self._channel, self._newest(mine=True), text)

    def delete(self) -> None:
        """Deletes this user's newest message of the channel."""
        self._discord.delete(self._channel, self._newest(mine=True))

    def react(self, emoji: str) -> None:
        """Reacts to the channel's newest message."""
        self._discord.react(self._channel, self._newest(mine=False), emoji, self._user)

    def _newest(self, *, mine: bool) -> int:
        for message in self._discord.history(self._channel, 1000):
            if message["author_id"] == self._user or not mine:
                return int(message["id"])
        whose = f"of {self._names['users'][self._user]} " if mine else ""
        raise LineError(f"there is no message {whose}in #{self.channel_name(self._channel)}")

    # -- interactions ----------------------------------------------------------------------------------------

    def slash(self, path: tuple[str, ...], options: Mapping[str, str]) -> None:
        """Runs a slash command, once the bot has registered it."""
        commands = RegisteredCommands(self._discord)
        declared = self._until(lambda: commands.options(path), lambda: commands.unknown(path))
        self._look_names()
        values = commands.values(path, declared, options, self._names)
        self._caused.append(
            self._discord.slash(" ".join(path), values, channel_id=self._channel, user_id=self._user)
        )

    def menu(self, name: str, target: str | None) -> None:
        """Runs a command of the context menu: of a user, or of the channel's newest message."""
        commands = RegisteredCommands(self._discord)
        kind = "message" if target is None else "user"
        self._until(lambda: commands.has_menu(name, kind) or None, lambda: commands.unknown_menu(name, kind))
        if target is None:
            about = {"message_id": self._newest(mine=False)}
        else:
            self._look_names()
            about = {"target_user": id_of(target, ("users",), self._names)}
        self._caused.append(
            self._discord.context_menu(name, channel_id=self._channel, user_id=self._user, **about)
        )

    def press(self, name: str, values: tuple[str, ...] | None = None) -> None:
        """Presses the channel's newest button of that custom id or label, or chooses from a select."""
        kind = "button" if values is None else "select"

        def find() -> tuple[str, int] | None:
            for by in ("custom_id", "label"):
                for custom_id, message, each in self._components(kind):
                    if each[by] == name:
                        return custom_id, message
            return None

        def missing() -> str:
            seen = dict.fromkeys(
                f"{each['label']} ({custom_id})" if each["label"] else custom_id
                for custom_id, _, each in self._components(kind)
            )
            return f"there is no {kind} {name!r} here; those that are: {', '.join(seen) or 'none'}"

        custom_id, message = self._until(find, missing)
        self._caused.append(
            self._discord.click(
                custom_id, message, channel_id=self._channel, user_id=self._user, values=values
            )
        )

    def _components(self, kind: str) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """The custom ids of what can be pressed, with their messages, the newest first."""
        for message in self._discord.history(self._channel, LOOKED_THROUGH):
            for each in message["components"]:
                if each["kind"] == kind and not each["disabled"]:
                    yield each["custom_id"], int(message["id"]), each

    def submit(self, name: str, fields: Mapping[str, str]) -> None:
        """Sends the newest modal of that custom id or title. Its fields have their custom ids or labels."""

        def find() -> dict[str, Any] | None:
            modals = (self._discord.interaction(each)["modal"] for each in reversed(self._caused))
            return next(
                (each for each in modals if each and name in (each["custom_id"], each["title"])), None
            )

        modal = self._until(find, lambda: f"there is no modal {name!r}")
        inputs = dict(_inputs(modal["components"]))
        known = {
            **{label: custom_id for custom_id, label in inputs.items()},
            **{each: each for each in inputs},
        }
        if unknown := [field for field in fields if field not in known]:
            named = ", ".join(label or custom_id for custom_id, label in inputs.items())
            raise LineError(f"the modal {name!r} has no field {', '.join(unknown)}; its fields: {named}")
        values = {known[field]: text for field, text in fields.items()}
        self._caused.append(
            self._discord.submit(modal["custom_id"], values, channel_id=self._channel, user_id=self._user)
        )

    def _until(self, find: Callable[[], Found | None], missing: Callable[[], str]) -> Found:
        """What ``find`` finds, which the bot may be about to make."""
        until = time.monotonic() + MADE_WITHIN
        while (found := find()) is None:
            if time.monotonic() >= until or self._stop.wait(LOOK_PAUSE):
                raise LineError(missing())
        return found


def _inputs(components: Any, label: str = "") -> Iterator[tuple[str, str]]:
    """The custom ids and labels of a modal's fields."""
    for each in components:
        named = str(each.get("label") or label)
        if each.get("custom_id"):
            yield str(each["custom_id"]), named
        inner = each.get("component")
        yield from _inputs([*(each.get("components") or ()), *([inner] if inner else [])], named)
