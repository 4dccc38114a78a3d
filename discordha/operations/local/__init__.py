"""``discordha local``: a user's own bot on a local Discord and etcd, with a prompt.

The grammar of lines, what is printed of the bot's calls, and the session behind the prompt belong here;
options of the command line do not, and lie in ``operations.cli``. Only the command line and tests import it;
it imports the test kit when a session begins, and never a bot.
"""

__all__ = ()
