"""discord.py's voice client, fenced: a worker that has lost a guild does not take the bot out of its channel.

Guarantees
- discord.py takes the bot out of its channel whenever it gives up a connection, even one that another replica
  has taken over. This client does so only while the guild is this replica's.
- The client notices a take-over by another replica from the voice state, and gives up without a trace. It
  tells a moderator's disconnect apart.
- Joining misses neither of Discord's two answers. discord.py looks at its state and then makes a task that
  waits for the next one, so an answer between the two is lost and the join times out.
- Not guaranteed: more than discord.py does about reconnecting.

Overrides ``_voice_disconnect`` and ``_wait_for_state`` of discord.py 2.7; tests check both.

Threads and locks: everything runs on the gateway's loop. Any thread may read ``kicked`` and ``given_up``. No
thread of its own; discord.py's socket reader ends with the connection.
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
    """The voice client of a guild's owner.

    :param lost: whether another replica may own the guild's voice; must not do I/O.
    """

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
