"""What the replicas of a bot share beyond events: caches of JSON values, counters, cooldowns and named locks;
timers; posts, by which replicas tell each other something; the bot's presence.

Every class works on a ``Store`` and does not know which one; the views that handlers use belong in ``api``.
``node`` puts these parts together. ``voice`` and the rooms above ``coordination`` may import this one.
"""

__all__ = ()
