"""Voice without a gateway: commands, and what is missing for a worker."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
import sys
from pathlib import Path

import discord
import pytest

import discordha
from discordha.errors import ConfigError, DiscordHAError
from discordha.voice.codec import OpusEncoder, find_ffmpeg

#: Voice is an extra; not every machine has builds of its packages.
pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("nacl", "davey", "av", "imageio_ffmpeg")),
    reason="discordha[voice] is not installed",
)


def test_a_command_has_the_originals_fields() -> None:
    command = discordha.VoiceCommand("music", "123", 456, "a.mp3", "789")  # type: ignore[arg-type]
    assert [field.name for field in dataclasses.fields(command)] == [
        "module_id",
        "guild_id",
        "channel_id",
        "file",
        "user_id",
    ]
    assert (command.guild_id, command.channel_id, command.user_id) == (123, 456, 789)
    assert command == discordha.VoiceCommand("music", 123, 456, "a.mp3", 789)
    with pytest.raises(dataclasses.FrozenInstanceError):
        command.file = "b.mp3"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("module_id", ""),
        ("module_id", "a/b"),
        ("module_id", 1),
        ("guild_id", 0),
        ("guild_id", "abc"),
        ("guild_id", True),
        ("channel_id", -1),
        ("channel_id", None),
        ("user_id", 2**64),
        ("user_id", 1.5),
        ("file", None),
        ("file", "a\0b"),
        ("file", "x" * 5000),
    ],
)
def test_impossible_commands_are_refused(field: str, value: object) -> None:
    fields = {
        "module_id": "music",
        "guild_id": 1,
        "channel_id": 2,
        "file": "a.mp3",
        "user_id": 3,
        field: value,
    }
    with pytest.raises(ConfigError) as caught:
        discordha.VoiceCommand(**fields)  # type: ignore[arg-type]
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("action", "file"), [("dance", "a"), ("volume", "loud"), ("volume", "3"), ("play", ""), ("overlay", "")]
)
def test_impossible_actions_are_refused(action: str, file: str) -> None:
    ha = discordha.DiscordHA(token="a.b.c", intents=discord.Intents.none(), ha=False)
    with pytest.raises(ConfigError):
        ha.send_voice_command(discordha.VoiceCommand("music", 1, 2, file), action=action)
    with pytest.raises(DiscordHAError, match="does not run"):
        ha.send_voice_command(discordha.VoiceCommand("music", 1, 2, "a"))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "nacl" else found(name))
    ha = discordha.DiscordHA(token="a.b.c", intents=discord.Intents.none(), ha=False)
    with pytest.raises(ConfigError, match=r"PyNaCl .* pip install 'discordha\[voice\]'"):
        discordha.VoiceWorker(ha, "music")


def test_missing_intents_and_second_workers_are_refused() -> None:
    ha = discordha.DiscordHA(token="a.b.c", intents=discord.Intents.none(), ha=False)
    with pytest.raises(ConfigError, match="voice_states"):
        discordha.VoiceWorker(ha, "music")
    ha = discordha.DiscordHA(token="a.b.c", intents=discord.Intents.default(), ha=False)
    discordha.VoiceWorker(ha, "music")
    with pytest.raises(ConfigError, match="already"):
        discordha.VoiceWorker(ha, "music")
    with pytest.raises(ConfigError, match="linger"):
        discordha.VoiceWorker(ha, "other", linger=-1)


def test_missing_opus_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)

    def refuse(*args: object, **kwargs: object) -> None:
        raise discord.opus.OpusNotLoaded

    monkeypatch.setattr(discord.opus, "Encoder", refuse)
    with pytest.raises(ConfigError, match=r"the package av brings it .* libopus"):
        OpusEncoder()


def test_ffmpeg_from_the_path_else_from_the_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "ffmpeg"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_ffmpeg() == str(own)
    own.unlink()
    assert "imageio_ffmpeg" in find_ffmpeg()
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ConfigError, match="imageio-ffmpeg"):
        find_ffmpeg()
    assert shutil.which("ffmpeg") is None
