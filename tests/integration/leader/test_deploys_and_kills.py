"""Rolling deploys in quick succession whose leaders are killed, again and again, while equal reactions keep
coming: each kill falls into the first second of a new gateway session.
"""

from __future__ import annotations

import time

import pytest
from fleet import BOTS, doubtful_runs, per_replica
from reaction_runs import NumberedRuns

from discordha.testing import LocalDiscord, Replica, Replicas, wait_for
from discordha.testing.discord.records import Load
from discordha.testing.plugin import ReplicasFactory

REPLICAS = 5
RATE = 50.0
TTL = 2.0


def speaker(fleet: Replicas, runs: NumberedRuns) -> Replica:
    """The replica that leads: that speaks now. Blocks until one does."""
    runs.read()
    wait_for(runs.read, 30, "somebody who leads", interval=0.01)
    return fleet[int(runs.all[-1][1].removeprefix("r"))]


def begun(discord: LocalDiscord, replica: Replica) -> int:
    """The number of gateway sessions that a replica's runs have begun."""
    return sum(each["accepted"] and each["replica"] == f"r{replica.index}" for each in discord.identifies())


def deploy(discord: LocalDiscord, fleet: Replicas, runs: NumberedRuns, load: Load) -> list[float]:
    """Replaces each replica, and kills the leader as the session of the new one begins; returns when, seconds
    after that. Nobody waits until a replica is ready, but for what was sent before a kill: no replica that
    lives on has received what waits for longer than a deploy takes.
    """
    killed_after = []
    for step, replica in enumerate(fleet):
        before = begun(discord, replica)
        replica.drain()
        assert replica.wait_exit(40) == 0
        replica.start()
        wait_for(lambda: begun(discord, replica) > before, 60, "its new session", interval=0.002)  # noqa: B023
        since = time.monotonic()
        leader = speaker(fleet, runs)
        wait_for(lambda: time.monotonic() >= since + 0.2 * step, 2, "another moment of that second")  # noqa: B023
        before = begun(discord, leader)
        leader.kill()
        killed_after.append(time.monotonic() - since)
        leader.start()
        wait_for(lambda: begun(discord, leader) > before, 60, "its new session", interval=0.01)  # noqa: B023
        sent = load.sent()
        runs.wait(sent)
    return killed_after


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("rounds", [1, 20])
def test_deploys_whose_leaders_are_killed(
    rounds: int, replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    local_discord.reset(max_messages=100_000)  # else it forgets the message that is reacted to
    fleet = replicas(
        BOTS / "reactions.py",
        REPLICAS,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": str(TTL)},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    users, channels = local_discord.user_ids[:1], local_discord.channel_ids[:1]
    load = local_discord.load("numbered reaction", rate=RATE, users=users, channels=channels)
    runs = NumberedRuns(local_discord)
    late: list[float] = []
    for _ in range(rounds):
        late += deploy(local_discord, fleet, runs, load)
    sent = load.stop()
    again = runs.check(sent, fleet)
    print(
        f"{len(late)} leaders killed, {max(late):.2f} s after a session's begin at the latest; {len(sent)} "
        f"reactions, none lost; {again} run again of {doubtful_runs(fleet)} in doubt"
    )
    assert sum(each < 1 for each in late) >= 0.9 * len(late), late
