"""Discord's limits, which all replicas keep together: turns at IDENTIFY and REST requests a second.

The records of these limits in etcd belong to ``coordination.quotas``; connections and requests to
``gateway``. ``gateway`` and the rooms above it may import this package.
"""

__all__ = ()
