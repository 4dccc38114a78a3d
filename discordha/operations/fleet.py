"""A bot's replicas, leaders, shards and events, read from etcd. Blocks on etcd; no threads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from discordha.coordination.claims.records import marked_at, parse_claim
from discordha.coordination.election.candidates import request_resignation
from discordha.coordination.etcd.client import EtcdStore, MemberStatus
from discordha.coordination.etcd.store import Compare, Delete, KeyValue, Put, Store
from discordha.coordination.gaps.stream import GapState, summary
from discordha.coordination.membership import formats
from discordha.coordination.membership.shard_keys import is_number, key_of, number_of
from discordha.coordination.membership.shard_plan import request_reshard
from discordha.coordination.partitions import UNPARTITIONED, Partitions, bare
from discordha.coordination.shared.timers import StoredTimer, parse_timer, timer_prefix
from discordha.errors import DiscordHAError
from discordha.events import EVENTS
from discordha.operations import overview
from discordha.operations.overview import json_object

__all__ = ["DeadLetter", "EventOutcome", "Fleet"]

#: Names of bots that are read, and those of them that a message names.
MAX_BOTS, NAMED_BOTS = 1000, 8
#: Seconds until a request to a replica expires.
REQUEST_TTL = 30.0
#: Seconds until a replayed event that no replica takes expires.
REPLAY_TTL = 3600.0


@dataclass(frozen=True)
class DeadLetter:
    """An event that ended its owners. ``history``: how each attempt ended; ``claim``: its claim's key."""

    event: str
    attempts: int
    error: str
    payload: str | None
    shard_id: int
    replica: str
    history: tuple[str, ...] = ()
    claim: str = ""


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

    def __init__(self, store: Store, root: str) -> None:
        self.store = store
        self.root = root

    def members(self) -> dict[str, dict[str, Any]]:
        """The member records of the replicas, by name."""
        return _records(self.store.range(f"{self.root}m/").items)

    def leaders(self) -> dict[int, str]:
        """The leader of each shard of the serving generation."""
        return overview.first_candidates(self.store.range(f"{self.root}l/").items, self._serving())

    def letters(self, limit: int = 0) -> list[DeadLetter]:
        """The dead letters, ``limit`` at the most; 0: all."""
        found = self.store.range(f"{self.root}dead/", limit=limit).items
        return [self._letter(kv.key, kv.value) for kv in found]

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
        partitions = self.partitions().all() if kind == "e" else [""]
        return [f"{self.root}{kind}/{partition}{name}" for partition in partitions for name in names]

    def partitions(self) -> Partitions:
        """How the keys of a sharded bot are partitioned."""
        kv = self.store.get(f"{self.root}s/partitions")
        try:
            return Partitions(int(kv.value)) if kv is not None else UNPARTITIONED
        except ValueError:
            return UNPARTITIONED  # as the replicas take it

    def _letter(self, key: str, value: bytes) -> DeadLetter:
        data = json_object(value)
        payload, history = data.get("payload"), data.get("history")
        event = key[len(self.root) + len("dead/") :]
        claimed = str(data.get("event", event))
        return DeadLetter(
            event,
            _integer(data.get("attempt")),
            str(data.get("error", "")),
            payload if isinstance(payload, str) else None,
            _integer(data.get("shard")),
            str(data.get("replica", "?")),
            tuple(str(line) for line in history) if isinstance(history, list) else (),
            claimed if bare(claimed) == event else event,
        )

    def events(self, identity: str) -> list[EventOutcome]:
        """The outcomes of the events with an identity: ``123``, or ``message/123``."""
        found = []
        for kv in self._read(self._keys("e", identity)):
            parsed = parse_claim(kv.value)
            if parsed is not None:
                state, replica, attempt = parsed
                event = bare(kv.key[len(self.root) + 2 :])
                state = "done" if state == "d" else "running"
                found.append(EventOutcome(event, state, replica, attempt, marked_at(kv.value)))
        for kv in self._read(self._keys("dead", identity)):
            letter = self._letter(kv.key, kv.value)
            found.append(EventOutcome(letter.event, "dead", letter.replica, letter.attempts))
        return found

    def _read(self, keys: Sequence[str]) -> list[KeyValue]:
        """The existing ones of the keys."""
        try:
            return self.store.look(keys, fresh=True).items
        except UnicodeEncodeError as error:
            raise DiscordHAError(f"a key of etcd is UTF-8, which this is not: {error.object!r}") from error

    def identify(self) -> dict[str, Any] | None:
        """The rest of the day's new sessions at Discord, as the replicas count; ``None`` before they do."""
        return overview.sessions_left(self.store.range(f"{self.root}ib/").items)

    def status(self) -> dict[str, Any]:
        """Everything that ``discordha status`` shows, as one JSON object."""
        return self.replicas_status() | {"etcd": [member._asdict() for member in self.etcd_members()]}

    def replicas_status(self, members: dict[str, dict[str, Any]] | None = None) -> dict[str, Any]:
        """``status`` without the members of etcd.

        :param members: the records of the replicas, where etcd has none.
        """
        kinds = overview.read_kinds(self.store, self.root)
        dead = self.store.range(f"{self.root}dead/", keys_only=True).items
        if members is None:
            members = _records(kinds["m/"])
        serving = overview.serving_generation(kinds["s/"])
        leaders = overview.first_candidates(kinds["l/"], serving)
        incidents = overview.incidents(members)
        count, following = overview.shard_counts(kinds["s/"], serving)
        for replica, record in members.items():
            record.pop("incidents", None)  # all together stand below
            record["leads"] = [shard for shard, leader in leaders.items() if leader == replica]
        return {
            "root": self.root,
            "replicas": members,
            "leaders": {str(shard): replica for shard, replica in leaders.items()},
            "shards": {"count": count, "next": following},
            "hosts": overview.hosts(kinds["s/"], members, leaders),
            "identify": overview.sessions_left(kinds["ib/"]),
            "rest": overview.request_shares(kinds["q/s/"]),
            "loops": overview.loops(kinds),
            "incidents": incidents,
            "dead_letters": len(dead),
            "gaps": [gap for gap in self.gaps() if not gap["over"]],
        }

    def etcd_members(self) -> list[MemberStatus]:
        """What each member of etcd says of itself. Blocks until the slowest has answered."""
        return self.store.status() if isinstance(self.store, EtcdStore) else []

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
        found = self.store.range(f"{self.root}s/g/").items
        return overview.shard_counts(found, self._serving())

    def _serving(self) -> int:
        kv = self.store.get(f"{self.root}s/serving")
        return overview.serving_generation([kv] if kv is not None else [])

    def timers(self, limit: int) -> tuple[list[StoredTimer], int]:
        """The timers that are due first, and how many wait in all."""
        prefix = timer_prefix(self.root)
        found = self.store.range(prefix, limit=limit).items
        count = len(found) if len(found) < limit else self.store.count(prefix)
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
                Put(f"{self.root}a/{letter.claim}", json.dumps(record).encode(), lease.id),
                Delete(f"{self.root}e/{letter.claim}"),
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


def _records(found: Sequence[KeyValue]) -> dict[str, dict[str, Any]]:
    return {overview.last_part(kv.key): formats.reading(json_object(kv.value)) for kv in found}
