"""Voice without a gateway: tracks and the mixer."""

from __future__ import annotations

import array
import functools
import http.server
import importlib.util
import math
import threading
import time
import wave
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import discord
import pytest

from discordha.errors import DiscordHAError
from discordha.testing import wait_for
from discordha.voice import codec
from discordha.voice.codec import FRAME_BYTES, OpusDecoder, OpusEncoder
from discordha.voice.mixer import SILENCE, Mixer
from discordha.voice.tracks import READ_AHEAD, Track, open_track

#: Voice is an extra; not every machine has builds of its packages.
pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("nacl", "davey", "av", "imageio_ffmpeg")),
    reason="discordha[voice] is not installed",
)

# -- sounds --------------------------------------------------------------------------------------------------


def tone(frequency: float, frames: int, loud: int = 12_000) -> list[bytes]:
    """Frames of a sine on both channels."""
    made = []
    for frame in range(frames):
        samples = array.array("h")
        for index in range(960):
            value = int(loud * math.sin(2 * math.pi * frequency * (frame * 960 + index) / 48_000))
            samples.extend((value, value))
        made.append(samples.tobytes())
    return made


def peak(pcm: bytes) -> int:
    return max(abs(sample) for sample in array.array("h", pcm))


class Frames(discord.AudioSource):
    """A source with given frames, PCM or Opus."""

    def __init__(self, frames: list[bytes], *, opus: bool = False) -> None:
        self.frames = list(frames)
        self.opus = opus
        self.cleaned = False

    def read(self) -> bytes:
        return self.frames.pop(0) if self.frames else b""

    def is_opus(self) -> bool:
        return self.opus

    def cleanup(self) -> None:
        self.cleaned = True


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    """A second of silence, then a second of sound."""
    path = tmp_path / "steps.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 48_000, 0, "NONE", ""))
        file.writeframes(bytes(FRAME_BYTES * 50) + b"".join(tone(440.0, 50)))
    return path


def drain(track: Track) -> Iterator[bytes]:
    while True:
        assert track.wait_ready(20)
        frame = track.frame()
        if frame == b"":
            return
        if frame is not None:
            yield frame


def test_a_file_from_its_beginning_and_from_a_position(steps: Path) -> None:
    whole = open_track(steps)
    frames = list(drain(whole))
    assert len(frames) == 100
    assert whole.seconds == pytest.approx(2.0)
    assert peak(frames[25]) == 0
    assert peak(frames[75]) > 10_000
    whole.close()
    part = open_track(str(steps), 1.5)
    assert part.seconds == pytest.approx(1.5)
    frames = list(drain(part))
    assert 24 <= len(frames) <= 26
    assert peak(frames[0]) > 10_000
    part.close()
    part.close()


def test_an_http_address(steps: Path) -> None:
    handler = functools.partial(QuietHandler, directory=str(steps.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            track = open_track(f"http://127.0.0.1:{server.server_port}/{steps.name}", 1.5)
            frames = list(drain(track))
            track.close()
        finally:
            server.shutdown()
            thread.join()
    assert 24 <= len(frames) <= 26
    assert peak(frames[0]) > 10_000


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        return


def test_a_file_without_sound_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DiscordHAError, match=r"the sound .*missing\.wav.* does not exist"):
        open_track(tmp_path / "missing.wav")
    text = tmp_path / "text.wav"
    text.write_text("not a sound")
    track = open_track(text)
    assert list(drain(track)) == []
    assert isinstance(track.error, DiscordHAError)
    assert "ffmpeg can't play" in str(track.error)
    track.close()


def test_a_file_may_not_lead_to_another(tmp_path: Path) -> None:
    """A playlist with an address, disguised as a sound."""
    listing = tmp_path / "list.m3u8"
    listing.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/secret.ts\n#EXT-X-ENDLIST\n")
    track = open_track(listing)
    assert list(drain(track)) == []
    assert track.error is not None
    track.close()


def test_closing_ends_a_source_that_waits(tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    class Slow(Frames):
        def read(self) -> bytes:
            entered.set()
            leave.wait(20)
            return b""

        def cleanup(self) -> None:
            leave.set()

    track = open_track(Slow([]))
    assert entered.wait(10)
    assert track.frame() is None
    track.close()
    assert not any(thread.name == "discordha-voice-read" for thread in threading.enumerate())


def test_a_second_is_read_ahead_at_the_most() -> None:
    source = Frames([bytes(FRAME_BYTES)] * 500)
    track = open_track(source)
    wait_for(lambda: len(source.frames) <= 450, 10, "the reader")
    time.sleep(0.05)  # time for a faulty reader to read more
    assert len(source.frames) >= 449
    track.close()
    assert source.cleaned


# -- the mixer -----------------------------------------------------------------------------------------------


class Hall:
    """A mixer, and the sound that it gives."""

    def __init__(self) -> None:
        self.lost = False
        self.ended: list[Track] = []
        self.mixer = Mixer(lambda: self.lost, self.ended.append)
        self.decoder = OpusDecoder()

    def hear(self, frames: int) -> list[int]:
        """The loudness of the next frames: -1 for the silent frame, -2 for the end."""
        found = []
        for _ in range(frames):
            opus = self.mixer.read()
            found.append(-2 if not opus else -1 if opus == SILENCE else peak(self.decoder.decode(opus)))
        return found


def ready(source: discord.AudioSource, position: float = 0.0, *, frames: int = READ_AHEAD) -> Track:
    """A track that has read ``frames`` ahead, or all, so that it can't be behind."""
    track = open_track(source, position)
    assert track.wait_ready(10, frames=frames)
    return track


@pytest.fixture
def hall() -> Hall:
    return Hall()


def test_volume_overlay_and_the_end(hall: Hall) -> None:
    mixer = hall.mixer
    track = ready(Frames(tone(440, 40, 8_000)))
    mixer.play(track)
    loud = hall.hear(10)
    assert 7_000 < loud[-1] < 9_000
    mixer.volume = 0.25
    assert 1_500 < hall.hear(5)[-1] < 2_500
    mixer.volume = 9.0
    assert mixer.volume == 2.0
    mixer.volume = 1.0
    mixer.overlay(ready(Frames(tone(1000, 10, 8_000))))
    assert max(hall.hear(10)[3:]) > 12_000
    assert hall.hear(8)[-1] < 9_500
    rest = hall.hear(60)
    wait_for(lambda: hall.ended == [track], 5, "the end")
    assert track.seconds == pytest.approx(0.8)
    assert rest[-1] == -2
    assert 0 < rest.count(-1) <= 30
    assert mixer.idle
    track.close()


def test_pause_keeps_the_position_and_overlays_are_heard(hall: Hall) -> None:
    track = ready(Frames(tone(440, 30)))
    hall.mixer.play(track)
    hall.hear(5)
    hall.mixer.paused = True
    assert hall.hear(10) == [-1] * 10
    assert track.seconds == pytest.approx(0.1)
    hall.mixer.overlay(ready(Frames(tone(880, 5))))
    assert max(hall.hear(5)) > 5_000
    hall.mixer.paused = False
    assert hall.hear(3)[-1] > 5_000
    assert hall.mixer.stop() is track
    hall.mixer.clear()
    track.close()


def test_a_lost_guild_is_silent_from_the_next_frame(hall: Hall) -> None:
    track = ready(Frames(tone(440, 30)))
    hall.mixer.play(track)
    assert hall.hear(2)[-1] > 5_000
    hall.lost = True
    assert hall.hear(1) == [-2]
    track.close()


def test_opus_goes_through_until_something_is_mixed_in(hall: Hall) -> None:
    encoder = OpusEncoder()
    frames = [encoder.encode(frame) for frame in tone(440, 40)]
    track = ready(Frames(frames, opus=True))
    hall.mixer.play(track)
    assert [hall.mixer.read() for _ in range(5)] == frames[:5]
    hall.mixer.volume = 0.5
    assert hall.mixer.read() != frames[5]
    hall.mixer.volume = 1.0
    hall.mixer.overlay(ready(Frames(tone(1000, 3))))
    assert hall.mixer.read() != frames[6]
    hall.mixer.clear()
    assert hall.mixer.read() == frames[7]
    track.close()
    later = ready(Frames(frames, opus=True), 0.2)
    assert later.frame() == frames[10]
    later.close()


def test_a_source_that_is_behind_is_silence_that_does_not_count(hall: Hall) -> None:
    go_on = threading.Event()

    class Late(Frames):
        def read(self) -> bytes:
            if len(self.frames) == 3:
                go_on.wait(20)
            return super().read()

    track = ready(Late(tone(440, 6)), frames=3)
    hall.mixer.play(track)
    wait_for(lambda: hall.hear(1) == [-1], 10, "the source to be behind")
    assert track.seconds == pytest.approx(0.06)
    go_on.set()
    wait_for(lambda: hall.hear(1)[0] > 5_000, 10, "the source to go on")
    track.close()


def test_the_codec_keeps_the_sound() -> None:
    encoder, decoder = OpusEncoder(), OpusDecoder()
    heard = b"".join(decoder.decode(encoder.encode(frame)) for frame in tone(440, 50))
    assert len(heard) == 50 * FRAME_BYTES
    left = array.array("h", heard)[::2][4_800:]
    rising = sum(1 for before, after in pairwise(left) if before < 0 <= after)
    assert rising == pytest.approx(440 * len(left) / 48_000, abs=2)
    assert pytest.approx(1.0) == codec.FRAME_SECONDS * 50
