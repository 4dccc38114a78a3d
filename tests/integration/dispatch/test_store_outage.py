"""etcd away, its leader killed, its history compacted, while replicas answer: nothing is lost, nothing
repeated.
"""

from __future__ import annotations

import itertools
import time

import pytest
from fleet import EXAMPLES, answered, per_replica, verdict

from discordha.testing import FaultProxy, LocalDiscord, LocalEtcd, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

TTL = 2.0
#: What a busy machine may add to what an outage costs, seconds.
BUSY = 3.0


def start(
    replicas: ReplicasFactory, discord: LocalDiscord, etcd: LocalEtcd, count: int = 3, **env: str
) -> Replicas:
    fleet = replicas(
        EXAMPLES / "ping.py",
        count,
        etcd=etcd,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": str(TTL), "DISCORDHA_ETCD_TIMEOUT": "2", **env},
        per_replica_env=per_replica(discord),
    )
    fleet.wait_ready(60)
    return fleet


def wait_more(discord: LocalDiscord, count: int) -> None:
    """Blocks until so many more are answered."""
    before = len(answered(discord))
    wait_for(lambda: len(answered(discord)) >= before + count, 40, "more answers")


def longest_silence(discord: LocalDiscord, since: float) -> float:
    """The longest time between two answers."""
    times = sorted(message.at for message in answered(discord) if message.at >= since)
    return max((after - before for before, after in itertools.pairwise([since, *times])), default=0.0)


@pytest.mark.parametrize("seconds", [4.0, pytest.param(20.0, marks=pytest.mark.long)])
def test_etcd_is_stopped_and_started(
    seconds: float, replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    """P7: events are held, and handled when it is back."""
    with LocalEtcd() as etcd:
        start(replicas, local_discord, etcd)
        load = local_discord.load(rate=50)
        wait_more(local_discord, 50)
        etcd.stop_all(graceful=True)  # one that is killed may forget a write: see ``etcd_crashes``
        stopped = time.monotonic()
        wait_for(lambda: time.monotonic() - stopped > seconds, seconds + 5, "the outage to last")
        held = [message for message in answered(local_discord) if message.at > stopped + TTL + 0.5]
        assert not held, "answered without a claim"
        etcd.start_all()
        back = time.monotonic()
        wait_for(
            lambda: any(message.at > back for message in answered(local_discord)), 20, "the first answer"
        )
        recovered = min(message.at for message in answered(local_discord) if message.at > back) - back
        wait_more(local_discord, 50)
        sent = load.stop()
        result = verdict(local_discord, sent)
        print(f"etcd away for {seconds:g} s: the first answer {recovered:.2f} s after it was back")
        assert result.total.ok, result
        assert recovered < TTL + 3 + BUSY, recovered
        in_flight = {each.key for each in sent if each.at < back}
        late = [
            message.at - back
            for message in answered(local_discord)
            if message.content.replace("pong", "!ping", 1) in in_flight and message.at > back
        ]
        assert max(late, default=0.0) < TTL + 8, max(late)


def test_the_leader_of_three_members_is_killed(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd_cluster: LocalEtcd
) -> None:
    start(replicas, local_discord, local_etcd_cluster)
    load = local_discord.load(rate=50)
    wait_more(local_discord, 50)
    leader = local_etcd_cluster.leader()
    killed = time.monotonic()
    local_etcd_cluster.crash(leader.index)
    wait_more(local_discord, 100)
    silence = longest_silence(local_discord, killed)
    leader.start()
    leader.wait_ready(30)
    wait_more(local_discord, 50)
    result = verdict(local_discord, load.stop())
    print(f"etcd's leader killed: {silence:.2f} s without an answer")
    assert result.total.ok, result
    assert silence < 8.0 + BUSY, silence  # etcd's own election takes 1 to 2 s


def test_compaction_while_replicas_watch_and_while_one_can_not(replicas: ReplicasFactory) -> None:
    with (
        LocalEtcd() as etcd,
        FaultProxy.to(etcd.endpoints[0]) as link,
        LocalDiscord(channels=64) as local_discord,  # so many that each replica is preferred for some
    ):
        fleet = replicas(
            EXAMPLES / "ping.py",
            3,
            etcd=etcd,
            discord=None,
            env={"DISCORDHA_SESSION_TTL": "4", "DISCORDHA_ETCD_TIMEOUT": "2"},
            per_replica_env=lambda index: {
                **local_discord.env(f"r{index}"),
                **({"DISCORDHA_ETCD_ENDPOINTS": link.endpoint} if index == 0 else {}),
            },
        )
        fleet.wait_ready(60)
        load = local_discord.load(rate=80)
        for _ in range(5):
            wait_more(local_discord, 30)
            etcd.compact()
        link.down()  # its watch is broken while the history that it would need goes
        wait_more(local_discord, 120)
        etcd.compact()
        link.heal()
        wait_for(lambda: "is back after" in fleet[0].log_text(), 20, lambda: f"its watch:\n{fleet[0].tail()}")
        back = time.monotonic()
        wait_for(
            lambda: any(m.replica == "r0" and m.at > back for m in answered(local_discord)),
            20,
            lambda: f"its answers:\n{fleet[0].tail()}",
        )
        wait_more(local_discord, 100)
        result = verdict(local_discord, load.stop())
        assert result.total.ok, result


def test_a_bot_that_would_rather_answer_twice_answers_without_etcd(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    """``on_store_loss="handle"``: fail open."""
    with LocalEtcd() as etcd:
        start(replicas, local_discord, etcd, DISCORDHA_ON_STORE_LOSS="handle")
        load = local_discord.load(rate=30)
        wait_more(local_discord, 30)
        etcd.stop_all(graceful=True)
        stopped = time.monotonic()
        wait_for(
            lambda: sum(m.at > stopped + TTL + 1 for m in answered(local_discord)) > 30,
            30,
            "answers meanwhile",
        )
        etcd.start_all()
        back = time.monotonic()
        wait_for(lambda: sum(m.at > back + 1 for m in answered(local_discord)) > 15, 30, "answers after")
        sent = load.stop()
        result = verdict(local_discord, sent)
        assert result.total.lost == 0, result
        assert result.total.unexpected == 0, result
        # Each handled by all of them; yet said once, since all send it with one nonce.
        assert result.total.repeated == 0, result
        assert any(request.duplicate for request in local_discord.requests())
        assert result.total.latency_max < TTL + 4 + BUSY, result.total
