"""Which messages are commands, decided on every replica before any claim.

Guarantees
- A message is claimed as a command only if it begins with a prefix and the name of a command that this
  version of the bot has. All else costs no claim.
- A function for the prefix may block, which the gateway thread must not. There a message is claimed if some
  word of it ends with a command's name, and the function is called on the handler thread.

Threads and locks: runs on the gateway thread and does not block. The commands are fixed since the start.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from discord.ext import commands as theirs

from discordha.commands.declared import is_theirs

__all__ = ["command_of"]


def command_of(bot: Any, message: Any) -> Any:
    """The command that a message may call; ``None`` if it calls none."""
    if message.author.bot:
        return None
    content: str = message.content
    prefix = bot.command_prefix
    if callable(prefix) and not is_theirs(prefix):
        return _mentioned(bot.all_commands, content)
    prefixes = prefix(bot, message) if callable(prefix) else prefix
    return _called(bot, content, [prefixes] if isinstance(prefixes, str) else prefixes)


def _called(bot: Any, content: str, prefixes: Iterable[str]) -> Any:
    """As ``Bot.get_context`` does it: the first prefix that fits decides."""
    view = theirs.view.StringView(content)
    for prefix in prefixes:
        if view.skip_string(prefix):
            if bot.strip_after_prefix:
                view.skip_ws()
            return bot.all_commands.get(view.get_word())
    return None


def _mentioned(commands: Any, content: str) -> Any:
    """The first command whose name ends a word of the message."""
    for word in content.split():
        for start in range(len(word)):
            found = commands.get(word[start:])
            if found is not None:
                return found
    return None
