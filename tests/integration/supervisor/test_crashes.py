"""Replicas that die under load, with ``discordha run`` above them and without: nothing is lost or repeated,
and what was in flight is taken over at once.

The table of docs/performance.md, both columns:

    .venv/bin/python -m pytest tests/integration/supervisor/test_crashes.py -m long --timeout 0 -s
"""

from __future__ import annotations

import os
import random
import re
import signal
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fleet import BOTS
from mixed import MixedLoad, Outcome
from supervised import Run, bot_environment, dies

from discordha.testing import LocalDiscord, LocalEtcd, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

pytestmark = pytest.mark.alone

BOT = BOTS / "torn.py"
TTL = 5.0
MESSAGES, REACTIONS, COMMANDS = 100.0, 50.0, 20.0
CGROUPS = Path("/sys/fs/cgroup/memory")
#: What a process that eats memory gets beyond what it has, bytes.
MORE = 64 << 20


@dataclass
class Deaths:
    """What came of a series. Times are seconds from a death to the second run of an event that the dead
    replica had begun, and to the next leader.
    """

    commands: int = 0
    unanswered: list[int] = field(default_factory=list)
    takeovers: list[float] = field(default_factory=list)
    leaderless: list[float] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def row(self, title: str) -> str:
        """A row of the table."""
        lost = sum(each.lost.total() for each in self.outcomes.values())
        repeated = sum(each.repeated.total() for each in self.outcomes.values())
        return (
            f"| {title} | {lost} | {repeated} | {len(self.unanswered)} of {self.commands} "
            f"| {len(self.takeovers)} | {_figures(self.takeovers)} "
            f"| {len(self.leaderless)} | {_figures(self.leaderless)} |"
        )


def _figures(values: list[float]) -> str:
    if not values:
        return "-"
    return f"{statistics.median(values) * 1000:.0f} / {max(values) * 1000:.0f} ms"


@pytest.fixture
def local_discord() -> Iterator[LocalDiscord]:
    """One that remembers all messages of minutes of load."""
    with LocalDiscord(max_messages=100_000) as discord:
        yield discord


@pytest.fixture
def cage() -> Iterator[Callable[[int], None]]:
    """Gives a process as much memory as it has and a little more; skips where nobody may do that."""
    made: list[Path] = []

    def put(pid: int) -> None:
        folder = CGROUPS / f"discordha-{os.getpid()}-{len(made)}"
        try:
            folder.mkdir()
        except OSError as error:
            pytest.skip(f"no memory cgroup can be made: {error}")
        made.append(folder)
        used = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        (folder / "memory.limit_in_bytes").write_text(str(used + MORE))
        (folder / "cgroup.procs").write_text(str(pid))

    yield put
    for folder in made:
        wait_for(
            lambda folder=folder: not (folder / "cgroup.procs").read_text(), 20, "the cgroup to be empty"
        )
        folder.rmdir()


def end(way: str, pid: int, cage: Callable[[int], None]) -> None:
    """One of the ways to die."""
    if way == "memory":
        cage(pid)
        os.kill(pid, signal.SIGUSR2)
    else:
        os.kill(
            pid,
            {
                "kill -9": signal.SIGKILL,
                "os._exit": signal.SIGUSR1,
                "SIGSEGV": signal.SIGSEGV,
                "SIGABRT": signal.SIGABRT,
            }[way],
        )


WAYS = ["kill -9", "os._exit", "SIGSEGV", "SIGABRT", "memory"]


ATTEMPT = re.compile(r"^([\d.]+) \d+ INFO torn: attempt 2 of (?:message|slash)", re.MULTILINE)
LEADS = re.compile(r"^([\d.]+) (\d+) INFO discordha.leader.\S+ leads shard 0", re.MULTILINE)


def leader(text: str) -> int:
    """The process that became the leader last."""
    return int(LEADS.findall(text)[-1][1])


def judge(text: str, deaths: list[tuple[float, bool]]) -> Deaths:
    """What the log says of the deaths: when, and was it the leader's."""
    found = Deaths()
    attempts = [float(at) for at in ATTEMPT.findall(text)]
    leads = [float(at) for at, _ in LEADS.findall(text)]
    for number, (at, led) in enumerate(deaths):
        until = deaths[number + 1][0] if number + 1 < len(deaths) else float("inf")
        found.takeovers += [begun - at for begun in attempts if at <= begun < until]
        if led:
            found.leaderless.append(min(each for each in leads if each >= at) - at)
    return found


def crash(
    ways: list[str],
    discord: LocalDiscord,
    cage: Callable[[int], None],
    *,
    ready: Callable[[], dict[str, int]],
    text: Callable[[], str],
) -> Deaths:
    """A series of deaths under load; every second victim is the leader.

    :param ready: waits until all replicas are ready: their process ids.
    """
    chooser = random.Random(23)
    ready()
    load = MixedLoad(discord, messages=MESSAGES, reactions=REACTIONS)
    slash = discord.load("slash", rate=COMMANDS, template="roll")
    load.wait_answers(int(MESSAGES + REACTIONS))
    deaths = []
    for number, way in enumerate(ways):
        pids = ready()
        wait_for(lambda pids=pids: leader(text()) in pids.values(), 20, "a leader that lives", interval=0.05)
        first = leader(text())
        victim = first if number % 2 == 0 else chooser.choice([p for p in pids.values() if p != first])
        at = dies(victim, lambda way=way, victim=victim: end(way, victim, cage))  # type: ignore[misc]
        deaths.append((at, victim == first))
        ready()
        load.wait_answers(int(MESSAGES))
        load.wait_settled()  # else two deaths could end all that have received an event
    commands = [int(each.key) for each in slash.stop()]
    outcomes = load.stop()
    found = judge(text(), deaths)
    found.outcomes = outcomes
    # The local Discord takes no first answer that comes after 3 s.
    found.commands = len(commands)
    found.unanswered = [each for each in commands if not discord.interaction(each)["responded"]]
    return found


@pytest.fixture
def with_run(
    local_discord: LocalDiscord,
    local_etcd: LocalEtcd,
    namespace: str,
    tmp_path: Path,
    cage: Callable[[int], None],
) -> Callable[[list[str]], Deaths]:
    """Three replicas below one ``discordha run``."""

    def crashes(ways: list[str]) -> Deaths:
        environment = bot_environment(local_discord, local_etcd, namespace, DISCORDHA_SESSION_TTL=str(TTL))
        with Run(["-n", "3", BOT], environment=environment, directory=tmp_path) as run:
            found = crash(ways, local_discord, cage, ready=lambda: run.wait_ready(3), text=run.text)
            assert run.stop() == 0
            assert not run.left_over()
        return found

    return crashes


def without_run(
    ways: list[str], discord: LocalDiscord, fleet: Replicas, cage: Callable[[int], None]
) -> Deaths:
    def ready() -> dict[str, int]:
        wait_for(lambda: all(replica.alive for replica in fleet), 30, "all replicas to live")
        fleet.wait_ready(60)
        return {str(replica.index): replica.pid for replica in fleet}

    def text() -> str:
        # In order of time, over all logs.
        lines = [line for replica in fleet for line in replica.log_text().splitlines() if line[:1].isdigit()]
        return "\n".join(sorted(lines, key=lambda line: float(line.split()[0])))

    return crash(ways, discord, cage, ready=ready, text=text)


def test_three_crashes(with_run: Callable[[list[str]], Deaths]) -> None:
    found = with_run(["kill -9", "SIGSEGV", "memory"])
    print(found.row("with discordha run"))
    assert all(each.ok for each in found.outcomes.values()), found.outcomes
    assert not found.unanswered
    # Neither waits for the session's end. What a busy machine adds is not ours.
    assert max([*found.takeovers, *found.leaderless]) < TTL / 2, found


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_thirty_crashes(with_run: Callable[[list[str]], Deaths]) -> None:
    found = with_run(WAYS * 6)
    print(found.row("with discordha run"))
    assert all(each.ok for each in found.outcomes.values()), found.outcomes
    assert not found.unanswered
    for values in (found.takeovers, found.leaderless):
        assert statistics.median(values) <= 0.05, found
        assert max(values) <= 0.3, found


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_thirty_crashes_without_a_parent_that_revokes(
    replicas: ReplicasFactory, local_discord: LocalDiscord, cage: Callable[[int], None], tmp_path: Path
) -> None:
    """The other column: replicas that something starts again, and no more."""
    fleet = replicas(
        BOT,
        3,
        restart=True,
        directory=tmp_path,
        env={"DISCORDHA_SESSION_TTL": str(TTL), "PYTHONFAULTHANDLER": "1"},
    )
    found = without_run(WAYS * 6, local_discord, fleet, cage)
    print(found.row("without"))
    assert all(each.ok for each in found.outcomes.values()), found.outcomes
    assert max(found.takeovers) <= TTL + 3.0, found
