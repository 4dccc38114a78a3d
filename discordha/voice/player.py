"""Plays one guild's commands on this worker: joins, plays, hands over, leaves.

Guarantees
- A play is acknowledged once it has been heard to the end or skipped. One that can't be played is logged and
  acknowledged, so that it does not block the others.
- The position is written twice a second, and another worker continues from there.
- Once the guild is lost, nothing more is heard, and the bot's voice state is left alone.
- A broken connection is joined anew, and the sound continues. If a moderator takes the bot out, the current
  sound ends and the guild's queue is emptied, unless a network fault at that moment hides it.

Threads and locks: the ``VoiceWorker`` owns one thread, ``discordha-voice-<guild>``. Everything here runs on
it, except ``put`` and ``stop`` (any thread) and the mixer's reports, which use the same inbox. After a lost
session the thread gives up within a quarter of a second, the mixer before its next frame. At stop the thread
writes the position, gives the guild back, and leaves the channel unless another worker continues.
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

from discordha.context import mark_awaited_thread
from discordha.coordination.voice.consumer import VoiceConsumer
from discordha.coordination.voice.deliveries import OwnedGuild, VoiceDelivery
from discordha.errors import DiscordHAError, LockLost, StoreUnavailable, reason_of
from discordha.voice.connection import GuildConnection, VoiceHost
from discordha.voice.mixer import Mixer
from discordha.voice.tracks import Track, open_track

__all__ = ["GuildPlayer", "Resolve"]

_log = logging.getLogger(__name__)

Resolve = Callable[[VoiceDelivery], "str | Path | discord.AudioSource"]

#: Seconds between two checks of the connection, and between two writes of the position.
CHECK_INTERVAL = 0.2
POSITION_INTERVAL = 0.5
#: Seconds that a source may take for its first frame.
SOURCE_TIMEOUT = 15.0


class GuildPlayer:
    """The player of one guild.

    :param consumer: the source of the commands.
    :param resolve: makes a sound of a command.
    :param linger: seconds to stay in the channel with nothing to play.
    :param on_end: called on the guild's thread after it has left.
    """

    def __init__(
        self,
        guild_id: int,
        host: VoiceHost,
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
        self._connection = GuildConnection(guild_id, host, self._is_lost, self._stopping)
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
        """Adds a command. Does not block."""
        self._inbox.put(delivery)

    def stop(self) -> None:
        """Makes the thread hand over and leave. Does not block."""
        self._stopping.set()
        self._inbox.put(None)

    def join(self, timeout: float) -> bool:
        """Waits for at most ``timeout`` seconds; whether the thread has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def take_unhandled(self) -> list[VoiceDelivery]:
        """The commands that the thread has left in its inbox; only after its end."""
        items = [self._inbox.get_nowait() for _ in range(self._inbox.qsize())]
        return [item for item in items if isinstance(item, VoiceDelivery)]

    def describe(self) -> dict[str, Any]:
        """The current state. No I/O."""
        playing, track = self._playing, self._track
        return {
            "channel_id": self._connection.channel_id,
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
        mark_awaited_thread(f"the voice worker's resolve of guild {self.guild_id}")
        self.consumer.hold(self.guild_id, True)
        try:
            while not self._stopping.is_set():
                try:
                    item = self._inbox.get(timeout=CHECK_INTERVAL)
                except queue.Empty:
                    item = None
                if isinstance(item, VoiceDelivery):
                    self._on_command(item)
                elif isinstance(item, Track):
                    self._on_track_end(item)
                if not self._check():
                    break
        except LockLost as error:
            _log.info("guild %d: %s", self.guild_id, error)
        except Exception:  # noqa: BLE001 - another worker takes the guild
            _log.exception("guild %d: the voice player failed; another worker takes the guild", self.guild_id)
        finally:
            self._leave()
            self._on_end(self)

    def _check(self) -> bool:
        """Tends the connection and the position. False ends the thread."""
        playing, track, connection = self._playing, self._track, self._connection
        now = self._clock()
        if self._is_lost():
            return False
        if connection.kicked:
            self._on_kick()
            return True
        if playing is not None and track is not None:
            if connection.is_gone(now):
                _log.info("guild %d: the voice connection is gone; joining anew", self.guild_id)
                self._join(playing)
            if now - self._noted_at >= POSITION_INTERVAL:
                self._noted_at = now
                playing.progress(track.seconds, self._mixer.volume)
            connection.play(self._mixer)
        if self._mixer.sounding or playing is not None:
            self._quiet_since = now
        return now - self._quiet_since < self._linger

    # -- commands --------------------------------------------------------------------------------------------

    def _on_command(self, delivery: VoiceDelivery) -> None:
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
                "guild %d: %s of %r failed: %s",
                self.guild_id,
                delivery.action,
                delivery.file,
                reason_of(error),
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
                if not self._connection.connected:
                    self._connection.join(delivery.channel_id)
            except BaseException:
                track.close()
                raise
            mixer.overlay(track)
            self._connection.play(self._mixer)

    def _play(self, delivery: VoiceDelivery) -> None:
        self._close_track()
        self._mixer.volume = delivery.volume
        try:
            track = open_track(self._resolve(delivery), delivery.position)
        except Exception as error:  # noqa: BLE001 - ``resolve`` is the bot's
            _log.warning("guild %d: %r can't be played: %s", self.guild_id, delivery.file, reason_of(error))
            self._retrying(delivery.ack)
            return
        self._playing, self._track = delivery, track
        self._noted_at = self._clock()
        here = self._connection.connected and delivery.channel_id == self._connection.channel_id
        if not here and not self._join(delivery):
            return
        track.wait_ready(SOURCE_TIMEOUT)
        self._mixer.play(track)
        self._connection.play(self._mixer)

    def _on_track_end(self, track: Track) -> None:
        """The mixer has played a track to its end."""
        if track is self._track:
            if track.error is not None and self._playing is not None:
                _log.warning("guild %d: %s", self.guild_id, track.error)
            self._finish()

    def _finish(self) -> None:
        """Ends the current sound, which was heard or skipped."""
        playing, self._playing = self._playing, None
        self._close_track()
        if playing is not None:
            self._retrying(playing.ack)

    def _discard_waiting(self) -> None:
        """Empties the guild's queue."""
        waiting = self.consumer.waiting(self.guild_id)
        self._retrying(lambda: self.consumer.discard(self.guild_id, waiting))

    def _retrying(self, write: Callable[[], None]) -> None:
        """Writes to etcd, again while etcd does not answer and the guild is this worker's."""
        while True:
            try:
                write()
                return
            except StoreUnavailable as error:
                if self._is_lost() or self._stopping.wait(CHECK_INTERVAL):
                    raise LockLost(str(error)) from error

    def _close_track(self) -> None:
        self._mixer.stop()
        track, self._track = self._track, None
        if track is not None:
            track.close()

    # -- the connection --------------------------------------------------------------------------------------

    def _join(self, delivery: VoiceDelivery) -> bool:
        """Joins the command's channel. If that fails, another worker gets the command, until it has failed
        ``max_attempts`` times.
        """
        try:
            self._connection.join(delivery.channel_id)
            return True
        except LockLost:
            raise
        except DiscordHAError as error:
            _log.warning("guild %d: %r can't be played: %s", self.guild_id, delivery.file, error)
        position = self._track.seconds if self._track is not None else delivery.position
        self._close_track()
        self._playing = None
        if delivery.attempt >= self.consumer.max_attempts:
            self._retrying(delivery.ack)
        else:
            delivery.release(position, counts=True)
        return False

    def _on_kick(self) -> None:
        self._connection.forget()
        self._discard_waiting()
        self._mixer.clear()
        self._finish()
        self._quiet_since = self._clock() - self._linger
        _log.info("guild %d: a moderator took the bot out of its voice channel", self.guild_id)

    def _leave(self) -> None:
        """Silences the guild, and hands the current sound to another worker or frees the guild."""
        playing, track, lost = self._playing, self._track, self._is_lost()
        self._mixer.stop()
        self._mixer.clear()
        self._connection.silence()
        position = track.seconds if track is not None else None
        # If a sound goes on, another worker joins at once and needs the bot's voice state.
        self._connection.leave(stay=lost or playing is not None)
        if playing is not None and not lost:
            with contextlib.suppress(DiscordHAError):
                playing.release(position)
        if track is not None:
            track.close()
        self._track = self._playing = None
        self.consumer.hold(self.guild_id, False)
