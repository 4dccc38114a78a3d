"""A dispatcher of one replica without etcd, whose clock the test moves on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import discord

from discordha.config import Config
from discordha.coordination.claims.claims import Claims
from discordha.coordination.claims.hints import ClaimHints
from discordha.coordination.claims.last_attempts import LastAttempts
from discordha.coordination.claims.looks import Looks
from discordha.coordination.etcd.group_commit import GroupCommit
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.memory.store import MemoryStore
from discordha.dispatch import Dispatcher, Lanes
from discordha.dispatch.handlers import Handler, HandlerRegistry
from discordha.dispatch.runner import Runner
from discordha.events import Event
from discordha.stats import Stats
from discordha.testing import wait_for

__all__ = ["GRACE", "OURS", "THEIRS", "Scene"]

GRACE = 0.05
OURS, THEIRS = 1, 2


class _NoBridge:
    def call(self, awaitable: Any, timeout: float | None = None) -> Any:
        raise AssertionError("no handler here calls Discord")

    def begin(self, awaitable: Any, on_done: Any) -> Any:
        raise AssertionError("no handler here calls Discord")


class _Members:
    """One channel is ours, all others are somebody else's.

    :ivar owed: whether an older replica has events of each channel to finish first.
    """

    version: object = 0
    owed = False
    any_silent = False

    def listen(self, changed: Callable[[], None]) -> None:
        """Ranks never change."""

    def is_silent(self, member: str) -> bool:
        return False

    def owes(self, order: str, shard: int) -> bool:
        return self.owed

    def review(self) -> None:
        """What is owed is what the test says."""

    def has_received(self, shard: int, moment: float) -> bool:
        return False

    def rank(self, ordering_key: str, shard: int = 0) -> int:
        return 0 if ordering_key == str(OURS) else 1


class Scene:
    """A dispatcher whose clock stands still, and whose timer ticks when it is told to.

    :param running: its clock and its timer run by themselves.
    :param looks: whether it looks before it helps: ``asked`` has the keys, and the test answers.
    """

    def __init__(self, *, running: bool = False, looks: bool = False) -> None:
        self.asked: list[str] = []
        self.now = 100.0
        clock: Callable[[], float] = time.monotonic if running else lambda: self.now
        self.begun: list[int] = []
        self.gates: dict[int, threading.Event] = {}
        self.stats = Stats()
        registry = self.registry = HandlerRegistry()
        registry.add(self._handle, "message")
        registry.add(lambda payload: None, "raw_reaction_add")
        config = Config(
            token="x" * 60, intents=discord.Intents.none(), ha=False, grace=GRACE, workers=4, queue_size=100
        )
        store = MemoryStore()
        self.hints = ClaimHints("/", retention=600.0)
        self.claims = Claims(
            None,
            GroupCommit(store),
            RetentionLeases(store, retention=600.0),
            self.hints,
            root="/",
            replica_id="r0",
            max_attempts=config.max_attempts,
            looks=cast(Looks, SimpleNamespace(ask=self.asked.extend)) if looks else None,
        )
        self.members = members = _Members()
        lanes = Lanes(workers=4, max_workers=16, patience=GRACE, clock=clock)
        self.lanes = lanes
        self.led: list[tuple[Event, Sequence[Handler], int]] = []
        self.dispatcher = Dispatcher(
            config,
            registry,
            Runner(_NoBridge(), self.stats),
            self.stats,
            claims=self.claims,
            members=members,
            to_leader=lambda *arguments: self.led.append(arguments),
            lanes=lanes,
            inject=lambda text, shard: True,
            last_attempts=LastAttempts(config.max_attempts, clock=clock),
            clock=clock,
        )
        if running:
            self.dispatcher.start()
        else:
            lanes.start(self.dispatcher.work, self.dispatcher.on_ready)

    def _handle(self, message: Any) -> None:
        self.begun.append(message.id)
        self.gates[message.id].wait(10)

    def receive(self, number: int, channel: int, *, slow: bool = False) -> None:
        gate = self.gates[number] = threading.Event()
        if not slow:
            gate.set()
        message = SimpleNamespace(id=number, channel=SimpleNamespace(id=channel), guild=None)
        self.dispatcher.receive("message", (message,), None, 0, 0)

    def tick(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.dispatcher.tick()

    def is_late(self, first: int = 1) -> None:
        """One of our own events begins two graces after it has come, and none sooner."""
        second = first + 1
        self.receive(first, OURS, slow=True)
        wait_for(lambda: first in self.begun, 10, "the first to begin")
        self.tick()
        self.receive(second, OURS)
        self.now += 2 * GRACE
        self.gates[first].set()
        ended = lambda: not self.dispatcher.queue()["running"] and second in self.begun  # noqa: E731
        wait_for(ended, 10, "the second to end")

    def stop(self) -> None:
        """Lets all handlers end, and stops."""
        for gate in self.gates.values():
            gate.set()
        assert self.dispatcher.stop(5.0)
