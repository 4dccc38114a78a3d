"""The fenced voice client: its requests to Discord, and the private names of discord.py that it uses."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from discord.voice_state import ConnectionFlowState

from discordha.voice.connection import FencedVoiceClient

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("nacl", "davey")),
    reason="discordha[voice] is not installed",
)


class Bench:
    """A voice client that believes it is connected, and a gateway that records its requests."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.lost = False
        self.removed: list[int] = []
        loop = asyncio.get_running_loop()
        state = SimpleNamespace(
            loop=loop, user=SimpleNamespace(id=1), _remove_voice_client=self.removed.append
        )
        client: Any = SimpleNamespace(_connection=state, ws=SimpleNamespace(session_id="mine"), loop=loop)
        guild = SimpleNamespace(id=11, change_voice_state=self.change_voice_state, me=None)
        channel: Any = SimpleNamespace(id=12, guild=guild, _get_voice_client_key=lambda: (11, "guild_id"))
        self.voice = FencedVoiceClient(client, channel, lambda: self.lost)
        self.state = self.voice._connection
        self.state.session_id = "mine"
        self.state.ws = SimpleNamespace(close=self.close)  # type: ignore[assignment]
        self.state.timeout = 0.05
        self.state.state = ConnectionFlowState.connected
        self.closed = 0

    async def change_voice_state(self, *, channel: Any, **options: Any) -> None:
        self.asked.append(channel)

    async def close(self, code: int = 1000) -> None:
        self.closed += 1

    async def update(self, channel_id: int | None, session_id: str = "mine") -> None:
        data: Any = {"channel_id": channel_id, "session_id": session_id, "guild_id": 11}
        await self.voice.on_voice_state_update(data)


def bench(test: Callable[[Bench], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        async def inside() -> None:
            made = Bench()
            try:
                await test(made)
            finally:
                made.state._socket_reader.stop()

        asyncio.run(inside())

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


@bench
async def test_the_owner_takes_the_bot_out(bench: Bench) -> None:
    await bench.voice.disconnect(force=True)
    assert bench.asked == [None]
    assert bench.closed == 1
    assert not bench.voice.kicked


@bench
async def test_a_worker_that_lost_the_guild_leaves_the_bot_in_it(bench: Bench) -> None:
    bench.lost = True
    await bench.voice.disconnect(force=True)
    assert bench.asked == []
    assert bench.closed == 1
    assert not bench.voice.is_connected()


@bench
async def test_giving_up_leaves_the_bot_in_its_channel(bench: Bench) -> None:
    await bench.voice.give_up()
    await bench.update(None)
    assert bench.asked == []
    assert bench.removed == [11]
    assert not bench.voice.kicked


@bench
async def test_another_session_takes_over(bench: Bench) -> None:
    await bench.update(12, "another's")
    assert bench.voice.given_up
    assert bench.asked == []
    assert bench.state.session_id == "mine"
    assert not bench.voice.is_connected()


@bench
async def test_the_state_of_another_session_is_ignored_during_a_join(bench: Bench) -> None:
    bench.state.state = ConnectionFlowState.set_guild_voice_state
    bench.state.session_id = None
    await bench.update(12, "the one before")
    assert bench.state.session_id is None
    await bench.update(12, "mine")
    assert bench.state.session_id == "mine"
    assert bench.state.state is ConnectionFlowState.got_voice_state_update
    assert not bench.voice.given_up


@bench
async def test_a_moderators_disconnect_is_told_from_a_network_fault(bench: Bench) -> None:
    bench.state.state = ConnectionFlowState.set_guild_voice_state
    await bench.update(None)
    await bench.update(None)  # expected by discord.py after it has left
    assert not bench.voice.kicked
    bench.state.state = ConnectionFlowState.connected
    await bench.update(None)
    assert bench.voice.kicked


@pytest.mark.parametrize("turns", range(8))
def test_no_answer_to_a_join_is_missed_however_close_the_two_are(turns: int) -> None:
    """discord.py itself misses the second if it comes three turns of the loop after the first."""

    @bench
    async def run(bench: Bench) -> None:
        both = ConnectionFlowState.got_both_voice_updates
        bench.state.state = ConnectionFlowState.set_guild_voice_state
        waiting = asyncio.create_task(bench.state._wait_for_state(both, timeout=5.0))
        for _ in range(5):
            await asyncio.sleep(0)
        bench.state.state = ConnectionFlowState.got_voice_state_update
        for _ in range(turns):
            await asyncio.sleep(0)
        bench.state.state = both
        await waiting

    run()


@bench
async def test_a_wait_for_a_state_ends_in_time(bench: Bench) -> None:
    with pytest.raises(TimeoutError):
        await bench.state._wait_for_state(ConnectionFlowState.got_both_voice_updates, timeout=0.01)
