"""A store in memory with the behaviour of etcd, for a replica without peers and for tests.

Coordination itself does not belong here: the rooms above run unchanged on either store. ``node``, tests
and ``leader`` (for the loops of each replica) may import it; everything else is given a store.
"""

__all__ = ()
