"""What went wrong lately in the fleet, as one replica saw it: the timeline of the operator's page.

A replica notes what happens to itself (a lost session, a deaf shard, events taken over, dead letters) and how
others end, and publishes its list in its member record. A replica's record ends with it, so a replica that
starts adopts the entries in its peers' records: a rolling deploy keeps the timeline.

Guarantees: a list has ``KEPT`` entries at the most. Nothing here decides anything. Times are this machine's
wall clock, for people to read.

Threads and locks: the monitor's thread calls ``look``; any thread calls ``listed``, which reads a tuple that
is replaced as a whole. No I/O. A lost watch or session leaves the list as it is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from discordha.coordination.membership.departures import Departure
from discordha.coordination.membership.members import JSON

__all__ = ["KEPT", "Incident", "Incidents", "Observation"]

#: Entries that a replica keeps.
KEPT = 12
#: Equal incidents within so many seconds are one, with their counts added.
JOINED_WITHIN = 15.0
_KINDS = ("took over", "session lost", "deaf", "leads", "drained", "gone", "dead letter")


class Incident(NamedTuple):
    """One entry. ``at``: seconds since 1970. ``number``: how often. ``shard``: ``None`` without one."""

    at: float
    kind: str
    replica: str
    number: int = 1
    shard: int | None = None

    def record(self) -> dict[str, JSON]:
        """Its form in the member record."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    @classmethod
    def parse(cls, record: object) -> Incident | None:
        """Reads a peer's entry; ``None`` if this version does not know it."""
        if not isinstance(record, dict) or record.get("kind") not in _KINDS:
            return None
        at, number, shard = record.get("at"), record.get("number", 1), record.get("shard")
        if not isinstance(at, int | float) or not math.isfinite(at) or not isinstance(number, int):
            return None
        shard = shard if isinstance(shard, int) else None
        return cls(float(at), record["kind"], str(record.get("replica", "?"))[:200], number, shard)


class Observation(NamedTuple):
    """What a replica sees at one moment.

    :param peers: the records of the others.
    :param departures: their latest ends, as ``Departures`` numbers them.
    :param taken_over: how many events it took over so far; ``dead`` and ``losses`` (of sessions) count alike.
    :param deaf: its deaf shards; ``leads``: those that it leads.
    """

    peers: Mapping[str, Mapping[str, Any]]
    departures: Sequence[Departure] = ()
    taken_over: int = 0
    dead: int = 0
    losses: int = 0
    deaf: frozenset[int] = frozenset()
    leads: frozenset[int] = frozenset()


class Incidents:
    """The list of one replica. See the module."""

    def __init__(self, replica_id: str, wall: Callable[[], float] = time.time) -> None:
        self._replica_id = replica_id
        self._wall = wall
        self._before = Observation({})
        self._adopted = False
        self._list: tuple[Incident, ...] = ()

    def listed(self) -> list[JSON]:
        """The entries, oldest first, for the member record. Any thread."""
        return [each.record() for each in self._list]

    def look(self, now: Observation) -> None:
        """Notes what has changed since the last call."""
        before, self._before = self._before, now
        if not self._adopted and now.peers:
            self._adopted = True
            self._adopt(now.peers.values())
        known = before.departures[-1].number if before.departures else 0
        for departure in now.departures:
            if departure.number > known:
                self._note("drained" if departure.drained else "gone", departure.replica)
        for kind, count in (
            ("session lost", now.losses - before.losses),
            ("took over", now.taken_over - before.taken_over),
            ("dead letter", now.dead - before.dead),
        ):
            if count > 0:
                self._note(kind, self._replica_id, count)
        for kind, shards in (("deaf", now.deaf - before.deaf), ("leads", now.leads - before.leads)):
            for shard in sorted(shards):
                self._note(kind, self._replica_id, shard=shard)

    def _note(self, kind: str, replica: str, count: int = 1, shard: int | None = None) -> None:
        new = Incident(round(self._wall(), 1), kind, replica, count, shard)
        entries = list(self._list)
        for at, old in enumerate(entries):
            same = (old.kind, old.replica, old.shard) == (kind, replica, shard)
            if same and 0 <= new.at - old.at <= JOINED_WITHIN:
                entries[at] = old._replace(number=old.number + count)
                break
        else:
            entries.append(new)
        self._list = tuple(entries[-KEPT:])

    def _adopt(self, records: Iterable[Mapping[str, Any]]) -> None:
        told = set(self._list)
        for record in records:
            listed = record.get("incidents")
            entries = listed[:KEPT] if isinstance(listed, list) else []
            told |= {each for each in map(Incident.parse, entries) if each is not None}
        latest: dict[tuple[str, str, int | None, int], Incident] = {}
        for each in sorted(told, key=_order):
            latest.setdefault((each.kind, each.replica, each.shard, int(each.at // 60)), each)
        self._list = tuple(sorted(latest.values(), key=_order)[-KEPT:])


def _order(incident: Incident) -> tuple[float, str, str]:
    return incident.at, incident.kind, incident.replica
