"""Members who join: each join is handled once, whichever replica dies, and who comes back joins once more."""

from __future__ import annotations

from collections import Counter

from fleet import BOTS, per_replica, whole_logs

from discordha.testing import LocalDiscord, wait_for
from discordha.testing.plugin import ReplicasFactory

MEMBERS = 30


def test_each_join_is_handled_once_and_a_return_is_another(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    local_discord.reset(guilds=8)
    fleet = replicas(
        BOTS / "leader_events.py",
        3,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": "4", "SLOW": "0.05"},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    guilds = local_discord.guild_ids
    users = [local_discord.join(guilds[number % len(guilds)]) for number in range(MEMBERS)]
    fleet[0].kill()
    for number, user in enumerate(users):
        local_discord.leave(guilds[number % len(guilds)], user)
        local_discord.join(guilds[number % len(guilds)], user)

    def told() -> Counter[str]:
        return Counter(message.content for message in local_discord.messages())

    expected = Counter({f"join {user}": 2 for user in users})
    wait_for(lambda: not expected - told(), 30, lambda: f"{expected - told()}\n{whole_logs(fleet)[-3000:]}")
    assert told() == expected
    speakers = {message.replica for message in local_discord.messages()}
    assert {"r1", "r2"} <= speakers, "joins are spread over the replicas"
