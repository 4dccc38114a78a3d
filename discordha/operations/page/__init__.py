"""The operator's page: shows a fleet live, looks events up, and, for those who know a token, steers.

Code belongs here if it serves the page or is the page. What etcd says of a fleet lies in ``fleet`` and
``overview``, which the command line reads, too. ``replica`` and the command line may import this folder.
"""

__all__ = ()
