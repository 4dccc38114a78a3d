"""An event that happened while no replica was connected, on its way from Discord's history. No I/O."""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["LED", "CaughtUp", "part_of"]

#: Stands before the part of a leader's handlers, where others claim the event under its own name.
LED = "/=leader"


class CaughtUp:
    """What is known of a caught-up event beside its payload. The gateway thread alone writes ``keys``.

    :param moment: when the event happened, by Discord's clock, seconds since 1970.
    :param happened_at: the same by this process's monotonic clock, about.
    :param handled: the parts that a leader has handled before, or will: names of events, or parts of them
        (``part_of``).
    :param is_late: no replica received the event as it happened. Else it is fetched for the replicas that did
        not receive it.
    :ivar keys: the claimable events that this replica has made of it.
    """

    __slots__ = ("handled", "happened_at", "is_late", "keys", "moment")

    def __init__(
        self,
        moment: float,
        happened_at: float,
        handled: Collection[str] = (),
        *,
        is_late: bool = True,
    ) -> None:
        self.moment = moment
        self.happened_at = happened_at
        self.handled = handled
        self.is_late = is_late
        self.keys: list[str] = []

    def was_handled(self, name: str, part: str) -> bool:
        """Whether a leader's part of one of its events needs no run."""
        return name in self.handled or part_of(name, part) in self.handled


def part_of(name: str, part: str) -> str:
    """Names the part of an event whose key ends in ``part``."""
    return name + (part.removeprefix(LED) or "/=")
