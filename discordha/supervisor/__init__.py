"""``discordha run``: the small process above the replicas of one machine, and the replicas' side of it.

The room starts, watches, replaces and ends processes; it knows nothing of Discord, events or a replica's
parts. It imports ``discordha.errors``, ``discordha.process`` and the standard library only, never asyncio,
discord.py or gRPC, so that the parent stays small. The command line imports ``supervisor``; a replica's parts
import ``link``, which does nothing in a process that ``discordha run`` did not start.
"""

from __future__ import annotations

__all__ = []
