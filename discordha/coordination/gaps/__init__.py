"""Up to where a shard's events are known, and what is being caught up behind that.

The keys of points and of catch-ups belong here, and who may write them. Fetching from Discord does not, nor
does any event's way through a replica: see ``discordha.catch_up``. ``node`` and the rooms above it import
this package.
"""

__all__ = ()
