"""Discord's side of a simulated cluster.

Discord sends each event to all sessions, each in its own time, in order within a connection. It keeps what a
session missed for RESUME, unless the session is invalidated, and creates one message for each nonce.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from simulation.primitives import EPOCH
from simulation.scheduler import Scheduler

__all__ = ["WAY", "WAY_MEAN", "Begun", "Connection", "Session", "SimulatedDiscord"]

#: One way between a replica and Discord: the least, and what is added on average, seconds.
WAY = 0.002
WAY_MEAN = 0.003
DISCORD_EPOCH = 1_420_070_400.0


class Session:
    """One gateway session."""

    def __init__(self, number: int, shard: int, count: int | None) -> None:
        self.number = number
        self.shard = shard
        self.count = count
        self.valid = True
        self.sent: list[str] = []  # frames, by sequence number - 1
        self.connection: Connection | None = None

    def serves(self, guild: int) -> bool:
        """Whether the guild's events go to this session."""
        return self.valid and (self.count is None or (guild >> 22) % self.count == self.shard)


class Begun(NamedTuple):
    """When a session began, and for which shard."""

    at: float
    shard: int
    count: int | None


class Connection:
    """One connection of a session: what Discord sends arrives in order."""

    def __init__(self, scheduler: Scheduler, take: Callable[[Connection, str, Any], None]) -> None:
        self._scheduler = scheduler
        self._take = take
        self.open = True
        self.lag = 0.0
        self._last = 0.0

    def send(self, kind: str, what: Any) -> None:
        """Sends something to the replica."""
        scheduler = self._scheduler
        way = WAY + scheduler.random.expovariate(1 / WAY_MEAN) + self.lag * scheduler.random.random()
        self._last = max(self._last + 1e-6, scheduler.now + way)
        scheduler.at(self._last, lambda: self._arrive(kind, what))

    def _arrive(self, kind: str, what: Any) -> None:
        if self.open:
            self._take(self, kind, what)


class SimulatedDiscord:
    """Discord's side."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.sessions: list[Session] = []
        self.channels: dict[int, int] = {}  # the guild of each
        self.history: dict[int, list[dict[str, Any]]] = {}  # messages by channel
        self.messages: list[tuple[float, int, str, str]] = []  # when, channel, content, nonce
        self.requests: list[tuple[float, str, str, bool]] = []  # when, who, content, new
        self.limits: Any = None  # of sessions, as it tells them
        self.loses = 0.0  # how probably an answer to a request gets lost
        self.identified: list[Begun] = []
        self._sessions = itertools.count(1)
        self._nonces: set[tuple[int, str]] = set()
        self._increment = itertools.count()

    def snowflake(self) -> int:
        """An id of this moment."""
        ms = int((EPOCH + self.scheduler.now - DISCORD_EPOCH) * 1000)
        return (ms << 22) + next(self._increment) % (1 << 22)

    def emit(self, kind: str, data: Mapping[str, Any]) -> int:
        """Something happens: all sessions of the guild's shard are told. Returns how many."""
        guild = int(data["guild_id"])
        if kind == "MESSAGE_CREATE":
            self.history.setdefault(int(data["channel_id"]), []).append(dict(data))
        told = [session for session in self.sessions if session.serves(guild)]
        for session in told:
            self._to(session, kind, data)
        return len(told)

    def _to(self, session: Session, kind: str, data: Any) -> None:
        text = json.dumps({"op": 0, "s": len(session.sent) + 1, "t": kind, "d": data})
        session.sent.append(text)
        if session.connection is not None and session.connection.open:
            session.connection.send("frame", (len(session.sent), text))

    def identify(self, connection: Connection, shard: int = 0, count: int | None = None) -> Session:
        """A new session, which begins with READY."""
        session = Session(next(self._sessions), shard, count)
        session.connection = connection
        self.sessions = [*(each for each in self.sessions if each.valid), session]
        self.identified.append(Begun(self.scheduler.now, shard, count))
        self._to(session, "READY", {"session_id": session.number})
        return session

    def resume(self, session: Session, after: int, connection: Connection) -> bool:
        """Sends a session's missed events, and RESUMED; false: INVALID_SESSION."""
        if not session.valid:
            return False
        session.connection = connection
        for number, text in enumerate(session.sent[after:], after + 1):
            connection.send("frame", (number, text))
        self._to(session, "RESUMED", {})
        return True

    def post(self, who: str, channel: int, content: str, nonce: str) -> None:
        """A request to create a message has arrived."""
        new = (channel, nonce) not in self._nonces
        self.requests.append((self.scheduler.now, who, content, new))
        if new:
            self._nonces.add((channel, nonce))
            self.messages.append((self.scheduler.now, channel, content, nonce))
