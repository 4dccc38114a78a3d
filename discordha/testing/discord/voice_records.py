"""What a local Discord has heard of a bot, decoded, so that a test can measure it.

Promises: plain data; decoding needs the package ``av`` (part of ``discordha[voice]``), which is imported when
asked for. Times are ``time.monotonic()`` of this machine. No state; any thread.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Self

__all__ = ["VoicePacket", "VoiceRecording"]

#: Samples a second, and in one frame of 20 ms.
RATE = 48_000
FRAME = 960
_SILENCE = b"\xf8\xff\xfe"


class VoicePacket(NamedTuple):
    """One Opus frame of 20 ms: when it arrived, and where it belongs."""

    at: float
    sequence: int
    timestamp: int
    opus: bytes


@dataclass(frozen=True)
class VoiceRecording:
    """One voice session of the bot.

    :ivar replica: whose gateway session it was; see ``LocalDiscord.env``.
    :ivar packets: without the silence that discord.py sends at the end of each sound.
    :ivar rejected: when packets arrived that could not be heard, because another session had taken over.
    """

    number: int
    guild_id: int
    channel_id: int
    replica: str
    began: float
    ended: float | None
    why_ended: str
    packets: tuple[VoicePacket, ...]
    rejected: tuple[float, ...]
    undecodable: int

    @classmethod
    def of(cls, session: Mapping[str, Any], packets: Sequence[Sequence[Any]]) -> Self:
        """From what the server says."""
        heard = (
            VoicePacket(at, number, stamp, base64.b64decode(opus)) for at, number, stamp, opus in packets
        )
        return cls(
            session["number"],
            session["guild_id"],
            session["channel_id"],
            session["replica"],
            session["began"],
            session["ended"],
            session["why_ended"],
            tuple(packet for packet in heard if packet.opus != _SILENCE),
            tuple(session["rejected"]),
            session["undecodable"],
        )

    @property
    def seconds(self) -> float:
        """How much sound there is."""
        return len(self.packets) * FRAME / RATE

    def gaps(self) -> list[float]:
        """Seconds between one packet's arrival and the next one's."""
        return [after.at - before.at for before, after in pairwise(self.packets)]

    def samples(self) -> list[int]:
        """The sound as signed 16-bit samples of the left channel, 48,000 a second; lost packets left out.

        :raises ImportError: the package ``av`` is not there.
        """
        import array

        import av

        decoder = av.CodecContext.create("libopus", "r")
        decoder.sample_rate = RATE
        decoder.layout = "stereo"
        decoder.format = "s16"
        found = array.array("h")
        for packet in self.packets:
            for frame in decoder.decode(av.Packet(packet.opus)):
                found.frombytes(bytes(frame.planes[0])[: frame.samples * 4])
        return found[::2].tolist()

    def frequencies(self, window: float = 0.25) -> list[float]:
        """The pitch of each window of the sound, by its upward zero crossings: good for pure tones.

        :param window: seconds.
        """
        samples = self.samples()
        size = int(window * RATE)
        return [_pitch(samples[start : start + size]) for start in range(0, len(samples) - size + 1, size)]


def _pitch(samples: Sequence[int]) -> float:
    crossings = [
        index - after / (after - before)  # between two samples, by their slope
        for index, (before, after) in enumerate(pairwise(samples), 1)
        if before < 0 <= after
    ]
    if len(crossings) < 2:
        return 0.0
    return (len(crossings) - 1) * RATE / (crossings[-1] - crossings[0])
