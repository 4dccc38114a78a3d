"""Stand-ins for discord.py's extensions: ``discordha.ext.tasks`` for ``discord.ext.tasks``, and so on.

Only what bots import by these names belongs here; what it is made of does not, and lives in the rooms below.
Bots import it, and no room of the library does.
"""

__all__ = ()
