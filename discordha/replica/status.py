"""What a replica says of itself: why it is not ready, its member record, its status.

Promises: no I/O, no waiting; any thread. What is said holds for the moment in which it is asked.

Concurrency: no state of its own; it reads single values of the replica's parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discordha._version import __version__
from discordha.coordination.membership.members import JSON
from discordha.coordination.membership.shard_keys import number_of
from discordha.limits.identify import Identify

if TYPE_CHECKING:
    from discordha.replica.replica import Replica

__all__ = ["describe", "reasons", "status"]


def describe(replica: Replica) -> dict[str, JSON]:
    """For the member record."""
    return {
        "state": replica.readiness.state,
        "reasons": reasons(replica),
        "shards": list(replica.shards.clients()),
        "leads": [shard for shard in replica.shards.clients() if replica.leading.is_leader(shard)],
        "backlog": round(replica.leaders.backlog(), 3) if replica.leaders is not None else 0.0,
        "identify": _identify(replica),
        "queue": replica.dispatcher.queue(),
        "handled": replica.stats.count("handled"),
        "threads": replica.lanes.threads,
        "hears": replica.leaders.ages() if replica.leaders is not None else {},
        "events": {str(key): client.state().events for key, client in replica.gateway.clients.items()},
        "commands": dict(replica.commands.digests),
        "heard": {str(key): client.state().heard for key, client in replica.gateway.clients.items()},
    }


def reasons(replica: Replica) -> list[str]:
    """Why a replica is not ready; empty when it is."""
    found: list[str] = []
    if replica.stopped:
        found.append("draining")
    if replica.coordination is not None:
        if replica.coordination.session.current is None:
            found.append("no session in etcd")
        if not replica.coordination.watch.alive:
            found.append("the watch on etcd is down")
    for key, client in replica.gateway.clients.items():
        if replica.hosting is not None and not replica.hosting.was_ready(key):
            continue  # on its way in or out, or ``missing``
        shard_id = number_of(key)
        if not client.state().ready:
            found.append(f"shard {shard_id} is not connected to Discord")
        elif replica.monitor.is_deaf(key):
            found.append(f"shard {shard_id} is deaf: other replicas receive events, and it does not")
    if replica.hosting is not None:
        if not replica.readiness.was_ready:
            found += [f"shard {number} is not connected to Discord" for number in replica.hosting.missing]
            if not replica.hosting.planned:
                found.append("the plan does not say yet which shards are its own")
    elif not replica.gateway.clients:
        found.append("not connected to Discord")
    if replica.leaders is not None and not replica.readiness.was_ready:
        found += [
            f"shard {number_of(key)}: its leader is told of this replica, and asked what it has handled"
            for key in replica.gateway.clients
            if replica.leaders.in_doubt(key)
        ]
    if found and isinstance(replica.identify, Identify) and replica.identify.reason is not None:
        found.append(f"no new session for now: {replica.identify.reason}")
    return found


def status(replica: Replica) -> dict[str, Any]:
    """For health checks and metrics; see ``operations.source``."""
    why = reasons(replica)
    coordination = replica.coordination
    found: dict[str, Any] = {
        "replica": replica.replica_id,
        "version": __version__,
        "state": replica.readiness.state,
        "ready": not why,
        "reasons": why,
        "uptime": replica.uptime,
        "gateway": {shard: client.state()._asdict() for shard, client in replica.shards.clients().items()},
        "leader": {shard: replica.leading.leader(shard) for shard in replica.shards.clients()},
        "queue": replica.dispatcher.queue(),
        "journal": replica.leaders.sizes() if replica.leaders is not None else {},
        "running": replica.runner.running(),
        "rest": replica.limits.status() if replica.limits is not None else {},
    }
    if isinstance(replica.identify, Identify):
        found["identify"] = replica.identify.status()
    if coordination is not None and replica.hosting is not None:
        plan = coordination.plan
        found["shards"] = {
            "count": plan.count,
            "next": next((n for g, n in plan.generations.items() if g != plan.serving), None),
            "hosts": list(replica.shards.clients()),
            "missing": replica.hosting.missing,
        }
    if coordination is not None:
        session, watch = coordination.session, coordination.watch
        grant = session.current
        found["session"] = {
            "alive": grant is not None,
            "number": grant.number if grant is not None else None,
            "losses": session.losses,
            "renewals": session.renewals,
        }
        found["watch"] = {"alive": watch.alive, "revision": watch.revision, "losses": watch.losses}
        found["etcd"] = {
            "calls": coordination.store.calls,
            "failures": coordination.store.failures,
            "unreadable": coordination.hints.unreadable + coordination.members.unreadable,
            "transactions": coordination.commit.transactions,
            "operations": coordination.commit.operations,
        }
    return found


def _identify(replica: Replica) -> dict[str, JSON]:
    if not isinstance(replica.identify, Identify):
        return {}
    budget = replica.identify.status()
    return {name: budget[name] for name in ("slot", "crashes", "wait", "waiting", "reason")}
