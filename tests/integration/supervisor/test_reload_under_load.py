"""``discordha reload`` of real replicas under load: nothing is lost or repeated, and nobody notices a broken
version.

The long form for a machine that does nothing else:

    .venv/bin/python -m pytest tests/integration/supervisor/test_reload_under_load.py -m long --timeout 0 -s
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mixed import BOT, MixedLoad, quantile
from supervised import Run, bot_environment

from discordha.testing import LocalDiscord, LocalEtcd

pytestmark = pytest.mark.alone

MESSAGES, REACTIONS = 100.0, 50.0
RATE = MESSAGES + REACTIONS
#: What a reload may cost: its 99th percentile against that before.
FACTOR = 3.0


@pytest.fixture
def local_discord() -> Iterator[LocalDiscord]:
    """One that remembers all messages of minutes of load."""
    with LocalDiscord(max_messages=100_000) as discord:
        yield discord


def reload(
    discord: LocalDiscord, etcd: LocalEtcd, namespace: str, directory: Path, *, times: int, calm: float
) -> tuple[float, float]:
    """Reloads under load: the 99th percentile of all answers before, and during the reloads, seconds."""
    bot = directory / "bot.py"
    bot.write_text(BOT.read_text())
    environment = bot_environment(discord, etcd, namespace)
    with Run(["-n", "2", "--reload-timeout", "20", bot], environment=environment, directory=directory) as run:
        run.wait_ready(2)
        load = MixedLoad(discord, messages=MESSAGES, reactions=REACTIONS)
        load.wait_answers(int(RATE))  # the first second is not measured
        began = time.monotonic()
        load.wait_answers(int(calm * RATE))
        calm_until = time.monotonic()
        for _ in range(times):
            done = run.reload()
            assert done.returncode == 0, done
            load.wait_answers(int(RATE / 2))
        reloaded = time.monotonic()
        before = run.ready()
        bot.write_text("import discordha\nraise RuntimeError('a broken version')\n")
        done = run.reload()
        assert done.returncode == 1, done
        assert "rolled back" in done.stdout
        assert run.ready() == before
        load.wait_answers(int(RATE))
        outcomes = load.stop()
        assert run.stop() == 0
        assert not run.left_over()
    assert all(each.ok for each in outcomes.values()), outcomes
    parts = []
    for since, until in ((began, calm_until), (calm_until, reloaded)):
        latencies = sorted(x for each in outcomes.values() for x in each.between(since, until))
        parts.append(quantile(latencies, 0.99))
    print(
        f"{times} reloads: p99 {parts[0] * 1000:.1f} ms before, {parts[1] * 1000:.1f} ms during "
        f"({parts[1] / parts[0]:.1f} x)"
    )
    return parts[0], parts[1]


@pytest.mark.long
def test_two_reloads(
    local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str, tmp_path: Path
) -> None:
    _, during = reload(local_discord, local_etcd, namespace, tmp_path, times=2, calm=1.0)
    assert during < 5.0  # nobody waits for a session to end


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_twenty_reloads(
    local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str, tmp_path: Path
) -> None:
    before, during = reload(local_discord, local_etcd, namespace, tmp_path, times=20, calm=20.0)
    assert during <= FACTOR * before, (before, during)
