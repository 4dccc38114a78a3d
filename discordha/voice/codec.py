"""Finds and wraps Opus and ffmpeg.

Guarantees: Opus comes from the package ``av``, which brings its own, else from the system's libopus; ffmpeg
from PATH, else from the package ``imageio-ffmpeg``. An error names the missing package and how to install it.

Threads and locks: one thread at a time uses an encoder or a decoder. Nothing needs to be stopped.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Literal

import discord

from discordha.errors import ConfigError

__all__ = ["FRAME_BYTES", "FRAME_SECONDS", "OpusDecoder", "OpusEncoder", "check_voice", "find_ffmpeg"]

#: Samples a second.
SAMPLE_RATE = 48_000
#: Bits of Opus a second.
BITRATE = 128_000
#: One frame is 20 ms of two channels with 16 bits a sample.
FRAME_SECONDS = 0.02
FRAME_SAMPLES = 960
FRAME_BYTES = FRAME_SAMPLES * 4
_INSTALL = "pip install 'discordha[voice]'"


def check_voice() -> None:
    """Checks that this process can play.

    :raises ConfigError: a package is missing; the error names it.
    """
    for module, package, purpose in (
        ("nacl", "PyNaCl", "encrypt sound"),
        ("davey", "davey", "take part in Discord's end-to-end encryption"),
    ):
        if importlib.util.find_spec(module) is None:
            raise ConfigError(f"voice needs the package {package} to {purpose}: {_INSTALL}")
    OpusEncoder()
    find_ffmpeg()


def find_ffmpeg() -> str:
    """The path of the ffmpeg program.

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

    :raises ConfigError: there is no Opus.
    """

    def __init__(self) -> None:
        self._av, self._codec = _open_opus("w", lambda: discord.opus.Encoder(bitrate=BITRATE // 1000))
        self._time = 0

    def encode(self, pcm: bytes) -> bytes:
        """Encodes one frame, within a millisecond."""
        if self._av is None:
            return bytes(self._codec.encode(pcm, FRAME_SAMPLES))
        frame = self._av.AudioFrame(format="s16", layout="stereo", samples=FRAME_SAMPLES)
        frame.sample_rate = SAMPLE_RATE
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
        self._av, self._codec = _open_opus("r", discord.opus.Decoder)

    def decode(self, opus: bytes) -> bytes:
        """Decodes one frame of 20 ms."""
        if self._av is None:
            return bytes(self._codec.decode(opus, fec=False))
        frames = self._codec.decode(self._av.Packet(opus))
        pcm = b"".join(bytes(frame.planes[0])[: frame.samples * 4] for frame in frames)
        return pcm[:FRAME_BYTES].ljust(FRAME_BYTES, b"\0")


def _open_opus(mode: Literal["r", "w"], from_system: Callable[[], Any]) -> tuple[Any, Any]:
    """The package ``av`` and its codec; without the package ``None`` and discord.py's codec."""
    try:
        import av

        codec: Any = av.CodecContext.create("libopus", mode)
        codec.sample_rate = SAMPLE_RATE
        codec.layout = "stereo"
        codec.format = "s16"
        if mode == "w":
            codec.bit_rate = BITRATE
            codec.time_base = Fraction(1, SAMPLE_RATE)
        codec.open()
        return av, codec
    except (ImportError, ValueError):
        pass
    try:
        return None, from_system()
    except discord.opus.OpusNotLoaded:
        raise ConfigError(
            f"voice needs Opus: the package av brings it ({_INSTALL}), or install libopus (Debian: libopus0)"
        ) from None
