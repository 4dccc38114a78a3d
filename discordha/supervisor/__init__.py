"""``discordha run``: the small process above the replicas of one machine, and the replicas' side of it.

It belongs here whatever starts, watches, replaces and ends processes; nothing that knows Discord, events or a
replica's parts does. The room imports ``discordha.errors``, ``discordha.process`` and the standard library
only, never asyncio, discord.py or gRPC, so that the parent stays small. The command line imports ``command``;
a replica's parts import ``link``, which does nothing in a process that ``discordha run`` did not start.
"""

from __future__ import annotations

__all__ = []
