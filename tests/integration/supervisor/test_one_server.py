"""A highly available bot on one server by one command: real replicas, with the etcd that ``discordha run``
keeps beside them.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from fleet import EXAMPLES, answered
from mixed import BOT, MixedLoad
from supervised import Run, base_environment, bot_environment

from discordha.testing import LocalDiscord, wait_for


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "etcd"


@pytest.fixture
def run(local_discord: LocalDiscord, tmp_path: Path, data: Path) -> Iterator[Run]:
    """From nothing."""
    environment = bot_environment(local_discord, None, "one-server")
    arguments = ["-n", "2", "--with-etcd", data, "--allow-test-etcd", BOT]
    with Run(arguments, environment=environment, directory=tmp_path) as started:
        yield started


def etcds(run: Run) -> list[psutil.Process]:
    """The etcd itself, without its guard; none while it starts again."""
    return [each for each in run.descendants() if each.name() == "etcd"]


def test_the_example_runs_from_nothing_and_again(
    local_discord: LocalDiscord, tmp_path: Path, data: Path
) -> None:
    environment = bot_environment(local_discord, None, "one-server")
    arguments = ["-n", "2", "--with-etcd", data, "--allow-test-etcd", EXAMPLES / "ping.py"]
    ports = []
    for number in range(2):
        with Run(arguments, environment=environment, directory=tmp_path) as run:
            run.wait_ready(2)
            ports.append(json.loads((data / "discordha-ports.json").read_text()))
            local_discord.send(local_discord.channel_ids[0], f"!ping {number}")
            wait_for(lambda number=number: len(answered(local_discord)) == number + 1, 20, "an answer")
            assert run.stop() == 0
            assert not run.left_over()
        run.log.unlink()
    assert ports[0] == ports[1]
    assert {message.content for message in answered(local_discord)} == {"pong 0", "pong 1"}
    assert (data / "data").stat().st_mode & 0o077 == 0


def test_each_part_may_die_and_the_parent_last(run: Run, local_discord: LocalDiscord) -> None:
    run.wait_ready(2)
    load = MixedLoad(local_discord, messages=50, reactions=20)
    load.wait_answers(100)
    os.kill(next(iter(run.replicas().values())), signal.SIGKILL)
    load.wait_answers(100)
    (first,) = etcds(run)
    first.terminate()  # the version that tests have can corrupt its data when it is killed
    run.wait_line("etcd .* it starts again in 0 s")
    wait_for(lambda: [each for each in etcds(run) if each.pid != first.pid], 10, "the next etcd")
    load.wait_answers(100)
    outcomes = load.stop()
    assert all(each.ok for each in outcomes.values()), outcomes
    # The parent is killed: replicas drain with their etcd, which ends behind them.
    run.wait_ready(2)
    load = MixedLoad(local_discord, messages=50, reactions=20)
    load.wait_answers(50)
    (etcd,) = etcds(run)
    os.kill(run.pid, signal.SIGKILL)
    wait_for(lambda: len(run.lines("discordha: stopping, for 25 s at most: SIGTERM")) == 2, 10, "drains")
    wait_for(lambda: not run.left_over(), 40, lambda: f"nothing left, not {run.left_over()}")
    assert not etcd.is_running()
    assert not run.lines("runs out by itself")  # each could still revoke its session
    assert not run.lines("did not finish in time")
    load.halt()


def test_an_etcd_that_corrupts_its_data_is_refused(tmp_path: Path, data: Path) -> None:
    with Run(["--with-etcd", data, BOT], environment=base_environment(), directory=tmp_path) as run:
        if run.wait_exit(20) == 78:
            assert run.lines("can corrupt its data: install 3.5.3 or newer, or add --allow-test-etcd")
            assert not run.started()
        else:
            pytest.skip("the etcd on PATH is a good one")


def test_an_etcd_that_does_not_start_ends_the_run(
    local_discord: LocalDiscord, tmp_path: Path, data: Path
) -> None:
    data.mkdir()
    (data / "data").write_text("a file where a folder should be")
    environment = bot_environment(local_discord, None, "one-server")
    arguments = ["--with-etcd", data, "--allow-test-etcd", BOT]
    with Run(arguments, environment=environment, directory=tmp_path) as run:
        assert run.wait_exit(60) == 1
        assert run.lines("etcd does not start")
        assert not run.started()
        assert not run.left_over()
