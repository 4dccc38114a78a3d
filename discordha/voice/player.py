"""One guild's voice on this worker: joins, plays what the queue says, goes on elsewhere, leaves.

Promises
- Plays are acknowledged when they have been heard to the end, or skipped; one that can't be played is said in
  the log, and acknowledged, so that it does not block the others.
- The position is noted twice a second; another worker goes on there.
- When the guild is lost nothing more is heard, and the bot's voice state is left alone.
- A connection that breaks is made again, and the sound goes on where it was. A moderator who takes the bot
  out ends what plays and empties the guild's queue.

Does not promise that a moderator's disconnect in the same moment as a network fault is told apart from it.

Concurrency: one thread, ``discordha-voice-<guild>``, owned by the ``VoiceWorker``: everything here runs on
it, except ``put`` and ``stop`` (any thread) and what the mixer reports, which goes through the same inbox.
At a lost session the thread gives up within a quarter of a second; the mixer by itself before its next frame.
At stop it notes the position, gives the guild back, and leaves the channel if nobody else takes it.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import discord

from discordha.coordination.voice.consumer import VoiceConsumer
from discordha.coordination.voice.deliveries import OwnedGuild, VoiceDelivery
from discordha.errors import DiscordHAError, LockLost, StoreUnavailable
from discordha.voice.mixer import Mixer
from discordha.voice.seat import JOIN_ERRORS, Host, Seat
from discordha.voice.tracks import Track, open_track

__all__ = ["GuildPlayer", "Resolve"]

_log = logging.getLogger(__name__)

Resolve = Callable[[VoiceDelivery], "str | Path | discord.AudioSource"]

#: How often a player looks whether all is well, and how often it notes the position, seconds.
LOOK = 0.2
NOTE = 0.5
#: How long a source may take to make its first sound, seconds.
SOURCE_TIMEOUT = 15.0


class GuildPlayer:
    """See the module.

    :param consumer: where the commands come from.
    :param resolve: makes a sound of a command.
    :param linger: seconds that it stays in the channel when there is nothing to play.
    :param on_end: called on its thread when it has left.
    """

    def __init__(
        self,
        guild_id: int,
        host: Host,
        consumer: VoiceConsumer,
        *,
        resolve: Resolve,
        linger: float,
        on_end: Callable[[GuildPlayer], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.guild_id = guild_id
        self.host = host
        self.consumer = consumer
        self._resolve = resolve
        self._linger = linger
        self._on_end = on_end
        self._clock = clock
        self._inbox: queue.SimpleQueue[VoiceDelivery | Track | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._owned: OwnedGuild | None = None
        self._mixer = Mixer(self._is_lost, self._inbox.put)
        self._seat = Seat(guild_id, host, self._is_lost, self._stopping)
        self._playing: VoiceDelivery | None = None
        self._track: Track | None = None
        self._noted_at = 0.0
        self._quiet_since = clock()
        self._thread = threading.Thread(target=self._run, name=f"discordha-voice-{guild_id}", daemon=True)

    # -- any thread ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the thread. Does not block."""
        self._thread.start()

    def put(self, delivery: VoiceDelivery) -> None:
        """One more command. Never blocks."""
        self._inbox.put(delivery)

    def stop(self) -> None:
        """Makes it hand over and leave; ``join`` waits for that. Never blocks."""
        self._stopping.set()
        self._inbox.put(None)

    def join(self, timeout: float) -> bool:
        """Waits for at most ``timeout`` seconds; whether it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def take_left(self) -> list[VoiceDelivery]:
        """What nobody obeyed; after its end only."""
        left = []
        with contextlib.suppress(queue.Empty):
            while True:
                item = self._inbox.get_nowait()
                if isinstance(item, VoiceDelivery):
                    left.append(item)
        return left

    def describe(self) -> dict[str, Any]:
        """What it does now. No I/O."""
        playing, track = self._playing, self._track
        return {
            "channel_id": self._seat.channel_id,
            "file": playing.file if playing is not None else None,
            "seconds": track.seconds if track is not None else None,
            "volume": self._mixer.volume,
            "paused": self._mixer.paused,
            "waiting": len(self.consumer.waiting(self.guild_id)),
        }

    def _is_lost(self) -> bool:
        owned = self._owned
        return owned is None or owned.lost

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self.consumer.hold(self.guild_id, True)
        try:
            while not self._stopping.is_set():
                try:
                    item = self._inbox.get(timeout=LOOK)
                except queue.Empty:
                    item = None
                if isinstance(item, VoiceDelivery):
                    self._obey(item)
                elif isinstance(item, Track):
                    self._ended(item)
                if not self._look():
                    break
        except LockLost as error:
            _log.info("guild %d: %s", self.guild_id, error)
        except Exception:  # noqa: BLE001 - the guild goes to another worker
            _log.exception("the voice of guild %d failed; it goes to another worker", self.guild_id)
        finally:
            self._leave()
            self._on_end(self)

    def _look(self) -> bool:
        """Whether to go on."""
        playing, track, seat = self._playing, self._track, self._seat
        now = self._clock()
        if self._is_lost():
            return False
        if seat.kicked:
            self._kicked()
            return True
        if playing is not None and track is not None:
            if seat.is_gone(now):
                _log.info("guild %d: the voice connection is gone; joining again", self.guild_id)
                self._join(playing)
            if now - self._noted_at >= NOTE:
                self._noted_at = now
                playing.progress(track.seconds, self._mixer.volume)
            seat.play(self._mixer)
        if self._mixer.sounding or playing is not None:
            self._quiet_since = now
        return now - self._quiet_since < self._linger

    # -- commands --------------------------------------------------------------------------------------------

    def _obey(self, delivery: VoiceDelivery) -> None:
        if delivery.lost:
            return
        self._owned = delivery.owned
        self.consumer.hold(self.guild_id, True)
        if delivery.action == "play":
            self._play(delivery)
            return
        try:
            self._control(delivery)
        except LockLost:
            raise
        except Exception as error:  # noqa: BLE001 - ``resolve`` is the bot's
            _log.warning(
                "guild %d: %s of %r failed: %s", self.guild_id, delivery.action, delivery.file, error
            )
        self._retrying(delivery.ack)

    def _control(self, delivery: VoiceDelivery) -> None:
        mixer, playing = self._mixer, self._playing
        action = delivery.action
        if action == "skip":
            self._finish()
        elif action == "stop":
            self._discard_waiting()
            mixer.clear()
            self._finish()
        elif action in {"pause", "resume"}:
            mixer.paused = action == "pause"
        elif action == "volume":
            mixer.volume = float(delivery.file)
            if playing is not None and self._track is not None:
                playing.progress(self._track.seconds, mixer.volume)
        elif action == "overlay":
            track = open_track(self._resolve(delivery))
            track.wait_ready(SOURCE_TIMEOUT)
            try:
                if not self._seat.connected:
                    self._seat.join(delivery.channel_id)
            except BaseException:
                track.close()
                raise
            mixer.overlay(track)
            self._seat.play(self._mixer)

    def _play(self, delivery: VoiceDelivery) -> None:
        self._close_track()
        self._mixer.volume = delivery.volume
        try:
            track = open_track(self._resolve(delivery), delivery.position)
        except Exception as error:  # noqa: BLE001 - ``resolve`` is the bot's
            _log.warning("guild %d: %r can't be played: %s", self.guild_id, delivery.file, error)
            self._retrying(delivery.ack)
            return
        self._playing, self._track = delivery, track
        self._noted_at = self._clock()
        seat = self._seat
        if (not seat.connected or delivery.channel_id != seat.channel_id) and not self._join(delivery):
            return
        track.wait_ready(SOURCE_TIMEOUT)
        self._mixer.play(track)
        self._seat.play(self._mixer)

    def _ended(self, track: Track) -> None:
        """The mixer has come to the end of a track."""
        if track is self._track:
            if track.error is not None and self._playing is not None:
                _log.warning("guild %d: %s", self.guild_id, track.error)
            self._finish()

    def _finish(self) -> None:
        """What plays has been heard, or shall not be."""
        playing, self._playing = self._playing, None
        self._close_track()
        if playing is not None:
            self._retrying(playing.ack)

    def _discard_waiting(self) -> None:
        """Empties the guild's queue."""
        waiting = self.consumer.waiting(self.guild_id)
        self._retrying(lambda: self.consumer.discard(self.guild_id, waiting))

    def _retrying(self, write: Callable[[], None]) -> None:
        """Writes to etcd, again and again while it does not answer and the guild is this worker's."""
        while True:
            try:
                write()
                return
            except StoreUnavailable as error:
                if self._is_lost() or self._stopping.wait(LOOK):
                    raise LockLost(str(error)) from error

    def _close_track(self) -> None:
        self._mixer.stop()
        track, self._track = self._track, None
        if track is not None:
            track.close()

    # -- the connection --------------------------------------------------------------------------------------

    def _join(self, delivery: VoiceDelivery) -> bool:
        """Whether the command's channel was joined; else the command has gone to another worker."""
        try:
            self._seat.join(delivery.channel_id)
        except JOIN_ERRORS as error:
            self._cannot_connect(delivery, error)
            return False
        return True

    def _cannot_connect(self, delivery: VoiceDelivery, error: Exception) -> None:
        """Another worker may; after ``max_attempts`` it is given up."""
        if isinstance(error, LockLost):
            raise error
        _log.warning("guild %d: %r can't be played: %s", self.guild_id, delivery.file, error)
        position = self._track.seconds if self._track is not None else delivery.position
        self._close_track()
        self._playing = None
        if delivery.attempt >= self.consumer.max_attempts:
            self._retrying(delivery.ack)
        else:
            delivery.release(position, counts=True)

    def _kicked(self) -> None:
        self._seat.forget()
        self._discard_waiting()
        self._mixer.clear()
        self._finish()
        self._quiet_since = self._clock() - self._linger
        _log.info("guild %d: a moderator took the bot out of its voice channel", self.guild_id)

    def _leave(self) -> None:
        """Nothing more is heard; what plays goes to another worker, or the guild is free."""
        playing, track, lost = self._playing, self._track, self._is_lost()
        self._mixer.stop()
        self._mixer.clear()
        self._seat.silence()
        position = track.seconds if track is not None else None
        # Another worker joins at once, so the bot's voice state is its.
        self._seat.leave(stay=lost or playing is not None)
        if playing is not None and not lost:
            with contextlib.suppress(DiscordHAError):
                playing.release(position)
        if track is not None:
            track.close()
        self._track = self._playing = None
        self.consumer.hold(self.guild_id, False)
