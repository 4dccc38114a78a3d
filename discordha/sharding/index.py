"""Finds this replica's connections by the shard numbers that users know.

Threads and locks: no I/O and no state; any thread. Everything is read from values that are replaced as a
whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from discordha.coordination.membership.shard_keys import SPAN, key_of, number_for, number_of
from discordha.coordination.membership.shard_plan import ShardPlan
from discordha.errors import DiscordHAError
from discordha.gateway import Gateway
from discordha.gateway.client import ShardClient

if TYPE_CHECKING:
    import discord

__all__ = ["ShardIndex"]


class ShardIndex:
    """The shards of the generation that serves.

    :param plan: the plan of shards; ``None`` without etcd.
    """

    def __init__(self, gateway: Gateway, plan: ShardPlan | None) -> None:
        self._gateway = gateway
        self._plan = plan

    def key(self, number: int) -> int:
        """The key of a shard, by its number."""
        serving = self._plan.serving if self._plan is not None else None
        return key_of(serving or 0, number)

    def clients(self) -> dict[int, ShardClient]:
        """The clients of the shards that this replica hosts, by their numbers."""
        first = self.key(0)
        return {
            number_of(key): client
            for key, client in sorted(self._gateway.clients.items())
            if first <= key < first + SPAN
        }

    def serves(self, guild_id: int) -> bool:
        """Whether this replica is connected for a guild: there are no shards, or it hosts the guild's, and
        has received the guild.
        """
        count = self._count()
        client = self.clients().get(number_for(guild_id, count)) if count > 1 else None
        return count <= 1 or (client is not None and client.get_guild(guild_id) is not None)

    def client_for(self, guild_id: int) -> discord.Client:
        """The client of a guild's shard.

        :raises DiscordHAError: this replica does not host the shard.
        """
        number = number_for(guild_id, self._count())
        client = self.clients().get(number)
        if client is None:
            raise DiscordHAError(
                f"the guild {guild_id} is on shard {number}, which this replica does not host; REST calls "
                "work through any client, such as ha.client"
            )
        return client

    def _count(self) -> int:
        if self._plan is not None:
            return self._plan.count or 1
        client = next(iter(self._gateway.clients.values()), None)
        return (client.shard_count if client is not None else None) or 1
