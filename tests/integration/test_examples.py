"""The examples, each by three replicas on a local Discord and etcd: ``make examples``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet import EXAMPLES, answer, logs, per_replica, verdict
from tones import write_tones

from discordha.testing import LocalDiscord, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

Start = Callable[..., Replicas]


@pytest.fixture
def start(replicas: ReplicasFactory, local_discord: LocalDiscord) -> Iterator[Start]:
    """Starts replicas of an example; at the end they drain, without an error and without a request that the
    local Discord does not know."""
    started: list[Replicas] = []

    def run(script: str, count: int = 3, **options: Any) -> Replicas:
        fleet = replicas(
            EXAMPLES / script, count, discord=None, per_replica_env=per_replica(local_discord), **options
        )
        started.append(fleet)
        fleet.wait_ready(60)
        return fleet

    yield run
    for fleet in started:
        for replica in fleet:
            replica.drain()
            assert replica.wait_exit(30) == 0, logs(fleet)
            assert "Traceback" not in replica.log_text(), logs(fleet)
    assert not local_discord.unknown_requests()


def said(discord: LocalDiscord, *texts: str) -> None:
    """Waits until the bot has said each of these, in any order, and nothing else."""
    wait_for(
        lambda: sorted(message.content for message in discord.messages()) == sorted(texts),
        20,
        lambda: f"{sorted(texts)}, not {sorted(message.content for message in discord.messages())}",
    )


def test_every_example_is_tested() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f'"{path.name}"' in text, f"{path.name} has no test here"


def test_ping(start: Start, local_discord: LocalDiscord) -> None:
    start("ping.py")
    sent = local_discord.load(rate=50, count=100).wait(30)
    result = verdict(local_discord, sent)
    assert result.total.ok, result


def test_moderation(start: Start, local_discord: LocalDiscord) -> None:
    start("moderation.py")
    channel = local_discord.channel_ids[0]
    owner, user = local_discord.owner_ids[0], local_discord.user_ids[1]
    mention = f"<@{user}>: please mind your words (strike"
    texts: list[str] = []

    def then(text: str) -> None:
        texts.append(text)
        said(local_discord, *texts)

    local_discord.send(channel, "!filter list", owner)
    then("filter: no words")
    local_discord.send(channel, "!filter add Darn", owner)
    then("filter: 1 words")
    local_discord.send(channel, "!filter add heck", owner)
    then("filter: 2 words")
    local_discord.send(channel, "!filter nonsense", owner)
    then("filter: !filter add WORD, !filter remove WORD, or !filter list")
    local_discord.send(channel, "!filter remove darn", user)  # may not
    then(f"{mention} 1 of 3)")
    local_discord.send(channel, "a darned good day", user)  # another word
    edited = local_discord.send(channel, "what the", user)
    local_discord.edit(channel, edited, "what the HECK!")
    then(f"{mention} 2 of 3)")
    last = local_discord.send(channel, "Darn.", user)
    then(f"{mention} 3 of 3)")

    def calls(method: str, end: str) -> list[Any]:
        return [
            request
            for request in local_discord.requests()
            if request.method == method and request.path.endswith(end)
        ]

    wait_for(lambda: calls("PATCH", f"/members/{user}"), 10, "the time-out")
    assert len(calls("PATCH", f"/members/{user}")) == 1
    for message in (edited, last):
        assert len(calls("DELETE", f"/messages/{message}")) == 1
    local_discord.send(channel, "!filter remove darn", owner)
    then("filter: 1 words")
    local_discord.send(channel, "!filter list", owner)
    then("filter: heck")


def test_soundboard(start: Start, local_discord: LocalDiscord, tmp_path: Path) -> None:
    write_tones(tmp_path / "horn.wav", [440.0], 1.0)
    start("soundboard.py", env={"SOUNDS": str(tmp_path)})
    wait_for(lambda: len(local_discord.commands()) == 2, 30, "the commands to be known")
    state = answer(local_discord, local_discord.slash("sound", {"name": "horn"}))
    assert (state["content"], state["ephemeral"]) == ("Join a voice channel first.", True)
    local_discord.move_voice(
        local_discord.guild_ids[0], local_discord.user_ids[0], local_discord.voice_channel_ids[0]
    )
    choices = answer(local_discord, local_discord.slash("sound", {"name": "h"}, autocomplete="name"))[
        "choices"
    ]
    assert [choice["name"] for choice in choices] == ["horn"]
    state = answer(local_discord, local_discord.slash("sound", {"name": "flute"}))
    assert state["content"] == "There is no flute."
    state = answer(local_discord, local_discord.slash("sound", {"name": "horn"}))
    assert state["content"] == "Done."
    # A second, and the silence after it.
    wait_for(lambda: sum(s["packets"] for s in local_discord.voice_sessions()) > 60, 30, "the sound")
    (recording,) = local_discord.voice_recordings()
    assert abs(recording.seconds - 1.0) <= 0.04
    assert all(abs(tone - 440.0) < 1.0 for tone in recording.frequencies()[1:])
