"""Loops of several replicas on one etcd: times of day over changes of the clocks and of the leader, the runs
that a dead leader missed, and the calls that hold for all replicas.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from zoneinfo import ZoneInfo

import pytest
from loop_fleet import LoopFleet, LoopReplica, SteppedClock, make_loop
from store_helpers import delete_below, store_of

from discordha.context import CurrentEvent, current_event, handler_scope
from discordha.coordination.memory.store import MemoryStore
from discordha.errors import LockLost
from discordha.ext import tasks
from discordha.leader.loop import Loop
from discordha.testing import LocalEtcd, wait_for

BERLIN = ZoneInfo("Europe/Berlin")
NINE = datetime.time(9, tzinfo=BERLIN)


def berlin(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=BERLIN)


class Record:
    """What the replicas' loops did: which replica, and when by the stepped clock."""

    def __init__(self, clock: SteppedClock) -> None:
        self.clock = clock
        self.runs: list[tuple[str, datetime.datetime]] = []
        self.attempts: list[int] = []

    def tick(self, name: str) -> Callable[[], None]:
        def post() -> None:
            event = current_event()
            assert event is not None
            self.attempts.append(event.attempt)
            self.runs.append((name, datetime.datetime.fromtimestamp(self.clock.wall(), BERLIN)))

        return post


@pytest.fixture
def fleet(local_etcd: LocalEtcd) -> Iterator[Callable[..., tuple[LoopFleet, Record]]]:
    with ExitStack() as ends:

        def make(start: str, **options: object) -> tuple[LoopFleet, Record]:
            clock = SteppedClock(berlin(start).timestamp())
            record = Record(clock)
            replicas = []
            for name in ("a", "b", "c"):
                store = ends.enter_context(store_of(local_etcd))
                if not replicas:
                    delete_below(store, "/loops/")
                loop = make_loop(tasks.loop(time=NINE, name="daily", **options), record.tick(name))  # type: ignore[arg-type]
                replicas.append(LoopReplica(name, store, [loop], clock.monotonic, clock.wall))
            return ends.enter_context(LoopFleet(replicas)), record

        yield make


def settle(fleet: LoopFleet) -> None:
    """Waits until the leader has looked at the clock, and every replica knows the same point."""
    threading.Event().wait(0.2)
    wait_for(
        lambda: len({str(replica.runs.point("daily")) for replica in fleet.replicas}) == 1, 5, "one point"
    )


@pytest.mark.parametrize("change", ["2026-03-29", "2026-10-25"])
def test_daily_at_nine_over_a_change_of_the_clocks_and_three_leaders(
    change: str, fleet: Callable[..., tuple[LoopFleet, Record]]
) -> None:
    day = datetime.date.fromisoformat(change) - datetime.timedelta(days=2)
    three, record = fleet(f"{day}T07:30:00")
    settle(three)
    for number in range(5):
        date = day + datetime.timedelta(days=number)
        for clock in ("08:59:58", "09:00:00", "09:00:03", "23:59:59"):
            record.clock.step_to(berlin(f"{date}T{clock}").timestamp())
            settle(three)
            if clock == "08:59:58" and number in {1, 2, 3}:
                three.move(number % 3)  # also two seconds before it is due, on the day of the change
                settle(three)
        assert len(record.runs) == number + 1, record.runs
    assert [when.strftime("%H:%M") for _, when in record.runs] == ["09:00"] * 5
    assert [when.date() for _, when in record.runs] == [day + datetime.timedelta(days=n) for n in range(5)]
    assert [name for name, _ in record.runs] == ["a", "b", "c", "a", "a"]


@pytest.mark.parametrize("missed", ["run", "skip"])
def test_a_run_that_nobody_led_for(missed: str, fleet: Callable[..., tuple[LoopFleet, Record]]) -> None:
    three, record = fleet("2026-06-01T07:30:00", missed=missed)
    settle(three)
    three.replicas[0].resign()
    record.clock.step_to(berlin("2026-06-03T12:00:00").timestamp())  # three were due
    settle(three)
    three.replicas[1].lead()
    settle(three)
    three.move(2)
    settle(three)
    made_up = [name for name, _ in record.runs]
    assert made_up == (["b"] if missed == "run" else [])
    record.clock.step_to(berlin("2026-06-04T09:00:00").timestamp())
    settle(three)
    assert [name for name, _ in record.runs] == [*made_up, "c"]


def test_a_run_that_its_replica_did_not_end_is_made_again(
    fleet: Callable[..., tuple[LoopFleet, Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    three, record = fleet("2026-06-01T08:30:00")
    settle(three)
    lost = LockLost("this replica may have lost the loop")
    cut = iter([True, True, False])

    def cut_off(self: Loop) -> None:
        self.function()
        if next(cut):
            raise lost

    monkeypatch.setattr(Loop, "run_once", cut_off)
    record.clock.step_to(berlin("2026-06-01T09:00:00").timestamp())
    wait_for(lambda: len(record.runs) == 3, 10, "three attempts")
    settle(three)
    assert record.attempts == [1, 2, 3]
    point = three.replicas[2].runs.point("daily")
    assert point is not None
    assert point.attempt == 0


# -- what holds for all replicas -----------------------------------------------------------------------------


def pair(make: Callable[[str], Loop]) -> LoopFleet:
    """Two replicas on one store in memory; the first one leads."""
    store = MemoryStore()
    return LoopFleet([LoopReplica(name, store.clone(), [make(name)]) for name in ("a", "b")])


def in_a_handler(call: Callable[[], object]) -> None:
    """Calls from a handler that one replica runs for all."""
    event = CurrentEvent("message 1", "message", 1, 0, 1, 0, lambda: False)
    with handler_scope(event, "on_message"):
        call()


def test_count_and_control_hold_for_all_replicas() -> None:
    ran: list[str] = []
    loops: dict[str, Loop] = {}

    def make(name: str) -> Loop:
        loops[name] = make_loop(tasks.loop(seconds=0.05, count=4, name="tick"), lambda: ran.append(name))
        return loops[name]

    with pair(make) as two:
        wait_for(lambda: len(ran) == 2, 5, "two runs", interval=0.002)
        two.move(1)
        wait_for(lambda: len(ran) == 4, 5, "the rest of four runs")
        wait_for(lambda: not loops["a"].is_running(), 5, "the end")
        assert not loops["b"].is_running()
        assert loops["a"].next_iteration is None
        assert set(ran) == {"a", "b"}
        # A handler on the replica that does not lead starts it anew, for all.
        in_a_handler(loops["a"].start)
        wait_for(lambda: len(ran) == 8, 5, "four more")
        assert ran[4:] == ["b"] * 4
        threading.Event().wait(0.15)
        assert len(ran) == 8


def test_stop_and_another_interval_reach_the_leader() -> None:
    ran: list[str] = []
    loops: dict[str, Loop] = {}

    def make(name: str) -> Loop:
        loops[name] = make_loop(tasks.loop(hours=1, name="tick"), lambda: ran.append(name))
        return loops[name]

    with pair(make) as two:
        wait_for(lambda: ran == ["a"], 5, "the first run")
        wait_for(lambda: loops["b"].current_loop == 1, 5, "the news")
        due = loops["b"].next_iteration
        assert due is not None
        left = due - datetime.datetime.now(datetime.UTC)
        assert 3590 < left.total_seconds() <= 3600
        loops["b"].change_interval(seconds=0.05)
        wait_for(lambda: len(ran) > 3, 5, "runs at the new rate")
        assert loops["a"].seconds == loops["b"].seconds == 0.05
        in_a_handler(loops["b"].stop)
        wait_for(lambda: not loops["a"].is_running(), 5, "the news")
        settled = len(ran) + two.replicas[0].runs.is_running("tick")
        threading.Event().wait(0.2)
        assert len(ran) <= settled
        # A replica that starts in on_ready takes part in a loop that all have stopped, and does not start it.
        loops["a"].start()
        threading.Event().wait(0.1)
        assert not loops["a"].is_running()
        in_a_handler(loops["b"].restart)
        count = len(ran)
        wait_for(lambda: len(ran) > count, 5, "runs after the restart")
        assert set(ran) == {"a"}


def test_hooks_errors_and_retries(caplog: pytest.LogCaptureFixture) -> None:
    happened: list[str] = []
    fails = iter([ValueError("bad"), ConnectionResetError("net"), None])
    loops: list[Loop] = []

    def body() -> None:
        happened.append("run")
        error = next(fails, None)
        if error is not None:
            raise error

    def make(name: str) -> Loop:
        loop = make_loop(tasks.loop(seconds=0.05, name="tick"), body)
        loop.before_loop(lambda: happened.append(f"before {name}"))
        loop.after_loop(lambda: happened.append(f"after {name} {loop.is_being_cancelled()}"))
        loop.error(lambda exception: happened.append(f"error {exception} {loop.failed()}"))
        loops.append(loop)
        return loop

    with pair(make) as two:
        wait_for(lambda: happened.count("run") >= 4, 10, "four runs")
        two.replicas[0].loops.pause()
        assert not any(each.startswith("after") for each in happened)  # handlers may still run
    assert happened[:4] == ["before a", "run", "error bad True", "run"]
    assert happened[-1] == "after a True"  # the other replica made no run
    assert [each for each in happened if not each.startswith("run")] == [
        "before a",
        "error bad True",
        "after a True",
    ]
    assert "the loop tick failed; it is tried again in 1 s" in caplog.text
    assert two.replicas[0].stats.count("loop_errors", "tick") == 2


def test_a_new_fleet_forgets_counts_and_keeps_times_of_day() -> None:
    store = MemoryStore()
    ran: list[str] = []
    replica = LoopReplica(
        "a",
        store.clone(),
        [make_loop(tasks.loop(seconds=0.02, count=1, name="tick"), lambda: ran.append("tick"))],
    )
    with LoopFleet([replica]):
        wait_for(lambda: len(ran) == 1, 5, "a run")
        wait_for(lambda: not replica.runs.is_running("tick"), 5, "its end")
    again = make_loop(tasks.loop(seconds=0.02, count=1, name="tick"), lambda: ran.append("tick"))
    second = LoopReplica("b", store.clone(), [again])
    store.put("/loops/m/a", b"{}")
    second.runs.start_life()  # beside a member: nothing is forgotten
    with LoopFleet([second]):
        threading.Event().wait(0.15)
        assert not again.is_running()
    store.delete("/loops/m/a")
    third = LoopReplica("c", store.clone(), [again])
    third.runs.start_life()
    with LoopFleet([third]):
        wait_for(lambda: len(ran) == 2, 5, "a run of the new fleet")


def test_a_replica_that_joined_since_the_last_run_waits_for_the_next() -> None:
    """As in a rolling deploy: the interval belongs to the fleet."""
    store = MemoryStore()
    ran: list[str] = []

    def make(name: str) -> LoopReplica:
        loop = make_loop(tasks.loop(hours=1, name="tick"), lambda: ran.append(name))
        return LoopReplica(name, store.clone(), [loop])

    old = make("old")
    with LoopFleet([old]):
        wait_for(lambda: ran == ["old"] and not old.runs.is_running("tick"), 5, "a run, and its end")
    with LoopFleet([make("new")]):
        threading.Event().wait(0.3)
        assert ran == ["old"]
