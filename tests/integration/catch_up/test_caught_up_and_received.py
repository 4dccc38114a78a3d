"""An event that the leader fetches, and that another replica has received as its gateway session began."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fleet import BOTS, answered, logs, values

from discordha.testing import FaultProxy, LocalDiscord, LocalEtcd, Replica, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

#: How long each of the peer's messages to etcd and back is under way, seconds. The leader, whose session is
#: younger, leaves it to the peer to be elected for a second.
SLOW = 1.0


@pytest.fixture
def links(local_etcd: LocalEtcd) -> Iterator[list[FaultProxy]]:
    """A way to etcd for each of two replicas."""
    with FaultProxy.to(local_etcd.endpoints[0]) as first, FaultProxy.to(local_etcd.endpoints[0]) as second:
        yield [first, second]


def marked(etcd: LocalEtcd, name: str) -> bool:
    """Whether an edit is marked as done."""
    edits = values(etcd, f"/discordha/v1/{name}/e/raw_message_edit/")
    return any(value.startswith(b"d ") for value, _ in edits.values())


def led_by(fleet: Replicas) -> Replica:
    """Who was elected last, by the clock in the logs."""
    elected = {
        replica: max(
            re.findall(r"^(\S+ \S+) INFO \S+takeover: leads shard", replica.log_text(), re.M), default=""
        )
        for replica in fleet
    }
    return max(elected, key=lambda replica: elected[replica])


def test_it_runs_once_also_when_that_one_leads_next(
    replicas: ReplicasFactory,
    local_discord: LocalDiscord,
    local_etcd: LocalEtcd,
    namespace: str,
    links: list[FaultProxy],
) -> None:
    reports, channel, *_ = local_discord.channel_ids
    fleet = replicas(
        BOTS / "outage.py",
        2,
        etcd=None,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": "6", "DISCORDHA_NAME": namespace, "REPORTS": str(reports)},
        per_replica_env=lambda index: {
            **local_discord.env(f"r{index}"),
            "DISCORDHA_ETCD_ENDPOINTS": links[index].endpoint,
        },
    )
    fleet.wait_ready(60)
    point = f"/discordha/v1/{namespace}/p/0"
    wait_for(lambda: values(local_etcd, point), 20, "a point")
    message = local_discord.send(channel, "hello")
    leader = led_by(fleet)
    (peer,) = [replica for replica in fleet if replica is not leader]

    def sessions(replica: Replica) -> set[str]:
        name = f"r{replica.index}"
        return {
            each["id"] for each in local_discord.sessions() if each["replica"] == name and each["attached"]
        }

    before = sessions(peer)
    local_discord.fault(f"r{leader.index}", refuse=True)
    local_discord.invalidate()
    wait_for(lambda: sessions(peer) - before, 10, "a session of the peer's", interval=0.005)
    local_discord.edit(channel, message, "edited")
    links[peer.index].delay(SLOW)
    local_discord.clear_faults(f"r{leader.index}")

    def runs() -> list[str]:
        return [each.content for each in answered(local_discord, f"seen edit/{message}")]

    wait_for(runs, 30, lambda: f"the edit\n{logs(fleet)}")
    links[peer.index].heal()
    assert runs() == [f"seen edit/{message} caught-up late"], "the leader had to fetch it"
    assert led_by(fleet) is leader
    wait_for(lambda: marked(local_etcd, namespace), 10, "its mark: what is killed before that runs again")
    leader.kill()
    wait_for(lambda: led_by(fleet) is peer, 20, lambda: f"the peer to lead\n{logs(fleet)}")
    later = local_discord.send(channel, "later")
    local_discord.edit(channel, later, "later, edited")
    wait_for(lambda: answered(local_discord, f"seen edit/{later}"), 20, "what comes behind it in its lane")
    # A join that was caught up may be in flight at the kill.
    requests = [each for each in local_discord.requests() if each.duplicate]
    again = [each for each in requests if "edit" in each.body["content"]]
    assert not again, (again, logs(fleet))
    assert len(runs()) == 1, logs(fleet)
