"""A harness for bots that must survive: real etcd, a local Discord, replica processes, faults, a verdict.

Nothing heavy is imported until it is used.
"""

from __future__ import annotations

from .local_etcd import LocalEtcd
from .waiting import WaitTimeout, wait_for

__all__ = ["LocalEtcd", "WaitTimeout", "wait_for"]
