"""``ha.loop``: on the leader only, never two runs at once, the next one on time after a move."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from fleet import BOTS, per_replica
from loop_fleet import make_loop

from discordha.coordination.election.task_runs import TaskRuns
from discordha.coordination.memory.store import MemoryStore
from discordha.errors import ConfigError, NotLeader
from discordha.ext import tasks
from discordha.leader.loops import LeaderLoops
from discordha.stats import Stats
from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory

TTL = 6.0
#: What a busy machine may add, seconds.
BUSY = 3.0


@pytest.mark.parametrize("moves", [4, pytest.param(10, marks=pytest.mark.long)])
def test_moves_of_leadership(moves: int, replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    """Every fourth one by a death, the others by drains."""
    fleet = replicas(
        BOTS / "loop.py",
        3,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": str(TTL)},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)

    def runs() -> list[tuple[str, int, float, str]]:
        found = []
        for message in local_discord.messages():
            what, _, number = message.content.partition(" ")
            found.append((what, int(number), message.at, message.replica))
        return found

    def gap(old: str) -> float:
        """From the old leader's last run to the next one of another."""
        begins = [(at, replica) for what, _, at, replica in runs() if what == "begin"]
        last = max(index for index, (_, replica) in enumerate(begins) if replica == old)
        return begins[last + 1][0] - begins[last][0]

    killed: Counter[str] = Counter()
    drains, kills = [], []
    for move in range(moves):
        count = len(runs())
        wait_for(lambda count=count: len(runs()) > count + 8, 20, "some runs")
        name = runs()[-1][3]
        leader = fleet[int(name.removeprefix("r"))]
        if move % 4 == 3:
            leader.kill()
            killed[name] += 1
        else:
            leader.drain()
            assert leader.wait_exit(20) == 0
        wait_for(lambda name=name: runs()[-1][3] != name, 20, "another leader")
        (kills if move % 4 == 3 else drains).append(gap(name))
        leader.start()
        leader.wait_ready(30)
    found = runs()
    # A run whose replica was killed, or lost its session, has no end; its key goes with the session.
    cut_off = killed + Counter({f"r{one.index}": one.log_text().count("was cut off") for one in fleet})
    open_: tuple[int, str] | None = None
    for what, number, _, replica in found:
        if what == "begin":
            if open_ is not None:
                cut_off[open_[1]] -= 1
                assert cut_off[open_[1]] >= 0, "two runs at once"
            open_ = number, replica
        else:
            assert (number, replica) == open_, "a run ended that was not the last to begin"
            open_ = None
    numbers = [number for what, number, _, _ in found if what == "begin"]
    assert numbers == sorted(set(numbers))
    # etcd counts the TTL in whole seconds.
    assert min(drains) < 1.5, drains
    assert max(drains) < 1.5 + BUSY, drains
    assert max(kills) < TTL + 1.5 + BUSY, kills


def test_without_etcd_it_runs_at_its_rate() -> None:
    ran = threading.Semaphore(0)
    errors = iter([True, False, False, False])

    def tick() -> None:
        ran.release()
        if next(errors, False):
            raise RuntimeError("the first run fails")

    stats = Stats()
    loop = make_loop(tasks.loop(seconds=0.05), tick)
    runs = TaskRuns(MemoryStore(), "/", "alone")
    loops = LeaderLoops([loop], runs, lambda: None, stats, has_peers=False)
    loops.start()
    for _ in range(4):
        assert ran.acquire(timeout=10)
    assert loops.stop(5)
    assert stats.count("loop_errors", loop.name) == 1


@pytest.mark.parametrize(("name", "seconds"), [("tick", 0), ("tick", -1), ("", 1), ("a/b", 1)])
def test_impossible_loops_are_refused(name: str, seconds: float) -> None:
    with pytest.raises(ConfigError):
        tasks.loop(seconds=seconds, name=name)(lambda: None)


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
