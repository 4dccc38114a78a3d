"""What a bot's keys in etcd say about its fleet at one moment, as plain data.

Guarantees: the kinds of keys are read one after another, so a change meanwhile may show in some of them only.
Whatever another version wrote is left out or shown as it is; nothing raises. Blocks on etcd; no threads.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from discordha.coordination.etcd.store import KeyValue, Snapshot
from discordha.coordination.membership.shard_keys import generation_of, is_number, number_of

__all__ = [
    "KINDS",
    "Reads",
    "first_candidates",
    "hosts",
    "incidents",
    "json_object",
    "last_part",
    "loops",
    "read_kinds",
    "request_shares",
    "serving_generation",
    "sessions_left",
    "shard_counts",
]

#: The kinds of keys that an overview reads: members, leaders, shards, sessions at Discord, loops, shares.
KINDS = ("m/", "l/", "s/", "ib/", "lc/", "lp/", "lt/", "q/s/")
#: Incidents that are shown.
MAX_INCIDENTS = 50
#: Each replica reports the end of another one: reports within so many seconds are about the same end.
SAME_INCIDENT = 60.0
#: The fields of an incident.
_INCIDENT = ("at", "kind", "replica", "number", "shard")
#: Incidents of a replica that its peers report.
_SEEN_BY_OTHERS = frozenset({"drained", "gone"})


class Reads(Protocol):
    """The part of a store that reads."""

    def range(self, prefix: str, *, keys_only: bool = False) -> Snapshot: ...


class Candidate(NamedTuple):
    """A candidate for a shard's leadership; the lowest create revision leads."""

    revision: int
    replica: str


def read_kinds(store: Reads, root: str) -> dict[str, list[KeyValue]]:
    """The keys of each kind below ``root``, with one range each."""
    return {kind: store.range(root + kind).items for kind in KINDS}


def first_candidates(found: Iterable[KeyValue], generation: int) -> dict[int, str]:
    """The leader of each shard of a generation: of the keys ``l/<shard>/<lease>`` the one created first."""
    first: dict[int, Candidate] = {}
    for kv in found:
        shard = kv.key.split("/")[-2]
        if is_number(shard) and kv.lease and generation_of(int(shard)) == generation:
            number = number_of(int(shard))
            candidate = Candidate(kv.create_revision, str(json_object(kv.value).get("replica", "?")))
            first[number] = min(first.get(number, candidate), candidate)
    return {shard: candidate.replica for shard, candidate in sorted(first.items())}


def sessions_left(found: Iterable[KeyValue]) -> dict[str, Any] | None:
    """The rest of the day's new sessions at Discord, as the replicas count; ``None`` before they do."""
    keys = {last_part(kv.key): kv for kv in found}
    day = json_object(keys["day"].value) if "day" in keys else {}
    if not all(isinstance(day.get(name), int) for name in ("remaining", "total")):
        return None
    spent = keys["spent"].version if "spent" in keys else 0
    return {"remaining": max(day["remaining"] - spent, 0), "total": day["total"]}


def serving_generation(found: Iterable[KeyValue]) -> int:
    """The generation of shards that serves, of the keys below ``s/``."""
    values = [kv.value for kv in found if kv.key.endswith("/s/serving")]
    return int(values[0]) if values and is_number(values[0].decode("ascii", "replace")) else 0


def shard_counts(found: Iterable[KeyValue], serving: int) -> tuple[int | None, int | None]:
    """The number of shards, and the next one during a change; ``None`` if there is none."""
    counts = {}
    for kv in found:
        kind, name = kv.key.split("/")[-2:]
        count = json_object(kv.value).get("count")
        if kind == "g" and is_number(name) and isinstance(count, int) and count > 0:
            counts[int(name)] = count
    return counts.get(serving), next((counts[g] for g in sorted(counts) if g > serving), None)


def hosts(
    shards: Iterable[KeyValue], members: Mapping[str, Mapping[str, Any]], leaders: Mapping[int, str]
) -> list[dict[str, Any]]:
    """The hosts of each shard, by replica: ``leads``, ``ready``, ``opens`` (the shard comes) or ``leaves``. A
    bot without shards has one, 0. While the number changes, the coming shards follow, with ``next``."""
    found = list(shards)
    serving = serving_generation(found)
    planned: dict[int, list[str]] = {}
    ready: dict[int, set[str]] = {}
    for kv in found:
        kind, *rest = kv.key.rsplit("/s/", 1)[-1].split("/")
        if kind == "p" and len(rest) == 1:
            for shard, replicas in json_object(kv.value).items():
                if is_number(shard) and isinstance(replicas, list):
                    planned[int(shard)] = [str(replica) for replica in replicas]
        elif kind == "h" and len(rest) == 2 and is_number(rest[0]):
            ready.setdefault(int(rest[0]), set()).add(rest[1])
    if not planned:
        states = {
            name: "ready" if each.get("state") == "ready" else "opens" for name, each in members.items()
        }
        return [
            {"shard": 0, "next": False, "hosts": states | {leaders[0]: "leads"} if 0 in leaders else states}
        ]
    rows = []
    for key in sorted(planned.keys() | ready.keys()):
        generation, number = generation_of(key), number_of(key)
        if generation < serving:
            continue
        there = ready.get(key, set())
        states = {replica: "ready" if replica in there else "opens" for replica in planned.get(key, ())}
        states |= dict.fromkeys(there - states.keys(), "leaves")
        if generation == serving and leaders.get(number) in states:
            states[leaders[number]] = "leads"
        rows.append({"shard": number, "next": generation > serving, "hosts": states})
    return rows


def loops(kinds: Mapping[str, list[KeyValue]]) -> list[dict[str, Any]]:
    """The leader's loops: how many runs have begun, when the last one did, when the last timed one was due,
    the replica that runs it now, whether it is stopped. Times: seconds since 1970, by the writer's clock."""
    found: dict[str, dict[str, Any]] = {}
    for kind in ("lc/", "lt/", "lp/"):
        for kv in kinds[kind]:
            name = kv.key.rsplit(f"/{kind}", 1)[-1]
            loop = found.setdefault(
                name, {"name": name, "runs": 0, "begun": None, "due": None, "stopped": False, "running": None}
            )
            if kind == "lp/":
                loop["running"] = kv.value.decode(errors="replace")
                continue
            record = json_object(kv.value)
            if kind == "lt/":
                loop["due"] = _number(record.get("due"))
            else:
                loop["runs"] = _number(record.get("runs")) or 0
                loop["begun"] = _number(record.get("begun"))
                loop["stopped"] = record.get("stopped") is True
    return [found[name] for name in sorted(found)]


def request_shares(found: Iterable[KeyValue]) -> dict[str, dict[str, int]]:
    """Each replica's share of the bot's REST requests, and what it would use, a second."""
    shares = {}
    for kv in found:
        try:
            share, want, refused = json.loads(kv.value)
            shares[last_part(kv.key)] = {"share": int(share), "want": int(want), "refused": int(refused)}
        except (ValueError, TypeError, RecursionError, OverflowError):
            continue
    return shares


def incidents(members: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the replicas' records tell of incidents, the latest first, each once."""
    told: list[dict[str, Any]] = []
    for record in members.values():
        listed = record.get("incidents")
        for each in listed if isinstance(listed, list) else ():
            if isinstance(each, dict) and _is_incident(each):
                told.append({name: each[name] for name in _INCIDENT if name in each})
    told.sort(key=lambda each: each["at"])
    kept: list[dict[str, Any]] = []
    for each in told:
        if not any(_is_same(each, other) for other in kept):
            kept.append(each)
    return kept[: -MAX_INCIDENTS - 1 : -1]


def _is_incident(each: Mapping[str, Any]) -> bool:
    return _number(each.get("at")) is not None and all(
        isinstance(each.get(k), str) for k in ("kind", "replica")
    )


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if any(one.get(name) != other.get(name) for name in ("kind", "replica", "shard")):
        return False
    apart = SAME_INCIDENT if one.get("kind") in _SEEN_BY_OTHERS else 0.0
    return bool(abs(one["at"] - other["at"]) <= apart)


def json_object(value: bytes) -> dict[str, Any]:
    """A JSON object; empty if it is none."""
    try:
        data = json.loads(value, parse_constant=lambda _: None)  # browsers read no NaN
    except (ValueError, RecursionError):
        return {}
    return dict(data) if isinstance(data, Mapping) else {}


def last_part(key: str) -> str:
    """What stands behind a key's last slash."""
    return key.rsplit("/", 1)[1]


def _number(value: object) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
