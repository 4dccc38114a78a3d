"""Pages of a listing, read upwards, and the order of what they hold. No I/O; one task.

Guarantees
- Whatever a listing answers, each id is taken once, in order, and the pages end: a page without anything new
  is the last.
- An edit comes behind all that happened before it in its channel, as far as the pages tell.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Any

from discordha.catch_up.missed import Missed

__all__ = ["Pages", "Timeline"]


class Pages:
    """The entries of a listing with ``since < id <= until``, at most ``limit`` of them.

    :param size: entries that one page may have.
    :ivar over: whether no page is left to ask for.
    :ivar cut: whether entries were left out because of the limit.
    """

    def __init__(
        self,
        since: int,
        until: int,
        *,
        limit: int,
        size: int = 100,
    ) -> None:
        self.position = since
        self.over = since >= until
        self.cut = False
        self._until = until
        self._left = limit
        self._size = size

    def next(self) -> tuple[int, int]:
        """``after`` and ``limit`` of the next request. At the limit it asks whether one more is there."""
        return self.position, min(self._size, self._left) or 1

    def take(self, page: Sequence[Any]) -> list[Any]:
        """The new entries of the answer, oldest first."""
        asked = self.next()[1]
        found = {int(entry["id"]): entry for entry in page}
        new = sorted(each for each in found if self.position < each <= self._until)
        if not self._left:
            self.over, self.cut = True, bool(new)
            return []
        self.over = len(page) < asked or not new or max(found) > self._until
        if new:
            self.position = new[-1]
            self._left -= len(new)
        return [found[each] for each in new]


class Timeline:
    """Merges events that come in order with events that are known ahead of their moment."""

    def __init__(self) -> None:
        self._later: list[tuple[int, int, Missed]] = []
        self._number = 0

    def keep(self, event: Missed) -> None:
        """Keeps an event until its moment."""
        self._number += 1
        heapq.heappush(self._later, (event.snowflake, self._number, event))

    def merge(self, events: Iterable[Missed], upto: int | None = None) -> list[Missed]:
        """The events, and between them the kept ones of their time.

        :param upto: the moment up to which everything is known; ``None``: to the end.
        """
        merged: list[Missed] = []
        for event in events:
            merged += self._due(event.snowflake)
            merged.append(event)
        return merged + self._due(upto)

    def _due(self, upto: int | None) -> list[Missed]:
        due: list[Missed] = []
        while self._later and (upto is None or self._later[0][0] <= upto):
            due.append(heapq.heappop(self._later)[2])
        return due
