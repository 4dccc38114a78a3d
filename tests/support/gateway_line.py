"""A gateway with one shard, and what came through it."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future, wait
from typing import Any

import discord

from discordha import Config
from discordha.gateway.core import Gateway
from discordha.gateway.heartbeats import CountedSocket
from discordha.testing import LocalDiscord, wait_for

__all__ = ["Line"]


class Line:
    """A gateway with one shard, and the messages that came through it."""

    def __init__(self, discord_: LocalDiscord, *, endpoint: str | None = None, **settings: Any) -> None:
        self.discord = discord_
        self.messages: list[str] = []
        self.raws: list[str] = []  # their frames
        self.guilds: dict[str, int] = {}  # by message, as its frame names it
        self.landmarks: list[tuple[int, int]] = []  # guild and id of each message
        self.fatal: list[BaseException] = []
        self.close_asked = 0
        self.seen = 0  # of etcd
        #: By message: what was proven to be older when it came, and what had been seen by then.
        self.stamps: dict[str, tuple[int, int]] = {}
        settings.setdefault("intents", discord.Intents.all())
        config = Config.from_env(discord_.env(endpoint=endpoint), ha=False, **settings)
        self.gateway = Gateway(config, self)

    # -- the gateway's listener

    async def before_identify(self, shard_id: int) -> None:
        """Nothing limits it."""

    def on_dispatch(
        self,
        event: str,
        args: tuple[Any, ...],
        raw: str | None,
        shard_id: int,
        acknowledged_revision: int,
        *,
        guild: int,
    ) -> None:
        if event == "message":
            self.stamps[args[0].content] = (acknowledged_revision, self.seen)
            self.guilds[args[0].content] = guild
            self.messages.append(args[0].content)
            self.raws.append(raw or "")

    def on_fatal(self, error: BaseException) -> None:
        self.fatal.append(error)

    def on_close_asked(self) -> None:
        self.close_asked += 1

    def known_revision(self) -> int:
        return self.seen

    def on_client(self, client: discord.Client) -> None: ...

    def on_identify(self, shard_id: int) -> None: ...

    def on_new_session(self, shard_id: int) -> None: ...

    def on_change(self) -> None: ...

    def on_message(self, shard_id: int, guild: int, message: int) -> None:
        self.landmarks.append((guild, message))

    def on_burst(self) -> None: ...

    def on_burst_over(self) -> float | None: ...
    def on_burst_settled(self) -> None: ...

    # --

    def open(self) -> None:
        self.gateway.start()
        self.gateway.open_shard(0)
        wait_for(lambda: self.gateway.state(0).ready, 30, "the shard to be ready")

    def send(self, *contents: str) -> None:
        for content in contents:
            self.discord.send(self.discord.channel_ids[0], content)

    @property
    def ws(self) -> CountedSocket:
        ws = self.gateway.clients[0].ws
        assert isinstance(ws, CountedSocket)
        return ws

    def quiet(self) -> None:
        """All heartbeats are answered."""
        wait_for(lambda: self.ws.acknowledged == self.ws.sent, 20, "the answers to all heartbeats")

    def prove(self, seen: int) -> None:
        """Sees a revision, and has a heartbeat answered that left after that."""
        self.seen = seen
        self.gateway.beat(0)
        self.proven(seen)

    def proven(self, revision: int) -> None:
        """Waits until that is proven, to whoever asks on the gateway's thread."""

        async def proven() -> int:
            return self.gateway.acknowledged_revision(0)

        def reached() -> bool:
            return asyncio.run_coroutine_threadsafe(proven(), self.gateway.loop).result(20) == revision

        wait_for(reached, 20, "the answer to a heartbeat")

    def hear(self, content: str) -> tuple[int, int]:
        """Sends a message and waits for it."""
        self.send(content)
        return self.heard(content)

    def heard(self, content: str) -> tuple[int, int]:
        """Waits for a message; its stamp, and what had been seen when it came."""
        wait_for(lambda: content in self.messages, 60, f"the message {content}")
        return self.stamps[content]

    def asked(self) -> Future[bool]:
        """Asks, and waits until the heartbeat has been answered."""
        self.quiet()
        ws, before = self.ws, self.ws.acknowledged
        future = self.gateway.caught_up(0)
        wait_for(lambda: ws.acknowledged > before, 20, "the answer")
        wait_for(lambda: not ws.round_trips, 20, "it to be noticed")
        return future

    def told(self, future: Future[bool], timeout: float = 60.0) -> bool:
        """The answer, while something happens all the time."""
        deadline = time.monotonic() + timeout
        while not future.done() and time.monotonic() < deadline:
            self.send("something")
            wait([future], 0.1)
        return future.result(0)
