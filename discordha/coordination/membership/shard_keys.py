"""Shard keys: one whole number for a shard and the generation it belongs to. Pure; any thread.

A *generation* is one way of dividing the guilds: a number of shards. Resharding begins the next one beside
the present one, so that two shards with the same number run at once. Whatever is kept by shard (connections,
elections, journals, hosts) is kept by this key; a bot that was never resharded sees plain shard numbers.
"""

from __future__ import annotations

__all__ = ["SPAN", "generation_of", "is_number", "key_of", "number_for", "number_of"]

#: Shards that fit into one generation. Part of the format: all versions must agree.
SPAN = 1_000_000
#: A number in a key or a mark has fewer digits; Python refuses to read very many.
MAX_DIGITS = 20


def is_number(text: str) -> bool:
    """Whether a part of a key, or of a value, is a number that discordha may have written."""
    return text.isascii() and text.isdecimal() and len(text) < MAX_DIGITS


def key_of(generation: int, number: int) -> int:
    """The key of a generation's shard."""
    return generation * SPAN + number


def number_of(key: int) -> int:
    """The shard's number, as Discord knows it."""
    return key % SPAN


def generation_of(key: int) -> int:
    """The generation it belongs to."""
    return key // SPAN


def number_for(guild_id: int, count: int) -> int:
    """The number of a guild's shard, as Discord documents it. 0 for what belongs to no guild."""
    return (guild_id >> 22) % count
