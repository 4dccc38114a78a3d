"""A harness for bots that must survive: real etcd, a local Discord, replica processes, faults, a verdict.

Promises: each name is imported when it is first used, so importing this package costs nothing. Not for
production use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .discord.local_discord import LocalDiscord
    from .etcd.local_etcd import LocalEtcd
    from .faults import FaultProxy
    from .history import History, Verdict
    from .replicas import Replica, Replicas
    from .waiting import WaitTimeout, wait_for

__all__ = [
    "FaultProxy",
    "History",
    "LocalDiscord",
    "LocalEtcd",
    "Replica",
    "Replicas",
    "Verdict",
    "WaitTimeout",
    "wait_for",
]

_HOMES = {
    "FaultProxy": "faults",
    "History": "history",
    "LocalDiscord": "discord.local_discord",
    "LocalEtcd": "etcd.local_etcd",
    "Replica": "replicas",
    "Replicas": "replicas",
    "Verdict": "history",
    "WaitTimeout": "waiting",
    "wait_for": "waiting",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return __all__
