"""Users that act at a steady rate, inside of the server, so that the test process is no bottleneck."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from discordha.testing.discord_server.interactions import UserInteractions
from discordha.testing.discord_server.world import World

__all__ = ["RunningLoad", "Loads"]

#: Does the action of a number, and returns its key and its channel.
Action = Callable[[int], "tuple[str, int]"]


class RunningLoad:
    """One kind of action at one rate."""

    def __init__(
        self, kind: str, action: Action, rate: float, count: int | None, duration: float | None
    ) -> None:
        self.kind = kind
        self.sent: list[tuple[int, str, int, float]] = []  # number, key, channel, when
        self.errors = 0
        self._action = action
        self._rate = rate
        self._count = count
        self._duration = duration
        self.task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Acts until the count or the duration is reached. Makes up for delays."""
        begun = time.monotonic()
        for number in itertools.count():
            now = time.monotonic()
            if self._count is not None and number >= self._count:
                return
            if self._duration is not None and now - begun >= self._duration:
                return
            due = begun + number / self._rate if self._rate else now
            if due > now:
                await asyncio.sleep(due - now)
            elif number % 20 == 0:
                await asyncio.sleep(0)
            try:
                at = time.monotonic()
                key, channel_id = self._action(number)
            except Exception:  # noqa: BLE001 - counted
                self.errors += 1
                continue
            self.sent.append((number, key, channel_id, at))

    @property
    def running(self) -> bool:
        """Whether it still acts."""
        return self.task is not None and not self.task.done()


class Loads:
    """All loads of the server."""

    def __init__(self, world: World, interactions: UserInteractions) -> None:
        self.world = world
        self.interactions = interactions
        self.all: dict[int, RunningLoad] = {}
        self._numbers = itertools.count(1)

    def start(  # noqa: PLR0917
        self,
        kind: str,
        rate: float,
        count: int | None,
        duration: float | None,
        channels: Sequence[int],
        template: str,
        users: Sequence[int],
    ) -> int:
        """Starts a load, and returns its number."""
        makers: dict[str, Callable[..., Action]] = {
            "message": self._messages,
            "edit": self._edits,
            "edit once": partial(self._edits, once=True),
            "delete": self._deletes,
            "reaction": self._reactions,
            "numbered reaction": partial(self._reactions, numbered=True),
            "typing": self._typing,
            "join": self._joins,
            "slash": self._slash,
            "button": self._buttons,
        }
        action = makers[kind](channels or self.world.channels, template, users or self.world.users)
        load = RunningLoad(kind, action, rate, count, duration)
        number = next(self._numbers)
        self.all[number] = load
        load.task = asyncio.get_running_loop().create_task(load.run())
        return number

    def _messages(self, channels: Sequence[int], template: str, users: Sequence[int]) -> Action:
        def act(number: int) -> tuple[str, int]:
            channel_id = channels[number % len(channels)]
            content = template.replace("{n}", str(number))
            self.world.send(channel_id, content, users[number % len(users)])
            return content, channel_id

        return act

    def _edits(
        self, channels: Sequence[int], template: str, users: Sequence[int], *, once: bool = False
    ) -> Action:
        """``once``: each message. Discord's history tells the last edit of a message alone."""
        made: dict[int, int] = {}

        def act(number: int) -> tuple[str, int]:
            channel_id = channels[number % len(channels)]
            if channel_id not in made:
                made[channel_id] = self.world.send(channel_id, "to be edited", users[0])
            content = template.replace("{n}", str(number))
            self.world.edit(channel_id, made[channel_id], content)
            if once:
                made[channel_id] = self.world.send(channel_id, "to be edited", users[0])
            return content, channel_id

        return act

    def _deletes(self, channels: Sequence[int], template: str, users: Sequence[int]) -> Action:
        def act(number: int) -> tuple[str, int]:
            channel_id = channels[number % len(channels)]
            message_id = self.world.send(channel_id, "to be deleted", users[number % len(users)])
            self.world.delete(channel_id, message_id)
            return str(message_id), channel_id

        return act

    def _reactions(
        self, channels: Sequence[int], template: str, users: Sequence[int], *, numbered: bool = False
    ) -> Action:
        """Equal events again and again: add, remove, add, ... by few users on few messages."""
        made: dict[int, int] = {}
        emojis = ["\N{THUMBS UP SIGN}", "\N{PARTY POPPER}"]

        def act(number: int) -> tuple[str, int]:
            cycle, adds = divmod(number, 2)
            channel_id = channels[cycle % len(channels)]
            if channel_id not in made:
                made[channel_id] = self.world.send(channel_id, "to be reacted to", users[0])
            message_id = made[channel_id]
            user_id = users[cycle // len(channels) % len(users)]
            emoji = emojis[cycle // (len(channels) * len(users)) % len(emojis)]
            act = self.world.unreact if adds else self.world.react
            act(channel_id, message_id, emoji, user_id, number if numbered else None)
            return f"{'add' if adds == 0 else 'remove'}/{user_id}/{emoji}/{message_id}", channel_id

        return act

    def _typing(self, channels: Sequence[int], template: str, users: Sequence[int]) -> Action:
        def act(number: int) -> tuple[str, int]:
            channel_id = channels[number % len(channels)]
            user_id = users[number % len(users)]
            self.world.typing(channel_id, user_id)
            return f"{channel_id}/{user_id}", channel_id

        return act

    def _joins(self, channels: Sequence[int], template: str, users: Sequence[int]) -> Action:
        def act(number: int) -> tuple[str, int]:
            guild_id = self.world.guilds[number % len(self.world.guilds)]
            user_id = self.world.join(guild_id)
            return str(user_id), guild_id

        return act

    def _slash(self, channels: Sequence[int], template: str, users: Sequence[int]) -> Action:
        def act(number: int) -> tuple[str, int]:
            channel_id = channels[number % len(channels)]
            interaction = self.interactions.slash(
                template, {"n": number}, channel_id, users[number % len(users)], None
            )
            return str(interaction), channel_id

        return act

    def _buttons(self, channels: Sequence[int], template: str, users: Sequence[int]) -> Action:
        """Presses of a button under one message in each channel; the template is its custom id."""
        made: dict[int, int] = {}

        def act(number: int) -> tuple[str, int]:
            channel_id = channels[number % len(channels)]
            if channel_id not in made:
                made[channel_id] = self.world.send(channel_id, "with a button", users[0])
            custom_id, user_id = template.replace("{n}", str(number)), users[number % len(users)]
            interaction = self.interactions.click(custom_id, channel_id, made[channel_id], user_id, None)
            return str(interaction), channel_id

        return act

    def describe(self, number: int, since: int) -> dict[str, Any]:
        """The state of a load."""
        load = self.all[number]
        return {
            "running": load.running,
            "count": len(load.sent),
            "errors": load.errors,
            "sent": load.sent[since:],
        }

    def stop(self, number: int) -> None:
        """Ends a load."""
        task = self.all[number].task
        if task is not None:
            task.cancel()

    def close(self) -> None:
        """Ends all loads."""
        for number in self.all:
            self.stop(number)
