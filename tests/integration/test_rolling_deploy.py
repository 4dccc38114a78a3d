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
    replicas: ReplicasFactory, discord: LocalDiscord, rounds: int, calm: float
) -> tuple[dict[str, Outcome], dict[str, tuple[float, float]]]:
    """The outcome, and by kind the 99th percentile before and during the deploys."""
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
    last = time.monotonic()
    load.wait_answers(int(MESSAGES + REACTIONS))
    outcomes = load.stop()
    p99 = {
        kind: (quantile(outcome.between(begun, first), 0.99), quantile(outcome.between(first, last), 0.99))
        for kind, outcome in outcomes.items()
    }
    for kind, (before, during) in p99.items():
        sent = outcomes[kind].sent
        print(
            f"{kind}: {sent} sent, p99 {before * 1000:.1f} ms before, {during * 1000:.1f} ms during {rounds} "
            f"rounds ({during / before:.1f} x), max {max(outcomes[kind].between(first, last)) * 1000:.0f} ms"
        )
    return outcomes, p99


def test_two_rounds(replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    outcomes, _ = deploy(replicas, local_discord, rounds=2, calm=2.0)
    for kind, outcome in outcomes.items():
        assert outcome.ok, (kind, outcome.lost, outcome.repeated)
        # Nobody waits for a session to end.
        assert max(latency for _, latency in outcome.latencies) < 5.0


@pytest.mark.long
@pytest.mark.timeout(900)
def test_ten_rounds(replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    outcomes, p99 = deploy(replicas, local_discord, rounds=10, calm=15.0)
    for kind, outcome in outcomes.items():
        assert outcome.ok, (kind, outcome.lost, outcome.repeated)
        before, during = p99[kind]
        assert during <= FACTOR * before, (kind, before, during)
