"""discord.py's objects as blocking views, and the bridge that carries their calls into the loop.
 Porting a handler means deleting ``async`` and ``await``: attributes are what they are, coroutine methods
block, async iterators are iterators, async context managers are context managers. See ``views`` for what is
wrapped, ``bridge`` for what a blocking call promises, ``nonces`` for why a message is posted once.
"""

from discordha.blocking.bridge import Begun, Bridge, LoopBridge, refuse_if_lost
from discordha.blocking.views import View, unwrap, wrap

__all__ = ["Begun", "Bridge", "LoopBridge", "View", "refuse_if_lost", "unwrap", "wrap"]
