"""``LocalDiscord.reset``: as good as a new one, whatever went on before."""

from __future__ import annotations

import pytest
from fleet import BOTS, answered, per_replica

from discordha.testing import LocalDiscord, wait_for
from discordha.testing.plugin import ReplicasFactory


def test_nothing_of_the_time_before_is_left(local_discord: LocalDiscord, replicas: ReplicasFactory) -> None:
    fleet = replicas(
        BOTS / "slow.py",
        1,
        etcd=None,
        discord=None,
        env={"DISCORDHA_HA": "false"},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    (session,) = local_discord.sessions()
    load = local_discord.load(rate=200)
    wait_for(lambda: answered(local_discord), 20, "an answer")
    local_discord.fault_rest(path="/channels/*", status=503)
    local_discord.set_resume_host("127.0.0.1:1")
    local_discord.set_identify_limit(3)

    local_discord.reset(guilds=2, channels=3, users=4)
    assert local_discord.counters()["messages"] == 0  # the bot, which is not told, may ask for something
    assert local_discord.messages() == []
    assert (len(local_discord.guild_ids), len(local_discord.channel_ids)) == (2, 6)
    assert len(local_discord.user_ids) == 4
    with pytest.raises(RuntimeError, match="load_state"):
        load.sent()  # nobody acts any more

    # The bot's socket was closed, and its session is not known.
    local_discord.reset()
    wait_for(local_discord.identifies, 20, "a new session")
    wait_for(lambda: len(local_discord.sessions()) == 1, 20, "one session")
    assert local_discord.sessions()[0]["id"] != session["id"]
    local_discord.send(local_discord.channel_ids[0], "!ping 1")
    wait_for(lambda: answered(local_discord), 20, "an answer")
    assert [message.content for message in answered(local_discord)] == ["pong 1"]


def test_it_runs_whatever_was_done_to_it() -> None:
    with LocalDiscord(guilds=2) as discord:
        discord.pause()
        discord.reset()
        assert len(discord.guild_ids) == 1
        discord.kill()
        discord.reset(guilds=3)
        assert len(discord.guild_ids) == 3
        discord.restart()
        assert len(discord.guild_ids) == 3, "the options of the reset stay"
