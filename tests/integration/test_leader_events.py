"""Events without an identity of their own: handled by the leader, counted, in order, and not lost with it."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence

from fleet import BOTS, logs, per_replica

from discordha.testing import FaultProxy, LocalDiscord, LocalEtcd, Replica, Replicas, WaitTimeout, wait_for
from discordha.testing.discord_records import Sent
from discordha.testing.plugin import ReplicasFactory

TTL = 2.0


def seen(discord: LocalDiscord) -> list[tuple[str, int, float]]:
    """What the bot says it has handled: key, channel, when."""
    return [
        (message.content.split()[1], message.channel_id, message.at)
        for message in discord.messages()
        if message.content.startswith("seen ")
    ]


def leader_of(fleet: Replicas, discord: LocalDiscord) -> Replica:
    """The replica that speaks now."""
    before = len(discord.messages())
    wait_for(lambda: len(discord.messages()) > before, 20, "somebody who leads")
    name = discord.messages()[-1].replica
    return fleet[int(name.removeprefix("r"))]


def check(discord: LocalDiscord, sent: Sequence[Sent], timeout: float = 30.0) -> None:
    """Handled counts equal sent counts, and the order of each message's reactions is kept."""
    with contextlib.suppress(WaitTimeout):
        wait_for(lambda: len(seen(discord)) >= len(sent), timeout, "every reaction", interval=0.1)
    handled = seen(discord)
    expected, found = Counter(each.key for each in sent), Counter(key for key, _, _ in handled)
    assert found == expected, {"lost": expected - found, "repeated": found - expected}
    orders: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for each in sent:
        orders[each.key.rsplit("/", 1)[1]][0].append(each.key)
    for key, _, _ in handled:
        orders[key.rsplit("/", 1)[1]][1].append(key)
    for wanted, got in orders.values():
        assert got == wanted


def start(replicas: ReplicasFactory, discord: LocalDiscord, **env: str) -> Replicas:
    fleet = replicas(
        BOTS / "reactions.py",
        3,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": str(TTL), **env},
        per_replica_env=per_replica(discord),
    )
    fleet.wait_ready(60)
    return fleet


def test_reactions_survive_kills_pauses_and_drains(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    fleet = start(replicas, local_discord)
    load = local_discord.load(
        "reaction", rate=50, users=local_discord.user_ids[:2], channels=local_discord.channel_ids[:3]
    )
    gaps: dict[str, list[float]] = defaultdict(list)
    for how in ("kill", "drain", "kill", "pause", "kill", "drain", "kill", "pause", "kill"):
        leader = leader_of(fleet, local_discord)
        count = len(seen(local_discord))
        begun = len(seen(local_discord))
        if how == "kill":
            leader.kill()
            wait_for(lambda count=count: len(seen(local_discord)) > count + 150, 30, "the successor")
            leader.start()
        elif how == "drain":
            leader.drain()
            assert leader.wait_exit(20) == 0
            leader.start()
        else:
            leader.pause()
            wait_for(lambda count=count: len(seen(local_discord)) > count + 150, 30, "the successor")
            leader.resume()
        leader.wait_ready(30)
        times = [at for _, _, at in seen(local_discord)[begun:]]
        gaps[how].append(max(after - before for before, after in itertools.pairwise(times)))
    check(local_discord, load.stop())
    report = {how: [round(gap, 3) for gap in found] for how, found in gaps.items()}
    print(f"the longest time without an answer, seconds: {report}")
    assert max(gaps["kill"] + gaps["pause"]) <= TTL + 1, report
    assert min(gaps["drain"]) <= 0.1, report  # a reaction comes every 20 ms


def test_slow_handlers_finish_on_the_old_leader_when_it_drains(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    fleet = start(replicas, local_discord, SLOW="0.4")
    channels = local_discord.channel_ids[:6]
    load = local_discord.load("reaction", rate=12, users=local_discord.user_ids[:1], channels=channels)
    leader = leader_of(fleet, local_discord)
    leader.drain()
    assert leader.wait_exit(20) == 0
    other = leader_of(fleet, local_discord)
    assert other is not leader
    check(local_discord, load.stop())


def test_a_leader_that_discord_does_not_reach_gives_way(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    fleet = start(replicas, local_discord, DISCORDHA_DEAF_AFTER="2")
    load = local_discord.load("reaction", rate=40, users=local_discord.user_ids[:2])
    leader = leader_of(fleet, local_discord)
    local_discord.fault(f"r{leader.index}", silent=True)
    wait_for(lambda: leader_of(fleet, local_discord) is not leader, 20, "another leader")
    local_discord.clear_faults()
    wait_for(lambda: all(s["attached"] for s in local_discord.sessions()), 30, "all to hear again")
    check(local_discord, load.stop())


def test_a_leader_that_hears_nothing_but_heartbeats_gives_way(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    """Its socket is well. Only its peers' numbers tell."""
    fleet = start(replicas, local_discord, DISCORDHA_DEAF_AFTER="2")
    load = local_discord.load("reaction", rate=40, users=local_discord.user_ids[:2])
    leader = leader_of(fleet, local_discord)
    local_discord.fault(f"r{leader.index}", deaf=True)
    wait_for(lambda: leader_of(fleet, local_discord) is not leader, 20, "another leader")
    assert "is deaf: other replicas receive events" in leader.log_text()
    local_discord.clear_faults()
    wait_for(lambda: "is ready again" in leader.log_text(), 30, lambda: f"it to hear again:\n{logs(fleet)}")
    check(local_discord, load.stop())


def test_etcd_away_for_longer_than_the_ttl(replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    with LocalEtcd() as etcd:
        fleet = replicas(
            BOTS / "reactions.py",
            3,
            etcd=etcd,
            discord=None,
            env={"DISCORDHA_SESSION_TTL": str(TTL)},
            per_replica_env=per_replica(local_discord),
        )
        fleet.wait_ready(60)
        load = local_discord.load("reaction", rate=40, users=local_discord.user_ids[:2])
        leader_of(fleet, local_discord)
        etcd.stop_all()
        sent = len(load.sent())
        wait_for(lambda: len(load.sent()) > sent + 160, 30, "reactions during the outage")
        etcd.start_all()
        leader_of(fleet, local_discord)
        check(local_discord, load.stop())


def test_a_leader_cut_off_from_etcd(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd
) -> None:
    with FaultProxy("127.0.0.1", local_etcd_port(local_etcd)) as proxy:
        fleet = replicas(
            BOTS / "reactions.py",
            3,
            discord=None,
            env={"DISCORDHA_SESSION_TTL": str(TTL)},
            per_replica_env=lambda index: {
                **local_discord.env(f"r{index}"),
                **({"DISCORDHA_ETCD_ENDPOINTS": proxy.endpoint} if index == 0 else {}),
            },
        )
        fleet[0].wait_ready(60)  # it leads: the first to stand
        fleet.wait_ready(60)
        load = local_discord.load("reaction", rate=40, users=local_discord.user_ids[:2])
        leader_of(fleet, local_discord)
        proxy.black_hole()
        count = len(seen(local_discord))
        wait_for(lambda: len(seen(local_discord)) > count + 120, 30, "the others")
        proxy.heal()
        fleet[0].wait_ready(30)
        check(local_discord, load.stop())


def local_etcd_port(etcd: LocalEtcd) -> int:
    return int(etcd.endpoints[0].rsplit(":", 1)[1])
