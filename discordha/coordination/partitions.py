"""Partitions: which part of a sharded bot's claims a guild belongs to, however many shards there are.

Discord puts a guild on shard ``(guild >> 22) % n``. A guild's partition is ``(guild >> 22) % count`` with its
bits in reverse, ``count`` a power of two that never changes while replicas run. So the guilds of a shard lie
in one range of partitions: with n a power of two, in a n-th of all of them; otherwise in as many as n has
factors of two. A shard that becomes two splits its range. What belongs to no guild is in the first partition,
that of shard 0.

Keys of a partition begin with ``~``, behind all that have none: events of the bot's own, and everything of a
bot without shards.

Threads and locks: pure; any thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["UNPARTITIONED", "Partitions", "bare", "partitions_for"]

#: The least number of partitions for each shard that a bot begins with: the bot may grow by this factor.
FOR_EACH_SHARD = 4
#: The least and the most partitions, so that each has a name of three digits.
LEAST, MOST = 16, 4096
#: The first character of a partition's name, and the next one in the order of characters.
MARK, BEHIND = "~", "\x7f"
#: The character after ``/``, which ends a partition's name.
AFTER_SLASH = "0"


def partitions_for(shards: int) -> int:
    """The number of partitions of a bot that begins with so many shards."""
    wanted = 1 << max(FOR_EACH_SHARD * shards - 1, 0).bit_length()
    return min(max(wanted, LEAST), MOST)


def bare(key: str) -> str:
    """An event's key without its partition."""
    return key.partition("/")[2] if key.startswith(MARK) else key


def _reversed(number: int, count: int) -> int:
    bits = count.bit_length() - 1
    return int(f"{number:0{bits}b}"[::-1], 2) if bits else 0


class Partitions:
    """The partitions of a bot.

    :param count: a power of two, at most ``MOST``; 0 for a bot whose claims are not partitioned.
    """

    def __init__(self, count: int) -> None:
        if count & (count - 1) or not 0 <= count <= MOST:
            raise ValueError(f"{count} is no number of partitions")
        self.count = count
        self._names = [f"{MARK}{_reversed(number, count):03x}/" for number in range(count)]

    def __bool__(self) -> bool:
        return self.count > 0

    def of(self, guild_id: int) -> str:
        """What the keys of a guild's events begin with: the partition and a slash, or nothing. ``guild_id``:
        0 for what happened in none."""
        count = self.count
        return self._names[(guild_id >> 22) % count] if count else ""

    def all(self) -> list[str]:
        """What keys may begin with."""
        return ["", *sorted(self._names)]

    def ranges(self, shards: Iterable[tuple[int, int]]) -> list[tuple[str, str]]:
        """The keys that concern the host of some shards, as ranges: first key, and the first one behind.

        :param shards: each by its number and the number of all shards of its generation.
        """
        if not self.count:
            return [("", BEHIND)]
        found = [("", MARK)]
        end = -1
        for first, behind in sorted(self._span(number, of) for number, of in shards):
            start = f"{MARK}{first:03x}/" if first > end else found.pop()[0]
            end = max(behind, end)
            found.append((start, f"{MARK}{end - 1:03x}{AFTER_SLASH}"))
        return found

    def _span(self, number: int, of: int) -> tuple[int, int]:
        """The partitions of a shard's guilds: the first, and the first one behind."""
        common = math.gcd(of, self.count)
        width = self.count // common
        first = _reversed(number % common, common) * width
        return first, first + width


#: The partitions of a bot without shards: none.
UNPARTITIONED = Partitions(0)
