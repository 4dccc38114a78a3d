"""Mixes the sound of a guild, frame by frame: one track, and short sounds over it.

Guarantees
- ``read`` does not wait for a source. While the track is behind, the mixer gives silence, which does not
  count as played.
- Once ``lost`` is true, no frame is heard any more: every frame asks it first.
- Opus frames pass unchanged while nothing is mixed in and the volume is 1.
- Not guaranteed: more than 16 sounds at once. The oldest ends.

Threads and locks: discord.py's player thread calls ``read``, the guild's thread everything else. ``_lock``
guards all state, for the millisecond that a frame takes. ``on_end`` is called without it, on the former.
"""

from __future__ import annotations

import audioop
import threading
from collections.abc import Callable

import discord

from discordha.voice.codec import FRAME_BYTES, OpusDecoder, OpusEncoder
from discordha.voice.tracks import Track

__all__ = ["Mixer"]

#: An Opus frame of silence.
SILENCE = b"\xf8\xff\xfe"
#: Frames of silence after the last sound, before the player ends.
SILENT_FRAMES = 25
MAX_OVERLAYS = 16


class Mixer(discord.AudioSource):
    """The source that discord.py's player reads.

    :param lost: whether another worker may own the guild's voice.
    :param on_end: called when a track has ended.
    """

    def __init__(self, lost: Callable[[], bool], on_end: Callable[[Track], None]) -> None:
        self._lost = lost
        self._on_end = on_end
        self._lock = threading.Lock()
        self._track: Track | None = None
        self._overlays: list[Track] = []
        self._encoder: OpusEncoder | None = None
        self._decoders: dict[Track, OpusDecoder] = {}
        self._silent = 0
        self._volume = 1.0
        self._paused = False
        self.idle = True

    # -- the guild's thread ----------------------------------------------------------------------------------

    def play(self, track: Track) -> None:
        """Replaces the track from the next frame on. The owner of the old one closes it."""
        with self._lock:
            self._track = track
            self._silent = 0
            self.idle = False

    def stop(self) -> Track | None:
        """Removes and returns the track."""
        with self._lock:
            track, self._track = self._track, None
            self._paused = False
            return track

    def overlay(self, track: Track) -> None:
        """Plays a sound over the track."""
        with self._lock:
            self._overlays.append(track)
            oldest = self._overlays.pop(0) if len(self._overlays) > MAX_OVERLAYS else None
            self._silent = 0
            self.idle = False
        if oldest is not None:
            oldest.close()

    def clear(self) -> None:
        """Ends the sounds over the track."""
        with self._lock:
            overlays, self._overlays = self._overlays, []
        for track in overlays:
            track.close()

    @property
    def volume(self) -> float:
        """The track's volume: 0.0 is silent, 1.0 unchanged, 2.0 the maximum. Sounds over it keep theirs."""
        return self._volume

    @volume.setter
    def volume(self, volume: float) -> None:
        self._volume = min(max(volume, 0.0), 2.0)

    @property
    def paused(self) -> bool:
        """Whether the track is paused; sounds over it go on."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        with self._lock:
            self._paused = paused and self._track is not None

    @property
    def sounding(self) -> bool:
        """Whether there is a track or a sound over it."""
        return self._track is not None or bool(self._overlays)

    # -- the player's thread ---------------------------------------------------------------------------------

    def is_opus(self) -> bool:
        """True: the mixer encodes by itself."""
        return True

    def cleanup(self) -> None:
        """Does nothing, as the mixer is used again."""

    def read(self) -> bytes:
        """The next 20 ms; empty after a while of silence, and once the guild is lost."""
        ended: list[Track] = []
        track_ended: Track | None = None
        with self._lock:
            if self._lost():
                self.idle = True
                return b""
            track = self._track
            frame = track.frame() if track is not None and not self._paused else None
            if track is not None and frame == b"":
                track_ended, self._track = track, None
            over: list[bytes] = []
            for sound in self._overlays:
                part = sound.frame()
                if part == b"":
                    ended.append(sound)
                elif part:
                    over.append(self._pcm(sound, part))
            self._overlays = [sound for sound in self._overlays if sound not in ended]
            heard = self._mix(track, frame or b"", over)
            for gone in (*ended, *((track_ended,) if track_ended is not None else ())):
                self._decoders.pop(gone, None)
            self._silent = 0 if heard or self.sounding else self._silent + 1
            if not heard and self._silent > SILENT_FRAMES:
                self.idle = True
                return b""
        for sound in ended:
            sound.close()
        if track_ended is not None:
            self._on_end(track_ended)
        return heard or SILENCE

    def _mix(self, track: Track | None, frame: bytes, over: list[bytes]) -> bytes:
        if not frame and not over:
            return b""
        if frame and track is not None:
            if track.opus and not over and self._volume == 1.0:
                return frame
            pcm = self._pcm(track, frame)
            if self._volume != 1.0:
                pcm = audioop.mul(pcm, 2, self._volume)
        else:
            pcm = bytes(FRAME_BYTES)
        for part in over:
            pcm = audioop.add(pcm, part, 2)
        if self._encoder is None:
            self._encoder = OpusEncoder()
        return self._encoder.encode(pcm)

    def _pcm(self, track: Track, frame: bytes) -> bytes:
        if not track.opus:
            return frame.ljust(FRAME_BYTES, b"\0")
        decoder = self._decoders.get(track)
        if decoder is None:
            decoder = self._decoders[track] = OpusDecoder()
        return decoder.decode(frame)
