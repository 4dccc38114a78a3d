"""A shard's leader: elected, acting, handing over; and the loops that run on it. The election and the journal
themselves belong to ``coordination``, handlers and lanes to ``dispatch``. ``sharding``, ``api`` and the rooms
above them may import it.
"""

__all__ = ()
