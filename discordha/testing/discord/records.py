"""The records of a local Discord, as its handle returns them. Plain data, but for ``Load`` and
``BotMessages``.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple, Protocol

from discordha.testing.waiting import wait_for

__all__ = ["BotMessage", "BotMessages", "Load", "Request", "Sent"]


class Request(NamedTuple):
    """One REST call of the bot."""

    number: int
    at: float
    method: str
    path: str
    replica: str
    body: Any
    duplicate: bool
    """Whether it repeated a nonce, so that no message was created."""
    status: int


class BotMessage(NamedTuple):
    """One message that the bot created."""

    number: int
    id: int
    channel_id: int
    content: str
    at: float
    replica: str
    reference: int | None


class Sent(NamedTuple):
    """One action of a load: its number, its key, and where and when it happened."""

    number: int
    key: str
    channel_id: int
    at: float


class _Controllable(Protocol):
    def control(self, name: str, /, **arguments: Any) -> Any: ...


class BotMessages:
    """The messages on record. Each is read from the server once, since a test that waits for an answer asks a
    hundred times a second. A message on record never changes.

    Any thread. ``_lock`` guards what is known, and is held while the server is asked for what is new.
    """

    def __init__(self, discord: _Controllable) -> None:
        self._discord = discord
        self._lock = threading.Lock()
        self._known: list[BotMessage] = []

    def since(self, number: int) -> list[BotMessage]:
        """The messages from a number on."""
        fields = BotMessage._fields
        with self._lock:
            new = self._known[-1].number + 1 if self._known else 0
            found = self._discord.control("messages", since=new)
            self._known += [BotMessage(*(message[field] for field in fields)) for message in found]
            return self._known[max(number - self._known[0].number, 0) :] if self._known else []

    def forget(self) -> None:
        """The server has a new record."""
        with self._lock:
            self._known.clear()


class Load:
    """Users that act at a steady rate; see ``LocalDiscord.load``."""

    def __init__(self, discord: _Controllable, number: int, kind: str) -> None:
        self._discord = discord
        self._number = number
        self.kind = kind
        self._sent: list[Sent] = []

    def sent(self) -> list[Sent]:
        """The actions so far, in order."""
        self._refresh()
        return list(self._sent)

    def _refresh(self) -> bool:
        state = self._discord.control("load_state", number=self._number, since=len(self._sent))
        self._sent.extend(Sent(*each) for each in state["sent"])
        if state["errors"]:
            raise RuntimeError(f"{state['errors']} actions of the load {self.kind!r} failed")
        return bool(state["running"])

    def stop(self) -> list[Sent]:
        """Ends the load and returns its actions."""
        self._discord.control("load_stop", number=self._number)
        return self.wait(10.0)

    def wait(self, timeout: float) -> list[Sent]:
        """Blocks until the load has ended by itself, and returns its actions.

        :raises WaitTimeout: it takes longer than ``timeout`` seconds.
        """
        wait_for(lambda: not self._refresh(), timeout, f"the load {self.kind!r} to end", interval=0.05)
        return list(self._sent)
