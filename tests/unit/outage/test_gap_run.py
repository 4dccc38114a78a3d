"""A leader's work on a gap, on a store in memory: a gap that becomes longer opens no channel too early."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from loop_thread import loop_thread

from discordha.catch_up.missed import Missed, Outcome, Progress
from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.etcd.router import WatchRouter
from discordha.coordination.etcd.store import Compare
from discordha.coordination.gaps.points import Points
from discordha.coordination.gaps.stream import GapState, GapStreams
from discordha.coordination.memory.store import MemoryStore
from discordha.gateway.clock import snowflake_at
from discordha.outage.run import GapRun, RunHost
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


class Scene:
    """A run on shard 0. ``look`` shows what etcd holds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        Fetcher.made = []
        self.store = MemoryStore()
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
            undone=lambda shard, place: 0,
            tell=lambda shard, state: True,
            revision_before=lambda moment: 0,
            loop=loop,
            fetcher=Fetcher,  # type: ignore[arg-type]
        )
        term: Any = SimpleNamespace(guard=lambda: Compare.version("/never", 0), __class__=LeaderTerm)
        client: Any = SimpleNamespace(age_of=lambda moment: 10.0)
        self.loop = loop
        self.run = GapRun(host, 0, term, client)
        self.gaps.write(0, GapState(1, BEGIN, BEGIN + 10, BEGIN), Compare.version("/never", 0))
        self.look()

    def look(self, *ignored: Any) -> bool:
        self.router.on_snapshot(self.store.range("/"))
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
