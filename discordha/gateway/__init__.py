"""The connection to Discord: one thread, one asyncio loop, one client a shard. See ``core``."""

from discordha.gateway.core import Gateway
from discordha.gateway.state import GatewayState

__all__ = ["Gateway", "GatewayState"]
