"""What replicas tell each other, while they are killed, paused, drained and restarted."""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from typing import Any

import pytest
from fleet import BOTS, logs, per_replica, whole_logs

from discordha.testing import LocalDiscord, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory
from discordha.testing.replicas import Replica

GOT = re.compile(r"^got (\S+) (\d+) (\d+)$", re.MULTILINE)
BEGUN = re.compile(r"^begun (\S+)$", re.MULTILINE)
TTL = 2.0


@pytest.fixture
def fleet(replicas: ReplicasFactory, local_discord: LocalDiscord) -> Replicas:
    started = replicas(
        BOTS / "peers.py",
        4,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": str(TTL)},
        per_replica_env=per_replica(local_discord),
    )
    started.wait_ready(60)
    return started


def got(replica: Replica) -> dict[str, dict[str, list[tuple[int, int]]]]:
    """What each process of a replica got, by its id and by sender, in order: the sender's count, and the
    message's number.
    """
    found: dict[str, dict[str, list[tuple[int, int]]]] = {}
    parts = BEGUN.split(replica.log_text())[1:]
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        by_sender = found[name] = defaultdict(list)
        for sender, count, number in GOT.findall(text):
            by_sender[sender].append((int(count), int(number)))
    return found


def numbers(replica: Replica) -> list[int]:
    """The numbers that the replica's present process got."""
    by_sender = got(replica).get(replica.replica_id or "", {})
    return sorted(number for each in by_sender.values() for _, number in each)


def is_slice(part: list[Any], whole: list[Any]) -> bool:
    """Whether a list is a part of another one without a gap."""
    if not part:
        return True
    start = whole.index(part[0]) if part[0] in whole else 0
    return whole[start : start + len(part)] == part


@pytest.mark.parametrize(("count", "rate"), [(100, 25.0), pytest.param(1000, 40.0, marks=pytest.mark.long)])
def test_every_replica_that_lives_through_gets_each_broadcast_once(
    count: int, rate: float, fleet: Replicas, local_discord: LocalDiscord
) -> None:
    stays, paused, killed, drained = fleet
    load = local_discord.load(rate=rate, count=count, template="!tell {n}")

    def reached(share: float) -> None:
        wait_for(
            lambda: len(numbers(stays)) >= share * count, 90, f"{share:.0%} of the broadcasts", interval=0.2
        )

    reached(0.1)
    paused.pause()
    reached(0.3)
    killed.kill()
    killed.start()
    killed.wait_ready(30)
    drained.drain()
    reached(0.5)
    paused.resume()
    drained.wait_exit(30)
    drained.start()
    drained.wait_ready(30)
    sent = [int(each.key.split()[1]) for each in load.wait(90)]
    for number in range(count, count + 10):  # for those that began anew
        local_discord.send(local_discord.channel_ids[number % 8], f"!tell {number + 1000}")
        sent.append(number + 1000)
    for replica in (stays, paused):
        wait_for(
            lambda r=replica: numbers(r) == sorted(sent), 60, lambda r=replica: missing(r, sent), interval=0.2
        )
    for replica in (killed, drained):
        wait_for(
            lambda r=replica: set(sent[-10:]) <= set(numbers(r)), 30, lambda r=replica: missing(r, sent[-10:])
        )
    common = got(stays)[stays.replica_id or ""]
    for counted in common.values():
        assert counted == sorted(counted), "in order per sender"
    for replica in fleet:
        for run, by_sender in got(replica).items():
            for sender, part in by_sender.items():
                assert is_slice(part, common[sender]), (run, sender, part, common[sender])
    assert "missed broadcasts" not in whole_logs(fleet)


def missing(replica: Replica, wanted: list[int]) -> str:
    found = numbers(replica)
    return f"{replica!r}: missing {sorted(set(wanted) - set(found))}, {len(found)} of {len(wanted)}"


def test_answers_of_all_and_who_was_missing(fleet: Replicas, local_discord: LocalDiscord) -> None:
    def ask(timeout: float) -> dict[str, Any]:
        before = len(local_discord.messages())
        local_discord.send(local_discord.channel_ids[0], f"!ask {timeout}")
        wait_for(lambda: len(local_discord.messages()) > before, 20, lambda: f"an answer\n{logs(fleet)}")
        found: dict[str, Any] = json.loads(local_discord.messages()[-1].content)
        return found

    found = ask(10.0)
    names = {replica.replica_id for replica in fleet}
    assert found["took"] < 5.0
    assert found["answers"] == {name: ["I am", name] for name in names - {"r2-1"}}
    assert found["failed"] == {"r2-1": "LookupError: no name"}
    assert found["missing"] == []
    # The others' answers at the time-out; the paused one's session must outlive it.
    paused = fleet[3]
    paused.pause()
    found = ask(0.7)
    paused.resume()
    assert found["answers"].keys() == names - {"r2-1", "r3-1"}
    assert found["missing"] == ["r3-1"]
    assert 0.7 <= found["took"] < 5.0
    wait_for(lambda: ask(5.0)["missing"] == [], 30, "the answers of all")


def test_events_of_the_bots_own(fleet: Replicas, local_discord: LocalDiscord) -> None:
    channel = local_discord.channel_ids[0]

    def seen(text: str) -> int:
        return len(re.findall(rf"^{text}", whole_logs(fleet), re.MULTILINE))

    for level in range(1, 11):  # the predicate refuses the first
        local_discord.send(channel, f"!level {level}")
    local_discord.send(channel, "!flush")
    wait_for(lambda: seen("flush$") == 4, 20, lambda: f"flush on each replica\n{logs(fleet)}")
    wait_for(lambda: seen("level ") == 9, 20, lambda: f"nine levels\n{logs(fleet)}")
    # The sender dies when it has sent.
    local_discord.send(channel, "!level 11 die")
    wait_for(lambda: seen("level 11 "), 20, lambda: f"the event of a dead sender\n{logs(fleet)}")
    wait_for(lambda: "(attempt 2)" in whole_logs(fleet), 20, "the message's second attempt")
    # All replicas end while one of them handles an event.
    local_discord.send(channel, "!slow")
    wait_for(lambda: seen("slow begun 1"), 20, "an event that is handled")
    for replica in fleet:
        replica.kill()
    down = time.monotonic()
    wait_for(lambda: time.monotonic() > down + TTL / 2, 10, "some time")
    for replica in fleet:
        replica.start()
    fleet.wait_ready(60)
    wait_for(lambda: seen("slow done 2"), 30, lambda: f"the event that outlived all\n{logs(fleet)}")
    for level in range(2, 12):
        assert seen(f"level {level} ") == 1, logs(fleet)
    assert "Traceback" not in whole_logs(fleet)
