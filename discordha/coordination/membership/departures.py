"""Departures: how other replicas ended, as the watch on the member records shows it. People read them, and
``Reaches.gone`` uses the statements of their last records that stay true.

Guarantees: ``KEPT`` ends are remembered; their numbers grow without a gap.

Threads and locks: the watch's thread calls ``note`` and ``compare``; any thread calls ``latest``, which reads
a tuple that is replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = ["KEPT", "LEAVING_STATES", "Departure", "Departures"]

#: States in which a replica gets no events or takes no new ones: preferring it would cost each one the grace.
LEAVING_STATES = frozenset({"draining", "stopping"})
#: Ends that are remembered.
KEPT = 20


class Departure(NamedTuple):
    """The end of a replica. ``drained``: it had said that it leaves; ``record``: its last one."""

    number: int
    replica: str
    drained: bool
    record: Mapping[str, Any] = MappingProxyType({})


class Departures:
    """The latest ends of the others than ``replica_id``."""

    def __init__(self, replica_id: str) -> None:
        self._replica_id = replica_id
        self._latest: tuple[Departure, ...] = ()

    def latest(self) -> tuple[Departure, ...]:
        """The latest ends, oldest first. Any thread."""
        return self._latest

    def note(self, replica: str, record: Mapping[str, Any]) -> None:
        """A replica's record is gone; ``record`` is the last one."""
        if replica != self._replica_id:
            number = self._latest[-1].number + 1 if self._latest else 1
            end = Departure(number, replica, record.get("state") in LEAVING_STATES, record)
            self._latest = (*self._latest, end)[-KEPT:]

    def compare(self, known: Mapping[str, Mapping[str, Any]], there: Collection[str]) -> None:
        """Of the known records, only those that are ``there`` are left."""
        for replica in sorted(known.keys() - set(there)):
            self.note(replica, known[replica])
