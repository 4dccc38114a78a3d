"""The memory of a replica whose guild has 100,000 members, with and without their cache."""

from __future__ import annotations

import re
from pathlib import Path

import psutil
import pytest
from fleet import BOTS, logs

from discordha.testing import LocalDiscord, LocalEtcd, Replicas, wait_for

MEMBERS = 100_000


def memory(etcd: LocalEtcd, discord: LocalDiscord, keep: str) -> tuple[float, int]:
    """MiB of a replica, and the users that it knows."""
    env = {"KEEP": keep, "DISCORDHA_NAME": LocalEtcd.namespace()}
    with Replicas(BOTS / "members.py", 1, etcd=etcd, discord=discord, env=env) as fleet:
        fleet.wait_ready(240)

        def known() -> int:
            before = len(discord.messages())
            discord.send(discord.channel_ids[0], "!count")
            wait_for(lambda: len(discord.messages()) > before, 60, lambda: logs(fleet))
            found = re.fullmatch(r"(\d+) users", discord.messages()[before].content)
            assert found is not None
            return int(found[1])

        if keep == "all":
            wait_for(lambda: known() >= MEMBERS, 240, "all members", interval=2.0)
        users = known()
        return psutil.Process(fleet[0].pid).memory_info().rss / 2**20, users


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_replica_without_a_cache_of_members_stays_small(local_etcd: LocalEtcd, tmp_path: Path) -> None:
    with LocalDiscord(guilds=1, users=MEMBERS) as discord:
        none, few = memory(local_etcd, discord, "none")
        full, all_ = memory(local_etcd, discord, "all")
    print(f"{MEMBERS} members: {full:.0f} MiB with {all_} users in the cache, {none:.0f} MiB with {few}")
    assert few < 100
    assert all_ >= MEMBERS
    assert none < full / 2
