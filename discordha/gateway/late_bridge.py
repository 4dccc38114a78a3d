"""The views' bridge, before there is a gateway.

Concurrency: no state but the gateway, which is set once, before anybody calls; else as ``LoopBridge``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from discordha.blocking import PendingCall
from discordha.errors import DiscordHAError
from discordha.gateway.core import Gateway

__all__ = ["LateBridge"]


class LateBridge:
    """The gateway's bridge, once there is a gateway."""

    gateway: Gateway | None = None

    def call(self, awaitable: Awaitable[Any], timeout: float | None = None) -> Any:
        """See ``LoopBridge.call``."""
        return self._ready().call(awaitable, timeout)

    def begin(self, awaitable: Awaitable[Any], on_done: Callable[[], None]) -> PendingCall:
        """See ``LoopBridge.begin``."""
        return self._ready().bridge.begin(awaitable, on_done)

    def _ready(self) -> Gateway:
        if self.gateway is None:
            raise DiscordHAError("the bot has not started: there is no connection to Discord yet")
        return self.gateway
