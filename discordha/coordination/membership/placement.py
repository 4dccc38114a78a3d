"""Placement: which replicas host which shard. Pure; any thread.

Promises
- Each shard has ``replication`` hosts, or as many as there are members.
- The numbers of shards of any two members differ by one at the most wherever one move can bring that about,
  and never by more than two.
- What need not move does not: a host that lives keeps its shards, unless it has too many.
- Every process that knows the same placement and the same members finds the same next one.

Source: rendezvous hashing (see ``rendezvous``) chooses among the members that have room, which is the bounded
load of Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from discordha.coordination.membership.preference import order, weight

__all__ = ["Placement", "place"]

#: The hosts of each shard, by shard key.
Placement = dict[int, tuple[str, ...]]

#: Members' numbers of shards differ by so many at the most.
SPREAD = 1


def place(
    previous: Mapping[int, Sequence[str]], shards: Iterable[int], members: Collection[str], replication: int
) -> Placement:
    """The next placement.

    :param previous: the present one; empty at first.
    :param shards: the keys of all shards.
    :param members: the replicas that may host.
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
    """Gives a shard as many hosts as it should have. ``room``: shards that a member takes at the most, while
    another one has room.
    """
    while len(chosen) > wanted:
        busiest = max(chosen, key=lambda member: (load[member], weight(str(key), member)))
        chosen.remove(busiest)
        load[busiest] -= 1
    ranked = order(str(key), load)
    while len(chosen) < wanted:
        free = [member for member in ranked if member not in chosen]
        member = next((one for one in free if load[one] < room), None)
        if member is None:
            member = min(free, key=lambda one: load[one])
        chosen.append(member)
        load[member] += 1


def _even_out(hosts: dict[int, list[str]], load: dict[str, int]) -> None:
    """Moves one shard after another from who has the most to who has the least."""
    while True:
        least = min(load, key=lambda member: (load[member], member))
        # The fullest member from which something can be moved: one that hosts what the emptiest does not.
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
