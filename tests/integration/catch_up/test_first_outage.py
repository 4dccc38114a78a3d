"""A bot whose replicas all die right after its very first start."""

from __future__ import annotations

from collections import Counter

from fleet import BOTS, answered, logs, per_replica, values

from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory


def test_what_came_after_the_first_ready_is_caught_up_though_no_event_was_ever_done(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    load = local_discord.load(rate=20)
    fleet = replicas(
        BOTS / "slow.py",
        2,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": "2", "SLOW": "600"},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    first = len(load.sent())
    wait_for(lambda: values(local_etcd, f"/discordha/v1/{namespace}/p/"), 20, "a point")
    for replica in fleet:
        replica.kill()
    missed = len(load.sent()) + 40
    wait_for(lambda: len(load.sent()) >= missed, 20, "messages that nobody receives")
    for replica in fleet:
        replica.environment["SLOW"] = "0"
        replica.start()
    fleet.wait_ready(60)
    expected = {each.key.replace("!ping", "pong", 1) for each in load.stop()[first:]}

    def said() -> Counter[str]:
        return Counter(message.content for message in answered(local_discord))

    wait_for(
        lambda: expected <= said().keys(),
        60,
        lambda: f"answers to {sorted(expected - said().keys())}\n{logs(fleet)}",
    )
    assert set(said().values()) == {1}
