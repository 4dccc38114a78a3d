"""The methods of ``DiscordHA`` by subject, and the objects that they take and return.

Anything that a bot's author does not call belongs to the rooms below, and the life of the bot to ``bot``.
``voice`` and the rooms above it may import this package.
"""

__all__ = ()
