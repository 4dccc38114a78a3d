"""Which shards this replica hosts, and moving them between replicas without a gap.

The plan's records in etcd belong to ``coordination.membership``, connections to ``gateway``, elections and
journals to ``leader`` and ``coordination``. ``replica`` and the modules above it may import this package.
"""

__all__ = ()
