"""discord.py's voice client, fenced: a worker that has lost a guild does not take the bot out of it.

Promises: discord.py asks Discord to take the bot out of its channel whenever it gives a connection up, also
one that another replica has taken over. Here it does so only while the guild is still this replica's. A
session that was taken over is noticed from the voice state and given up quietly. A moderator's disconnect is
told apart.

Does not promise more than discord.py about reconnecting.

Waits for Discord's two answers to a join without missing the second. discord.py looks at its state, and then
makes a task that waits for the next one: what comes between the two is missed, and the join times out. That
happens when the answers come some turns of the loop apart, as they may on a busy machine.

Overrides ``_voice_disconnect`` and ``_wait_for_state`` of discord.py 2.7, and is checked against it by tests.

Concurrency: everything runs on the gateway's loop, except ``kicked`` and ``given_up``, which may be read from
any thread. Holds no thread of its own; discord.py's socket reader ends with the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import discord
from discord.voice_state import ConnectionFlowState, VoiceConnectionState

__all__ = ["FencedVoiceClient"]

_log = logging.getLogger(__name__)


class _FencedState(VoiceConnectionState):
    def __init__(self, voice_client: FencedVoiceClient) -> None:
        super().__init__(voice_client)
        self.fenced_client = voice_client

    async def voice_state_update(self, data: Any) -> None:
        client = self.fenced_client
        if data["channel_id"] is None:
            if client.given_up:
                return
            # Where the voice socket is down, too, Discord has given up waiting for this replica.
            if self.is_connected() and not self._expecting_disconnect:
                client.kicked = True
        elif data["session_id"] not in {client.own_session, self.session_id}:
            if self.is_connected():
                _log.info("guild %s: another replica has taken the voice over", data.get("guild_id"))
                await client.give_up()
            return
        await super().voice_state_update(data)

    async def _wait_for_state(
        self, state: ConnectionFlowState, *other_states: ConnectionFlowState, timeout: float | None = None
    ) -> None:
        async with asyncio.timeout(timeout):
            while self.state not in {state, *other_states}:
                await self._state_event.wait()  # in this task: it listens before anything else can run

    async def _voice_disconnect(self) -> None:
        if self.fenced_client.may_leave():
            await super()._voice_disconnect()
        else:
            self.state = ConnectionFlowState.disconnected
            self._expecting_disconnect = True


class FencedVoiceClient(discord.VoiceClient):
    """A voice client of one owner of the guild's voice.

    :param lost: whether another replica may own it by now; asked without I/O.
    """

    def __init__(self, client: discord.Client, channel: Any, lost: Callable[[], bool]) -> None:
        self._lost = lost
        self.kicked = False
        self.given_up = False
        super().__init__(client, channel)

    def create_connection_state(self) -> VoiceConnectionState:
        """discord.py's hook for a state of one's own."""
        return _FencedState(self)

    @property
    def own_session(self) -> str | None:
        """The present gateway session."""
        ws = getattr(self.client, "ws", None)
        return ws.session_id if ws is not None else None

    @property
    def reconnecting(self) -> bool:
        """Whether discord.py is about to connect again by itself."""
        runner = self._connection._runner
        return not self.is_connected() and runner is not None and not runner.done()

    def may_leave(self) -> bool:
        """Whether the bot's voice state in this guild is this replica's to end."""
        return not self.given_up and not self._lost()

    async def give_up(self) -> None:
        """Ends the connection and leaves the bot's voice state to whoever has it now."""
        self.given_up = True
        self.stop()
        with contextlib.suppress(Exception):
            await self._connection.disconnect(force=True, wait=False)
