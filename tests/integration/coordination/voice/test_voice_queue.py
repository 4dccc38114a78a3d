"""The voice queue on a real etcd, and the same in memory: order, one at a time, TTL."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from voice_node import GUILD, send

from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.voice.queue import VoiceQueue
from discordha.errors import DiscordHAError, VoiceCommandExpired
from discordha.testing import wait_for


def test_a_stop_ends_the_wait_for_a_worker(queue: Callable[..., VoiceQueue]) -> None:
    voice = queue()
    errors: list[DiscordHAError] = []

    def wait() -> None:
        try:
            send(voice, "one.ogg", wait=True)
        except DiscordHAError as error:
            errors.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    wait_for(lambda: voice.view.entries, 5, "the command")
    voice.stop()
    thread.join(5)
    assert not thread.is_alive(), "it waits for a worker until the command's time is over"
    assert "the bot stops" in str(errors[0])


def be_patient(voice: VoiceQueue) -> None:
    """From here on a command waits for its worker, however late that is."""
    voice._waiting.stop()
    voice._ttl, voice._waiting = 30.0, RetentionLeases(voice._backend.store, retention=30)
    voice._waiting.start()


def test_in_order_one_at_a_time(queue: Callable[..., VoiceQueue]) -> None:
    voice = queue()
    for number in range(5):
        send(voice, f"{number}")
    with voice.consume("music") as consumer:
        files = []
        for number in range(5):
            delivery = consumer.get(10)
            assert delivery is not None
            assert consumer.get(0.05) is None, "the next came before the acknowledgement"
            assert [entry.file for entry in consumer.waiting(GUILD)] == [str(n) for n in range(number + 1, 5)]
            files.append(delivery.file)
            assert (delivery.channel_id, delivery.user_id, delivery.attempt, delivery.position) == (
                12,
                13,
                1,
                0,
            )
            delivery.ack()
            delivery.ack()
        assert files == ["0", "1", "2", "3", "4"]
        assert consumer.get(0.1) is None


def test_other_actions_overtake(queue: Callable[..., VoiceQueue]) -> None:
    voice = queue()
    send(voice, "song")
    send(voice, "next")
    with voice.consume("music") as consumer:
        song = consumer.get(10)
        assert song is not None
        assert song.file == "song"
        send(voice, "", action="skip")
        skip = consumer.get(10)
        assert skip is not None
        assert skip.action == "skip"
        skip.ack()
        song.ack()
        following = consumer.get(10)
        assert following is not None
        assert following.file == "next"


def test_sent_again_is_not_queued_again(queue: Callable[..., VoiceQueue]) -> None:
    voice = queue()
    for _ in range(3):
        send(voice, "once", command_id="same")
    with voice.consume("music") as consumer:
        delivery = consumer.get(10)
        assert delivery is not None
        send(voice, "once", command_id="same")
        delivery.ack()
        begun = time.monotonic()
        send(voice, "once", command_id="same", wait=True)
        assert time.monotonic() - begun < 10, "it waited for what has been done"
        assert consumer.get(0.3) is None


def test_nobody_takes_it(queue: Callable[..., VoiceQueue]) -> None:
    voice = queue(ttl=1.0)
    with pytest.raises(VoiceCommandExpired, match=r"no worker of 'music' .* within 1 s"):
        send(voice, "song", wait=True)
    be_patient(voice)
    with voice.consume("music") as consumer:
        assert consumer.get(0.2) is None, "a command that was reported as expired is delivered"
        send(voice, "song", wait=True)
        delivery = consumer.get(10)
        assert delivery is not None
        # Taken, and behind one that plays: that is no reason to report it.
        send(voice, "another", wait=True)
        delivery.ack()


def test_a_module_at_a_time(queue: Callable[..., VoiceQueue]) -> None:
    voice = queue(ttl=1.0)
    assert voice.lock("music", GUILD)
    assert voice.lock("music", GUILD), "it is this replica's already"
    assert not voice.lock("tts", GUILD)
    assert not voice.unlock("tts", GUILD)
    with voice.consume("tts", linger=0.0) as consumer:
        with pytest.raises(VoiceCommandExpired):
            send(voice, "hello", module_id="tts", wait=True)
        be_patient(voice)
        with voice.consume("music", linger=0.0) as music:
            send(voice, "song")
            song = music.get(10)
            assert song is not None, "the holder of the lock may not play itself"
            assert voice.unlock("music", GUILD)
            assert not voice.unlock("music", GUILD)
            song.ack()
            wait_for(lambda: voice.view.owner(GUILD) is None, 5, "the release")
        send(voice, "hello", module_id="tts")
        delivery = consumer.get(10)
        assert delivery is not None
        delivery.ack()
        wait_for(lambda: voice.lock("music", GUILD), 5, "the release")
        assert voice.unlock("music", GUILD)


def test_a_second_consumer_of_a_module_is_refused(queue: Callable[..., VoiceQueue]) -> None:
    voice = queue()
    with voice.consume("music"), pytest.raises(DiscordHAError, match="already"):
        voice.consume("music")
    voice.consume("music").close()
    voice.stop()
    with pytest.raises(DiscordHAError, match="stops"):
        send(voice, "late")


def test_stop_ends_the_iteration(queue: Callable[..., VoiceQueue]) -> None:
    voice = queue()
    consumer = voice.consume("music")
    ended = threading.Event()

    def consume() -> None:
        for delivery in consumer:
            delivery.ack()
        ended.set()

    thread = threading.Thread(target=consume)
    thread.start()
    send(voice, "song", wait=True)
    voice.stop()
    assert ended.wait(10)
    thread.join()
