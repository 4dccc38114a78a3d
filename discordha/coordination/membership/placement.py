"""Placement: which of several replicas is responsible for a key, and which ones host which shard.

Guarantees
- Processes that know the same members rank them equally, on every machine and in every version. If a member
  goes, only its keys move, and they spread evenly over the others.
- Each shard has ``replication`` hosts, or as many as there are members. Members' numbers of shards differ by
  at most one where a single move can achieve that, and never by more than two.
- Only necessary moves happen: a living host keeps its shards, unless it has too many. Every process that
  knows the same placement and the same members computes the same next placement.

Sources: Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous" (1996), with 64 bits of BLAKE2b
as the weight; Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016).

Threads and locks: pure functions; any thread.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from hashlib import blake2b

__all__ = ["CACHED_RANKS", "Placement", "order", "place", "rank_among", "weight"]

#: How many keys' ranks are cached.
CACHED_RANKS = 20_000
#: The hosts of each shard, by shard key.
Placement = dict[int, tuple[str, ...]]

#: The largest difference between two members' numbers of shards.
SPREAD = 1


def weight(key: str, member: str) -> bytes:
    """A member's weight for a key; the highest is preferred. Part of the format: all versions must agree."""
    return blake2b(f"{key}\0{member}".encode(), digest_size=8).digest()


def order(key: str, members: Iterable[str]) -> list[str]:
    """The members, the preferred one first."""
    return sorted(members, key=lambda member: (weight(key, member), member), reverse=True)


def rank_among(member: str, key: str, others: Iterable[str], last: Container[str]) -> int:
    """How many members are preferred to one of them for a key; ``last`` says which rank behind all others."""
    ranked = order(key, {*others, member})
    ranked.sort(key=last.__contains__)  # stable: those that rank last keep their order
    return ranked.index(member)


def place(
    previous: Mapping[int, Sequence[str]], shards: Iterable[int], members: Collection[str], replication: int
) -> Placement:
    """Computes the next placement.

    :param previous: the present placement; empty at first.
    :param shards: the keys of all shards.
    :param members: the replicas that may be hosts.
    """
    keys = sorted(shards)
    wanted = min(replication, len(members))
    hosts: dict[int, list[str]] = {
        key: [member for member in previous.get(key, ()) if member in members] for key in keys
    }
    load = dict.fromkeys(sorted(members), 0)
    for chosen in hosts.values():
        for member in chosen:
            load[member] += 1
    if not load:
        return dict.fromkeys(keys, ())
    for key in keys:
        _fit(key, hosts[key], load, wanted, -(-len(keys) * wanted // len(load)))
    _even_out(hosts, load)
    return {key: tuple(chosen) for key, chosen in hosts.items()}


def _fit(key: int, chosen: list[str], load: dict[str, int], wanted: int, room: int) -> None:
    """Gives a shard its number of hosts. A member takes more than ``room`` only if no other has any left."""
    while len(chosen) > wanted:
        busiest = max(chosen, key=lambda member: (load[member], weight(str(key), member)))
        chosen.remove(busiest)
        load[busiest] -= 1
    ranked = order(str(key), load) if len(chosen) < wanted else []
    while len(chosen) < wanted:
        free = [member for member in ranked if member not in chosen]
        member = next((one for one in free if load[one] < room), None)
        if member is None:
            member = min(free, key=lambda one: load[one])
        chosen.append(member)
        load[member] += 1


def _even_out(hosts: dict[int, list[str]], load: dict[str, int]) -> None:
    """Moves one shard after another from the fullest member to the emptiest."""
    while True:
        least = min(load, key=lambda member: (load[member], member))
        # The fullest member that hosts a shard which the emptiest does not.
        for most in sorted(load, key=lambda member: (-load[member], member)):
            if load[most] - load[least] <= SPREAD:
                return
            movable = [key for key, chosen in hosts.items() if most in chosen and least not in chosen]
            if movable:
                break
        else:
            return
        key = max(movable, key=lambda one: (weight(str(one), least), one))
        hosts[key][hosts[key].index(most)] = least
        load[most] -= 1
        load[least] += 1
