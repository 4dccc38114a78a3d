"""Sounds as frames of 20 ms, read ahead from a given position.

Guarantees: taking a frame does not block. A track reads ahead at most a second. ``close`` ends ffmpeg,
whatever it does. A file can't make ffmpeg open anything else: its protocol white-list keeps local files and
the network apart. Not guaranteed: positions in a live source, which is read from where it is.

Threads and locks: each track owns a thread, ``discordha-voice-read``, started when the track is made and
joined by ``close``, unless a source of the bot's own blocks it. ``_changed`` guards ``_frames``, ``_ended``
and ``_closed``; nothing is called under it.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

import discord

from discordha.context import mark_awaited_thread
from discordha.errors import DiscordHAError
from discordha.voice.codec import FRAME_BYTES, FRAME_SECONDS, find_ffmpeg

__all__ = ["Track", "open_track"]

_log = logging.getLogger(__name__)

#: Frames.
READ_AHEAD = 50
#: Seconds that ``close`` waits for the thread.
CLOSE_TIMEOUT = 2.0


class Track:
    """One sound.

    :param read: gives the next frame, empty at the end; may block.
    :param end: makes ``read`` return, and frees the source.
    :param opus: whether the frames are Opus.
    :param position: seconds from the sound's beginning to the first frame.
    """

    def __init__(
        self, read: Callable[[], bytes], end: Callable[[], None], *, opus: bool = False, position: float = 0.0
    ) -> None:
        self.opus = opus
        self.error: Exception | None = None
        self._read = read
        self._end = end
        self._start = position
        self._played = 0
        self._frames: deque[bytes] = deque()
        self._ended = False
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="discordha-voice-read", daemon=True)
        self._thread.start()

    @property
    def seconds(self) -> float:
        """The position reached. Any thread."""
        return self._start + self._played * FRAME_SECONDS

    def wait_ready(self, timeout: float, *, frames: int = 1) -> bool:
        """Blocks for at most ``timeout`` seconds until it has read that many frames ahead, or all it can;
        whether it has.
        """
        with self._changed:
            return self._changed.wait_for(lambda: len(self._frames) >= frames or self._ended, timeout)

    def frame(self) -> bytes | None:
        """The next frame; ``None`` while there is none yet, empty at the end. Does not block."""
        with self._changed:
            if self._frames:
                self._played += 1
                self._changed.notify_all()
                return self._frames.popleft()
            return b"" if self._ended else None

    def close(self) -> None:
        """Ends the track. Blocks for at most ``CLOSE_TIMEOUT``; idempotent."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        self._end()
        self._thread.join(CLOSE_TIMEOUT)

    def _run(self) -> None:
        mark_awaited_thread("the source of a sound")
        try:
            while True:
                frame = self._read()
                with self._changed:
                    if not frame or self._closed:
                        return
                    self._frames.append(frame)
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: len(self._frames) < READ_AHEAD or self._closed)
        except Exception as error:  # noqa: BLE001 - the player logs it
            if not self._closed:
                self.error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()


def open_track(source: str | Path | discord.AudioSource, position: float = 0.0) -> Track:
    """Opens a file, an http(s) address, or a source of discord.py's, PCM or Opus. Does not block.

    :param position: seconds to skip.
    :raises DiscordHAError: the file does not exist.
    :raises ConfigError: there is no ffmpeg.
    """
    if isinstance(source, discord.AudioSource):
        return _of_source(source, position)
    return _of_ffmpeg(source, position)


def _of_source(source: discord.AudioSource, position: float) -> Track:
    left = round(position / FRAME_SECONDS)

    def read() -> bytes:
        nonlocal left
        while left > 0:
            left -= 1
            if not source.read():
                return b""
        return source.read()

    return Track(read, source.cleanup, opus=source.is_opus(), position=position)


def _of_ffmpeg(source: str | Path, position: float) -> Track:
    address = str(source)
    if address.startswith(("http://", "https://")):
        allowed = "http,https,tls,tcp,crypto,httpproxy"
        options = ["-reconnect", "1", "-reconnect_streamed", "1", "-reconnect_delay_max", "5"]
    else:
        if not Path(address).is_file():
            raise DiscordHAError(f"the sound {address!r} does not exist")
        allowed, options, address = "file", [], f"file:{address}"
    command = [find_ffmpeg(), "-nostdin", "-hide_banner", "-loglevel", "error"]
    command += ["-protocol_whitelist", allowed, *options]
    if position > 0:
        command += ["-ss", f"{position:.3f}"]
    command += ["-i", address, "-vn", "-f", "s16le", "-ar", "48000", "-ac", "2", "pipe:1"]
    said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the track
    # In a session of its own, as Ctrl-C is for the bot, which hands over. If the bot dies, the pipe breaks.
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, start_new_session=True
    )
    assert process.stdout is not None
    pipe: IO[bytes] = process.stdout

    def read() -> bytes:
        pcm = pipe.read(FRAME_BYTES)
        if pcm:
            return pcm.ljust(FRAME_BYTES, b"\0")
        if process.wait() not in {0, -9}:
            said.seek(0)
            raise DiscordHAError(
                f"ffmpeg can't play {address}: {said.read()[-500:].decode(errors='replace')}"
            )
        return b""

    def end() -> None:
        process.kill()
        process.wait()
        with contextlib.suppress(OSError):
            pipe.close()
        said.close()

    return Track(read, end, position=position)
