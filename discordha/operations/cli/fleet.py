"""A bot's replicas, leaders, shards and events, read from etcd. Blocks on etcd; no threads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from discordha.coordination.claims.records import marked_at, parse_claim
from discordha.coordination.election.candidates import request_resignation
from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.store import Compare, Delete, Get, KeyValue, Put
from discordha.coordination.gaps.stream import GapState, summary
from discordha.coordination.membership.shard_keys import generation_of, is_number, key_of, number_of
from discordha.coordination.membership.shard_plan import request_reshard
from discordha.coordination.shared.timers import StoredTimer, parse_timer, timer_prefix
from discordha.errors import DiscordHAError
from discordha.events import EVENTS

__all__ = ["DeadLetter", "EventOutcome", "Fleet"]

#: Keys that one transaction reads; etcd allows 128.
KEYS_PER_READ = 100
#: Names of bots that are read, and those of them that a message names.
MAX_BOTS, NAMED_BOTS = 1000, 8
#: Seconds until a request to a replica expires.
REQUEST_TTL = 30.0
#: Seconds until a replayed event that no replica takes expires.
REPLAY_TTL = 3600.0


@dataclass(frozen=True)
class DeadLetter:
    """An event that ended its owners."""

    event: str
    attempts: int
    error: str
    payload: str | None
    shard_id: int
    replica: str


@dataclass(frozen=True)
class EventOutcome:
    """The outcome of an event.

    :param state: ``done``, ``running`` or ``dead``.
    :param at: when its owner marked it as done, in seconds since 1970 by the owner's clock, if known.
    """

    event: str
    state: str
    replica: str
    attempt: int
    at: float | None = None


class Fleet:
    """The keys of one bot, below ``root``, which ends in ``/``."""

    def __init__(self, store: EtcdStore, root: str) -> None:
        self.store = store
        self.root = root

    def members(self) -> dict[str, dict[str, Any]]:
        """The member records of the replicas, by name."""
        found = self.store.range(f"{self.root}m/").items
        return {kv.key.rsplit("/", 1)[1]: _object(kv.value) for kv in found}

    def leaders(self) -> dict[int, str]:
        """The leader of each shard of the serving generation."""
        serving = self._serving()
        first: dict[int, tuple[int, str]] = {}
        for kv in self.store.range(f"{self.root}l/").items:
            shard = kv.key[len(self.root) :].split("/")[1]
            if is_number(shard) and kv.lease and generation_of(int(shard)) == serving:
                number = number_of(int(shard))
                candidate = (kv.create_revision, str(_object(kv.value).get("replica", "?")))
                first[number] = min(first.get(number, candidate), candidate)
        return {shard: replica for shard, (_, replica) in sorted(first.items())}

    def letters(self) -> list[DeadLetter]:
        """All dead letters."""
        return [self._letter(kv.key, kv.value) for kv in self.store.range(f"{self.root}dead/").items]

    def letter(self, identity: str) -> DeadLetter:
        """The dead letter of an event: ``123``, or ``message/123``.

        :raises DiscordHAError: there is none, or several events have this identity.
        """
        found = [self._letter(kv.key, kv.value) for kv in self._read(self._keys("dead", identity))]
        if not found:
            raise DiscordHAError(f"there is no dead letter {identity!r}; see `discordha dead-letters list`")
        if len(found) > 1:
            names = ", ".join(letter.event for letter in found)
            raise DiscordHAError(
                f"{identity!r} is the identity of several dead letters; name one of: {names}"
            )
        return found[0]

    def _keys(self, kind: str, identity: str) -> list[str]:
        names = [identity] if "/" in identity else [f"{event}/{identity}" for event in EVENTS]
        return [f"{self.root}{kind}/{name}" for name in names]

    def _letter(self, key: str, value: bytes) -> DeadLetter:
        data = _object(value)
        payload = data.get("payload")
        return DeadLetter(
            key[len(self.root) + len("dead/") :],
            _integer(data.get("attempt")),
            str(data.get("error", "")),
            payload if isinstance(payload, str) else None,
            _integer(data.get("shard")),
            str(data.get("replica", "?")),
        )

    def events(self, identity: str) -> list[EventOutcome]:
        """The outcomes of the events with an identity: ``123``, or ``message/123``."""
        found = []
        for kv in self._read(self._keys("e", identity)):
            parsed = parse_claim(kv.value)
            if parsed is not None:
                state, replica, attempt = parsed
                event = kv.key[len(self.root) + 2 :]
                state = "done" if state == "d" else "running"
                found.append(EventOutcome(event, state, replica, attempt, marked_at(kv.value)))
        for kv in self._read(self._keys("dead", identity)):
            letter = self._letter(kv.key, kv.value)
            found.append(EventOutcome(letter.event, "dead", letter.replica, letter.attempts))
        return found

    def _read(self, keys: Sequence[str]) -> list[KeyValue]:
        """The existing ones of the keys."""
        found: list[KeyValue] = []
        for start in range(0, len(keys), KEYS_PER_READ):
            result = self.store.txn((), [Get(key) for key in keys[start : start + KEYS_PER_READ]])
            for response in result.responses:
                assert isinstance(response, list)
                found += response
        return found

    def identify(self) -> dict[str, Any] | None:
        """The rest of the day's new sessions at Discord, as the replicas count; ``None`` before they do."""
        found = {kv.key.rsplit("/", 1)[1]: kv for kv in self.store.range(f"{self.root}ib/").items}
        day = _object(found["day"].value) if "day" in found else {}
        if not all(isinstance(day.get(name), int) for name in ("remaining", "total")):
            return None
        spent = found["spent"].version if "spent" in found else 0
        return {"remaining": max(day["remaining"] - spent, 0), "total": day["total"]}

    def status(self) -> dict[str, Any]:
        """All of the above, as one JSON object."""
        leaders = self.leaders()
        count, following = self.shard_counts()
        members = self.members()
        for replica, record in members.items():
            record["leads"] = [shard for shard, leader in leaders.items() if leader == replica]
        return {
            "root": self.root,
            "replicas": members,
            "leaders": {str(shard): replica for shard, replica in leaders.items()},
            "shards": {"count": count, "next": following},
            "etcd": [member._asdict() for member in self.store.status()],
            "identify": self.identify(),
            "dead_letters": len(self.letters()),
            "gaps": [gap for gap in self.gaps() if not gap["over"]],
        }

    def drain(self, replica: str) -> None:
        """Asks a replica to drain. Raises ``DiscordHAError`` if there is none of that name."""
        members = self.members()
        if replica not in members:
            known = ", ".join(sorted(members)) or "none"
            raise DiscordHAError(f"there is no replica {replica!r}; there are: {known}")
        lease = self.store.grant(REQUEST_TTL)
        self.store.put(f"{self.root}x/{replica}/drain", b"", lease=lease.id)

    def resign(self, shard_id: int) -> str | None:
        """Asks the leader of a shard to resign, and returns its name."""
        return request_resignation(self.store, self.root, key_of(self._serving(), shard_id))

    def reshard(self, count: int) -> tuple[int, int]:
        """Asks for another number of shards. See ``request_reshard``."""
        return request_reshard(self.store, self.root, count)

    def shard_counts(self) -> tuple[int | None, int | None]:
        """The number of shards, and the next one during a change; ``None`` if there is none."""
        serving = self._serving()
        found = self.store.range(f"{self.root}s/g/").items
        names = {kv.key.rsplit("/", 1)[1]: _object(kv.value).get("count") for kv in found}
        counts = {int(name): count for name, count in names.items() if is_number(name) and count}
        return counts.get(serving), next((counts[g] for g in sorted(counts) if g > serving), None)

    def _serving(self) -> int:
        kv = self.store.get(f"{self.root}s/serving")
        return int(kv.value) if kv is not None and kv.value.isdigit() else 0

    def timers(self, limit: int) -> tuple[list[StoredTimer], int]:
        """The timers that are due first, and how many wait in all."""
        prefix = timer_prefix(self.root)
        found = self.store.range(prefix, limit=limit).items
        count = len(found) if len(found) < limit else len(self.store.range(prefix, keys_only=True).items)
        return [timer for timer in map(parse_timer, found) if timer is not None], count

    def gaps(self) -> list[dict[str, Any]]:
        """The times in which no replica was connected, by shard, oldest first, and how far their catch-up
        is.
        """
        found: list[dict[str, Any]] = []
        for kv in self.store.range(f"{self.root}g/").items:
            shard, _, rest = kv.key[len(self.root) + 2 :].partition("/")
            state = GapState.parse(kv) if rest == "state" and is_number(shard) else None
            if state is not None:
                found += [{"shard": number_of(int(shard)), **gap} for gap in (*state.past, summary(state))]
        return sorted(found, key=lambda gap: (gap["since"], gap["shard"]))

    def cancel_timer(self, timer: str) -> bool:
        """Deletes a timer; whether it was there."""
        return self.store.delete(timer_prefix(self.root) + timer)

    def replay(self, identity: str) -> str:
        """Gives a dead letter back to the replicas, and returns its name. One of them handles it, from
        attempt 1.

        :raises DiscordHAError: there is no such letter, or it has no payload.
        """
        letter = self.letter(identity)
        event = letter.event
        if letter.payload is None:
            raise DiscordHAError(
                f"the dead letter {event!r} has no payload: it can't be replayed, only dropped"
            )
        record = {"attempt": 0, "payload": letter.payload, "shard": letter.shard_id, "history": []}
        lease = self.store.grant(REPLAY_TTL)
        key = f"{self.root}dead/{event}"
        result = self.store.txn(
            (Compare.version(key, 1),),
            (
                Put(f"{self.root}a/{event}", json.dumps(record).encode(), lease.id),
                Delete(f"{self.root}e/{event}"),
                Delete(key),
            ),
        )
        if not result.succeeded:
            raise DiscordHAError(f"the dead letter {event!r} changed meanwhile; look again")
        return event

    def drop(self, identity: str) -> str:
        """Deletes a dead letter, and returns its name. Raises ``DiscordHAError`` if there is none."""
        event = self.letter(identity).event
        self.store.delete(f"{self.root}dead/{event}")
        return event

    def other_bots(self) -> list[str]:
        """The names of some other bots that have keys here, the most similar first; none where this user may
        not read them.
        """
        above, name = self.root.rstrip("/").rsplit("/", 1)
        others: set[str] = set()
        after: str | None = None
        try:
            while len(others) < MAX_BOTS:  # one read a name, however many keys lie below it
                found = self.store.range(f"{above}/", after=after, limit=1, keys_only=True).items
                if not found:
                    break
                other = found[0].key[len(above) + 1 :].partition("/")[0]
                others.add(other.removesuffix(".data"))
                after = f"{above}/{other}0"  # the character behind the slash
        except DiscordHAError:
            return []
        others.discard(name)
        return get_close_matches(name, others, NAMED_BOTS, cutoff=0.0)


def _integer(value: object) -> int:
    return value if isinstance(value, int) else 0


def _object(value: bytes) -> dict[str, Any]:
    try:
        data = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return dict(data) if isinstance(data, Mapping) else {}
