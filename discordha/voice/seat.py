"""A guild's seat: the bot's place in a voice channel, as long as this worker owns the guild's voice.

Promises: joins, moves and leaves through discord.py; tells when the connection is gone for good; leaves
without taking the bot out where another worker goes on.

Does not promise that discord.py reconnects by itself: after ``RECONNECT_PATIENCE`` seconds the channel should
be joined anew.

Concurrency: used by the guild's thread alone; its calls block on Discord. Owns nothing that runs.
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
from discordha.voice.connection import FencedVoiceClient
from discordha.voice.mixer import Mixer

__all__ = ["JOIN_ERRORS", "Host", "Seat"]

_log = logging.getLogger(__name__)

#: Tries to join, the time for each, and the pause between, seconds.
TRIES = 3
CONNECT_TIMEOUT = 15.0
CONNECT_PAUSE = 0.5
#: How long discord.py may try to connect again by itself before the channel is joined anew, seconds: after
#: some of Discord's close codes it waits for what does not come.
RECONNECT_PATIENCE = 3.0
#: What goes wrong when a channel can't be joined.
JOIN_ERRORS = (DiscordHAError, discord.DiscordException, TimeoutError, OSError)


class Host(Protocol):
    """What a seat needs of its replica."""

    def call(self, awaitable: Any, timeout: float | None = None) -> Any:
        """Runs a coroutine on the gateway's loop and waits for it."""

    def channel(self, channel_id: int) -> Any:
        """discord.py's channel; ``None`` when the bot does not see it."""


class Seat:
    """See the module.

    :param lost: whether another worker may own the guild's voice by now.
    :param stopping: ends the pauses between two tries.
    """

    def __init__(
        self, guild_id: int, host: Host, lost: Callable[[], bool], stopping: threading.Event
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
        """Whether sound gets through."""
        return self._voice is not None and self._voice.is_connected()

    @property
    def kicked(self) -> bool:
        """Whether a moderator took the bot out."""
        return self._voice is not None and self._voice.kicked

    def forget(self) -> None:
        """The connection is over."""
        self._voice = None

    def is_gone(self, now: float) -> bool:
        """Whether the channel should be joined anew. Asked again and again while a sound plays."""
        voice = self._voice
        if self.connected:
            self._down_since = None
            return False
        if self._down_since is None:
            self._down_since = now
        return voice is None or not voice.reconnecting or now - self._down_since >= RECONNECT_PATIENCE

    def join(self, channel_id: int) -> None:
        """Joins a channel, or moves there. Blocks for three tries at the most.

        :raises LockLost: the guild's voice is not this worker's any more.
        :raises DiscordHAError: it can't be joined.
        """
        failure: Exception | None = None
        for _ in range(TRIES):
            if self._lost():
                raise LockLost(f"the voice of guild {self._guild_id} may be another worker's by now")
            channel = self._host.channel(channel_id)
            if not hasattr(channel, "connect"):
                raise DiscordHAError(f"{channel_id} is no voice channel that the bot can see")
            try:
                self._join(channel)
                return
            except (discord.DiscordException, TimeoutError, OSError) as error:
                failure = error
                if self._stopping.wait(CONNECT_PAUSE):
                    break
        raise DiscordHAError(f"the voice channel can't be joined: {failure or 'the worker stops'}")

    def _join(self, channel: Any) -> None:
        voice = self._voice
        if voice is not None and voice.is_connected():
            self._host.call(voice.move_to(channel, timeout=CONNECT_TIMEOUT), CONNECT_TIMEOUT + 1)
        else:
            stale = voice or channel.guild.voice_client
            if stale is not None:
                self._host.call(_end(stale), CONNECT_TIMEOUT)
            make = functools.partial(FencedVoiceClient, lost=self._lost)
            self._voice = self._host.call(
                channel.connect(timeout=CONNECT_TIMEOUT, reconnect=True, self_deaf=True, cls=make),
                CONNECT_TIMEOUT + 1,
            )
        self.channel_id = channel.id
        self._down_since = None

    def play(self, mixer: Mixer) -> None:
        """Makes discord.py's player run while there is something to hear. Does not block."""
        voice = self._voice
        if voice is None or not voice.is_connected() or not mixer.sounding:
            return
        if mixer.idle or not (voice.is_playing() or voice.is_paused()):
            voice.stop()
            mixer.idle = False
            with contextlib.suppress(discord.ClientException):  # disconnected since; looked at again
                voice.play(mixer)

    def silence(self) -> None:
        """Nothing more is heard. Does not block."""
        if self._voice is not None:
            self._voice.stop()

    def leave(self, *, stay: bool) -> None:
        """Ends the connection. Blocks on Discord.

        :param stay: the bot stays in the channel, for another worker.
        """
        voice, self._voice = self._voice, None
        if voice is None:
            return
        try:
            self._host.call(voice.give_up() if stay else _end(voice), CONNECT_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - the bot leaves all the same, with its connection
            _log.debug("guild %d: leaving failed: %s", self._guild_id, error)


async def _end(voice: Any) -> None:
    await voice.disconnect(force=True)
