"""The limits of REST requests in one replica, with a stepped clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from discordha.errors import DiscordHAError
from discordha.limits.rest import (
    BACKGROUND_IN_FLIGHT,
    LATE,
    PROMPT,
    REFUSED_LIMIT,
    SLOWEST,
    TIMERS,
    RestLimits,
    in_background,
    shared_total,
)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Fixed:
    """In place of ``Shares``."""

    def __init__(self, slots: int) -> None:
        self.number = slots
        self.refused = 0
        self.pauses: list[float] = []

    def slots(self) -> int:
        return self.number

    def others_refused(self) -> int:
        return self.refused

    def report_pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


def run(test: Callable[[RestLimits, Clock, Fixed], Awaitable[None]], slots: int = 3) -> None:
    clock, shares = Clock(), Fixed(slots)
    limits = RestLimits(50, clock=clock)
    limits.share(shares)  # type: ignore[arg-type]
    asyncio.run(asyncio.wait_for(test(limits, clock, shares), 20))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_place_is_free_a_second_after_the_answer() -> None:
    async def test(limits: RestLimits, clock: Clock, shares: Fixed) -> None:
        for _ in range(3):
            await limits.begin(counted=True)
        waiting = [asyncio.create_task(limits.begin(counted=True)) for _ in range(2)]
        clock.now += 10  # nothing was answered: Discord may count it at any time
        await settle()
        assert limits.status()["waiting"] == 2
        limits.end()
        clock.now += 0.99
        limits.changed()
        await settle()
        assert limits.status()["waiting"] == 2
        clock.now += 0.01
        limits.changed()
        await settle()
        assert [task.done() for task in waiting] == [True, False]  # in order
        shares.number = 4
        limits.changed()
        await waiting[1]

    run(test)


def test_no_second_holds_more_than_the_share() -> None:
    """By the real clock: whatever the answers do, a sliding second never holds more."""

    async def test() -> None:
        limits = RestLimits(50)
        limits.share(Fixed(20))  # type: ignore[arg-type]
        counted: list[float] = []
        loop = asyncio.get_running_loop()

        async def request(number: int) -> None:
            await limits.begin(counted=True)
            await asyncio.sleep(0.001 * (number * 7 % 13))
            counted.append(loop.time())
            await asyncio.sleep(0.001 * (number * 5 % 11))
            limits.end()

        await asyncio.gather(*(request(number) for number in range(45)))
        counted.sort()
        assert all(later - earlier >= 1.0 for earlier, later in zip(counted, counted[20:], strict=False))
        assert counted[-1] - counted[0] < 10

    asyncio.run(test())


def test_interactions_never_wait() -> None:
    async def test(limits: RestLimits, clock: Clock, shares: Fixed) -> None:
        shares.number = 0
        limits.pause(60)
        await limits.begin(counted=False)
        assert limits.status()["exempt"] == 1
        assert limits.status()["in_flight"] == 0

    run(test)


def test_a_cancelled_request_takes_no_place() -> None:
    async def test(limits: RestLimits, clock: Clock, shares: Fixed) -> None:
        await limits.begin(counted=True)
        first, second, third = (asyncio.create_task(limits.begin(counted=True)) for _ in range(3))
        await settle()
        first.cancel()
        shares.number = 2
        limits.changed()
        await second
        assert limits.in_flight == 2
        limits.end(sent=False)  # given up before it left: its place is free at once
        third.cancel()  # at the moment when its turn has come
        await settle()
        assert limits.in_flight == 1
        assert limits.status()["waiting"] == 0

    run(test, slots=1)


def test_a_global_429_pauses_all_replicas() -> None:
    async def test(limits: RestLimits, clock: Clock, shares: Fixed) -> None:
        limits.answered(429, {"X-RateLimit-Global": "true", "Retry-After": "1.5"})
        assert shares.pauses == [1.5]
        task = asyncio.create_task(limits.begin(counted=True))
        clock.now += 1.4
        limits.changed()
        await settle()
        assert not task.done()
        clock.now += 0.2
        limits.changed()
        await task

    run(test)


def test_refused_requests_are_counted_and_forgotten() -> None:
    async def test(limits: RestLimits, clock: Clock, shares: Fixed) -> None:
        for status in (200, 404, 500):
            limits.answered(status, {})
        limits.answered(429, {"X-RateLimit-Scope": "shared"})
        assert limits.refused() == 0
        limits.answered(401, {})
        limits.answered(403, {})
        limits.answered(429, {"X-RateLimit-Scope": "user"})
        assert limits.refused() == 3
        shares.refused = REFUSED_LIMIT - 4
        await limits.begin(counted=True)
        shares.refused += 1
        for counted in (True, False):
            with pytest.raises(DiscordHAError, match=f"has refused {REFUSED_LIMIT} requests"):
                await limits.begin(counted=counted)
        clock.now += 611
        assert limits.refused() == 0
        await limits.begin(counted=True)
        assert limits.status()["withheld"] == 2

    run(test)


def test_demand_counts_waiting_requests() -> None:
    async def test(limits: RestLimits, clock: Clock, shares: Fixed) -> None:
        tasks = [asyncio.create_task(limits.begin(counted=True)) for _ in range(8)]
        await settle()
        assert limits.want() == 8
        for task in tasks:
            task.cancel()
        await settle()
        clock.now += 3.1
        assert limits.want() == 0

    run(test)


def test_the_shared_part_leaves_a_margin() -> None:
    assert shared_total(50) == 48
    assert shared_total(1) == 1
    assert shared_total(500) == 480


async def behind(limits: RestLimits) -> None:
    with in_background():
        await limits.begin(counted=True)


def ended_behind(limits: RestLimits) -> None:
    with in_background():
        limits.end()


def test_background_requests_leave_half_of_the_share() -> None:
    async def test(limits: RestLimits, clock: Clock, shares: Fixed) -> None:
        tasks = [asyncio.create_task(behind(limits)) for _ in range(5)]
        await settle()
        clock.now += 0.4
        limits.changed()
        await settle()
        assert [task.done() for task in tasks] == [True, True, True, False, False]
        for _ in range(3):
            await asyncio.wait_for(limits.begin(counted=True), 5)  # without waiting
        for _ in range(3):
            ended_behind(limits)
        clock.now += 1
        limits.changed()
        await settle()
        assert not tasks[3].done(), "three live ones take half of the share"
        limits.end()
        clock.now += 1
        limits.changed()
        await settle()
        assert [task.done() for task in tasks[3:]] == [True, False]
        tasks[4].cancel()
        await asyncio.gather(tasks[4], return_exceptions=True)
        status = limits.status()
        assert (status["waiting_in_background"], status["background"], status["delayed"]) == (0, 5, 0)

    run(test, slots=6)


def test_background_requests_wait_while_live_ones_do() -> None:
    async def test(limits: RestLimits, clock: Clock, shares: Fixed) -> None:
        await limits.begin(counted=True)
        await limits.begin(counted=True)
        background = asyncio.create_task(behind(limits))
        await settle()
        live = asyncio.create_task(limits.begin(counted=True))
        await settle()
        limits.end()
        clock.now += 1
        limits.changed()
        await settle()
        assert (live.done(), background.done()) == (True, False), "the later one goes first"
        limits.end()
        limits.end()
        clock.now += 1
        limits.changed()
        await asyncio.wait_for(background, 5)

    run(test, slots=2)


def test_background_requests_in_flight_are_few() -> None:
    async def test(limits: RestLimits, clock: Clock, shares: Fixed) -> None:
        tasks = [asyncio.create_task(behind(limits)) for _ in range(BACKGROUND_IN_FLIGHT + 1)]
        for _ in range(BACKGROUND_IN_FLIGHT):
            await settle()
            clock.now += 0.1
            limits.changed()
        await settle()
        assert sum(task.done() for task in tasks) == BACKGROUND_IN_FLIGHT
        clock.now += 60
        limits.changed()
        await settle()
        assert sum(task.done() for task in tasks) == BACKGROUND_IN_FLIGHT, "none was answered"
        ended_behind(limits)
        await asyncio.wait_for(tasks[-1], 5)

    run(test, slots=48)


def test_background_requests_leave_evenly_and_not_as_a_burst() -> None:
    async def test(limits: RestLimits, clock: Clock, shares: Fixed) -> None:
        limits._note_lateness = lambda lateness: None  # type: ignore[method-assign]
        begun = clock.now
        left: list[float] = []

        async def one() -> None:
            await behind(limits)
            left.append(clock.now - begun)
            ended_behind(limits)

        tasks = [asyncio.create_task(one()) for _ in range(40)]
        for _ in range(400):
            await settle()
            clock.now += 0.01
            limits.changed()
        await settle()
        assert len(left) == 40
        assert all(third - first > 0.09 for first, third in zip(left, left[2:], strict=False)), left
        assert left[-1] <= 4.0, "the limit is used to the full"
        await asyncio.gather(*tasks)

    run(test, slots=20)


@pytest.mark.parametrize(("lateness", "slowness"), [(PROMPT, 1.0), (PROMPT + LATE, 2.0), (10.0, SLOWEST)])
def test_background_requests_are_slower_while_timers_are_late(lateness: float, slowness: float) -> None:
    """Others need the machine then: live events, too."""

    async def test(limits: RestLimits, clock: Clock, shares: Fixed) -> None:
        for _ in range(10 * TIMERS):
            limits._note_lateness(lateness)
        limits._note_lateness = lambda lateness: None  # type: ignore[method-assign]
        tasks = [asyncio.create_task(behind(limits)) for _ in range(3)]
        await settle()
        assert [task.done() for task in tasks] == [True, True, False]
        clock.now += 0.1 * slowness - 0.01
        limits.changed()
        await settle()
        assert not tasks[2].done()
        for _ in range(3):
            await asyncio.wait_for(limits.begin(counted=True), 5)  # live ones do not wait
        clock.now += 0.02
        limits.changed()
        await asyncio.wait_for(asyncio.gather(*tasks), 5)

    run(test, slots=20)


def test_late_timers_are_noticed() -> None:
    async def test() -> None:
        limits = RestLimits(50)
        limits.share(Fixed(20))  # type: ignore[arg-type]
        waiting = [asyncio.create_task(behind(limits)) for _ in range(3)]
        await settle()
        time.sleep(0.3)  # the loop is not there when the timer is due
        await asyncio.wait_for(asyncio.gather(*waiting), 5)
        assert limits._lateness > PROMPT

    asyncio.run(test())


def test_a_background_request_leaves_by_itself_when_its_time_has_come() -> None:
    async def test() -> None:
        limits = RestLimits(50)
        limits.share(Fixed(20))  # type: ignore[arg-type]
        for _ in range(4):
            await asyncio.wait_for(behind(limits), 5)
            ended_behind(limits)

    begun = time.monotonic()
    asyncio.run(test())
    assert 0.15 <= time.monotonic() - begun < 1.0, "not with the next check of the share"
