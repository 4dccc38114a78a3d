"""The bot's place in a guild's voice channel, while this worker owns the guild's voice.

Guarantees: joins, moves and leaves through discord.py; tells when the connection is gone for good; leaves
without taking the bot out if another worker goes on.
Not guaranteed: that discord.py reconnects by itself. After ``RECONNECT_TIMEOUT`` seconds the player should
join anew.

Threads and locks: only the guild's thread uses it. Its calls block on Discord. It owns nothing that runs.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

import discord

from discordha.errors import DiscordHAError, LockLost
from discordha.voice.client import FencedVoiceClient
from discordha.voice.mixer import Mixer

__all__ = ["GuildConnection", "VoiceHost"]

_log = logging.getLogger(__name__)

#: Tries to join; seconds for each, and between two.
JOIN_TRIES = 3
JOIN_TIMEOUT = 15.0
JOIN_PAUSE = 0.5
#: Seconds that discord.py may try to reconnect. After some of Discord's close codes it would wait for ever.
RECONNECT_TIMEOUT = 3.0


class VoiceHost(Protocol):
    """The replica as its voice connections see it."""

    def call(self, awaitable: Any, timeout: float | None = None) -> Any:
        """Runs a coroutine on the gateway's loop and blocks until it is done."""

    def channel(self, channel_id: int) -> Any:
        """discord.py's channel; ``None`` if the bot does not see it."""


class GuildConnection:
    """One guild's voice connection.

    :param lost: whether another worker may own the guild's voice.
    :param stopping: ends the pauses between two tries.
    """

    def __init__(
        self, guild_id: int, host: VoiceHost, lost: Callable[[], bool], stopping: threading.Event
    ) -> None:
        self._guild_id = guild_id
        self._host = host
        self._lost = lost
        self._stopping = stopping
        self._voice: FencedVoiceClient | None = None
        self._down_since: float | None = None
        self.channel_id = 0

    @property
    def connected(self) -> bool:
        """Whether Discord receives sound."""
        return self._voice is not None and self._voice.is_connected()

    @property
    def kicked(self) -> bool:
        """Whether a moderator took the bot out."""
        return self._voice is not None and self._voice.kicked

    def forget(self) -> None:
        """Drops the connection, which has ended."""
        self._voice = None

    def is_gone(self, now: float) -> bool:
        """Whether the channel should be joined anew. The player asks in every round."""
        voice = self._voice
        if self.connected:
            self._down_since = None
            return False
        if self._down_since is None:
            self._down_since = now
        return voice is None or not voice.reconnecting or now - self._down_since >= RECONNECT_TIMEOUT

    def join(self, channel_id: int) -> None:
        """Joins a channel, or moves there. Blocks for at most ``JOIN_TRIES`` tries.

        :raises LockLost: this worker may have lost the guild's voice.
        :raises DiscordHAError: the channel can't be joined.
        """
        failure: Exception | None = None
        for _ in range(JOIN_TRIES):
            if self._lost():
                raise LockLost(f"this worker may have lost the voice of guild {self._guild_id}")
            channel = self._host.channel(channel_id)
            if not hasattr(channel, "connect"):
                raise DiscordHAError(f"{channel_id} is no voice channel that the bot can see")
            try:
                self._join(channel)
                return
            except (discord.DiscordException, TimeoutError, OSError) as error:
                failure = error
                if self._stopping.wait(JOIN_PAUSE):
                    break
        raise DiscordHAError(f"the voice channel can't be joined: {failure or 'the worker stops'}")

    def _join(self, channel: Any) -> None:
        voice = self._voice
        if voice is not None and voice.is_connected():
            self._host.call(voice.move_to(channel, timeout=JOIN_TIMEOUT), JOIN_TIMEOUT + 1)
        else:
            stale = voice or channel.guild.voice_client
            if stale is not None:
                self._host.call(_end(stale), JOIN_TIMEOUT)
            make = functools.partial(FencedVoiceClient, lost=self._lost)
            self._voice = self._host.call(
                channel.connect(timeout=JOIN_TIMEOUT, reconnect=True, self_deaf=True, cls=make),
                JOIN_TIMEOUT + 1,
            )
        self.channel_id = channel.id
        self._down_since = None

    def play(self, mixer: Mixer) -> None:
        """Keeps discord.py's player running while the mixer has sound. Does not block."""
        voice = self._voice
        if voice is None or not voice.is_connected() or not mixer.sounding:
            return
        if mixer.idle or not (voice.is_playing() or voice.is_paused()):
            voice.stop()
            mixer.idle = False
            with contextlib.suppress(discord.ClientException):  # disconnected since; the next round sees it
                voice.play(mixer)

    def silence(self) -> None:
        """Stops discord.py's player. Does not block."""
        if self._voice is not None:
            self._voice.stop()

    def leave(self, *, stay: bool) -> None:
        """Ends the connection. Blocks on Discord.

        :param stay: leaves the bot in the channel, for another worker.
        """
        voice, self._voice = self._voice, None
        if voice is None:
            return
        try:
            self._host.call(voice.give_up() if stay else _end(voice), JOIN_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - the bot leaves with its connection anyway
            _log.debug("guild %d: leaving failed: %s", self._guild_id, error)


async def _end(voice: Any) -> None:
    await voice.disconnect(force=True)
