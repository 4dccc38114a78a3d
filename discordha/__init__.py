"""Highly available Discord bots: several replicas of one bot, each event handled once.

Each name is imported at its first use, so that the test kit and the command line, which need no Discord,
start quickly.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from discordha._version import __version__
from discordha.errors import (
    CacheKeyNotExist,
    ConfigError,
    DiscordHAError,
    HandlerTimeout,
    LockLost,
    NotLeader,
    SessionExpired,
    StoreUnavailable,
    VoiceCommandExpired,
)

if TYPE_CHECKING:
    from discordha.api.cache import Cache
    from discordha.api.lock import NamedLock
    from discordha.api.peers import Answers
    from discordha.blocking import unwrap
    from discordha.bot import DiscordHA
    from discordha.config import Config
    from discordha.context import CurrentEvent, current_event, unfenced
    from discordha.coordination.voice.deliveries import VoiceDelivery
    from discordha.coordination.voice.records import VoiceCommand
    from discordha.outage.gap import Gap
    from discordha.voice.worker import VoiceWorker

__all__ = [
    "Answers",
    "Cache",
    "CacheKeyNotExist",
    "Config",
    "ConfigError",
    "CurrentEvent",
    "DiscordHA",
    "DiscordHAError",
    "Gap",
    "HandlerTimeout",
    "LockLost",
    "NamedLock",
    "NotLeader",
    "SessionExpired",
    "StoreUnavailable",
    "VoiceCommand",
    "VoiceCommandExpired",
    "VoiceDelivery",
    "VoiceWorker",
    "__version__",
    "current_event",
    "unfenced",
    "unwrap",
]

_HOMES = {
    "Answers": "api.peers",
    "Cache": "api.cache",
    "Config": "config",
    "CurrentEvent": "context",
    "DiscordHA": "bot",
    "Gap": "outage.gap",
    "NamedLock": "api.lock",
    "VoiceCommand": "coordination.voice.records",
    "VoiceDelivery": "coordination.voice.deliveries",
    "VoiceWorker": "voice.worker",
    "current_event": "context",
    "unfenced": "context",
    "unwrap": "blocking",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"discordha.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


if "DISCORDHA_SUPERVISOR" in os.environ:  # ``discordha run`` has started this process
    from discordha.supervisor.link import adopt

    adopt()
