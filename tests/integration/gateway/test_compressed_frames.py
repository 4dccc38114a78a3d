"""Compressed gateway frames, as Discord sends them: to clients with zstandard, and to those without."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet import BOTS, EXAMPLES, answered

from discordha.testing import LocalDiscord, wait_for
from discordha.testing.plugin import ReplicasFactory


@pytest.mark.parametrize(
    ("bot", "compression"),
    [(EXAMPLES / "ping.py", "zstd-stream"), (BOTS / "zlib_ping.py", "zlib-stream")],
    ids=["zstd", "zlib"],
)
def test_events_resumes_and_broken_frames_in_a_compressed_stream(
    replicas: ReplicasFactory, local_discord: LocalDiscord, bot: Path, compression: str
) -> None:
    (replica,) = fleet = replicas(bot, 1, env={"TESTS_COLD": "1"})
    fleet.wait_ready(60)
    assert [session["compression"] for session in local_discord.sessions()] == [compression]
    channel = local_discord.channel_ids[0]

    def answers(count: int) -> None:
        wait_for(lambda: len(answered(local_discord)) == count, 20, f"{count} answers")

    local_discord.send(channel, "!ping 1")
    local_discord.send(
        channel, "!ping 2 " + "\N{SNOWMAN} long and not ASCII " * 70
    )  # several WebSocket frames
    answers(2)
    # Each socket has a stream of its own: the next one begins anew, in the middle of the session.
    local_discord.reconnect()
    wait_for(lambda: any(each["resumed"] for each in local_discord.sessions()), 20, "a RESUME")
    local_discord.send(channel, "!ping 3")
    answers(3)
    # What no decompressor reads ends the connection, not the process.
    assert local_discord.frame(b"no stream goes on like this\x00\x00\xff\xff") == 1
    wait_for(lambda: any(each["resumed"] >= 2 for each in local_discord.sessions()), 20, "another RESUME")
    local_discord.send(channel, "!ping 4")
    answers(4)
    assert replica.alive
