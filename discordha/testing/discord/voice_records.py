"""The sound that a local Discord has received from a bot, decoded so that a test can measure it.

Plain data; any thread. Times are ``time.monotonic()`` of this machine. Decoding needs the package ``av``, a
part of ``discordha[voice]``.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Self

__all__ = ["VoicePacket", "VoiceRecording"]

#: Samples a second, and in one frame of 20 ms.
SAMPLE_RATE = 48_000
FRAME = 960
_SILENCE = b"\xf8\xff\xfe"


class VoicePacket(NamedTuple):
    """One Opus frame of 20 ms, with its arrival and its place."""

    at: float
    sequence: int
    timestamp: int
    opus: bytes


@dataclass(frozen=True)
class VoiceRecording:
    """One voice session of the bot.

    :ivar replica: the replica of the gateway session; see ``LocalDiscord.env``.
    :ivar packets: all but the silence that discord.py sends after each sound.
    :ivar rejected: arrival times of packets that were not heard, as another session had taken over.
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
        """Makes a recording of the server's answer."""
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
        """The duration of the sound."""
        return len(self.packets) * FRAME / SAMPLE_RATE

    def gaps(self) -> list[float]:
        """Seconds between the arrivals of successive packets."""
        return [after.at - before.at for before, after in pairwise(self.packets)]

    def samples(self) -> list[int]:
        """The left channel as signed 16-bit samples, 48,000 a second, without lost packets.

        :raises ImportError: the package ``av`` is missing.
        """
        import array

        import av

        decoder = av.CodecContext.create("libopus", "r")
        decoder.sample_rate = SAMPLE_RATE
        decoder.layout = "stereo"
        decoder.format = "s16"
        found = array.array("h")
        for packet in self.packets:
            for frame in decoder.decode(av.Packet(packet.opus)):
                found.frombytes(bytes(frame.planes[0])[: frame.samples * 4])
        return found[::2].tolist()

    def frequencies(self, window: float = 0.25) -> list[float]:
        """The pitch of each window of the sound, by its upward zero crossings; for pure tones.

        :param window: seconds.
        """
        samples = self.samples()
        size = int(window * SAMPLE_RATE)
        return [_pitch(samples[start : start + size]) for start in range(0, len(samples) - size + 1, size)]


def _pitch(samples: Sequence[int]) -> float:
    crossings = [
        index - after / (after - before)  # between two samples, by their slope
        for index, (before, after) in enumerate(pairwise(samples), 1)
        if before < 0 <= after
    ]
    if len(crossings) < 2:
        return 0.0
    return (len(crossings) - 1) * SAMPLE_RATE / (crossings[-1] - crossings[0])
