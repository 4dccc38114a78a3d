"""The mixer: what a guild hears, frame by frame: one track, and short sounds over it.

Promises
- ``read`` never blocks on a source; where the track is behind, silence is heard, which does not count as
  played.
- From the moment ``lost`` says so nothing more is heard: it is asked before each frame.
- A source in Opus goes through as it is while nothing is mixed in and the volume is 1.

Does not promise more than 16 sounds at once: the oldest ends.

Concurrency: ``read`` is called by discord.py's player thread, everything else by the guild's thread;
``_lock`` guards everything, and is held while a frame is made, which takes a millisecond. ``on_end`` is
called on the player's thread, without the lock. Nothing to stop.
"""

from __future__ import annotations

import audioop
import threading
from collections.abc import Callable

import discord

from discordha.voice.codec import FRAME_BYTES, OpusDecoder, OpusEncoder
from discordha.voice.tracks import Track

__all__ = ["Mixer"]

SILENCE = b"\xf8\xff\xfe"
#: Frames of silence after the last sound before the player ends.
TAIL = 25
MAX_OVERLAYS = 16


class Mixer(discord.AudioSource):
    """See the module.

    :param lost: whether another worker may play here by now.
    :param on_end: hears that a track has ended.
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
        """Makes it the track, from the next frame on. The one before is closed by its owner."""
        with self._lock:
            self._track = track
            self._silent = 0
            self.idle = False

    def stop(self) -> Track | None:
        """Takes the track away; what it was."""
        with self._lock:
            track, self._track = self._track, None
            self._paused = False
            return track

    def overlay(self, track: Track) -> None:
        """Lets a sound be heard over what plays."""
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
        """1.0 is as it is, 0.0 is silent, 2.0 the most. Sounds over the track keep theirs."""
        return self._volume

    @volume.setter
    def volume(self, volume: float) -> None:
        self._volume = min(max(volume, 0.0), 2.0)

    @property
    def paused(self) -> bool:
        """Whether the track waits; sounds over it do not."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        with self._lock:
            self._paused = paused and self._track is not None

    @property
    def sounding(self) -> bool:
        """Whether there is anything to hear, or will be."""
        return self._track is not None or bool(self._overlays)

    # -- the player's thread ---------------------------------------------------------------------------------

    def is_opus(self) -> bool:
        """It encodes by itself."""
        return True

    def cleanup(self) -> None:
        """Nothing: it is used again."""

    def read(self) -> bytes:
        """The next 20 ms; empty when nothing has been heard for a while, or nothing may be."""
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
            if not heard and self._silent > TAIL:
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
