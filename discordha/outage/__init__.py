"""What a fleet does about a time in which no replica was connected: notice it, fetch it, handle it, tell it.

Points, gaps and their streams belong here, as the replicas of one bot keep them together. How Discord is
asked does not (``catch_up``), nor what etcd keeps (``coordination.gaps``). ``replica`` and the rooms above it
import this package.
"""

__all__ = ()
