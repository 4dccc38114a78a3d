"""A rolling deploy under load, one replica after another: nothing lost or repeated, and hardly slower."""

from __future__ import annotations

import time

import pytest
from fleet import per_replica
from mixed import BOT, MixedLoad, Outcome, quantile

from discordha.testing import LocalDiscord
from discordha.testing.plugin import ReplicasFactory

MESSAGES, REACTIONS = 100.0, 50.0
#: What a deploy may cost: its 99th percentile against that before.
FACTOR = 3.0


def deploy(
    replicas: ReplicasFactory, discord: LocalDiscord, rounds: int, calm: float, settle: float
) -> tuple[dict[str, Outcome], float, float]:
    """The outcome by kind, and the 99th percentile of all events before and during the deploys.

    :param settle: seconds between a replica that is ready again and the next one's end.
    """
    fleet = replicas(BOT, 3, discord=None, per_replica_env=per_replica(discord))
    fleet.wait_ready(60)
    load = MixedLoad(discord, messages=MESSAGES, reactions=REACTIONS)
    load.wait_answers(int(MESSAGES + REACTIONS))  # the first second is not measured
    begun = time.monotonic()
    load.wait_answers(int(calm * (MESSAGES + REACTIONS)))
    first = time.monotonic()
    for _ in range(rounds):
        for replica in fleet:
            replica.drain()
            assert replica.wait_exit(40) == 0
            replica.start()
            replica.wait_ready(60)
            load.wait_answers(int(settle * (MESSAGES + REACTIONS)))
    last = time.monotonic()
    load.wait_answers(int(MESSAGES + REACTIONS))
    outcomes = load.stop()
    quiet: list[float] = []
    busy: list[float] = []
    for kind, outcome in [*outcomes.items(), ("all", None)]:
        if outcome is not None:
            before, during = outcome.between(begun, first), outcome.between(first, last)
            quiet += before
            busy += during
        else:
            before, during = sorted(quiet), sorted(busy)
        was, now = quantile(before, 0.99), quantile(during, 0.99)
        print(
            f"{kind}: {len(during)} in {rounds} rounds, p99 {was * 1000:.1f} ms before, {now * 1000:.1f} ms "
            f"during ({now / was:.1f} x), max {during[-1] * 1000:.0f} ms"
        )
    return outcomes, quantile(sorted(quiet), 0.99), quantile(sorted(busy), 0.99)


def test_two_rounds(replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    outcomes, _, _ = deploy(replicas, local_discord, rounds=2, calm=2.0, settle=0.1)
    for kind, outcome in outcomes.items():
        assert outcome.ok, (kind, outcome.lost, outcome.repeated)
        # Nobody waits for a session to end.
        assert max(latency for _, latency in outcome.latencies) < 5.0


@pytest.mark.long
@pytest.mark.timeout(900)
def test_ten_rounds(replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    """For a machine that does nothing else: a busy one makes both percentiles its own."""
    outcomes, before, during = deploy(replicas, local_discord, rounds=10, calm=15.0, settle=2.0)
    for kind, outcome in outcomes.items():
        assert outcome.ok, (kind, outcome.lost, outcome.repeated)
    assert during <= FACTOR * before, (before, during)
