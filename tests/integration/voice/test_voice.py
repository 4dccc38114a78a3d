"""Voice over real sockets and UDP: the local Discord records the bot's sound, and the tests measure it."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fleet import BOTS, logs, per_replica
from tones import needs_voice, write_tones

from discordha.testing import FaultProxy, LocalDiscord, LocalEtcd, Replicas, wait_for
from discordha.testing.discord.voice_records import VoiceRecording
from discordha.testing.plugin import ReplicasFactory

pytestmark = needs_voice

STEP = 0.5
LOWEST, RISE = 300.0, 100.0


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``tone.wav`` and ``short.wav``: 10 and 5 s of 440 Hz. ``steps.wav`` and ``long.wav``: 8 and 20 s whose
    pitch tells where.
    """
    folder = tmp_path_factory.mktemp("sounds")
    write_tones(folder / "tone.wav", [440.0], 10.0)
    write_tones(folder / "short.wav", [440.0], 5.0)
    write_tones(folder / "steps.wav", [LOWEST + RISE * step for step in range(16)], STEP)
    write_tones(folder / "long.wav", [LOWEST + RISE * step for step in range(40)], STEP)
    write_tones(folder / "low.wav", [440.0], 3.0)
    write_tones(folder / "high.wav", [1760.0], 0.5)
    return folder


@pytest.fixture
def discord(local_discord: LocalDiscord) -> LocalDiscord:
    local_discord.reset(guilds=2)
    return local_discord


StartVoice = Callable[..., Replicas]

#: The session's TTL in seconds, where a test waits for the end of one. Elsewhere sessions last longer, as a
#: busy machine stands still for a moment.
SHORT_TTL = 2


@pytest.fixture
def start(replicas: ReplicasFactory, discord: LocalDiscord, sounds: Path) -> StartVoice:
    def start(count: int, *, ttl: int = 5) -> Replicas:
        fleet = replicas(
            BOTS / "voice.py",
            count,
            discord=None,
            env={"DISCORDHA_SESSION_TTL": str(ttl), "SOUNDS": str(sounds)},
            per_replica_env=per_replica(discord),
        )
        fleet.wait_ready(60)
        return fleet

    return start


def say(discord: LocalDiscord, content: str, guild: int = 0) -> None:
    channels = len(discord.channel_ids) // len(discord.guild_ids)
    discord.send(discord.channel_ids[guild * channels], content, discord.user_ids[0])


def heard(discord: LocalDiscord, guild: int = 0) -> list[VoiceRecording]:
    return discord.voice_recordings(discord.guild_ids[guild])


def sessions(discord: LocalDiscord, guild: int = 0) -> list[dict[str, Any]]:
    """The voice sessions without their sound, which are cheap to ask for."""
    guild_id = discord.guild_ids[guild]
    return [session for session in discord.voice_sessions() if session["guild_id"] == guild_id]


def seconds(discord: LocalDiscord, session: int = 0) -> float:
    """The seconds of sound in a session of the first guild, with silence."""
    found = sessions(discord)
    return found[session]["packets"] * 0.02 if len(found) > session else 0.0


def playing(discord: LocalDiscord, guild: int = 0) -> bool:
    return any(
        session["ended"] is None and session["first"] is not None for session in sessions(discord, guild)
    )


def refused(recording: VoiceRecording) -> list[float]:
    """Arrival times of refused packets, without the first ones, which may overtake their SPEAKING."""
    return [at for at in recording.rejected if at > recording.packets[0].at]


def position(tone: float) -> float:
    """The second of ``steps.wav`` at which the step with a pitch begins."""
    return round((tone - LOWEST) / RISE) * STEP


def test_two_guilds_hear_the_tone(start: StartVoice, discord: LocalDiscord) -> None:
    start(1)
    for guild in range(2):
        say(discord, "!play short.wav", guild)
    for guild in range(2):
        wait_for(lambda guild=guild: playing(discord, guild), 30, "the sound")
    for guild in range(2):
        wait_for(lambda guild=guild: not playing(discord, guild), 40, "the bot to leave")
    for guild in range(2):
        (recording,) = heard(discord, guild)
        assert recording.why_ended == "left"
        assert recording.undecodable == 0
        assert not refused(recording)
        assert abs(recording.seconds - 5.0) <= 0.1
        sequences = [packet.sequence for packet in recording.packets]
        assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
        for tone in recording.frequencies()[1:-1]:
            assert abs(tone - 440.0) < 1.0
        gaps = recording.gaps()
        # Reported only: delays depend on the load of this machine.
        print(f"guild {guild}: {recording.seconds:.2f} s, longest gap {max(gaps) * 1000:.0f} ms")
        arrived = recording.packets[-1].at - recording.packets[0].at
        assert 2.5 < arrived < 10.0, "not at the pace at which it is heard"


def test_another_worker_goes_on_after_a_kill(start: StartVoice, discord: LocalDiscord) -> None:
    fleet = start(2, ttl=SHORT_TTL)
    say(discord, "!play steps.wav")
    wait_for(lambda: playing(discord), 30, "the sound")
    (first,) = heard(discord)
    began = first.packets[0].at
    wait_for(lambda: time.monotonic() - began >= 4.0, 10, "four seconds", interval=0.01)
    victim = int(first.replica.removeprefix("r"))
    fleet[victim].kill()
    killed = time.monotonic()
    wait_for(lambda: seconds(discord, 1) > 0.2, 30, lambda: logs(fleet))
    wait_for(lambda: not playing(discord), 40, "the end")
    first, second = heard(discord)
    assert second.replica != first.replica
    # etcd counts the TTL in whole seconds, and checks twice a second.
    late = second.packets[0].at - killed
    assert late < SHORT_TTL + 1.5 + 2.0 + 3.0
    tones = second.frequencies()
    went_on = position(tones[1])
    reached = first.seconds
    print(f"killed at {reached:.2f} s, {late:.2f} s later on at {went_on:.1f} s, {second.seconds:.2f} s long")
    assert 2.0 < reached < 7.0
    assert abs(went_on - reached) <= 1.0
    assert abs(second.seconds - (8.0 - reached)) <= 1.0
    assert max(position(tone) for tone in tones) == 7.5, "it did not play to the end"


def test_a_worker_cut_off_from_etcd_is_silent_before_another_plays(
    replicas: ReplicasFactory, discord: LocalDiscord, sounds: Path
) -> None:
    """The worker plays while its lease lives, and leaves the channel to the other."""
    with (
        LocalEtcd(members=1) as etcd,
        FaultProxy.to(etcd.endpoints[0]) as one,
        FaultProxy.to(etcd.endpoints[0]) as two,
    ):
        proxies = [one, two]
        fleet = replicas(
            BOTS / "voice.py",
            2,
            etcd=etcd,
            discord=None,
            env={"DISCORDHA_SESSION_TTL": str(SHORT_TTL), "SOUNDS": str(sounds)},
            per_replica_env=lambda index: {
                **discord.env(f"r{index}"),
                "DISCORDHA_ETCD_ENDPOINTS": proxies[index].endpoint,
            },
        )
        fleet.wait_ready(60)
        say(discord, "!play steps.wav")
        wait_for(lambda: seconds(discord) > 2.0, 30, "the sound")
        proxies[int(heard(discord)[0].replica.removeprefix("r"))].black_hole()
        wait_for(lambda: seconds(discord, 1) > 1.0, 30, lambda: logs(fleet))
        say(discord, "!stop")
        wait_for(lambda: not playing(discord), 20, "the end")
        first, second = heard(discord)
        assert second.replica != first.replica
        assert not refused(first), "it played on after another had joined"
        assert first.packets[-1].at < second.began, "it was not silent before another joined"
        assert second.why_ended == "left", "the one that was cut off took the bot out of the channel"
        behind = first.seconds - position(second.frequencies()[1])
        print(f"cut off at 2 s, silent at {first.seconds:.2f} s, the other began {behind:.2f} s before that")
        assert -0.5 <= behind <= 4.0


def test_another_worker_goes_on_at_once_after_a_drain(start: StartVoice, discord: LocalDiscord) -> None:
    fleet = start(2, ttl=10)
    say(discord, "!play steps.wav")
    wait_for(lambda: playing(discord), 30, "the sound")
    wait_for(lambda: seconds(discord) > 2.0, 20, "two seconds")
    drained = fleet[int(heard(discord)[0].replica.removeprefix("r"))]
    drained.drain()
    wait_for(lambda: seconds(discord, 1) > 0.2, 20, lambda: logs(fleet))
    assert drained.wait_exit(30) == 0
    wait_for(lambda: seconds(discord, 1) > 1.0, 20, "a second")
    say(discord, "!stop")
    wait_for(lambda: not playing(discord), 20, "the end")
    first, second = heard(discord)
    pause = second.packets[0].at - first.packets[-1].at
    print(f"handed over in {pause:.2f} s")
    assert pause < 5.0, "the take-over waited for the session's end"
    assert abs(position(second.frequencies()[1]) - first.seconds) <= 0.75
    assert first.why_ended == "taken over by another session"
    assert second.why_ended == "left", "the drained worker took the bot out of the channel"


def test_sound_board(start: StartVoice, discord: LocalDiscord) -> None:
    """Overlay, skip, volume, the queue's order, a moderator, a lost voice socket."""
    fleet = start(1)
    say(discord, "!play low.wav")
    say(discord, "!play long.wav")  # long enough not to end before it is skipped
    wait_for(lambda: playing(discord), 30, "the sound")
    say(discord, "!overlay high.wav")
    wait_for(lambda: seconds(discord) > 4.0, 20, "the next sound")
    recording = heard(discord)[0]
    loudness = strength(recording, 1760.0)
    assert max(loudness) > 20 * min(loudness[:4] + loudness[-2:]) + 1, "nothing was heard over the tone"
    # discord.py leaves and joins again; if that hangs, the worker does. The sound waits.
    assert discord.voice_disconnect(discord.guild_ids[0], code=4000) == 1
    wait_for(
        lambda: len(sessions(discord)) > 1 and len(heard(discord)[-1].frequencies()) > 2,
        30,
        lambda: logs(fleet),
        interval=0.1,
    )
    before, *_, after = heard(discord)
    assert before.why_ended == "left"
    lost = position(after.frequencies()[1]) - position(before.frequencies()[-1])
    assert -0.5 <= lost <= 1.0, "the sound did not go on where it was"
    say(discord, "!volume 0.1")
    wait_for(lambda: loudest(heard(discord)[-1], 0.3) < 2_000, 20, lambda: logs(fleet), interval=0.1)
    say(discord, "!play tone.wav")
    say(discord, "!skip")
    wait_for(
        lambda: abs(heard(discord)[-1].frequencies()[-1] - 440.0) < 2, 20, lambda: logs(fleet), interval=0.1
    )
    taken = len(discord.messages())
    say(discord, "!play low.wav")
    wait_for(lambda: len(discord.messages()) > taken, 20, "the command to be taken")
    kicked = len(sessions(discord)) - 1
    discord.voice_kick(discord.guild_ids[0])
    wait_for(lambda: "a moderator took the bot out" in fleet[0].log_text(), 20, "the news")
    say(discord, "!play high.wav")
    wait_for(lambda: seconds(discord, kicked + 1) > 0.2, 30, lambda: logs(fleet))
    wait_for(lambda: not playing(discord), 20, "the end")
    again = heard(discord)[kicked + 1]
    assert abs(again.seconds - 0.5) <= 0.04, "the queue was not emptied"
    assert heard(discord)[kicked].why_ended == "kicked"


def strength(recording: VoiceRecording, tone: float, window: float = 0.25) -> list[float]:
    """The loudness of a pitch in each window, by Goertzel's algorithm."""
    samples = recording.samples()
    size = int(window * 48_000)
    factor = 2 * math.cos(2 * math.pi * tone / 48_000)
    found = []
    for start in range(0, len(samples) - size + 1, size):
        one = two = 0.0
        for sample in samples[start : start + size]:
            one, two = sample + factor * one - two, one
        found.append(math.sqrt(max(one * one + two * two - factor * one * two, 0.0)) / size)
    return found


def loudest(recording: VoiceRecording, seconds: float) -> int:
    return max(abs(sample) for sample in recording.samples()[-int(seconds * 48_000) :])


def test_a_thousand_commands(replicas: ReplicasFactory, discord: LocalDiscord) -> None:
    """From three replicas over twenty guilds: each is played once, in order by sender and guild."""
    fleet = replicas(
        BOTS / "voice.py", 3, discord=None, env={"NULL": "1"}, per_replica_env=per_replica(discord)
    )
    fleet.wait_ready(60)
    for replica in fleet:
        wait_for(lambda replica=replica: "watching" in replica.log_text(), 20, "a worker")
    begun = time.monotonic()
    say(discord, "!many 334 333 333")

    def played() -> list[list[tuple[int, int, int]]]:
        found = []
        for replica in fleet:
            text = replica.log_text()
            found.append(
                [
                    (int(guild), int(sender), int(number))
                    for guild, sender, number in re.findall(r"played (\d+) r(\d)-(\d+)", text)
                ]
            )
        return found

    wait_for(lambda: sum(len(each) for each in played()) >= 1000, 90, lambda: logs(fleet), interval=0.2)
    print(f"1,000 commands in {time.monotonic() - begun:.1f} s")
    everything = [command for each in played() for command in each]
    assert len(everything) == len(set(everything)) == 1000
    for each in played():
        for guild, sender in {(guild, sender) for guild, sender, _ in each}:
            numbers = [number for g, s, number in each if (g, s) == (guild, sender)]
            assert numbers == sorted(numbers)
    assert sum(bool(each) for each in played()) >= 2, "one worker did everything"
