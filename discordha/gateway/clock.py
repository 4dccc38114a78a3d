"""Discord's clock, as its answers tell it: the time by which its snowflakes are dated.

Guarantees: ``earliest`` is not later, and ``latest`` not earlier, than Discord's own time at a moment, as
long as the answers' ``Date`` tells Discord's time. This machine's clock is never asked, only its monotonic
one, which may drift by ``DRIFT``.

Not guaranteed: anything before the first answer, or where a proxy dates the answers by a clock that is off.

Threads and locks: ``note`` runs on the gateway's loop; any thread reads. Each bound is one tuple, replaced
as a whole.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable

__all__ = ["DISCORD_EPOCH", "DiscordClock", "moment_of", "snowflake_at"]

#: Discord counts milliseconds from here, in seconds since 1970.
DISCORD_EPOCH = 1_420_070_400.0
#: The milliseconds of a snowflake stand above so many bits.
SHIFT = 22
#: By how much a monotonic clock may run wrong.
DRIFT = 1e-4


def snowflake_at(moment: float) -> int:
    """The last snowflake before a moment of Discord's clock, seconds since 1970."""
    return max(int((moment - DISCORD_EPOCH) * 1000), 0) << SHIFT


def moment_of(snowflake: int) -> float:
    """When a snowflake was made by Discord's clock, seconds since 1970."""
    return (snowflake >> SHIFT) / 1000 + DISCORD_EPOCH


class DiscordClock:
    """See the module. Moments of Discord's are seconds since 1970."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._low: tuple[float, float] | None = None  # offset to the monotonic clock, and when it was learned
        self._high: tuple[float, float] | None = None

    def note(self, date: str, began: float) -> None:
        """Takes the ``Date`` of an answer that has just come; ``began``: when its request left, monotonic."""
        now = self._clock()
        try:
            told = email.utils.parsedate_to_datetime(date).timestamp()
        except (TypeError, ValueError):
            return
        low, high = told - now, told + 1.0 - began  # a date is cut to its second
        known_low, known_high = self._bound(self._low, now, -1), self._bound(self._high, now, 1)
        if known_low is None or low > known_low:
            self._low = low, now
        if known_high is None or high < known_high:
            self._high = high, now
        if self._low is not None and self._high is not None and self._low[0] > self._high[0]:
            self._low, self._high = (low, now), (high, now)  # one of the two clocks was set

    def earliest(self, at: float) -> float | None:
        """Discord's time at a moment of the monotonic clock, at the earliest; ``None`` before any answer."""
        bound = self._bound(self._low, at, -1)
        return None if bound is None else at + bound

    def latest(self, at: float) -> float | None:
        """The same at the latest."""
        bound = self._bound(self._high, at, 1)
        return None if bound is None else at + bound

    @staticmethod
    def _bound(known: tuple[float, float] | None, at: float, sign: int) -> float | None:
        return None if known is None else known[0] + sign * DRIFT * abs(at - known[1])
