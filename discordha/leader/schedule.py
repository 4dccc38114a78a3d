"""When a loop's runs are due: every so many seconds, or at times of day.

Guarantees: a time of day comes once on every date of its time zone. Where the clocks go forward over it, it
comes as much later as they go (02:30 becomes 03:30); where they go back over it, it comes the second time. So
does discord.py resolve such times.

Threads and locks: immutable values; any thread.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from discordha.errors import ConfigError

__all__ = ["Schedule", "Times", "parse_schedule", "schedule_of"]

#: One time of day or several; without a time zone they mean UTC.
Times = datetime.time | Sequence[datetime.time]

_UTC = datetime.UTC
_DAY = datetime.timedelta(days=1)


class Schedule(NamedTuple):
    """When runs are due: ``seconds`` after the last one began, or at each of ``times``; one of the two."""

    seconds: float | None
    times: tuple[datetime.time, ...] = ()

    def next_after(self, moment: float) -> float:
        """The first of ``times`` after a moment; both in seconds since 1970."""
        return min(each for each in self._near(moment) if each > moment)

    def last_until(self, moment: float) -> float:
        """The last of ``times`` that has come by a moment; both in seconds since 1970."""
        return max(each for each in self._near(moment) if each <= moment)

    def _near(self, moment: float) -> Iterator[float]:
        for time in self.times:
            today = datetime.datetime.fromtimestamp(moment, _UTC).astimezone(time.tzinfo).date()
            for days in range(-2, 3):
                yield _resolve(today + days * _DAY, time)

    def dump(self) -> dict[str, Any]:
        """The schedule as JSON, for the other replicas.

        :raises ConfigError: a time zone has no name that other replicas could look up.
        """
        return {"seconds": self.seconds, "times": [_text(time) for time in self.times]}


def schedule_of(
    seconds: float | None = None,
    minutes: float | None = None,
    hours: float | None = None,
    time: Times | None = None,
    *,
    name: str,
) -> Schedule:
    """The schedule that a loop's arguments ask for.

    :param name: the loop's, for messages.
    :raises ConfigError: the arguments contradict each other, or are impossible.
    """
    parts = {"seconds": seconds, "minutes": minutes, "hours": hours}
    for unit, value in parts.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ConfigError(f"{unit} of the loop {name} must be a number, not {value!r}")
    if time is not None:
        if any(parts.values()):
            given = ", ".join(unit for unit, value in parts.items() if value)
            raise ConfigError(f"the loop {name} has both time= and {given}=: leave one of them out")
        return Schedule(None, _checked(time, name))
    if all(value is None for value in parts.values()):
        raise ConfigError(f"the loop {name} never runs: give seconds=, minutes=, hours= or time=")
    total = (seconds or 0) + 60.0 * (minutes or 0) + 3600.0 * (hours or 0)
    if not 0 < total < float("inf"):
        raise ConfigError(f"seconds of the loop {name} must be above 0 and finite, not {total!r}")
    return Schedule(float(total))


def parse_schedule(record: Any) -> Schedule | None:
    """The schedule that ``dump`` wrote; ``None`` if it is none that this version reads."""
    try:
        if record["times"]:
            return Schedule(None, tuple(_parse(text) for text in record["times"]))
        seconds = float(record["seconds"])
    except (KeyError, TypeError, ValueError, OSError):
        return None
    return Schedule(seconds) if 0 < seconds < float("inf") else None


def _checked(time: Times, name: str) -> tuple[datetime.time, ...]:
    times = [time] if isinstance(time, datetime.time) else list(time) if isinstance(time, Sequence) else None
    if not times or not all(isinstance(each, datetime.time) for each in times):
        raise ConfigError(f"time of the loop {name} must be one or several datetime.time, not {time!r}")
    aware = {each if each.tzinfo is not None else each.replace(tzinfo=_UTC) for each in times}
    return tuple(sorted(aware, key=lambda each: (each.replace(tzinfo=None), str(each.tzinfo))))


def _resolve(date: datetime.date, time: datetime.time) -> float:
    """When a time of day comes on a date, in seconds since 1970."""
    later = datetime.datetime.combine(date, time).replace(fold=1)
    earlier = later.replace(fold=0)
    # Where the clocks go back, fold=1 is the later moment; where they go forward, fold=0 is.
    return max(later.timestamp(), earlier.timestamp())


def _text(time: datetime.time) -> str:
    zone = time.tzinfo
    clock = time.replace(tzinfo=None).isoformat()
    if isinstance(zone, ZoneInfo) and zone.key:
        return f"{clock} {zone.key}"
    offset = time.utcoffset()
    if offset is None:
        raise ConfigError(f"the time zone of {time!r} has no name: use zoneinfo.ZoneInfo(name)")
    return f"{clock} {offset.total_seconds():g}"


def _parse(text: str) -> datetime.time:
    clock, _, zone = text.partition(" ")
    try:
        tzinfo: datetime.tzinfo = datetime.timezone(datetime.timedelta(seconds=float(zone)))
    except ValueError:
        tzinfo = ZoneInfo(zone)
    return datetime.time.fromisoformat(clock).replace(tzinfo=tzinfo)
