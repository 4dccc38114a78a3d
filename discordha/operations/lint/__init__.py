"""``discordha lint``: finds in a bot's source what porting from discord.py leaves behind.

Rules about source belong here; how their findings are printed does not, and lies in ``operations.cli``. Only
the command line and tests import it; it imports no other room and no bot.
"""

__all__ = ()
