"""Which heartbeat an acknowledgement is for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from discordha.gateway.heartbeats import CountedSocket, is_acknowledgement

BEAT = {"op": 1, "d": 5}


class Wire:
    """Stands for the socket."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.broken: Exception | None = None
        self.close_code = 4000

    async def send_str(self, text: str) -> None:
        await asyncio.sleep(0)
        if self.broken is not None:
            raise self.broken
        self.sent.append(json.loads(text))


class Beats:
    """Stands for discord.py's keep-alive."""

    def beat(self) -> dict[str, int]:
        return BEAT


def run(test: Callable[[CountedSocket, Wire], Awaitable[None]]) -> None:
    async def main() -> None:
        wire = Wire()
        ws = CountedSocket(wire, loop=asyncio.get_running_loop())  # type: ignore[arg-type]
        ws._keep_alive = Beats()  # type: ignore[assignment]
        await asyncio.wait_for(test(ws, wire), 10)

    asyncio.run(main())


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("before", range(4))
def test_acknowledgements_of_earlier_heartbeats_do_not_count(before: int) -> None:
    """Heartbeats of the keep-alive thread, and those after silence."""

    async def test(ws: CountedSocket, wire: Wire) -> None:
        for number in range(before):
            await (ws.send_as_json(BEAT) if number % 2 else ws.send_heartbeat(BEAT))
        trip = asyncio.create_task(ws.round_trip())
        await turns()
        await ws.send_heartbeat(BEAT)
        for _ in range(before):
            ws.note_acknowledgement()
            await turns()
            assert not trip.done()
        ws.note_acknowledgement()
        assert await trip
        assert ws.round_trips == 0
        assert wire.sent == [BEAT] * (before + 2)

    run(test)


def test_each_round_trip_ends_with_its_own_acknowledgement() -> None:
    async def test(ws: CountedSocket, wire: Wire) -> None:
        trips = []
        for _ in range(3):
            trips.append(asyncio.create_task(ws.round_trip()))
            await turns()
        for number in range(3):
            ws.note_acknowledgement()
            await turns()
            assert [trip.done() for trip in trips] == [at <= number for at in range(3)]

    run(test)


def test_a_round_trip_that_timed_out_is_forgotten() -> None:
    async def test(ws: CountedSocket, wire: Wire) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.round_trip(), 0.01)
        assert ws.round_trips == 0
        trip = asyncio.create_task(ws.round_trip())
        await turns()
        ws.note_acknowledgement()  # of the first
        await turns()
        assert not trip.done()
        ws.note_acknowledgement()
        assert await trip

    run(test)


def test_a_broken_socket_acknowledges_nothing() -> None:
    async def test(ws: CountedSocket, wire: Wire) -> None:
        wire.broken = ConnectionResetError("Cannot write to closing transport")
        with pytest.raises(ConnectionResetError):
            await ws.round_trip()
        assert ws.round_trips == 0
        # discord.py hides this error: no acknowledgement follows.
        wire.broken = RuntimeError("closed")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.round_trip(), 0.01)
        wire.broken = None
        trip = asyncio.create_task(ws.round_trip())
        await turns()
        ws.note_acknowledgement()
        await turns()
        assert not trip.done()
        trip.cancel()

    run(test)


def test_before_the_greeting_there_is_no_heartbeat() -> None:
    async def test(ws: CountedSocket, wire: Wire) -> None:
        ws._keep_alive = None
        assert not await ws.round_trip()
        assert wire.sent == []

    run(test)


def test_other_frames_leave_unchanged() -> None:
    async def test(ws: CountedSocket, wire: Wire) -> None:
        await ws.send_as_json({"op": 3, "d": {}})
        assert wire.sent == [{"op": 3, "d": {}}]
        assert ws.sent == 0

    run(test)


class Etcd:
    """The revision that this replica knows."""

    def __init__(self, ws: CountedSocket) -> None:
        self.seen = 0
        ws.known_revision = lambda: self.seen


def test_the_acknowledged_revision_was_known_when_the_heartbeat_left() -> None:
    async def test(ws: CountedSocket, wire: Wire) -> None:
        etcd = Etcd(ws)
        etcd.seen = 5
        await ws.send_heartbeat(BEAT)
        etcd.seen = 9
        assert ws.acknowledged_revision == 0
        ws.note_acknowledgement()
        assert ws.acknowledged_revision == 5
        await ws.send_as_json(BEAT)  # any sender counts
        etcd.seen = 12
        ws.note_acknowledgement()
        assert ws.acknowledged_revision == 9

    run(test)


def test_the_revision_is_noted_before_the_heartbeat_is_written() -> None:
    """A revision that appears meanwhile may be younger than an event that Discord sends before it answers."""

    async def test(ws: CountedSocket, wire: Wire) -> None:
        etcd = Etcd(ws)
        etcd.seen = 5
        trip = asyncio.create_task(ws.round_trip())
        await asyncio.sleep(0)
        etcd.seen = 9  # while it is written
        await turns()
        ws.note_acknowledgement()
        assert await trip
        assert ws.acknowledged_revision == 5

    run(test)


def test_each_heartbeat_acknowledges_its_own_revision() -> None:
    async def test(ws: CountedSocket, wire: Wire) -> None:
        etcd = Etcd(ws)
        for etcd.seen in (3, 5, 5, 8):
            await ws.send_heartbeat(BEAT)
        etcd.seen = 20
        revisions = []
        for _ in range(4):
            ws.note_acknowledgement()
            revisions.append(ws.acknowledged_revision)
        assert revisions == [3, 5, 5, 8]
        ws.note_acknowledgement()  # without a heartbeat
        assert ws.acknowledged_revision == 8

    run(test)


def test_the_acknowledged_revision_never_falls() -> None:
    """A watch that is rebuilt may lag behind for a moment."""

    async def test(ws: CountedSocket, wire: Wire) -> None:
        etcd = Etcd(ws)
        for etcd.seen in (7, 4, 9):
            await ws.send_heartbeat(BEAT)
        revisions = []
        for _ in range(3):
            ws.note_acknowledgement()
            revisions.append(ws.acknowledged_revision)
        assert revisions == [7, 7, 9]

    run(test)


def test_heartbeats_before_the_session_stands_acknowledge_nothing() -> None:
    """RESUME brings older events, perhaps behind the acknowledgement."""

    async def test(ws: CountedSocket, wire: Wire) -> None:
        await ws.send_heartbeat(BEAT)  # nothing is noted yet
        etcd = Etcd(ws)
        await ws.send_heartbeat(BEAT)
        etcd.seen = 6
        await ws.send_heartbeat(BEAT)
        revisions = []
        for _ in range(3):
            ws.note_acknowledgement()
            revisions.append(ws.acknowledged_revision)
        assert revisions == [0, 0, 6]

    run(test)


def test_a_heartbeat_that_failed_takes_the_next_acknowledgement() -> None:
    """It counts as sent: later acknowledgements then say less than they could, and never more."""

    async def test(ws: CountedSocket, wire: Wire) -> None:
        etcd = Etcd(ws)
        etcd.seen = 5
        wire.broken = ConnectionResetError("Cannot write to closing transport")
        with pytest.raises(ConnectionResetError):
            await ws.send_heartbeat(BEAT)
        wire.broken = None
        etcd.seen = 9
        await ws.send_heartbeat(BEAT)
        ws.note_acknowledgement()
        assert ws.acknowledged_revision == 5

    run(test)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('{"t":null,"s":null,"op":11,"d":null}', True),
        ('{"op": 11}', True),
        ('{"op":11,"d":null}', True),
        ('{"op":10,"d":{"heartbeat_interval":41250}}', False),
        ('{"op":1,"d":null}', False),
        ('{"op":0,"s":11,"t":"RESUMED","d":{}}', False),
        ('{"op":0,"s":3,"t":"TYPING_START","d":{"a":"\\"op\\":11"}}', False),
        ("", False),
    ],
)
def test_acknowledgements_are_told_from_other_frames(raw: str, expected: bool) -> None:
    assert is_acknowledgement(raw) is expected
