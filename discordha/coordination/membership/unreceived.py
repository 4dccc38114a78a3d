"""Unreceived: the channels in which older members have events to finish that this replica never received.

Each member record lists under ``unfinished`` the ordering keys with an unfinished event, and the age of the
oldest. A replica whose gateway session began later than that did not receive the event, so it must not begin
younger ones of the channel. While a bot is resharded, two generations of shards bring the same events: what
an older member received on a shard of one counts for this replica's shards of the other, too.

Guarantees: a channel is *owed* as long as the record of an older member that is not silent lists an event
from before this replica's session, or the member has not written a record since. Of two members, one at most
counts the other as older, so they never wait for each other. Once an older member's record lists nothing
from before, nothing of that member is owed until this replica's next session.

Not guaranteed: a member with more than ``MOST`` such keys owes every channel, also on shards of the other
generation: nothing here tells which shards have a guild in common. Events that were evicted from a full queue
are not listed.

Threads and locks: no lock. ``update`` runs on the watch's thread and the timer's, and replaces the table as a
whole; any thread may ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from discordha.coordination.membership.rhythm import Rhythm
from discordha.coordination.membership.shard_keys import generation_of, is_number

__all__ = ["LISTED_AFTER", "MOST", "Unreceived", "listed"]

#: Events that have been unfinished for so many seconds are listed.
LISTED_AFTER = 0.1
#: A record lists so many ordering keys, or else says *all* of each shard.
MOST = 200
ALL = "*"
#: Gateway sessions that began within so many seconds count as equally old.
SAME_AGE = 0.5


def listed(oldest: Iterable[tuple[int, str, float]], now: float) -> dict[str, dict[str, float]]:
    """The form of a member record.

    :param oldest: shard, ordering key, and when the oldest unfinished event was received.
    """
    shards: dict[str, dict[str, float]] = {}
    for shard, order, received_at in oldest:
        if now - received_at >= LISTED_AFTER:
            shards.setdefault(str(shard), {})[order] = round(now - received_at, 3)
    if sum(map(len, shards.values())) > MOST:
        return {shard: {ALL: max(keys.values())} for shard, keys in shards.items()}
    return shards


class Unreceived:
    """See the module.

    :param own: this replica's name.
    :param skew: how much later than another a replica may receive an event, seconds.
    """

    def __init__(self, own: str, rhythm: Rhythm, skew: float) -> None:
        self._own = own
        self._rhythm = rhythm
        self._skew = skew
        self._owed: dict[int, frozenset[str]] = {}  # ordering keys, by shard
        self._own_began: dict[int, float] = {}  # the sessions for which that holds, by shard

    @property
    def any_owed(self) -> bool:
        """Whether a channel is owed."""
        return bool(self._owed)

    def owes(self, order: str, shard: int) -> bool:
        """Whether an older member has to finish an event of a channel that this replica did not receive."""
        owed = self._owed.get(shard)
        return owed is not None and (order in owed or ALL in owed)

    def began(self, shard: int) -> float | None:
        """When this replica's gateway session of a shard began, monotonic, as far as its record has been
        seen here: what older members owe is told for this session.
        """
        return self._own_began.get(shard)

    def update(self, records: Mapping[str, Mapping[str, Any]]) -> bool:
        """Takes the newest member records; whether that changes anything."""
        owed: dict[int, frozenset[str]] = {}
        own: dict[int, float] = {}
        for name in _ages(records.get(self._own, {})):
            began = self._began(records, self._own, name)
            if began is not None and is_number(name):
                own[int(name)] = began
        for shard, began in own.items():
            keys: set[str] = set()
            for member, record in records.items():
                if member == self._own or self._rhythm.is_silent(member):
                    continue
                for other in _shards(record):
                    if other == shard or generation_of(other) != generation_of(shard):
                        since = min(began, own.get(other, began))  # it is received from the first session on
                        keys.update(self._owed_by(records, member, str(other), since))
            if keys:
                owed[shard] = frozenset(keys)
        before, self._owed, self._own_began = self._owed, owed, own
        return owed != before

    def _owed_by(
        self, records: Mapping[str, Mapping[str, Any]], member: str, shard: str, began: float
    ) -> Iterable[str]:
        theirs, at = self._began(records, member, shard), self._rhythm.last(member)
        if at is None or (theirs is not None and theirs + SAME_AGE > began):
            return ()
        unfinished = records[member].get("unfinished")
        keys = unfinished.get(shard) if isinstance(unfinished, dict) else None
        if at < began + 2 * LISTED_AFTER:
            return (ALL,) if theirs is not None else ()
        if not isinstance(keys, dict):
            return ()
        return [
            order
            for order, age in keys.items()
            if isinstance(age, int | float) and at - age < began + self._skew
        ]

    def _began(self, records: Mapping[str, Mapping[str, Any]], member: str, shard: str) -> float | None:
        """When a member's gateway session began, by this replica's clock: late by the record's way."""
        age, at = _ages(records.get(member, {})).get(shard), self._rhythm.last(member)
        return at - age if at is not None and isinstance(age, int | float) else None


def _ages(record: Mapping[str, Any]) -> Mapping[str, Any]:
    ages = record.get("hears")
    return ages if isinstance(ages, dict) else {}


def _shards(record: Mapping[str, Any]) -> set[int]:
    """The shards that a member hosts, or has unfinished events of."""
    unfinished = record.get("unfinished")
    names = {*_ages(record), *(unfinished if isinstance(unfinished, dict) else ())}
    return {int(name) for name in names if is_number(name)}
