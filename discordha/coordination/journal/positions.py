"""Positions: which of equal events an event is, counted from the last message of its guild.

Discord sends the events and messages of one guild to every session in the same order. So all sessions that
have received a message agree which events came behind it, and a mark that tells an event's position means the
same event to all of them, whether it runs for the first time or again.

Guarantees: an event has no position until its session has received a message of its guild, and none outside
of guilds. Bounded: ``KNOWN`` messages are remembered, and the last one of each guild.

Threads and locks: no I/O, no thread; the journal's lock guards all of it.
"""

from __future__ import annotations

import enum

__all__ = ["KNOWN", "Came", "Positions"]

#: So many messages are remembered: marks come within seconds of their events.
KNOWN = 4096


class Came(enum.Enum):
    """Whether the event with a position has come in."""

    YES = "yes"
    NOT_YET = "not yet"
    ELSEWHERE = "elsewhere"  # not where other sessions had it
    UNKNOWN = "unknown"  # before the guild's first message of the session, or long ago


class _Message:
    """How many events of each name came behind it, until the next one of its guild."""

    __slots__ = ("counts", "guild", "id", "is_last")

    def __init__(self, id: str, guild: str) -> None:
        self.id = id
        self.guild = guild
        self.counts: dict[str, int] = {}
        self.is_last = True


class Positions:
    """Those of one gateway session."""

    def __init__(self) -> None:
        self._last: dict[str, _Message] = {}  # of each guild
        self._known: dict[str, _Message] = {}
        self._since: dict[str, int] = {}  # by guild: the messages with a greater id are known, once they came
        self._newest = 0  # the greatest id of a message
        #: Whether events have come in that are counted: else nobody needs to know of messages.
        self.wanted = False

    def clear(self) -> None:
        """A new session."""
        self._last.clear()
        self._known.clear()
        self._since.clear()
        self._newest = 0

    def passes(self, guild: str, message: str) -> None:
        """A message came in."""
        if message in self._known:
            return
        if guild in self._last:
            self._last[guild].is_last = False
        self._last[guild] = self._known[message] = _Message(message, guild)
        self._since.setdefault(guild, int(message))
        self._newest = max(self._newest, int(message))
        if len(self._known) > KNOWN:
            oldest = self._known.pop(next(iter(self._known)))
            self._since[oldest.guild] = max(self._since[oldest.guild], int(oldest.id))

    def next(self, guild: str, name: str) -> str:
        """The position of an event that comes in; empty while there is none."""
        self.wanted = True
        message = self._last.get(guild)
        if message is None:
            return ""
        message.counts[name] = count = message.counts.get(name, 0) + 1
        return f"{message.id}.{count}"

    def came(self, name: str, position: str, guild: str | None = None) -> Came:
        """Whether the event of a name with a position has come in.

        :param guild: the guild of its events, if that is known. The ids of several guilds are in no order,
            and those of one guild's messages nearly.
        """
        message, _, count = position.partition(".")
        here = self._known.get(message)
        if here is None:
            since = self._newest if guild is None else self._since.get(guild, 0)
            return Came.NOT_YET if 0 < since < int(message) else Came.UNKNOWN
        if here.counts.get(name, 0) >= int(count):
            return Came.YES
        return Came.NOT_YET if here.is_last else Came.ELSEWHERE
