"""Landmarks: messages, at which a replica and its leader count equal events at the same place.

A message has an id, and Discord sends the events of one guild to every session in the same order. So two
replicas that have both received a message have the same events before it, but for those from before the
younger session. The leader tells the number of the last equal event before a message; the replica that asked
has counted what came in behind that.

Guarantees: what is counted stands from a question to the next one, to the first mark of another leader or of
a second run, or to the end of the session. Bounded: the last ``PASSED`` messages of the guilds that are asked
about.

Threads and locks: no I/O, no thread; the journal's lock guards all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

__all__ = ["PASSED", "Landmarks"]

#: So many messages are remembered at the most: the leader tells of the last that it has received.
PASSED = 256


class Landmarks:
    """Those of one question."""

    def __init__(self) -> None:
        self._guilds: dict[str, dict[str, int]] = {}  # the names that are asked about, by guild
        self._received: dict[str, int] = {}  # since the question, by name
        self._passed: dict[str, dict[str, int]] = {}  # by message: how many had been received
        self._told: dict[str, Mapping[str, int]] = {}  # the leader's numbers, by message that is to come

    def open(self, names: Mapping[str, int], guild_of: Callable[[str], str | None]) -> None:
        """A question: names, each with a revision, and the guild of its events, if any."""
        self.close()
        for name, since in names.items():
            guild = guild_of(name)
            if guild is not None:
                self._guilds.setdefault(guild, {})[name] = since
                self._received[name] = 0

    def close(self) -> None:
        """The question is over: the leader's numbers, told or on their way, count no more."""
        for kept in (self._guilds, self._received, self._passed, self._told):
            kept.clear()

    def answered(self) -> None:
        """The question is answered: messages count no more, but those that the leader told of and that are to
        come.
        """
        if not self._told:
            self.close()

    @property
    def guilds(self) -> Mapping[str, Mapping[str, int]]:
        """The names that are asked about, by guild, each with its revision."""
        return self._guilds

    def received(self, name: str) -> None:
        """An event came in."""
        if name in self._received:
            self._received[name] += 1

    def passes(self, guild: str, message: str) -> Iterator[tuple[str, int, int]]:
        """A message came in; what ``told`` returns, if the leader has told of it already."""
        names = self._guilds.get(guild)
        if names is None or message in self._passed:
            return iter(())
        if len(self._passed) >= PASSED:
            del self._passed[next(iter(self._passed))]
        self._passed[message] = {name: self._received[name] for name in names}
        return self.told(message, self._told.pop(message, {}))

    def told(self, message: str, last: Mapping[str, int]) -> Iterator[tuple[str, int, int]]:
        """The leader has told the number of the last equal event before a message, by name. Returns names,
        numbers, and how many equal events have come in here behind the message; none if that is to come.
        """
        passed = self._passed.get(message)
        if passed is None:
            if self._guilds:
                self._told[message] = last
            return iter(())
        return iter(
            [
                (name, last[name], self._received[name] - before)
                for name, before in passed.items()
                if name in last
            ]
        )
