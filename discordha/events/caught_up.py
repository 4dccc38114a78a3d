"""An event that happened while no replica was connected, on its way from Discord's history. No I/O."""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["CaughtUp"]


class CaughtUp:
    """What is known of it beside its payload. The gateway thread alone writes ``keys``.

    :param moment: when it happened, by Discord's clock, seconds since 1970.
    :param happened_at: the same by this process's monotonic clock, about.
    :param handled: the names of its events that were handled before.
    :ivar keys: the events to be claimed that it has become here.
    """

    __slots__ = ("handled", "happened_at", "keys", "moment")

    def __init__(self, moment: float, happened_at: float, handled: Collection[str] = ()) -> None:
        self.moment = moment
        self.happened_at = happened_at
        self.handled = handled
        self.keys: list[str] = []
