"""What a catch-up finds, and what it reports. Plain data.

A *moment* is a time in the form of a snowflake, so that it compares with ids. Of an object whose id tells its
time, it is the id itself; of an object with only a time, the milliseconds with the low bits 0.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Missed", "Outcome", "Progress", "Skipped", "moment_of"]

_EPOCH = datetime.datetime(2015, 1, 1, tzinfo=datetime.UTC)
_MILLISECOND = datetime.timedelta(milliseconds=1)
#: Bits of a snowflake below its milliseconds.
LOW_BITS = 22


def moment_of(time: str | datetime.datetime) -> int:
    """The moment of a time, or of its text in ISO 8601."""
    at = datetime.datetime.fromisoformat(time) if isinstance(time, str) else time
    return (at - _EPOCH) // _MILLISECOND << LOW_BITS


@dataclass(frozen=True, slots=True)
class Missed:
    """An event that nobody received.

    :ivar type: the gateway's name, such as ``MESSAGE_CREATE``.
    :ivar payload: the payload that the gateway would have sent. The receiver owns it.
    :ivar snowflake: the moment.
    :ivar order_key: the channel, thread or guild to whose order it belongs.
    :ivar source: the listing that it comes from; see ``HistoryFetcher``.
    """

    type: str
    payload: dict[str, Any]
    snowflake: int
    order_key: str
    source: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a source is.

    :ivar cursor: the moment up to which all of the source was delivered.
    :ivar finished: whether nothing more comes from the source.
    :ivar delivered: events of all sources so far.
    :ivar sources: the number of sources known so far.
    :ivar remaining: sources that are not finished.
    """

    source: str
    cursor: int
    finished: bool
    delivered: int
    sources: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """A source that was given up, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a catch-up.

    :ivar delivered: the number of events by type.
    :ivar requests: the number of requests to Discord, without discord.py's own repetitions.
    :ivar missing: the wanted types that Discord does not keep.
    """

    delivered: Mapping[str, int]
    requests: int
    skipped: tuple[Skipped, ...]
    missing: frozenset[str]
