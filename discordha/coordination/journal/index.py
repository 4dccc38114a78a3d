"""The entries of a journal: in order of arrival, by content, and by lane. No I/O, no threads, no lock of its
own.

Promises: equal entries, those of a lane, and all of them stand in the order in which they were added; what is
removed is never told of again; no operation but ``remove`` looks at more entries than it tells of, and that
one at the equal ones.

Concurrency: ``Journal`` calls everything here under its lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from discordha.coordination.journal.entries import Entry, EntryState

__all__ = ["EntryIndex"]

_OVER = (EntryState.GONE, EntryState.FINISHED)


class EntryIndex:
    """See the module."""

    def __init__(self) -> None:
        self._order: deque[Entry] = deque()  # those that are gone are skipped, and leave it at its head
        self._by_name: dict[str, deque[Entry]] = {}
        self._by_lane: dict[str, deque[Entry]] = {}  # as ``_order``
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Entry]:
        return (entry for entry in self._order if entry.state is not EntryState.GONE)

    def __contains__(self, name: object) -> bool:
        """Whether there is an entry of a name."""
        return name in self._by_name

    @property
    def first(self) -> Entry | None:
        """The oldest entry."""
        return next(iter(self), None)

    @property
    def oldest(self) -> float | None:
        """When the oldest entry came in."""
        first = self.first
        return None if first is None else first.received_at

    def equal(self, name: str) -> Sequence[Entry]:
        """The entries of one name; the present ones, not a copy."""
        return self._by_name.get(name, ())

    def by_name(self) -> Iterator[tuple[str, Sequence[Entry]]]:
        """All names, each with its entries."""
        return iter(self._by_name.items())

    def first_to_run(self, lane: str) -> Entry | None:
        """The oldest entry of a lane that has not been run."""
        return next((entry for entry in self._by_lane.get(lane, ()) if entry.state not in _OVER), None)

    def add(self, entry: Entry) -> None:
        """Keeps an entry, behind all others."""
        self._order.append(entry)
        self._by_name.setdefault(entry.name, deque()).append(entry)
        self._by_lane.setdefault(entry.lane, deque()).append(entry)
        self._count += 1

    def remove(self, entry: Entry) -> None:
        """The entry is gone. Idempotent."""
        entry.state = EntryState.GONE
        same = self._by_name.get(entry.name)
        if same is not None and entry in same:
            same.remove(entry)
            self._count -= 1
            if not same:
                del self._by_name[entry.name]
        _drop_gone(self._order)
        lane = self._by_lane.get(entry.lane)
        if lane is not None:
            _drop_gone(lane)
            if not lane:
                del self._by_lane[entry.lane]
            elif lane[0].number < entry.number:
                lane[0].passed_over = True


def _drop_gone(line: deque[Entry]) -> None:
    while line and line[0].state is EntryState.GONE:
        line.popleft()
