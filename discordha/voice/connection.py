"""The bot's place in a guild's voice channel, while this worker owns the guild's voice.

Guarantees
- ``GuildConnection`` joins, moves and leaves through discord.py, and tells when the connection is gone for
  good. discord.py may try to reconnect for ``RECONNECT_TIMEOUT``; then the player joins anew.
- ``FencedVoiceClient`` takes the bot out of its channel only while the guild is this replica's. discord.py
  would do so whenever it gives up a connection, even one that another replica has taken over. Such a
  take-over is noticed from the voice state, and told apart from a moderator's disconnect.
- Joining misses neither of Discord's two answers. discord.py starts to wait for the second in a task of its
  own, which may be too late.

Overrides ``_voice_disconnect`` and ``_wait_for_state`` of discord.py 2.7; tests check both.

Threads and locks: the guild's thread uses ``GuildConnection`` and blocks in it. The client runs on the
gateway's loop; any thread may read ``kicked`` and ``given_up``. Nothing here owns a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

import discord
from discord.voice_state import ConnectionFlowState, VoiceConnectionState

from discordha.errors import DiscordHAError, LockLost
from discordha.voice.mixer import Mixer

__all__ = ["FencedVoiceClient", "GuildConnection", "VoiceHost"]

_log = logging.getLogger(__name__)

#: Tries to join; seconds for each, and between two.
JOIN_TRIES = 3
JOIN_TIMEOUT = 15.0
REJOIN_PAUSE = 0.5
#: Seconds that discord.py may try to reconnect. After some of Discord's close codes it would wait for ever.
RECONNECT_TIMEOUT = 3.0


class VoiceHost(Protocol):
    """The replica as its voice connections see it."""

    def call(self, awaitable: Any, timeout: float | None = None) -> Any:
        """Runs a coroutine on the gateway's loop and blocks until it is done."""

    def channel(self, channel_id: int) -> Any:
        """discord.py's channel; ``None`` if the bot does not see it."""


class _FencedState(VoiceConnectionState):
    def __init__(self, voice_client: FencedVoiceClient) -> None:
        super().__init__(voice_client)
        self.fenced_client = voice_client

    async def voice_state_update(self, data: Any) -> None:
        client = self.fenced_client
        if data["channel_id"] is None:
            if client.given_up:
                return
            # With the voice socket down, too, Discord itself has given this replica up.
            if self.is_connected() and not self._expecting_disconnect:
                client.kicked = True
        elif data["session_id"] not in {client.own_session, self.session_id}:
            if self.is_connected():
                _log.info("guild %s: another replica has taken over the voice", data.get("guild_id"))
                await client.give_up()
            return
        await super().voice_state_update(data)

    async def _wait_for_state(
        self, state: ConnectionFlowState, *other_states: ConnectionFlowState, timeout: float | None = None
    ) -> None:
        async with asyncio.timeout(timeout):
            while self.state not in {state, *other_states}:
                await self._state_event.wait()  # in this task, so that no state comes before the wait

    async def _voice_disconnect(self) -> None:
        if self.fenced_client.may_leave():
            await super()._voice_disconnect()
        else:
            self.state = ConnectionFlowState.disconnected
            self._expecting_disconnect = True


class FencedVoiceClient(discord.VoiceClient):
    """The voice client of a guild's owner. ``lost`` says, without I/O, whether another may own it by now."""

    def __init__(self, client: discord.Client, channel: Any, lost: Callable[[], bool]) -> None:
        self._lost = lost
        self.kicked = False
        self.given_up = False
        super().__init__(client, channel)

    def create_connection_state(self) -> VoiceConnectionState:
        """Makes the state; a hook of discord.py's."""
        return _FencedState(self)

    @property
    def own_session(self) -> str | None:
        """The id of the present gateway session."""
        ws = getattr(self.client, "ws", None)
        return ws.session_id if ws is not None else None

    @property
    def reconnecting(self) -> bool:
        """Whether discord.py reconnects by itself."""
        runner = self._connection._runner
        return not self.is_connected() and runner is not None and not runner.done()

    def may_leave(self) -> bool:
        """Whether this replica may end the bot's voice state in the guild."""
        return not self.given_up and not self._lost()

    async def give_up(self) -> None:
        """Ends the connection and leaves the bot's voice state to its new owner."""
        self.given_up = True
        self.stop()
        with contextlib.suppress(Exception):
            await self._connection.disconnect(force=True, wait=False)


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
                if self._stopping.wait(REJOIN_PAUSE):
                    break
        raise DiscordHAError(f"the voice channel can't be joined: {failure or 'the worker stops'}")

    def _join(self, channel: Any) -> None:
        voice = self._voice
        if voice is not None and voice.is_connected():
            self._host.call(voice.move_to(channel, timeout=JOIN_TIMEOUT), JOIN_TIMEOUT + 1)
        else:
            stale = voice or channel.guild.voice_client
            if stale is not None:
                self._host.call(stale.disconnect(force=True), JOIN_TIMEOUT)
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
        """Ends the connection; ``stay`` leaves the bot in the channel, for another worker. Blocks."""
        voice, self._voice = self._voice, None
        if voice is None:
            return
        try:
            self._host.call(voice.give_up() if stay else voice.disconnect(force=True), JOIN_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - the bot leaves with its connection anyway
            _log.debug("guild %d: leaving failed: %s", self._guild_id, error)
