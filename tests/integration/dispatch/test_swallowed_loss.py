"""Handlers that catch everything lose nothing when their replica loses its session."""

from __future__ import annotations

import time

from fleet import BOTS, answered, per_replica, whole_logs

from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory

TTL = 2.0


def test_except_exception_around_each_call(replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    with LocalEtcd() as etcd:
        fleet = replicas(
            BOTS / "catches_everything.py",
            2,
            etcd=etcd,
            discord=None,
            env={"DISCORDHA_SESSION_TTL": str(TTL), "DISCORDHA_ETCD_TIMEOUT": "2"},
            per_replica_env=per_replica(local_discord),
        )
        fleet.wait_ready(60)
        wait_for(local_discord.commands, 20, "the command")
        one, two, three, *_ = local_discord.channel_ids
        messages = [local_discord.send(channel, f"!go {channel}") for channel in (one, two)]
        local_discord.react(one, messages[0], "x")
        local_discord.slash("go", channel_id=three)
        wait_for(lambda: len(answered(local_discord, "step 0")) == 4, 20, "each to have begun")
        etcd.stop_all(graceful=True)
        stopped = time.monotonic()
        wait_for(lambda: time.monotonic() - stopped > 4.5, 10, "the runs to end without etcd")
        etcd.start_all()
        wait_for(
            lambda: len(answered(local_discord, "step")) >= 16,
            30,
            lambda: str(answered(local_discord, "step")),
        )
        sent = [message.content for message in answered(local_discord, "step")]
        assert len(sent) == len(set(sent)) == 16, sorted(sent)
        assert whole_logs(fleet).count("did not finish") >= 4
