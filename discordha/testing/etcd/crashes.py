"""Crashes of etcd members that do not corrupt their data, and a check whether the members agree.

etcd 3.5.0 to 3.5.2 can lose or repeat a write when a member ends without warning. Its database is committed
ten times a second, and may then say that a write is applied which it does not contain (etcd issue 13766).
From then on the members of a cluster differ for good. Seen with 3.5.1: after 3 of 86 kills, a member that was
killed during writes differed from the others.

Guarantees
- ``crash`` kills its members with SIGKILL. If the binary needs it, no write is under way at that moment,
  since the cluster has no quorum: it stands still for ``CALM`` seconds, or twice that if all members crash.
- ``differences`` compares the members at one revision, so that others may write meanwhile.
- Not guaranteed: anything for a cluster of one member, whose writes nothing can hold up.

Threads and locks: none; one thread drives, and pauses or kills no member meanwhile.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Sequence
from functools import lru_cache

from discordha.testing.etcd.api import EtcdApi
from discordha.testing.etcd.member import EtcdMember

__all__ = ["CALM", "corrupts_when_killed", "crash", "differences"]

#: Seconds without writes before a kill; etcd commits its database every 0.1 s.
CALM = 0.3
_CORRUPTS = ((3, 5, 0), (3, 5, 1), (3, 5, 2))


@lru_cache(maxsize=8)
def corrupts_when_killed(binary: str) -> bool:
    """Whether a kill may corrupt the data of this etcd. Runs it once, for its version."""
    answer = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False, timeout=30)
    found = re.search(r"etcd Version: (\d+)\.(\d+)\.(\d+)", answer.stdout)
    return found is not None and tuple(int(number) for number in found.groups()) in _CORRUPTS


def crash(victims: Sequence[EtcdMember], members: Sequence[EtcdMember], *, calm: bool) -> None:
    """Kills some members at once, or one after another if no other member is left. Blocks for up to twice
    ``CALM`` seconds.

    :param members: all members of the cluster.
    :param calm: whether no write may be under way.
    """
    victims = [victim for victim in victims if victim.alive]
    others = [member for member in members if member.alive and not member.paused and member not in victims]
    if not calm or len(members) == 1:
        for victim in victims:
            victim.kill()
        return
    if not others and len(victims) > 1:
        # Without a leader the others write nothing, and without the others the leader writes nothing.
        last = next((victim for victim in victims if victim.is_leader()), victims[0])
        crash([victim for victim in victims if victim is not last], members, calm=True)
        time.sleep(CALM)
        last.kill()
        return
    for other in others:
        other.pause()
    try:
        time.sleep(CALM)
        for victim in victims:
            victim.kill()
    finally:
        for other in others:
            other.resume()


def differences(api: EtcdApi, urls: Sequence[str], prefix: str) -> list[str]:
    """The keys whose value, version or revision differs between members. Blocks on all members.

    :raises EtcdApiError: a member does not answer.
    """
    revision = min(api.revision(url, own=True) for url in urls)
    found = [api.items(url, prefix, revision) for url in urls]
    keys = sorted(set().union(*found))
    return [key for key in keys if any(items.get(key) != found[0].get(key) for items in found[1:])]
