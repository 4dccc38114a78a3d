"""Voice: the calls that queue sounds, and the worker that plays them in voice channels.

Code belongs here if it plays sound or speaks to Discord's voice servers. The queue of commands and who owns a
guild's voice lie in ``coordination.voice``. ``bot`` and ``replica`` may import this package.

``calls`` has the calls of ``DiscordHA``; ``worker`` takes commands, ``player`` plays a guild's,
``connection`` keeps its place in a channel through ``client``; ``mixer``, ``tracks`` and ``codec`` make the
frames.
"""

__all__ = ()
