"""A standby whose gateway connection brings nothing for seconds, and then everything: what the leader handled
meanwhile is not run again once the standby leads.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack

from fleet import BOTS, logs

from discordha.testing import FaultProxy, LocalDiscord, wait_for
from discordha.testing.plugin import ReplicasFactory

#: For how long nothing comes, seconds: longer than a mark waits before its event counts as one that came
#: elsewhere among the messages.
SILENT = 12.0
LEADS = "takeover: leads shard 0"


def told(discord: LocalDiscord) -> Counter[str]:
    """What the bot says it has handled."""
    return Counter(message.content for message in discord.messages())


def test_what_the_leader_handles_while_a_standby_hears_nothing_is_not_run_again(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    with ExitStack() as ends:
        links = [ends.enter_context(FaultProxy.to(f"127.0.0.1:{local_discord.port}")) for _ in range(2)]
        fleet = replicas(
            BOTS / "leader_events.py",
            2,
            discord=None,
            env={"DISCORDHA_SESSION_TTL": "4", "DISCORDHA_DEAF_AFTER": "30"},
            per_replica_env=lambda index: {
                **local_discord.env(f"r{index}"),
                "DISCORDHA_GATEWAY_URL": local_discord.gateway_url(
                    f"r{index}", endpoint=links[index].endpoint
                ),
            },
        )
        fleet.wait_ready(60)
        load = local_discord.load("reaction", rate=15, users=local_discord.user_ids[:2])
        wait_for(lambda: len(local_discord.messages()) > 20, 20, "somebody who leads")
        leader = int(local_discord.messages()[-1].replica.removeprefix("r"))
        links[1 - leader].black_hole()
        begun = time.monotonic()
        wait_for(lambda: time.monotonic() > begun + SILENT, 20, "the standby to hear nothing for long")
        links[1 - leader].heal()
        wait_for(lambda: time.monotonic() > begun + SILENT + 3.0, 10, "work as usual")
        sent = Counter(each.key for each in load.stop())
        wait_for(lambda: not sent - told(local_discord), 30, lambda: f"all:\n{logs(fleet)}")
        assert fleet[1 - leader].log_text().count(LEADS) == 0, "the standby led before its time"
        fleet[leader].kill()
        wait_for(lambda: fleet[1 - leader].log_text().count(LEADS) > 0, 20, "the other one to lead")
        after = local_discord.load("reaction", rate=15, count=15, users=local_discord.user_ids[:2])
        after.wait(20)
        sent += Counter(each.key for each in after.sent())
        wait_for(lambda: not sent - told(local_discord), 30, lambda: f"all:\n{logs(fleet)}")
        repeated = told(local_discord) - sent
        print(f"{sent.total()} sent, repeated {repeated.total()}")
        assert not repeated, (repeated, logs(fleet))
