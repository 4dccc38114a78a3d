"""The gap that the bot is told of."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Gap"]


@dataclass(frozen=True)
class Gap:
    """A time in which no replica was connected, or only such as may not have finished what they received, and
    are gone: the argument of ``on_gap``.

    :param shard_id: the shard.
    :param since: everything before this moment is handled.
    :param until: everything from this moment on is received as it happens.
    :param fetched_since: what happened before was not fetched; later than ``since`` if ``catch_up`` is
        shorter than the gap.
    :param missing: the names of the bot's events, without ``on_``, that Discord does not keep: the bot has
        not heard of those that happened meanwhile.
    :param skipped: channels and guilds whose history could not be fetched, or not wholly, each with the
        reason.
    """

    shard_id: int
    since: datetime.datetime
    until: datetime.datetime
    fetched_since: datetime.datetime
    missing: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
