"""The public test kit for bots that must survive: real etcd, a local Discord, replica processes, faults,
verdicts.

Code belongs here if it tests a bot from outside, or is a stand-in for a server. It must not import the
library except for ``errors`` and ``config``, and must not serve in production. Tests, the demo and users
import it; the library does not.

Each name is imported when it is first used, so that the import of this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from discordha.testing.discord.local_discord import LocalDiscord
    from discordha.testing.etcd.local_etcd import LocalEtcd
    from discordha.testing.faults import FaultProxy
    from discordha.testing.history import History, Verdict
    from discordha.testing.replicas import Replica, Replicas
    from discordha.testing.waiting import WaitTimeout, wait_for

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
