"""The load of a simulated cluster: Discord's events, and what the replicas do with shared state."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from discordha.errors import DiscordHAError
from simulation.leading import channels_of, guild_of
from simulation.primitives import sleep
from simulation.record import Happening, Operation, Record

if TYPE_CHECKING:
    from discordha.bot import DiscordHA
    from simulation.discord_side import SimulatedDiscord
    from simulation.plan import Plan
    from simulation.scheduler import Scheduler, Task

__all__ = ["Loading"]

#: How long each of a lone replica's two workers rests between two operations on average, seconds.
PAUSE = 0.13


class Loading(ABC):
    """The part of a cluster that keeps it busy."""

    plan: Plan
    scheduler: Scheduler
    record: Record
    discord: SimulatedDiscord
    _numbers: Iterator[int]
    _emitting: bool
    _held: dict[str, tuple[int, Any, Task]]

    @abstractmethod
    def _note(self, text: str) -> None:
        """Adds a line to the history."""

    @abstractmethod
    def _as(self, task: Task, ask: Callable[[], Any], busy: Any = None) -> Any:
        """Asks as another thread would; ``busy`` if a lock is held."""

    @abstractmethod
    def _schedule_or_cancel(self, bot: DiscordHA, client: str, number: Callable[[], int]) -> None:
        """Schedules a timer, or cancels one."""

    @abstractmethod
    def _send_voice(self, bot: DiscordHA, name: str) -> None:
        """Queues a voice command."""

    def _emit(self) -> None:
        if not self._emitting:
            return
        scheduler, chance = self.scheduler, self.scheduler.random
        scheduler.after(chance.expovariate(self.plan.rate), self._emit)
        shards = max(self.plan.shards, self.plan.reshard)
        number, channel, now = next(self._numbers), 1 + chance.randrange(channels_of(shards)), scheduler.now
        guild = guild_of(channel)
        if chance.random() < 0.7:
            snowflake = self.discord.snowflake()
            happening = Happening(number, "message", str(snowflake), channel, now, guild)
            self.record.happened(happening)
            self._note(f"message {snowflake} in {channel}")
            happening.sessions = self.discord.emit(
                "MESSAGE_CREATE",
                {
                    "id": str(snowflake),
                    "channel_id": str(channel),
                    "guild_id": str(guild),
                    "author": {"id": "7"},
                    "content": "!",
                    "token": number,
                },
            )
            return
        target, user, emoji = int(now / 4), chance.randrange(2), chance.choice("ab")
        if not shards:
            channel, guild = 1, guild_of(1)
        target = target * 10_000 + channel
        name = f"{target}/{user}/{emoji}"
        happening = Happening(number, "reaction", name, channel, now, guild)
        self.record.happened(happening)
        self._note(f"reaction {name}")
        happening.sessions = self.discord.emit(
            "MESSAGE_REACTION_ADD",
            {
                "message_id": str(target),
                "channel_id": str(channel),
                "guild_id": str(guild),
                "user_id": str(user),
                "emoji": {"name": emoji, "id": None},
                "token": number,
            },
        )

    def _work(self, bot: DiscordHA, client: str) -> None:
        """Reads and writes what all replicas share, and records each operation."""
        chance = self.scheduler.random
        cache = bot.cache("simulated")
        while self._emitting:
            sleep(chance.expovariate(1 / PAUSE) * self.plan.replicas)
            part = int(self.scheduler.now / 10)
            what = chance.choice(("increment", "get_or_set", "get", "set", "lock", "timer", "voice"))
            if what == "increment":
                key = f"counter/{part}"
                self._operate(client, key, what, 1, lambda key=key: cache.increment(key))
            elif what == "get_or_set":
                key, value = f"once/{int(self.scheduler.now / 3)}", next(self._numbers)

                def compute(value: int = value) -> int:
                    sleep(chance.expovariate(1 / 0.3))
                    return value

                self._operate(
                    client, key, what, value, functools.partial(cache.get_or_set, key, compute, timeout=5.0)
                )
            elif what == "get":
                key = f"register/{part}"
                self._operate(client, key, what, None, lambda key=key: cache.get(key))
            elif what == "set":
                key, value = f"register/{part}", next(self._numbers)
                self._operate(client, key, what, value, lambda key=key, value=value: cache.set(key, value))
            elif what == "timer":
                self._schedule_or_cancel(bot, client, lambda: next(self._numbers))
            elif what == "voice":
                self._send_voice(bot, f"voice/{next(self._numbers)}")
            else:
                self._with_lock(bot, client, f"lock/{chance.randrange(2)}")

    def _operate(self, client: str, key: str, what: str, argument: Any, call: Callable[[], Any]) -> None:
        invoked = self.scheduler.now
        operation = Operation(client, key, what, argument, invoked, math.inf)
        self.record.operations.append(operation)
        try:
            operation.result = call()
            operation.returned = self.scheduler.now
            self._note(f"{client} {what} {key} {argument} gave {operation.result}")
        except (DiscordHAError, TimeoutError) as error:
            applied = getattr(error, "maybe_applied", True)
            if what == "get" or applied is False:
                self.record.operations.remove(operation)
            self._note(f"{client} {what} {key} {argument} failed: {type(error).__name__}")

    def _with_lock(self, bot: DiscordHA, client: str, name: str) -> None:
        chance, record, task = self.scheduler.random, self.record, self.scheduler.current
        assert task is not None
        try:
            with bot.lock(name, timeout=5.0) as lock:
                now, token = self.scheduler.now, lock.fencing_token
                if lock.lost:
                    return
                held = self._held.get(name)
                if held is not None:
                    other, holder, of = held
                    if of.machine.alive and not self._as(of, lambda: holder.lost, True):
                        record.violation(now, "two holders", f"{name}: tokens {other} and {token}")
                    if token <= other:
                        record.violation(now, "token went back", f"{name}: {token} after {other}")
                self._note(f"{client} holds {name} token {token}")
                self._held[name] = (token, lock, task)
                sleep(chance.expovariate(1 / 0.05))
                if self._held.get(name, (0,))[0] == token:
                    self._held[name] = (token, _Released, task)
        except (DiscordHAError, TimeoutError) as error:
            self._note(f"{client} lock {name} failed: {type(error).__name__}")


class _Released:
    lost = True
