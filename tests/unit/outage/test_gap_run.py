"""A leader's work on a gap, on a store in memory: a gap that becomes longer opens no channel too early."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from loop_thread import loop_thread

from discordha.catch_up.missed import Missed, Outcome, Progress
from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.etcd.router import WatchRouter
from discordha.coordination.etcd.store import Compare, Put, Snapshot
from discordha.coordination.gaps.points import Points
from discordha.coordination.gaps.stream import GapState, GapStreams
from discordha.coordination.memory.store import MemoryStore
from discordha.gateway.clock import snowflake_at
from discordha.outage.run import CHANNEL_WINDOW, WINDOW, GapRun, RunHost
from discordha.testing import wait_for

BEGIN = 1_700_000_000.0


class Fetcher:
    """One channel's history, which the test hands on."""

    made: list[Fetcher]

    def __init__(self, client: Any, *, until: int, **options: Any) -> None:
        self.until = until
        self.waiting = {"5", "6"}
        self.go_on = asyncio.Event()
        type(self).made.append(self)

    async def run(
        self, deliver: Callable[[Missed], Awaitable[None]], progressed: Callable[[Progress], None]
    ) -> Outcome:
        await asyncio.sleep(0.01)  # a request
        moment = snowflake_at(BEGIN + 1)
        await deliver(Missed("MESSAGE_CREATE", {"id": str(moment)}, moment, "5", "channel:5"))
        progressed(Progress("channel:5", self.until, True, 1, 2, 1))
        await self.go_on.wait()
        progressed(Progress("channel:6", self.until, True, 1, 2, 0))
        return Outcome({}, 2, (), frozenset())


class CountingStore(MemoryStore):
    """Counts the keys that it reads."""

    read = 0

    def range(self, prefix: str, **options: Any) -> Snapshot:
        found = super().range(prefix, **options)
        self.read += len(found.items)
        return found


class Scene:
    """A run on shard 0. ``look`` shows what etcd holds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        Fetcher.made = []
        self.store = CountingStore()
        self.gaps, self.points = GapStreams(self.store, "/"), Points(self.store, "/")
        self.router = WatchRouter("/")
        self.router.subscribe(self.gaps, "g")
        self.router.subscribe(self.points, "p")
        node: Any = SimpleNamespace(
            store=self.store,
            root="/",
            gaps=self.gaps,
            points=self.points,
            watch=SimpleNamespace(wait_revision=self.look),
        )
        host = RunHost(
            node,
            "me",
            100,
            wanted=frozenset,
            missing=lambda kinds: [],
            handled=lambda shard, missed, received: [],
            undone=lambda shard, place: self.undone,
            tell=lambda shard, state: True,
            revision_before=lambda moment: 0,
            loop=loop,
            fetcher=Fetcher,  # type: ignore[arg-type]
        )
        term: Any = SimpleNamespace(guard=lambda: Compare.version("/never", 0), __class__=LeaderTerm)
        client: Any = SimpleNamespace(age_of=lambda moment: 10.0)
        self.loop, self.undone = loop, Counter[str]()
        self.run = GapRun(host, 0, term, client)
        self.gaps.write(0, GapState(1, BEGIN, BEGIN + 10, BEGIN), Compare.version("/never", 0))
        self.look()

    def look(self, *ignored: Any) -> bool:
        self.router.on_snapshot(MemoryStore.range(self.store, "/", without="/e/"))
        return True

    @property
    def state(self) -> GapState:
        found = self.gaps.state(0)
        assert found is not None
        return found

    def turn(self) -> bool:
        return self.run.turn(self.state)

    def waits_for(self, waiting: list[str] | None) -> bool:
        self.turn()
        return self.state.waiting == waiting


def test_a_gap_that_becomes_longer_opens_no_channel_before_the_plan_for_all_of_it() -> None:
    with loop_thread() as (loop, _):
        scene = Scene(loop)
        wait_for(lambda: scene.waits_for(["6"]), 10, lambda: f"the first channel to be done: {scene.state}")
        scene.run.extend(scene.state, BEGIN + 20)
        assert scene.state.waiting is None
        loop.call_soon_threadsafe(Fetcher.made[0].go_on.set)

        def has_begun_again() -> bool:
            scene.turn()
            opened = scene.state.waiting is not None and len(Fetcher.made) == 1
            assert not opened, "what happened since the first end of the gap is in no frame"
            return len(Fetcher.made) == 2

        wait_for(has_begun_again, 10, "a fetch up to the new end")
        assert Fetcher.made[1].until >= snowflake_at(BEGIN + 20)
        wait_for(lambda: scene.waits_for(["6"]), 10, lambda: f"the first channel again: {scene.state}")
        loop.call_soon_threadsafe(Fetcher.made[1].go_on.set)
        wait_for(scene.turn, 10, lambda: f"the end: {scene.state}")
        point = scene.points.get(0)
        assert point is not None
        assert point.moment == BEGIN + 20


def test_a_run_reads_no_marks() -> None:
    with loop_thread() as (loop, _):
        scene = Scene(loop)
        lease = scene.store.grant(600.0).id
        for key in ("/e/message/", "/j/0/"):
            scene.store.txn((), [Put(f"{key}{number}", b"d me 1 0", lease) for number in range(100)])
        wait_for(lambda: scene.waits_for(["6"]), 10, lambda: f"the first channel to be done: {scene.state}")
        loop.call_soon_threadsafe(Fetcher.made[0].go_on.set)
        wait_for(scene.turn, 10, lambda: f"the end: {scene.state}")
        assert scene.store.read == 0


def test_a_slow_channel_leaves_room_for_others() -> None:
    """Its events are not done for long; those of the others go on."""
    with loop_thread() as (loop, _):
        scene = Scene(loop)
        run = scene.run

        async def deliver(channel: str, count: int) -> None:
            for number in range(count):
                moment = snowflake_at(BEGIN + 1) + number
                payload = {"id": str(moment), "channel_id": channel}
                await run._deliver(Missed("MESSAGE_CREATE", payload, moment, channel, f"channel:{channel}"))

        run._until = snowflake_at(BEGIN + 10)
        slow = asyncio.run_coroutine_threadsafe(deliver("5", 2 * WINDOW), loop)
        wait_for(lambda: len(run._fetched) == CHANNEL_WINDOW, 10, "what the slow channel may take")
        run._write_frames(scene.state)
        scene.look()
        scene.undone = Counter({"5": CHANNEL_WINDOW})
        run._delete_done()
        other = asyncio.run_coroutine_threadsafe(deliver("6", 10), loop)
        other.result(10)
        assert [each.order_key for each in run._fetched] == ["6"] * 10  # type: ignore[union-attr]
        scene.undone = Counter({"5": CHANNEL_WINDOW - 5})
        run._delete_done()
        wait_for(lambda: len(run._fetched) == 15, 10, "as many as were done")
        slow.cancel()
