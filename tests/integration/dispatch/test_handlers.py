"""What a handler's declaration promises: ``where`` costs nothing downstream; a slow channel delays itself
only.
"""

from __future__ import annotations

import pytest
from fleet import BOTS, answered, per_replica

from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory


def test_what_no_predicate_wants_never_reaches_etcd(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    fleet = replicas(BOTS / "counting.py", 2, discord=None, per_replica_env=per_replica(local_discord))
    fleet.wait_ready(60)
    local_discord.load(rate=0, count=300, template="idle talk {n}").wait(20)
    channel = local_discord.channel_ids[0]
    for content in ("!broken 1", "!ping last"):  # one filter fails: that counts as no
        local_discord.send(channel, content)
    wait_for(lambda: answered(local_discord, "pong last"), 20, "the answer")
    assert not answered(local_discord, "anyway")
    claims = local_etcd.keys(f"/discordha/v1/{namespace}/e/")
    assert len(claims) == 1, claims
    assert any("where of __main__.on_broken failed" in replica.log_text() for replica in fleet)


@pytest.mark.parametrize("ha", [True, False])
def test_sixteen_slow_channels_do_not_stop_the_next(ha: bool, replicas: ReplicasFactory) -> None:
    with LocalDiscord(channels=24) as discord:
        fleet = replicas(
            BOTS / "counting.py",
            1,
            discord=None,
            env={"SLOW": "3", "DISCORDHA_WORKERS": "16", "DISCORDHA_HA": str(ha).lower()},
            per_replica_env=per_replica(discord),
        )
        fleet.wait_ready(60)
        *slow, one, other = discord.channel_ids[:18]
        for channel in slow:
            discord.send(channel, f"!slow {channel}")
        discord.send(one, "!ping first")
        discord.send(slow[0], "!ping behind")
        discord.send(other, "!ping second")
        wait_for(lambda: len(answered(discord, "pong")) >= 2, 20, "answers in quick channels")
        quick = [message.content for message in answered(discord, "pong")]
        assert sorted(quick) == ["pong first", "pong second"]
        assert not answered(discord, "slowly"), "too slow to tell"
        wait_for(lambda: len(answered(discord, "slowly")) == 16, 20, "the slow ones")
        wait_for(lambda: answered(discord, "pong behind"), 20, "what waited behind a slow one")
