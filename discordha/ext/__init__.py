"""discord.py's extensions with plain functions: ``discordha.ext.commands`` and ``discordha.ext.tasks``.

Code belongs here if it stands in for a module of ``discord.ext``; what the library itself needs does not.
Only users, and the command line, import it.
"""

__all__ = ()
