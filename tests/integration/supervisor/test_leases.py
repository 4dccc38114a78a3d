"""Leases in a real etcd of processes that only pretend to be bots: those of the dead are revoked, those of
the living never, whoever dies in whatever order.
"""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from fleet import BOTS
from supervised import Run, base_environment

from discordha.testing import LocalEtcd, wait_for

PRETENDS = BOTS / "pretends.py"
GRANTED = re.compile(r"^granted (\d+) to (\d+)", re.MULTILINE)


class Etcd:
    """An etcd of the test's own without passwords: a test may stop it."""

    def __init__(self, etcd: LocalEtcd) -> None:
        self.etcd = etcd
        self.endpoint = etcd.endpoints[0]

    def lives(self, lease: int) -> bool:
        """Whether etcd knows the lease."""
        found = self.etcd.api.call(self.etcd.url(), "lease/timetolive", {"ID": str(lease)})
        return int(found.get("TTL", -1)) > 0


@pytest.fixture(scope="module")
def shared() -> Iterator[Etcd]:
    with LocalEtcd() as etcd:
        yield Etcd(etcd)


class World:
    """Several runs after one another, with one log each."""

    def __init__(self, directory: Path, etcd: Etcd, *arguments: str) -> None:
        self._directory = directory
        self._etcd = etcd
        self._arguments = [
            "-n",
            "2",
            "--reload-timeout",
            "20",
            PRETENDS,
            "lease=real",
            f"etcd={etcd.endpoint}",
        ]
        self._arguments += arguments
        self.runs: list[Run] = []
        self.begin()

    @property
    def run(self) -> Run:
        """The present one."""
        return self.runs[-1]

    def begin(self) -> None:
        """Starts the next one."""
        folder = self._directory / str(len(self.runs))
        folder.mkdir()
        environment = {**base_environment(), "DISCORDHA_REPLICA_ID": f"run{len(self.runs)}"}
        self.runs.append(Run(self._arguments, environment=environment, directory=folder))

    def granted(self) -> dict[int, int]:
        """Every lease, and the process that it was granted to."""
        return {int(lease): int(pid) for run in self.runs for lease, pid in GRANTED.findall(run.text())}

    def pids(self) -> list[int]:
        """Every process of every run that has not ended."""
        return [pid for run in self.runs for pid in run.replicas().values()]

    def wronged(self) -> list[int]:
        """Leases that etcd does not know, though they are the last ones of processes that live."""
        last = {pid: lease for lease, pid in self.granted().items()}
        gone = {pid: lease for pid, lease in last.items() if is_there(pid) and not self._etcd.lives(lease)}
        return [lease for pid, lease in gone.items() if is_there(pid) and not is_going(self.runs, pid)]

    def close(self) -> None:
        """Ends all."""
        for run in self.runs:
            run.close()


def is_there(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_going(runs: list[Run], pid: int) -> bool:
    """Whether it died in this moment."""
    return not any(pid in run.replicas().values() for run in runs)


def test_the_lease_of_a_dead_replica_is_revoked_at_once(tmp_path: Path, shared: Etcd) -> None:
    world = World(tmp_path, shared, "ready")
    try:
        world.run.wait_ready(2)
        wait_for(lambda: len(world.granted()) == 2, 10, "both leases")
        lease, pid = next(iter(world.granted().items()))
        os.kill(pid, signal.SIGKILL)
        died_at = time.monotonic()
        wait_for(lambda: not shared.lives(lease), 5, "the end of its lease", interval=0.002)
        print(f"revoked {(time.monotonic() - died_at) * 1000:.0f} ms after kill -9")
        assert not world.wronged()
    finally:
        world.close()


def test_every_lease_of_a_dead_replica_is_revoked(tmp_path: Path, shared: Etcd) -> None:
    world = World(tmp_path, shared, "ready")
    try:
        pids = world.run.wait_ready(2)
        wait_for(lambda: len(world.granted()) == 2, 10, "both leases")
        victim = pids["run0-1"]
        os.kill(victim, signal.SIGUSR2)
        wait_for(lambda: len(world.granted()) == 3, 10, "its second lease")
        own = [lease for lease, pid in world.granted().items() if pid == victim]
        assert len(own) == 2
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: not any(map(shared.lives, own)), 5, "the end of both")
        assert not world.wronged()
    finally:
        world.close()


@pytest.mark.parametrize("fault", ["paused", "killed"])
def test_an_etcd_that_is_away_at_the_moment_of_death(tmp_path: Path, fault: str) -> None:
    with LocalEtcd() as own:
        etcd = Etcd(own)
        world = World(tmp_path, etcd, "ready")
        try:
            pids = world.run.wait_ready(2)
            wait_for(lambda: len(world.granted()) == 2, 10, "both leases")
            by_pid = {pid: lease for lease, pid in world.granted().items()}
            if fault == "paused":
                own.members[0].pause()
            else:
                own.members[0].kill()
            os.kill(pids["run0-1"], signal.SIGKILL)
            world.run.wait_line("is not revoked yet", timeout=20)
            if fault == "paused":
                own.members[0].resume()
            else:
                own.members[0].restart()
            wait_for(lambda: not etcd.lives(by_pid[pids["run0-1"]]), 10, "the end of its lease")
            assert etcd.lives(by_pid[pids["run0-2"]])
            assert not world.wronged()
        finally:
            world.close()


def test_an_etcd_with_a_password_and_certificates(tmp_path: Path) -> None:
    """By a real bot's own settings; and nobody else gets to see the password."""
    from supervised import bot_environment

    from discordha.testing import LocalDiscord

    with LocalEtcd(tls=True, auth=True) as own, LocalDiscord() as discord:
        environment = bot_environment(discord, own, "secured")
        password = environment["DISCORDHA_ETCD_PASSWORD"]
        with Run(["-n", "2", BOTS / "plain.py"], environment=environment, directory=tmp_path) as run:
            pids = run.wait_ready(2)
            for pid in (run.pid, *pids.values()):
                assert password not in Path(f"/proc/{pid}/cmdline").read_text()
            os.kill(next(iter(pids.values())), signal.SIGKILL)
            (line,) = run.wait_line(r"lease [0-9a-f]+ of \S+ is revoked, \d+ ms")
            print(line)
            assert not run.lines("by gRPC")
            assert run.stop() == 0
            assert password not in run.text()


def test_an_etcd_without_its_json_gateway(tmp_path: Path) -> None:
    """The lease is revoked by gRPC, by a process of its own."""
    from supervised import bot_environment

    from discordha.testing import LocalDiscord

    with LocalEtcd(flags=["--enable-grpc-gateway=false"]) as own, LocalDiscord() as discord:
        environment = bot_environment(discord, own, "grpc")
        with Run(["-n", "2", BOTS / "plain.py"], environment=environment, directory=tmp_path) as run:
            pids = run.wait_ready(2)
            run.wait_line("revoked by gRPC, which takes half a second longer")
            os.kill(next(iter(pids.values())), signal.SIGKILL)
            (line,) = run.wait_line(r"lease [0-9a-f]+ of \S+ is revoked, \d+ ms")
            print(line)
            assert run.stop() == 0


Step = Callable[[World, random.Random], None]


def kill_replica(world: World, chooser: random.Random) -> None:
    pids = world.pids()
    if pids:
        os.kill(chooser.choice(pids), signal.SIGKILL)


def kill_all_replicas(world: World, chooser: random.Random) -> None:
    for pid in world.pids():
        os.kill(pid, signal.SIGKILL)


def new_session(world: World, chooser: random.Random) -> None:
    """And, every other time, the death right behind it."""
    granted = set(world.granted().values())
    pids = [pid for pid in world.pids() if pid in granted]
    if pids:
        pid = chooser.choice(pids)
        os.kill(pid, signal.SIGUSR2)
        if chooser.random() < 0.5:
            time.sleep(chooser.uniform(0, 0.01))
            os.kill(pid, signal.SIGKILL)


def kill_parent(world: World, chooser: random.Random) -> None:
    """The next parent starts while the replicas of the one before drain."""
    os.kill(world.run.pid, signal.SIGKILL)
    world.begin()


def stop_parent(world: World, chooser: random.Random) -> None:
    """It hears of what happens meanwhile all at once."""
    os.kill(world.run.pid, signal.SIGSTOP)
    for _ in range(chooser.randint(1, 3)):
        chooser.choice([kill_replica, new_session])(world, chooser)
    time.sleep(chooser.uniform(0, 0.3))
    os.kill(world.run.pid, signal.SIGCONT)


def reload(world: World, chooser: random.Random) -> None:
    if world.run.lines("is ready"):  # before that there is no handler yet
        world.run.signal(signal.SIGHUP)


STEPS: list[Step] = [kill_replica, kill_all_replicas, new_session, kill_parent, stop_parent, reload]


def schedule(directory: Path, etcd: Etcd, seed: int) -> None:
    """Random deaths. At no time is a living process without its lease; at the end no dead one has one that
    its parent could have revoked.
    """
    chooser = random.Random(seed)
    world = World(directory, etcd, "ready", "lingers=0.3")
    try:
        world.run.wait_ready(2)
        done = []
        for _ in range(chooser.randint(2, 5)):
            step = chooser.choice(STEPS)
            done.append(step.__name__)
            step(world, chooser)
            time.sleep(chooser.uniform(0, 0.3))
            assert not world.wronged(), (seed, done)
        if not world.run.alive:
            world.begin()
        world.run.wait_ready(2)
        wait_for(
            lambda: not [run for run in world.runs[:-1] if run.replicas()], 20, "the end of earlier replicas"
        )
        assert not world.wronged(), (seed, done)
        told = {
            int(lease, 16) for run in world.runs for lease in re.findall(r"lease ([0-9a-f]+) of", run.text())
        }
        living = {lease for lease, pid in world.granted().items() if is_there(pid)}
        assert world.run.stop(30) == 0
        assert not any(each.left_over() for each in world.runs)
        assert not [lease for lease in told | living if etcd.lives(lease)], (seed, done)
    finally:
        world.close()


@pytest.mark.parametrize("seed", range(3))
def test_three_schedules(tmp_path: Path, shared: Etcd, seed: int) -> None:
    schedule(tmp_path, shared, seed)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_hundred_schedules(tmp_path: Path, shared: Etcd) -> None:
    for seed in range(1000, 1100):
        folder = tmp_path / str(seed)
        folder.mkdir()
        schedule(folder, shared, seed)
