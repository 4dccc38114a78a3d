"""Voice: the calls that queue sounds, and the worker that plays them in voice channels.

Code belongs here if it plays sound or speaks to Discord's voice servers. The queue of commands and who owns a
guild's voice lie in ``coordination.voice``. ``bot`` and ``replica`` may import this package.
"""

__all__ = ()
