"""Each long-lived thread meets an error that nobody expected, and goes on."""

from __future__ import annotations

import logging
import threading
from typing import Any

import discord
import pytest
from fleet import answered

from discordha import DiscordHA
from discordha.coordination.election.elections import Elections
from discordha.coordination.etcd.group_commit import GroupCommit
from discordha.coordination.membership.members import Members
from discordha.coordination.session import Session
from discordha.dispatch import Dispatcher
from discordha.leader import loops
from discordha.leader.takeover import Takeover
from discordha.limits.identify import Identify
from discordha.testing import LocalDiscord, LocalEtcd, wait_for

#: A step of each thread, by the thread's name.
STEPS: dict[str, tuple[Any, str]] = {
    "discordha-session": (Session, "_keep"),
    "discordha-members": (Members, "_write"),
    "discordha-election": (Elections, "_until_next"),
    "discordha-commit": (GroupCommit, "_drain"),
    "discordha-leader": (Takeover, "_announce_sessions"),
    "discordha-timer": (Dispatcher, "pause"),
    "discordha-identify": (Identify, "_until_next"),
    "discordha-loop-tick": (loops._Thread, "_once"),
}


def test_every_thread_goes_on_after_an_error(
    local_discord: LocalDiscord,
    local_etcd: LocalEtcd,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    failed: set[str] = set()

    def fail_once(owner: Any, method: str) -> None:
        step = getattr(owner, method)

        def failing(*args: Any, **options: Any) -> Any:
            name = threading.current_thread().name
            if STEPS.get(name) == (owner, method) and name not in failed:
                failed.add(name)
                raise RuntimeError("can't start new thread")
            return step(*args, **options)

        monkeypatch.setattr(owner, method, failing)

    for owner, method in STEPS.values():
        fail_once(owner, method)
    for name, value in {**local_discord.env(), **local_etcd.env(), "DISCORDHA_NAME": namespace}.items():
        monkeypatch.setenv(name, value)
    ha = DiscordHA.from_env(intents=discord.Intents.all())
    ticks = threading.Event()

    @ha.loop(seconds=0.1)
    def tick() -> None:
        ticks.set()

    @ha.event
    def on_message(message: Any) -> None:
        if message.content.startswith("!ping"):
            message.channel.send(message.content.replace("!ping", "pong"))

    with caplog.at_level(logging.INFO), ha:
        assert ha.wait_until_ready(30)
        wait_for(ha.is_leader, 20, "leadership")
        for number in range(10):
            local_discord.send(local_discord.channel_ids[0], f"!ping {number}")
        wait_for(lambda: len(answered(local_discord)) == 10, 30, lambda: f"all answers; failed: {failed}")
        assert ticks.wait(20)
        wait_for(lambda: failed == STEPS.keys(), 20, lambda: f"a step of {STEPS.keys() - failed}")
        assert {thread.name for thread in threading.enumerate()} >= STEPS.keys()
    assert "can't start new thread" in caplog.text
