"""A replica's account of itself: the reasons why it is not ready, its member record, its status.

Guarantees: no I/O and no waiting. An answer holds for the moment of the call.

Threads and locks: any thread. No state: the functions read single values of the replica's parts.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from discordha._version import __version__
from discordha.commands import CommandSync
from discordha.config import Config
from discordha.coordination.membership.members import JSON
from discordha.coordination.membership.shard_keys import number_of
from discordha.coordination.node import CoordinationNode
from discordha.dispatch import Dispatcher, Lanes
from discordha.dispatch.runner import Runner
from discordha.gateway import Gateway
from discordha.leader.service import LeaderService
from discordha.leader.status import LeadershipStatus
from discordha.limits.identify import Identify
from discordha.limits.identify_turn import LocalIdentify
from discordha.limits.rest import RestLimits
from discordha.outage.service import CatchUp
from discordha.process.threads import failing
from discordha.replica.incidents import Incidents
from discordha.replica.readiness import Readiness
from discordha.sharding.host import ShardHost
from discordha.sharding.index import ShardIndex
from discordha.stats import STAGES, Stats

__all__ = ["ReplicaView", "describe", "reasons", "status"]

#: The counters in a member record.
_COUNTED = ("received", "handled", "failed", "lost", "dropped", "taken_over", "dead")


class ReplicaView(Protocol):
    """The parts of a replica that its status and its monitor read. ``None``: the replica has no such part."""

    config: Config
    replica_id: str
    stats: Stats
    readiness: Readiness
    coordination: CoordinationNode | None
    gateway: Gateway
    shards: ShardIndex
    hosting: ShardHost | None
    dispatcher: Dispatcher
    lanes: Lanes
    runner: Runner
    leaders: LeaderService | None
    leading: LeadershipStatus
    identify: Identify | LocalIdentify
    limits: RestLimits | None
    commands: CommandSync
    catch_up: CatchUp | None
    incidents: Incidents

    @property
    def uptime(self) -> float:
        """Seconds since the replica was made."""

    def is_deaf(self, key: int) -> bool:
        """Whether peers receive a shard's events while this replica does not."""

    def replicas(self) -> Mapping[str, Mapping[str, Any]]:
        """The member records of the live replicas."""


def describe(replica: ReplicaView) -> dict[str, JSON]:
    """A replica's part of its member record."""
    shards, leaders, identify = replica.shards.clients(), replica.leaders, replica.identify.status()
    states = {str(key): client.state() for key, client in replica.gateway.clients.items()}
    return {
        "state": replica.readiness.state,
        "reasons": reasons(replica),
        "shards": list(shards),
        "leads": [shard for shard in shards if replica.leading.is_leader(shard)],
        "backlog": round(leaders.backlog(), 3) if leaders is not None else 0.0,
        "identify": {
            name: identify[name]
            for name in ("slot", "crashes", "wait", "waiting", "reason")
            if name in identify
        },
        "queue": replica.dispatcher.queue(),
        "unfinished": replica.dispatcher.unfinished(),
        **_load(replica.stats),
        "uptime": round(replica.uptime, 3),
        "threads": replica.lanes.threads,
        "latency": {
            str(shard): round(latency, 3)
            for shard, client in shards.items()
            if math.isfinite(latency := client.state().latency)
        },
        "incidents": replica.incidents.listed(),
        "hears": leaders.ages() if leaders is not None else {},
        "events": {key: state.events for key, state in states.items()},
        "acknowledged": replica.catch_up.acknowledged() if replica.catch_up is not None else {},
        "reach": replica.catch_up.reaches() if replica.catch_up is not None else {},
        "commands": dict(replica.commands.digests),
        "heard": {key: state.heard for key, state in states.items()},
    }


def _load(stats: Stats) -> dict[str, JSON]:
    """Counts; number and sum of the times of events and of each stage; seconds of the processor."""
    counts = dict.fromkeys(_COUNTED, 0)
    for (name, _), count in stats.counters().items():
        if name in counts:
            counts[name] += count
    times: dict[str, JSON] = {name: [0, 0.0] for name in ("event", *STAGES)}
    for name, histogram in stats.histograms().items():
        times[name] = [sum(histogram.counts), round(histogram.total, 4)]
    return {
        "handled": counts["handled"],
        "counts": counts,
        "times": times,
        "cpu": round(time.process_time(), 2),
    }


def reasons(replica: ReplicaView) -> list[str]:
    """Why a replica is not ready; empty when it is."""
    found = ["draining"] if replica.readiness.draining else []
    if replica.coordination is not None:
        if replica.coordination.session.current is None:
            found.append("no session in etcd")
        if not replica.coordination.watch.alive:
            found.append("the watch on etcd is down")
        if (refusal := replica.coordination.store.refusal) is not None:
            found.append(f"etcd refuses this replica: {refusal}")
    found += failing()
    found += _connection_reasons(replica)
    if replica.leaders is not None and not replica.readiness.was_ready:
        found += [
            f"shard {number_of(key)}: waiting for the leader to confirm recent events"
            for key in replica.gateway.clients
            if replica.leaders.in_doubt(key)
        ]
    if found and replica.identify.reason is not None:
        found.append(f"no new session for now: {replica.identify.reason}")
    return found


def _connection_reasons(replica: ReplicaView) -> Iterable[str]:
    hosting, clients = replica.hosting, replica.gateway.clients
    for key, client in clients.items():
        if hosting is not None and not hosting.was_ready(key):
            continue  # it opens or leaves, or counts as missing
        if not client.state().ready:
            yield f"shard {number_of(key)} is not connected to Discord"
        elif replica.is_deaf(key):
            yield f"shard {number_of(key)} is deaf: other replicas receive events, and it does not"
    if hosting is None:
        if not clients:
            yield "not connected to Discord"
    elif not replica.readiness.was_ready:
        for number in hosting.missing:
            yield f"shard {number} is not connected to Discord"
        if not hosting.planned:
            yield "the plan does not name this replica's shards yet"


def status(replica: ReplicaView) -> dict[str, Any]:
    """A replica's state for health checks and metrics."""
    why, shards, leaders = reasons(replica), replica.shards.clients(), replica.leaders
    found: dict[str, Any] = {
        "replica": replica.replica_id,
        "version": __version__,
        "state": replica.readiness.state,
        "ready": not why,
        "reasons": why,
        "uptime": replica.uptime,
        "gateway": {shard: dataclasses.asdict(client.state()) for shard, client in shards.items()},
        "leader": {shard: replica.leading.leader(shard) for shard in shards},
        "queue": replica.dispatcher.queue(),
        "journal": leaders.sizes() if leaders is not None else {},
        "running": replica.runner.running(),
        "rest": replica.limits.status() if replica.limits is not None else {},
    }
    if replica.catch_up is not None and (gaps := replica.catch_up.status()):
        found["gaps"] = gaps
    if identify := replica.identify.status():
        found["identify"] = identify
    node = replica.coordination
    if node is None:
        return found
    if replica.hosting is not None:
        plan = node.plan
        found["shards"] = {
            "count": plan.count,
            "next": next((n for g, n in plan.generations.items() if g != plan.serving), None),
            "hosts": list(shards),
            "missing": replica.hosting.missing,
        }
    session, watch, commit = node.session, node.watch, node.commit
    grant = session.current
    found["session"] = {
        "alive": grant is not None,
        "number": grant.number if grant is not None else None,
        "losses": session.losses,
        "renewals": session.renewals,
    }
    found["watch"] = {
        "alive": watch.alive,
        "revision": watch.revision,
        "losses": watch.losses,
        "messages": watch.messages,
    }
    found["etcd"] = {
        "calls": node.store.calls,
        "failures": node.store.failures,
        "unreadable": node.hints.unreadable + node.members.unreadable,
        "transactions": commit.transactions,
        "operations": commit.operations,
    }
    return found
