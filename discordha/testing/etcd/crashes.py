"""Crashes of etcd members that do not corrupt their data, and whether the members agree.

etcd 3.5.0 to 3.5.2 can lose or repeat a write when a member ends without warning: its database is committed
ten times a second, and may then say that a write has been applied which is not in it yet (etcd issue 13766).
After that the members of a cluster differ for good, and whatever relies on them goes wrong. Seen once
with 3.5.1: a member that was killed while others wrote differed from them after 3 of 86 kills.

Promises
- ``crash`` ends its members by SIGKILL, and before that sees to it that nothing is written at that moment,
  where the binary needs that: without a quorum nothing is. The store stands still for ``CALM`` seconds, twice
  that when all members crash.
- ``differences`` looks at what each member has at one revision, so that it can be asked while others write.

Does not help a cluster of one member: nobody can keep it from being written to.

No threads; one driver is meant, which does not pause or kill members meanwhile.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Sequence
from functools import lru_cache

from .api import EtcdApi
from .member import EtcdMember

__all__ = ["CALM", "corrupts_when_killed", "crash", "differences"]

#: How long a member is left without anything to write, seconds; etcd commits its database every 0.1 s.
CALM = 0.3
_CORRUPTS = ((3, 5, 0), (3, 5, 1), (3, 5, 2))


@lru_cache(maxsize=8)
def corrupts_when_killed(binary: str) -> bool:
    """Whether this etcd may corrupt its data when it is killed. Runs it, once, for its version."""
    answer = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False, timeout=30)
    found = re.search(r"etcd Version: (\d+)\.(\d+)\.(\d+)", answer.stdout)
    return found is not None and tuple(int(number) for number in found.groups()) in _CORRUPTS


def crash(victims: Sequence[EtcdMember], members: Sequence[EtcdMember], *, calm: bool) -> None:
    """Kills some members, all at one time, or where there is nobody left to be waited for one after the
    other. Blocks for up to twice ``CALM`` seconds.

    :param members: all of the cluster.
    :param calm: whether nothing may be written at that moment.
    """
    victims = [victim for victim in victims if victim.alive]
    others = [member for member in members if member.alive and not member.paused and member not in victims]
    if not calm or len(members) == 1:
        for victim in victims:
            victim.kill()
        return
    if not others and len(victims) > 1:
        # Without its leader the others have nothing to write, and without the others it hasn't either.
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
    """The keys that not all members have with the same value, version and revision. Blocks on all of them.

    :raises EtcdApiError: a member does not answer.
    """
    revision = min(api.revision(url, own=True) for url in urls)
    found = [api.items(url, prefix, revision) for url in urls]
    keys = sorted(set().union(*found))
    return [key for key in keys if any(items.get(key) != found[0].get(key) for items in found[1:])]
