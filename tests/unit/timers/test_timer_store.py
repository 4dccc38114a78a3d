"""Timers in the store: order, windows, tokens; and the arguments of ``ha.schedule``."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from types import SimpleNamespace

import discord
import pytest

from discordha import ConfigError, DiscordHA, DiscordHAError
from discordha.coordination.claims.records import Hint
from discordha.coordination.etcd.group_commit import GroupCommit
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.store import KeyValue
from discordha.coordination.memory.store import MemoryStore
from discordha.coordination.shared.timers import TimerStore, parse_timer
from discordha.timers import wheel


@pytest.fixture
def timers() -> Iterator[TimerStore]:
    store = MemoryStore()
    commit = GroupCommit(store)
    commit.start()
    yield TimerStore(store, commit, RetentionLeases(store, retention=600.0), "/bot/", "r0")
    commit.stop()


def names(found: list[KeyValue]) -> list[str]:
    return [timer.name for timer in map(parse_timer, found) if timer is not None]


def test_a_window_has_what_is_due_in_order(timers: TimerStore) -> None:
    told: list[float] = []
    timers.on_scheduled = told.append
    for due, name in ((30.0, "c"), (10.0, "a"), (20.5, "b"), (10.0 + 1e9, "later")):
        timers.schedule(due, name, {"of": name})
    assert names(timers.window(20.499, 10)) == ["a"]
    assert names(timers.window(20.5, 10)) == ["a", "b"]
    assert names(timers.window(1e9, 2)) == ["a", "b"]
    assert names(timers.window(1e10, 10)) == ["a", "b", "c", "later"]
    first = parse_timer(timers.window(15, 1)[0])
    assert first is not None
    assert (first.due, first.payload) == (10.0, {"of": "a"})
    assert told == [30.0, 10.0, 20.5, 10.0 + 1e9]
    assert timers.exists(first.id)
    assert timers.cancel(first.id)
    assert not timers.cancel(first.id)
    assert not timers.exists(first.id)


def test_timers_that_no_function_runs_hold_up_no_later_one(
    timers: TimerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheel, "PAGE", 3)
    for number in range(8):
        timers.schedule(10.0 + number, "unknown", number)
    timers.schedule(20.0, "known", "it")
    offered: list[str] = []
    dispatcher = SimpleNamespace(
        knows=lambda key: False, offer=lambda event, _: offered.append(event.args[0].name)
    )
    turning = wheel.TimerWheel(
        timers,
        {"known": print},
        dispatcher,  # type: ignore[arg-type]
        lambda key: Hint.UNKNOWN,
        lambda: 0,
        wall=lambda: 30.0,
    )
    turning._turn()
    assert offered == ["known"]


def test_a_handler_that_runs_again_schedules_once(timers: TimerStore) -> None:
    first = timers.schedule(10.0, "a", 1, "token")
    assert timers.schedule(12.0, "a", 1, "token") == first
    assert timers.schedule(12.0, "a", 1, "another") != first
    assert len(timers.window(100.0, 10)) == 2


def test_a_timer_of_another_version_is_left_alone(timers: TimerStore) -> None:
    kv = KeyValue("/bot.data/t/000000000010000-x", b"\x00", 1, 1, 1, 0)
    assert parse_timer(kv) is None
    assert parse_timer(kv._replace(key="/bot.data/t/x", value=b'{"name":"a","payload":1}')) is None


@pytest.fixture
def ha() -> DiscordHA:
    return DiscordHA(token="a.b.c", intents=discord.Intents.none(), ha=False)


@pytest.mark.parametrize("when", [datetime.datetime(2030, 1, 1), float("nan"), "soon", True, -1e12, 1e13])
def test_impossible_times_are_refused(when: object, ha: DiscordHA) -> None:
    with pytest.raises(ValueError, match=r"no time zone|when must be|out of reach"):
        ha.schedule(when, "x")  # type: ignore[arg-type]


def test_times_in_each_form(ha: DiscordHA, timers: TimerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    class Running:
        pass

    Running.timers = timers  # type: ignore[attr-defined]
    monkeypatch.setattr(DiscordHA, "_running", lambda self: Running)
    now = time.time()
    utc = datetime.datetime.fromtimestamp(now + 60, datetime.UTC)
    for when in (60, datetime.timedelta(minutes=1), utc):
        ha.schedule(when, "x")
    found = [parse_timer(kv) for kv in timers.window(now + 100, 10)]
    assert all(timer is not None and abs(timer.due - now - 60) < 1 for timer in found)
    assert len(found) == 3


def test_impossible_timers_are_refused(ha: DiscordHA, monkeypatch: pytest.MonkeyPatch) -> None:
    async def late(payload: object) -> None:
        """Does nothing."""

    with pytest.raises(ConfigError, match="plain functions"):
        ha.timer("x")(late)
    with pytest.raises(ConfigError, match="can't be the timer 'x'"):
        ha.timer("x")(lambda: None)
    with pytest.raises(ConfigError, match="name must be text"):
        ha.timer("")(lambda payload: None)
    ha.timer("x")(lambda payload: None)
    with pytest.raises(ConfigError, match="there is a timer 'x' already"):
        ha.timer("x")(lambda payload: None)
    monkeypatch.setattr(DiscordHA, "_is_started", lambda self: True)
    with pytest.raises(ConfigError, match="while the bot runs"):
        ha.timer("y")(lambda payload: None)
    with pytest.raises(DiscordHAError, match="does not run"):
        ha.schedule(1, "x")
