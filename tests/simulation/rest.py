"""Discord's REST API for a catch-up: histories with pages, and the event loop that asks for them.

The library's own fetcher runs on a real event loop of asyncio, whose time is the simulation's: where the loop
would wait in its selector, its thread blocks as the others do.
"""

from __future__ import annotations

import asyncio
import email.utils
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from simulation.discord_side import WAY, WAY_MEAN
from simulation.primitives import EPOCH, monotonic
from simulation.scheduler import Killed, Task, current

if TYPE_CHECKING:
    from simulation.client import SimulatedClient
    from simulation.discord_side import SimulatedDiscord

__all__ = ["SimulatedHTTP", "VirtualLoop", "date_of", "guilds_of"]

#: A page of a history takes so much longer than a message, seconds on average.
PAGE_MEAN = 0.03


class _Selector:
    """Blocks as a selector does, and finds nothing: there are no sockets."""

    def __init__(self) -> None:
        self._waiter: Task | None = None
        self._woken = False

    def select(self, timeout: float | None = None) -> Sequence[Any]:
        """See ``selectors``."""
        scheduler = current()
        if timeout is not None and timeout <= 0:
            scheduler.point()
        elif not self._woken:
            self._waiter = scheduler.current
            scheduler.block(timeout)
            self._waiter = None
        self._woken = False
        return ()

    def wake(self) -> None:
        """Ends ``select``."""
        self._woken = True
        if self._waiter is not None:
            current().wake(self._waiter)


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop of asyncio in virtual time, for one thread of a simulation."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Selector()
        self.set_exception_handler(lambda loop, context: None)

    def time(self) -> float:
        """See ``asyncio``."""
        return monotonic()

    def _process_events(self, events: Sequence[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        self._selector.wake()

    def main(self) -> None:
        """Runs until the simulation ends."""
        task = current().current
        assert task is not None
        task.loop = self
        try:
            self.run_forever()
        except Killed:
            pass
        finally:
            task.loop = None
            self.close()


def date_of(now: float) -> str:
    """The ``Date`` of an answer of Discord's."""
    return email.utils.formatdate(int(EPOCH + now), usegmt=True)


class SimulatedHTTP:
    """discord.py's HTTP client, as far as a catch-up of messages uses it."""

    def __init__(self, client: SimulatedClient, discord_side: SimulatedDiscord) -> None:
        self._client = client
        self._discord = discord_side

    async def logs_from(
        self, channel_id: int, limit: int, *, before: int | None = None, after: int | None = None
    ) -> list[dict[str, Any]]:
        """A page of a channel's history, the newest first."""
        side, chance, began = self._discord, current().random, monotonic()
        await asyncio.sleep(WAY + chance.expovariate(1 / PAGE_MEAN))
        history = side.history.get(channel_id, [])
        if after is not None:
            page = [message for message in history if int(message["id"]) > after][:limit]
        else:
            page = [message for message in history if before is None or int(message["id"]) < before][-limit:]
        answered = current().now
        await asyncio.sleep(WAY + chance.expovariate(1 / WAY_MEAN))
        if chance.random() < side.loses:
            raise OSError("the answer is lost")
        self._client.note_date(date_of(answered), began)
        return [dict(message) for message in reversed(page)]


def guilds_of(client: SimulatedClient, last_messages: dict[int, int]) -> list[Any]:
    """What discord.py's cache holds of a shard's guilds, as far as a catch-up asks."""
    by_guild: dict[int, list[Any]] = {}
    for channel, guild in client.channels().items():
        last = last_messages.get(channel)
        by_guild.setdefault(guild, []).append(SimpleNamespace(id=channel, last_message_id=last))
    return [
        SimpleNamespace(
            id=guild,
            unavailable=False,
            me=None,
            chunked=True,
            text_channels=channels,
            voice_channels=(),
            stage_channels=(),
            forums=(),
            threads=(),
            scheduled_events=(),
            get_member=lambda user: None,
        )
        for guild, channels in sorted(by_guild.items())
    ]
