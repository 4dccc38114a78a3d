"""A rolling deploy under load, one replica after another: nothing lost or repeated, and hardly slower."""

from __future__ import annotations

import bisect
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass

import pytest
from fleet import doubtful_runs, per_replica
from mixed import BOT, MixedLoad, Outcome, quantile

from discordha.testing import LocalDiscord
from discordha.testing.plugin import ReplicasFactory

pytestmark = pytest.mark.alone

MESSAGES, REACTIONS = 100.0, 50.0
RATE = MESSAGES + REACTIONS
#: What a deploy may cost: its 99th percentile against that before.
FACTOR = 3.0
#: What the machine does when a bot's process starts, without what the bot does then.
CONTROL = (sys.executable, "-c", "import discordha; discordha.DiscordHA")


@dataclass
class Deploy:
    """What came of the load by kind, and the 99th percentile of all events in each part, seconds.

    ``control``: while as many processes as there are rounds did nothing but import the library.
    """

    outcomes: dict[str, Outcome]
    before: float
    control: float
    during: float
    doubtful: int = 0

    def check(self, *, doubtful: int = 0) -> None:
        """Nothing is lost, nothing repeated.

        :param doubtful: so many reactions may be.
        """
        for kind, outcome in self.outcomes.items():
            assert not outcome.lost, (kind, outcome.lost)
            allowed = doubtful if kind == "reaction" else 0
            assert outcome.repeated.total() <= allowed, (kind, outcome.repeated, doubtful)


def deploy(
    replicas: ReplicasFactory, discord: LocalDiscord, rounds: int, calm: float, settle: float
) -> Deploy:
    """Deploys, and says how long answers took, and in which step of the deploy the slow ones were asked for.

    :param settle: seconds between a replica that is ready again and the next one's end.
    """
    fleet = replicas(BOT, 3, discord=None, per_replica_env=per_replica(discord))
    fleet.wait_ready(60)
    load = MixedLoad(discord, messages=MESSAGES, reactions=REACTIONS)
    load.wait_answers(int(RATE))  # the first second is not measured
    steps = [(time.monotonic(), "before")]
    load.wait_answers(int(calm * RATE))
    for _ in range(rounds):
        steps.append((time.monotonic(), "control"))
        subprocess.run(CONTROL, check=True)
        load.wait_answers(int(settle * RATE))
    for _ in range(rounds):
        for replica in fleet:
            steps.append((time.monotonic(), "drain"))
            replica.drain()
            assert replica.wait_exit(40) == 0
            steps.append((time.monotonic(), "start"))
            replica.start()
            replica.wait_ready(60)
            steps.append((time.monotonic(), "settle"))
            load.wait_answers(int(settle * RATE))
    steps.append((time.monotonic(), "after"))
    load.wait_answers(int(RATE))
    done = judge(load.stop(), steps, rounds)
    done.doubtful = doubtful_runs(fleet)
    return done


def judge(outcomes: dict[str, Outcome], steps: list[tuple[float, str]], rounds: int) -> Deploy:
    """Prints and returns what a deploy has cost.

    :param steps: when each began.
    """
    by_step: dict[str, dict[str, list[float]]] = {}
    for kind, outcome in outcomes.items():
        for at, latency in outcome.latencies:
            index = bisect.bisect(steps, (at, "~")) - 1
            if index >= 0:
                by_step.setdefault(steps[index][1], {}).setdefault(kind, []).append(latency)

    def latencies(kind: str, *names: str) -> list[float]:
        return sorted(
            latency
            for name in names
            for each, found in by_step[name].items()
            if kind in (each, "all")
            for latency in found
        )

    found: dict[str, float] = {}
    for kind in (*outcomes, "all"):
        parts = {
            "before": latencies(kind, "before"),
            "control": latencies(kind, "control"),
            "during": latencies(kind, "drain", "start", "settle"),
        }
        found = {part: quantile(values, 0.99) for part, values in parts.items()}
        print(
            f"{kind}: {len(parts['during'])} in {rounds} rounds, p99 {found['before'] * 1000:.1f} ms before, "
            f"{found['control'] * 1000:.1f} ms while other processes start, {found['during'] * 1000:.1f} ms "
            f"during ({found['during'] / found['before']:.1f} x before, "
            f"{found['during'] / found['control']:.1f} x control), max {parts['during'][-1] * 1000:.0f} ms"
        )
    slow = Counter(
        {
            f"{name}, {kind}": sum(latency > FACTOR * found["before"] for latency in latencies)
            for name, kinds in by_step.items()
            for kind, latencies in kinds.items()
        }
    )
    print(f"slower than {FACTOR:g} x before: {dict(+slow)}")
    return Deploy(outcomes, **found)


def test_two_rounds(replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    """Replicas follow each other within a second: each as soon as the one before it is ready."""
    done = deploy(replicas, local_discord, rounds=2, calm=2.0, settle=0.1)
    # One that stands still for seconds while it starts may lead in doubt: guarantees.md excludes that.
    assert done.doubtful <= 2
    done.check(doubtful=done.doubtful)
    for outcome in done.outcomes.values():
        # Nobody waits for a session to end.
        assert max(latency for _, latency in outcome.latencies) < 5.0


@pytest.mark.long
@pytest.mark.timeout(900)
def test_ten_rounds(replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    """For a machine that does nothing else: a busy one makes all percentiles its own."""
    done = deploy(replicas, local_discord, rounds=10, calm=15.0, settle=2.0)
    done.check()
    assert done.during <= FACTOR * done.before, (done.before, done.control, done.during)
