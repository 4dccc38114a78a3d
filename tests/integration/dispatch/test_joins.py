"""Members who join: each join is handled once, whichever replica dies, and who comes back joins once more."""

from __future__ import annotations

from collections import Counter

from fleet import BOTS, per_replica, whole_logs

from discordha.coordination.membership.placement import order
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
    names = {replica.replica_id: f"r{replica.index}" for replica in fleet}
    # Each replica prefers some of the guilds, by the guilds' ids; now and then, one prefers none.
    preferred = {names[order(str(guild), filter(None, names))[0]] for guild in guilds} - {"r0"}
    users = [local_discord.join(guilds[number % len(guilds)]) for number in range(MEMBERS)]
    fleet[0].kill()
    for number, user in enumerate(users):
        local_discord.leave(guilds[number % len(guilds)], user)
        local_discord.join(guilds[number % len(guilds)], user)

    expected = Counter({f"join {user}": 2 for user in users})

    def told() -> Counter[str]:
        """But for those who became members less than two seconds before the bot's first READY: they may be
        caught up (P11).
        """
        found = Counter(message.content for message in local_discord.messages())
        return Counter({join: count for join, count in found.items() if join in expected})

    wait_for(lambda: not expected - told(), 30, lambda: f"{expected - told()}\n{whole_logs(fleet)[-3000:]}")
    assert told() == expected
    speakers = {message.replica for message in local_discord.messages()}
    assert preferred <= speakers, "a replica left the joins of its guilds to others"
