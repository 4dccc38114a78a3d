"""discord.py's objects as blocking views, and the bridge that runs their coroutines on the event loop.

Code belongs here if it makes a call of discord.py block, wraps its result, or makes it happen once. Knowledge
of events and handlers does not. Every room above may import this package, which imports ``context`` and
``errors`` only.
"""

from discordha.blocking.bridge import Bridge, LoopBridge, PendingCall, note_progress, refuse_if_lost
from discordha.blocking.values import View, unwrap, wrap
from discordha.blocking.views import view_maker

__all__ = [
    "Bridge",
    "LoopBridge",
    "PendingCall",
    "View",
    "note_progress",
    "refuse_if_lost",
    "unwrap",
    "view_maker",
    "wrap",
]
