"""What the replicas of a bot share beyond events: caches of JSON values, counters, and named locks.

Every class works on a ``Store`` and does not know which one; the views that handlers use belong in ``api``.
``node`` puts these parts together, and ``api`` calls them.
"""

__all__ = ()
