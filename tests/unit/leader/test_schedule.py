"""Times of day over changes of the clocks, and the arguments that are refused."""

from __future__ import annotations

import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from discord.ext.tasks import resolve_datetime
from hypothesis import given, settings
from hypothesis import strategies as st

from discordha.errors import ConfigError
from discordha.leader.schedule import Schedule, parse_schedule, schedule_of

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata", "UTC"]


def at(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


def daily(hour: int, minute: int = 0, zone: datetime.tzinfo = BERLIN) -> Schedule:
    return schedule_of(time=datetime.time(hour, minute, tzinfo=zone), name="daily")


@pytest.mark.parametrize(
    ("hour", "minute", "after", "due"),
    [
        (9, 0, "2026-03-28T09:00:00+01:00", "2026-03-29T09:00:00+02:00"),  # a day of 23 hours
        (9, 0, "2026-10-24T09:00:00+02:00", "2026-10-25T09:00:00+01:00"),  # a day of 25 hours
        (9, 0, "2026-10-24T08:59:59+02:00", "2026-10-24T09:00:00+02:00"),
        (2, 30, "2026-03-29T00:00:00+01:00", "2026-03-29T03:30:00+02:00"),  # 02:30 does not exist
        (2, 30, "2026-10-25T00:00:00+02:00", "2026-10-25T02:30:00+01:00"),  # the second 02:30 of two
        (2, 30, "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"),  # the first one is none
        (2, 30, "2026-10-25T02:30:00+01:00", "2026-10-26T02:30:00+01:00"),
        (0, 0, "2026-12-31T12:00:00+01:00", "2027-01-01T00:00:00+01:00"),
    ],
)
def test_the_next_time_over_changes_of_the_clocks(hour: int, minute: int, after: str, due: str) -> None:
    schedule = daily(hour, minute)
    assert schedule.next_after(at(after)) == at(due)
    assert schedule.last_until(at(due)) == at(due)
    assert schedule.last_until(at(due) - 1) <= at(after)


def test_several_times_come_in_the_order_of_their_moments() -> None:
    times = [
        datetime.time(9),
        datetime.time(9, tzinfo=BERLIN),
        datetime.time(23, tzinfo=ZoneInfo("Asia/Tokyo")),
    ]
    schedule = schedule_of(time=times, name="daily")
    found = [at("2026-06-01T00:00:00+00:00")]
    for _ in range(4):
        found.append(schedule.next_after(found[-1]))
    assert found[1:] == [at(f"2026-06-{day}:00:00+00:00") for day in ("01T07", "01T09", "01T14", "02T07")]


@given(
    moment=st.integers(at("2025-01-01T00:00+00:00").__int__(), at("2028-01-01T00:00+00:00").__int__()),
    minute=st.integers(0, 24 * 60 - 1),
    zone=st.sampled_from(ZONES),
)
@settings(max_examples=150, deadline=None)
def test_each_date_has_one_moment_and_it_is_that_of_discord_py(moment: int, minute: int, zone: str) -> None:
    time = datetime.time(minute // 60, minute % 60, tzinfo=ZoneInfo(zone))
    schedule = Schedule(None, (time,))
    due = schedule.next_after(moment)
    after = schedule.next_after(due)
    dates = [datetime.datetime.fromtimestamp(each, ZoneInfo(zone)).date() for each in (due, after)]
    assert dates[1] - dates[0] == datetime.timedelta(days=1)
    assert 22 * 3600 <= after - due <= 26 * 3600
    assert due == resolve_datetime(datetime.datetime.combine(dates[0], time)).timestamp()
    assert schedule.last_until(due) == due
    assert schedule.last_until(after - 1) == due


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "never runs"),
        ({"seconds": 0}, "must be above 0"),
        ({"seconds": -1}, "must be above 0"),
        ({"seconds": float("nan")}, "must be above 0"),
        ({"seconds": float("inf")}, "finite"),
        ({"minutes": "5"}, "minutes of the loop daily must be a number"),
        ({"hours": True}, "hours of the loop daily must be a number"),
        ({"seconds": 5, "time": datetime.time(9)}, "both time= and seconds="),
        ({"time": []}, "one or several datetime.time"),
        ({"time": "09:00"}, "one or several datetime.time"),
        ({"time": [datetime.time(9), "10:00"]}, "one or several datetime.time"),
    ],
)
def test_impossible_schedules_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        schedule_of(**arguments, name="daily")


def test_a_time_zone_without_a_name_is_refused() -> None:
    class Odd(datetime.tzinfo):
        def utcoffset(self, moment: datetime.datetime | None) -> datetime.timedelta | None:
            return datetime.timedelta(hours=1) if moment is not None else None

    with pytest.raises(ConfigError, match=r"zoneinfo\.ZoneInfo"):
        daily(9, zone=Odd()).dump()


@pytest.mark.parametrize(
    "schedule",
    [
        schedule_of(seconds=1, minutes=2, hours=3, name="x"),
        daily(9),
        daily(9, zone=datetime.timezone(datetime.timedelta(hours=5, minutes=30))),
        schedule_of(time=[datetime.time(9), datetime.time(9, tzinfo=BERLIN)], name="x"),
    ],
)
def test_other_replicas_read_the_same_schedule(schedule: Schedule) -> None:
    read = parse_schedule(schedule.dump())
    assert read is not None
    moment = at("2026-03-28T12:00:00+00:00")
    assert read.seconds == schedule.seconds
    assert not schedule.times or read.next_after(moment) == schedule.next_after(moment)
    assert read.dump() == schedule.dump()


@pytest.mark.parametrize(
    "record", [None, 5, {}, {"times": ["9"], "seconds": None}, {"times": [], "seconds": 0}]
)
def test_a_schedule_of_another_version_counts_as_none(record: Any) -> None:
    assert parse_schedule(record) is None
