"""Drains that do not go by the book: handlers that do not finish, operators in a hurry."""

from __future__ import annotations

import re
import time
from pathlib import Path

from click.testing import CliRunner
from fleet import BOTS, answered, per_replica
from reaction_runs import check, seen
from store_helpers import Recorder, running, store_of

from discordha.operations.cli.fleet_commands import cli
from discordha.testing import LocalDiscord, LocalEtcd, Replica, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

#: Longer than any drain here waits.
SLOW = 6.0


def start(
    replicas: ReplicasFactory, discord: LocalDiscord, drain_timeout: float, slow: float = SLOW
) -> Replicas:
    fleet = replicas(
        BOTS / "recording.py",
        2,
        discord=None,
        env={
            "DISCORDHA_SESSION_TTL": "10",  # nobody waits for it to be over
            "DISCORDHA_DRAIN_TIMEOUT": str(drain_timeout),
            "SLOW": str(slow),
        },
        per_replica_env=per_replica(discord),
    )
    fleet.wait_ready(60)
    return fleet


def begin(fleet: Replicas, discord: LocalDiscord) -> tuple[Replica, Replica, int]:
    """Asks one question; who answers it, the other, and the question."""
    question = discord.send(discord.channel_ids[0], "!ping 1")

    def owner() -> Replica | None:
        return next((replica for replica in fleet if f"begun {question} 1" in replica.run_text()), None)

    first = wait_for(owner, 20, "a handler")
    other = next(replica for replica in fleet if replica is not first)
    return first, other, question


def check_handed_on(first: Replica, other: Replica, question: int, discord: LocalDiscord) -> None:
    """The one that left said which event it left, and the other one answers it, once."""
    assert f"other replicas retry: message/{question} " in first.run_text()
    wait_for(lambda: f"begun {question} 2" in other.run_text(), 5, "the second attempt")
    wait_for(lambda: f"handled {question} 2" in other.run_text(), SLOW + 10, "its end")
    assert [message.content for message in answered(discord)] == ["pong 1"]


def test_handlers_that_exceed_the_drain_timeout_are_handed_on_by_name(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    fleet = start(replicas, local_discord, drain_timeout=1.5)
    first, other, question = begin(fleet, local_discord)
    begun = time.monotonic()
    first.drain()
    assert first.wait_exit(20) == 0
    assert time.monotonic() - begun < SLOW - 1  # it did not wait for the handler
    check_handed_on(first, other, question, local_discord)


def test_a_second_signal_stops_at_once(replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    fleet = start(replicas, local_discord, drain_timeout=60)
    first, other, question = begin(fleet, local_discord)
    first.drain()
    wait_for(lambda: "stopping, for 60 s at most" in first.run_text(), 10, "the drain")
    begun = time.monotonic()
    first.drain()
    assert first.wait_exit(20) == 0
    assert time.monotonic() - begun < SLOW - 1
    check_handed_on(first, other, question, local_discord)


def test_an_operators_drain_waits_for_the_handlers_and_is_seen_in_the_status(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    slow = SLOW + 2
    fleet = start(replicas, local_discord, drain_timeout=25, slow=slow)
    first, other, question = begin(fleet, local_discord)
    environment = {**local_etcd.env(), "DISCORDHA_NAME": namespace, "COLUMNS": "200"}

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(cli, arguments, env=environment, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    replica = str(first.replica_id)
    assert "was asked to drain" in run("drain", replica, "--wait", "0")
    wait_for(lambda: "draining" in run("status"), 5, "the state")
    # What comes now is the other one's: nothing new is begun.
    second = local_discord.send(local_discord.channel_ids[1], "!ping 2")
    wait_for(lambda: f"begun {second} 1" in other.run_text(), 10, "the other one")
    assert first.alive
    assert first.wait_exit(slow + 15) == 0
    assert f"handled {question} 1" in first.run_text()
    assert "retry" not in first.run_text()
    wait_for(lambda: f"handled {second} 1" in other.run_text(), slow + 10, "its end")
    assert sorted(message.content for message in answered(local_discord)) == ["pong 1", "pong 2"]


def test_peers_are_told_before_leadership_is_free(
    replicas: ReplicasFactory, local_etcd: LocalEtcd, root: str
) -> None:
    """Else a successor may wait for the one that leaves to stand for election. A replica drains all the same
    when etcd is slow to take what peers are told: such a fleet does not count, once.
    """
    late = told_late(replicas, local_etcd, root)
    assert not late or not told_late(replicas, local_etcd, root), late


def told_late(replicas: ReplicasFactory, local_etcd: LocalEtcd, root: str) -> list[str]:
    """Drains three replicas, one after another; those whose leadership was free before peers were told."""
    fleet = replicas(BOTS / "recording.py", 3)
    fleet.wait_ready(60)
    recorder = Recorder()
    with store_of(local_etcd) as store, running(store.watch(root, recorder, silence=5.0)):
        for replica in fleet:
            replica.drain()
            assert replica.wait_exit(30) == 0
        wait_for(lambda: len(gone(recorder, f"{root}m/")) == 3, 10, "all to be seen to go")
    replica_of = {
        f"{kv.lease:x}": kv.key
        for snapshot in recorder.snapshots
        for kv in snapshot.items
        if kv.key.startswith(f"{root}m/")
    }
    told: dict[str, int] = {}
    for _, batch in recorder.batches:
        for _, kv in batch:
            if b'"draining"' in kv.value:
                told.setdefault(kv.key, kv.mod_revision)
    left = gone(recorder, f"{root}l/")
    assert left, "somebody stood for election"
    freed = {replica_of[candidacy.rsplit("/", 1)[1]]: revision for candidacy, revision in left.items()}
    return [member for member, revision in freed.items() if told.get(member, revision) >= revision]


def gone(recorder: Recorder, prefix: str) -> dict[str, int]:
    """The keys that were deleted, and in which revision each first was."""
    found: dict[str, int] = {}
    for _, batch in list(recorder.batches):
        for kind, kv in batch:
            if kind == "delete" and kv.key.startswith(prefix):
                found.setdefault(kv.key, kv.mod_revision)
    return found


def start_with_one(replicas: ReplicasFactory, discord: LocalDiscord, bot: str, **env: str) -> Replicas:
    """Two replicas; the second has ended again."""
    fleet = replicas(
        BOTS / bot,
        2,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": "10", **env},
        per_replica_env=per_replica(discord),
    )
    fleet.wait_ready(60)
    fleet[1].drain()
    assert fleet[1].wait_exit(30) == 0
    return fleet


def test_a_drain_handles_events_that_a_younger_replica_never_received(
    replicas: ReplicasFactory, local_discord: LocalDiscord, tmp_path: Path
) -> None:
    """Found by a rolling deploy while etcd stood still: who drained left its queue to replicas that had begun
    after it came in.
    """
    gate = tmp_path / "gate"
    old, young = start_with_one(replicas, local_discord, "waits_inside.py", GATE=str(gate))
    channel = local_discord.channel_ids[0]
    for number in range(100):
        local_discord.send(channel, f"!ping {number}")
    young.start()
    young.wait_ready(30)
    assert not answered(local_discord)  # the first one's handler waits, and the others for it
    old.drain()
    wait_for(lambda: "leads shard 0" in young.run_text(), 20, "the drain to have begun")
    gate.touch()
    assert old.wait_exit(40) == 0
    wait_for(lambda: len(answered(local_discord)) >= 100, 20, "all answers")
    assert sorted(message.content for message in answered(local_discord)) == sorted(
        f"pong {number}" for number in range(100)
    )


def test_a_leader_handles_events_that_its_successor_never_received(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    old, young = start_with_one(
        replicas, local_discord, "reactions.py", SLOW="0.3", DISCORDHA_DRAIN_TIMEOUT="60"
    )
    load = local_discord.load("reaction", rate=50.0, users=local_discord.user_ids[:2])
    young.start()
    young.wait_ready(30)
    wait_for(lambda: len(seen(local_discord)) >= 20, 20, "the first of them")
    old.drain()
    sent = load.stop()
    assert len(sent) > len(seen(local_discord)) + 20, "the test comes too late"
    assert old.wait_exit(90) == 0
    check(local_discord, sent)


def test_a_leader_without_peers_leaves_under_load(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    """It works off what came in before, and does not wait for a moment in which nothing comes."""
    fleet = replicas(BOTS / "reactions.py", 1, discord=None, per_replica_env=per_replica(local_discord))
    fleet.wait_ready(60)
    load = local_discord.load("reaction", rate=100.0, users=local_discord.user_ids[:2])
    wait_for(lambda: len(seen(local_discord)) >= 100, 20, "a steady load")
    begun = time.monotonic()
    fleet[0].drain()
    assert fleet[0].wait_exit(40) == 0
    assert time.monotonic() - begun < 8.0
    load.stop()


def test_events_that_the_drain_leaves_are_logged(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    env = {"SLOW": "0.5", "DISCORDHA_DRAIN_TIMEOUT": "3"}
    fleet = replicas(BOTS / "slow.py", 1, discord=None, env=env, per_replica_env=per_replica(local_discord))
    fleet.wait_ready(60)
    for number in range(60):
        local_discord.send(local_discord.channel_ids[0], f"!ping {number}")
    wait_for(lambda: answered(local_discord), 20, "the first answer")
    fleet[0].drain()
    assert fleet[0].wait_exit(20) == 0
    left = 60 - len(answered(local_discord))
    assert left > 20, "the test comes too late"
    said = re.search(r"(\d+) events were not started before this replica left", fleet[0].run_text())
    assert said is not None
    assert left - 2 <= int(said[1]) <= left
