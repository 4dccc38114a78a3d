"""What the tests in a browser share: the browser, and a fleet with an address for its page."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import opened
from fleet import BOTS

from discordha.testing import LocalDiscord, LocalEtcd, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory
from discordha.testing.ports import ReservedPort

TOKEN = "correct-horse-battery-staple"
ROOT = Path(__file__).parents[2]


class Scene:
    """A fleet, and what the command line says of it."""

    def __init__(
        self, fleet: Replicas, ports: list[int], environment: dict[str, str], discord: LocalDiscord
    ) -> None:
        self.fleet, self.discord = fleet, discord
        self.urls = [f"http://127.0.0.1:{port}/" for port in ports]
        self._environment = environment

    def status(self) -> dict[str, Any]:
        """What ``discordha status --json`` prints."""
        command = [sys.executable, "-m", "discordha", "status", "--json"]
        found = subprocess.run(
            command, check=True, env=self._environment, capture_output=True, text=True, timeout=30
        )
        return dict(json.loads(found.stdout))

    def ping(self, count: int = 20) -> None:
        """Has the bot answer some questions."""
        before = self.discord.counters()["messages"]
        for number in range(count):
            self.discord.send(self.discord.channel_ids[0], f"!ping {number}")
        wait_for(lambda: self.discord.counters()["messages"] >= before + count, 60, "the answers")

    def poison(self, text: str) -> None:
        """Has an event become a dead letter, and the replica that it ended start again."""
        self.discord.send(self.discord.channel_ids[0], text)
        wait_for(lambda: any(not each.alive for each in self.fleet), 30, "a death")
        wait_for(lambda: self.status()["dead_letters"] == 1, 30, "the dead letter", interval=0.5)
        for each in self.fleet:
            if not each.alive:
                each.start()
        self.fleet.wait_ready(60)


@pytest.fixture
def no_leaked_threads() -> None:
    """Not here: the threads of Playwright's loop live for as long as the browser does."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with opened() as found:
        yield found


@pytest.fixture
def scene(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> Iterator[Callable[..., Scene]]:
    import os

    ports = [ReservedPort() for _ in range(3)]

    def scene(**options: str) -> Scene:
        def environment(index: int) -> dict[str, str]:
            return {
                **local_discord.env(f"r{index}"),
                "DISCORDHA_HTTP_ADDRESS": f"127.0.0.1:{ports[index].number}",
                "DISCORDHA_HTTP_TOKEN": TOKEN,
                "DISCORDHA_SESSION_TTL": "2",
                "DISCORDHA_MAX_ATTEMPTS": "1",
                "DISCORDHA_REQUESTS_PER_SECOND": "50",
                **options,
            }

        fleet = replicas(BOTS / "watched.py", 3, discord=None, per_replica_env=environment)
        fleet.wait_ready(90)
        where = {**os.environ, **local_etcd.env(), "DISCORDHA_NAME": namespace, "PYTHONPATH": str(ROOT)}
        return Scene(fleet, [port.number for port in ports], where, local_discord)

    yield scene
    for port in ports:
        port.release()
