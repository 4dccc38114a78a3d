"""``ha.loop``: on the leader only, never two runs at once, the next one on time after a move."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest
from fleet import BOTS, per_replica

from discordha.errors import ConfigError, NotLeader
from discordha.leader_loop import LeaderLoops, Task
from discordha.stats import Stats
from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory


@pytest.mark.parametrize("moves", [4, pytest.param(10, marks=pytest.mark.long)])
def test_moves_of_leadership(moves: int, replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    """Every fourth one by a death, the others by drains."""
    fleet = replicas(
        BOTS / "loop.py",
        3,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": "2"},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)

    def runs() -> list[tuple[str, int, float, str]]:
        found = []
        for message in local_discord.messages():
            what, _, number = message.content.partition(" ")
            found.append((what, int(number), message.at, message.replica))
        return found

    kills = []
    for move in range(moves):
        count = len(runs())
        wait_for(lambda count=count: len(runs()) > count + 8, 20, "some runs")
        leader = fleet[int(runs()[-1][3].removeprefix("r"))]
        if move % 4 == 3:
            leader.kill()
            kills.append(runs()[-1][2])
        else:
            leader.drain()
            assert leader.wait_exit(20) == 0
        wait_for(lambda leader=leader: runs()[-1][3] != f"r{leader.index}", 20, "another leader")
        leader.start()
        leader.wait_ready(30)
    found = runs()
    open_ = None
    for what, number, at, _ in found:
        if what == "begin":
            # A run whose replica was killed has no end; its key goes with the session.
            assert open_ is None or any(abs(kill - at) < 6 for kill in kills), "two runs at once"
            open_ = number
        else:
            assert number == open_, "a run ended that was not the last to begin"
            open_ = None
    numbers = [number for what, number, _, _ in found if what == "begin"]
    assert numbers == sorted(set(numbers))
    begins = [at for what, _, at, _ in found if what == "begin"]
    for before, after in pairwise(begins):
        killed = any(before - 0.5 <= kill <= after for kill in kills)
        # etcd counts the TTL in whole seconds; the machine may be busy.
        assert after - before < (2.0 + 1.0 + 1.5 if killed else 1.5), (before, after)


def test_without_etcd_it_runs_at_its_rate() -> None:
    ran = threading.Semaphore(0)
    errors = iter([True, False, False, False])

    def tick() -> None:
        ran.release()
        if next(errors, False):
            raise RuntimeError("the first run fails")

    stats = Stats()
    loops = LeaderLoops([Task(tick, "tick", 0.05)], None, lambda: None, stats)
    loops.start()
    for _ in range(4):
        assert ran.acquire(timeout=10)
    assert loops.stop(5)
    assert stats.count("loop_errors", "tick") == 1


@pytest.mark.parametrize(("name", "seconds"), [("tick", 0), ("tick", -1), ("", 1), ("a/b", 1)])
def test_impossible_loops_are_refused(name: str, seconds: float) -> None:
    with pytest.raises(ConfigError):
        Task(lambda: None, name, seconds)


def test_what_needs_leadership_says_so(
    local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    import discord

    from discordha import Config, DiscordHA

    env = {**local_etcd.env(), **local_discord.env()}
    one, two = (
        DiscordHA(Config.from_env(env, name=namespace, replica_id=name, intents=discord.Intents.all()))
        for name in ("one", "two")
    )
    with one:
        wait_for(one.is_leader, 10, "a leader")
        assert one.require_leadership() > 0
        with two:
            assert two.wait_until_ready(20)
            wait_for(lambda: two.leader() == "one", 10, "the news")
            with pytest.raises(NotLeader, match="one leads shard 0"):
                two.require_leadership()
            assert set(two.replicas()) == {"one", "two"}
