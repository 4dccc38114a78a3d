"""One replica registers the commands, once, and again only when they change."""

from __future__ import annotations

from commands_bot import BOT, TTL, per_replica, syncs, wait_synced
from fleet import answer, whole_logs

from discordha.testing import LocalDiscord, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory


class TestSync:
    def start(self, replicas: ReplicasFactory, discord: LocalDiscord, count: int, **env: str) -> Replicas:
        fleet = replicas(
            BOT,
            count,
            discord=None,
            env={"DISCORDHA_SESSION_TTL": TTL, **env},
            per_replica_env=per_replica(discord),
        )
        fleet.wait_ready(60)
        return fleet

    def test_three_replicas_register_once_and_not_again_at_a_restart(
        self, replicas: ReplicasFactory, local_discord: LocalDiscord
    ) -> None:
        guild = str(local_discord.guild_ids[0])
        fleet = self.start(replicas, local_discord, 3, GUILD=guild)
        wait_synced(local_discord, 2)
        fleet[0].kill()
        fleet[0].start()
        fleet[0].wait_ready(30)
        fleet[1].drain()
        fleet[1].wait_exit(30)
        fleet[1].start()
        fleet[1].wait_ready(30)
        application = f"/applications/{local_discord.bot_id}"
        assert sorted(path for path, _ in syncs(local_discord)) == sorted(
            [f"{application}/commands", f"{application}/guilds/{guild}/commands"]
        )
        assert answer(local_discord, local_discord.slash("here"))["content"] == "here"

    def test_two_versions_side_by_side(self, replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
        old = self.start(replicas, local_discord, 2)
        wait_synced(local_discord)
        new = self.start(replicas, local_discord, 1, EXTRA="extra")
        wait_synced(local_discord, 2)
        assert "extra" in syncs(local_discord)[-1][1]
        # Only replicas that know a command claim it.
        for _ in range(6):
            assert answer(local_discord, local_discord.slash("extra"))["content"] == "extra"
        # An old replica that restarts meanwhile does not replace the new commands.
        old[0].kill()
        old[0].start()
        old[0].wait_ready(30)
        assert answer(local_discord, local_discord.slash("extra"))["content"] == "extra"
        assert len(syncs(local_discord)) == 2
        # A rollback: without new replicas, the old commands are registered again.
        new[0].drain()
        assert new[0].wait_exit(30) == 0
        wait_synced(local_discord, 3)
        assert "extra" not in syncs(local_discord)[-1][1]

    def test_commands_that_discord_refuses_are_tried_by_one_replica(
        self, replicas: ReplicasFactory, local_discord: LocalDiscord
    ) -> None:
        local_discord.fault_rest(method="PUT", path="*/commands", status=400)
        refused, known = "Discord refuses the commands of scope global (", "another replica knows that"
        fleet = self.start(replicas, local_discord, 3)
        wait_for(lambda: whole_logs(fleet).count(known) == 2, 30, "the others to know")
        assert whole_logs(fleet).count(refused) == 1
        assert sum(r.method == "PUT" and r.path.endswith("/commands") for r in local_discord.requests()) == 1
        # It is known for as long as the replica that met it lives; the next one tries for itself.
        (met,) = [replica for replica in fleet if refused in replica.log_text()]
        local_discord.clear_faults()
        met.drain()
        assert met.wait_exit(30) == 0
        met.start()
        wait_synced(local_discord)

    def test_without_etcd_and_with_a_discord_that_does_not_answer(
        self, replicas: ReplicasFactory, local_discord: LocalDiscord
    ) -> None:
        local_discord.fault_rest(method="PUT", path="*/commands", status=503, count=1)
        fleet = replicas(
            BOT,
            1,
            etcd=None,
            discord=None,
            env={"DISCORDHA_HA": "false"},
            per_replica_env=per_replica(local_discord),
        )
        fleet.wait_ready(60)
        wait_for(lambda: "the commands could not be registered" in whole_logs(fleet), 60, "the log line")
        wait_synced(local_discord)
        assert answer(local_discord, local_discord.slash("roll"))["content"]
        fleet[0].drain()
        assert fleet[0].wait_exit(20) == 0
        fleet[0].start()
        fleet[0].wait_ready(30)
        wait_for(
            lambda: (
                sum(r.method == "GET" and r.path.endswith("/commands") for r in local_discord.requests()) >= 3
            ),
            20,
            "the look at what Discord has",
        )
        assert answer(local_discord, local_discord.slash("roll"))["content"]
        assert len(syncs(local_discord)) == 1
