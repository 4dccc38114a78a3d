"""The five calls of the original on a running bot, with etcd and without."""

from __future__ import annotations

from collections.abc import Iterator

import discord
import pytest

from discordha import Config, DiscordHA, LockLost, VoiceCommand
from discordha.context import CurrentEvent, handler_scope
from discordha.testing import LocalDiscord, LocalEtcd, wait_for


@pytest.fixture(params=[True, False], ids=["etcd", "alone"])
def bot(
    request: pytest.FixtureRequest, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> Iterator[DiscordHA]:
    env = {**local_etcd.env(), **local_discord.env()} if request.param else local_discord.env()
    name = {"name": namespace} if request.param else {}
    config = Config.from_env(env, ha=request.param, intents=discord.Intents.default(), **name)
    with DiscordHA(config) as bot:
        yield bot


def test_lock_send_watch_unlock(bot: DiscordHA) -> None:
    assert bot.lock_voice("music", 11)
    assert not bot.lock_voice("tts", 11)
    command = VoiceCommand("music", 11, 12, "song.mp3", 13)
    bot.send_voice_command(command)
    bot.send_voice_command(VoiceCommand("tts", 11, 12, "hello.mp3", 13))
    with bot.watch_voice_commands("music") as music, bot.watch_voice_commands("tts") as tts:
        delivery = music.get(10)
        assert delivery is not None
        assert (delivery.command, delivery.action, delivery.attempt) == (command, "play", 1)
        assert delivery.fencing_token > 0
        assert tts.get(0.3) is None, "it plays where another module has the lock"
        delivery.ack()
        assert bot.unlock_voice("music", 11)
        other = tts.get(10)
        assert other is not None
        assert other.fencing_token > delivery.fencing_token
        other.ack()
        for delivery in iter(lambda: music.get(0.1), None):
            pytest.fail(f"{delivery} came again")


def test_a_handler_that_runs_again_queues_once(bot: DiscordHA) -> None:
    """The event identifies its commands, like its messages."""
    lost = False
    event = CurrentEvent("1234", "message", 1, 0, 7, 0, lambda: lost)
    for _ in range(2):
        with handler_scope(event, "on_message"):
            for file in ("one.mp3", "two.mp3"):
                bot.send_voice_command(VoiceCommand("music", 11, 12, file), wait=False)
    got = []
    with bot.watch_voice_commands("music") as deliveries:
        for _ in range(2):
            delivery = deliveries.get(10)
            assert delivery is not None
            got.append(delivery.file)
            delivery.ack()
        assert got == ["one.mp3", "two.mp3"]
        assert deliveries.get(0.3) is None
    lost = True
    with handler_scope(event, "on_message"), pytest.raises(LockLost):
        bot.send_voice_command(VoiceCommand("music", 11, 12, "three.mp3"))


def test_stop_ends_a_watch(bot: DiscordHA) -> None:
    deliveries = bot.watch_voice_commands("music")
    bot.send_voice_command(VoiceCommand("music", 11, 12, "song.mp3"), wait=True)
    got = [deliveries.get(10)]
    assert got[0] is not None
    bot.stop()
    wait_for(lambda: deliveries.closed, 5, "the end")
    assert list(deliveries) == []
    assert got[0].lost
