"""An event that only a follower has received, since the leader's gateway session began after it: the follower
asks for the leadership and handles it.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

from fleet import BOTS, logs

from discordha.testing import FaultProxy, LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory

TTL = 5.0
ASKS = "asks r{leader}-1 for leadership"


def test_a_follower_asks_for_the_leadership_to_handle_what_its_leader_missed(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd
) -> None:
    channel = local_discord.channel_ids[0]

    def count(text: str) -> int:
        return sum(message.content == text for message in local_discord.messages())

    def react(emoji: str) -> str:
        local_discord.react(channel, message, emoji)
        return f"add/{local_discord.user_ids[0]}/{emoji}/{message}"

    with ExitStack() as ends:
        links = [ends.enter_context(FaultProxy.to(local_etcd.endpoints[0])) for _ in range(2)]
        fleet = replicas(
            BOTS / "leader_events.py",
            2,
            discord=None,
            env={"DISCORDHA_SESSION_TTL": str(TTL)},
            per_replica_env=lambda index: {
                **local_discord.env(f"r{index}"),
                "DISCORDHA_ETCD_ENDPOINTS": links[index].endpoint,
            },
        )
        fleet.wait_ready(60)
        message = local_discord.send(channel, "role message")
        first = react("1")
        wait_for(lambda: count(first), 20, "somebody who leads")
        leader = int(local_discord.messages()[-1].replica.removeprefix("r"))
        follower = 1 - leader
        links[follower].black_hole()
        wait_for(
            lambda: "is lost: no renewal in time" in fleet[follower].log_text(),
            30,
            lambda: f"the follower to lose its session:\n{logs(fleet)}",
        )
        session = next(each for each in local_discord.sessions() if each["replica"] == f"r{leader}")
        local_discord.disconnect(f"r{leader}", end=True)
        missed = react("2")
        wait_for(
            lambda: any(
                each["replica"] == f"r{leader}" and each["id"] != session["id"]
                for each in local_discord.sessions()
            ),
            30,
            lambda: f"another session, not {local_discord.sessions()}",
        )

        wait_for(
            lambda: fleet[leader].log_text().count("takeover: leads") > 1,
            30,
            lambda: f"the leader to lead again:\n{logs(fleet)}",
        )
        assert not count(missed)
        links[follower].heal()

        def is_handled() -> bool:
            react(f"{time.monotonic():.1f}")  # marks tell of the leader's session
            return count(missed) > 0

        wait_for(is_handled, 45, lambda: f"what only r{follower} has received:\n{logs(fleet)}", interval=0.5)
        assert ASKS.format(leader=leader) in fleet[follower].log_text()
        last = react("last")
        wait_for(lambda: count(last), 20, "what comes behind it")
        assert count(missed) == 1
