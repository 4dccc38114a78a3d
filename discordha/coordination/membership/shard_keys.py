"""Shard keys: one whole number for a shard and the generation it belongs to. Pure functions; any thread.

A *generation* is one way to divide the guilds: a number of shards. Resharding begins the next generation
beside the present one, so two shards with the same number run at once. Everything that is kept per shard
(connections, elections, journals, hosts) is kept by this key, which is the plain number for a bot that was
never resharded.
"""

from __future__ import annotations

import math

__all__ = [
    "MAX_DIGITS",
    "SPAN",
    "generation_of",
    "is_number",
    "key_of",
    "may_share",
    "number_for",
    "number_of",
]

#: Shards that fit into one generation. Part of the format: all versions must agree.
SPAN = 1_000_000
#: Numbers in keys and marks have fewer digits than this. Python refuses to parse very many.
MAX_DIGITS = 20


def is_number(text: str) -> bool:
    """Whether a part of a key or a value is a number that discordha may have written."""
    return text.isascii() and text.isdecimal() and len(text) < MAX_DIGITS


def key_of(generation: int, number: int) -> int:
    """The key of a generation's shard."""
    return generation * SPAN + number


def number_of(key: int) -> int:
    """The shard's number, as Discord knows it."""
    return key % SPAN


def generation_of(key: int) -> int:
    """The generation that the shard belongs to."""
    return key // SPAN


def number_for(guild_id: int, count: int) -> int:
    """The number of a guild's shard, as Discord documents it; 0 for anything outside guilds."""
    return (guild_id >> 22) % count


def may_share(number: int, count: int, other: int, other_count: int) -> bool:
    """Whether a guild may belong to both of two shards, of generations with these counts."""
    return (number - other) % math.gcd(count, other_count) == 0
