"""The connection to Discord: the thread with the asyncio loop, one client a shard, frames and heartbeats.

Handling events, decisions about shards and IDENTIFY, and calls to etcd do not belong here.
``dispatch`` and the rooms above it may import this package.
"""

from discordha.gateway.core import Gateway
from discordha.gateway.state import GatewayState

__all__ = ["Gateway", "GatewayState"]
