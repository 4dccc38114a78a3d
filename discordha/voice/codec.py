"""Opus and ffmpeg: where they come from on this machine.

Promises: Opus from the ``av`` package, which brings its own, else from the system's libopus; ffmpeg from
PATH, else from the ``imageio-ffmpeg`` package; what is missing is named in the error, with how to install it.

Concurrency: an encoder or a decoder is used by one thread at a time. Nothing to stop.
"""

from __future__ import annotations

import importlib.util
import shutil
from fractions import Fraction
from typing import Any

import discord

from discordha.errors import ConfigError

__all__ = ["FRAME_BYTES", "FRAME_SECONDS", "OpusDecoder", "OpusEncoder", "check_voice", "find_ffmpeg"]

RATE = 48_000
#: One frame: 20 ms of two channels of 16 bits.
FRAME_SECONDS = 0.02
FRAME_SAMPLES = 960
FRAME_BYTES = FRAME_SAMPLES * 4
_INSTALL = "pip install 'discordha[voice]'"


def check_voice() -> None:
    """Makes sure that this process can play.

    :raises ConfigError: a package is missing; names it.
    """
    for module, package, purpose in (
        ("nacl", "PyNaCl", "encrypt what is sent"),
        ("davey", "davey", "take part in Discord's end-to-end encryption"),
    ):
        if importlib.util.find_spec(module) is None:
            raise ConfigError(f"voice needs the package {package} to {purpose}: {_INSTALL}")
    OpusEncoder()
    find_ffmpeg()


def find_ffmpeg() -> str:
    """The ffmpeg program.

    :raises ConfigError: there is none.
    """
    found = shutil.which("ffmpeg")
    if found is not None:
        return found
    try:
        import imageio_ffmpeg  # type: ignore[import-untyped]

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise ConfigError(
            f"voice needs ffmpeg to read files: install it (Debian: ffmpeg), or the package imageio-ffmpeg, "
            f"which brings it: {_INSTALL}"
        ) from None


class OpusEncoder:
    """Makes Opus of PCM, one frame after another.

    :param bitrate: bits a second.
    :raises ConfigError: there is no Opus.
    """

    def __init__(self, bitrate: int = 128_000) -> None:
        self._av: Any = None
        self._codec: Any
        self._time = 0
        try:
            import av

            self._av = av
            codec = self._codec = av.CodecContext.create("libopus", "w")
            codec.sample_rate = RATE
            codec.layout = "stereo"
            codec.format = "s16"
            codec.bit_rate = bitrate
            codec.time_base = Fraction(1, RATE)
            codec.open()
        except (ImportError, ValueError):
            self._av = None
            self._codec = _system_opus(lambda: discord.opus.Encoder(bitrate=bitrate // 1000))

    def encode(self, pcm: bytes) -> bytes:
        """One frame. A millisecond's work at the most."""
        if self._av is None:
            return bytes(self._codec.encode(pcm, FRAME_SAMPLES))
        frame = self._av.AudioFrame(format="s16", layout="stereo", samples=FRAME_SAMPLES)
        frame.sample_rate = RATE
        frame.pts = self._time
        frame.time_base = self._codec.time_base
        frame.planes[0].update(pcm)
        self._time += FRAME_SAMPLES
        return b"".join(bytes(packet) for packet in self._codec.encode(frame))


class OpusDecoder:
    """Makes PCM of Opus, one frame after another.

    :raises ConfigError: there is no Opus.
    """

    def __init__(self) -> None:
        self._av: Any = None
        self._codec: Any
        try:
            import av

            self._av = av
            codec = self._codec = av.CodecContext.create("libopus", "r")
            codec.sample_rate = RATE
            codec.layout = "stereo"
            codec.format = "s16"
            codec.open()
        except (ImportError, ValueError):
            self._av = None
            self._codec = _system_opus(discord.opus.Decoder)

    def decode(self, opus: bytes) -> bytes:
        """One frame of 20 ms."""
        if self._av is None:
            return bytes(self._codec.decode(opus, fec=False))
        frames = self._codec.decode(self._av.Packet(opus))
        pcm = b"".join(bytes(frame.planes[0])[: frame.samples * 4] for frame in frames)
        return pcm[:FRAME_BYTES].ljust(FRAME_BYTES, b"\0")


def _system_opus(make: Any) -> Any:
    try:
        return make()
    except discord.opus.OpusNotLoaded:
        raise ConfigError(
            f"voice needs Opus: the package av brings it ({_INSTALL}), or install libopus (Debian: libopus0)"
        ) from None
