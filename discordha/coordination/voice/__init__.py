"""The voice queue: voice commands in the store, the owners of guilds' voices, and the consumers of commands.

Sounds and Discord's voice connections do not belong here: ``discordha.voice`` plays what this room delivers.
``node`` makes the queue; ``discordha.voice`` and users' code call it.
"""

__all__ = ()
