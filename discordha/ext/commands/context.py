"""``commands.Context`` on both sides.

On the author's side every method blocks and every attribute is a view. What ``send`` and ``reply`` create
appears once, as with every other message of a handler.

Threads and locks: a context belongs to the handler thread that owns its message, and to the loop while that
thread waits.
"""

from __future__ import annotations

from typing import Any

from discord.ext import commands as theirs

from discordha.blocking.sides import on_loop_side
from discordha.ext.commands.sides import TwoSided, refuse_coroutines, two_sided

__all__ = ["Context"]


@two_sided(
    asks=("defer", "fetch_message", "history", "pins", "send", "typing"),
    attributes=(
        *("args", "author", "bot_permissions", "channel", "guild", "interaction", "kwargs"),
        *("me", "message", "permissions", "voice_client"),
    ),
)
class Context(TwoSided, theirs.Context[Any]):
    """``discord.ext.commands.Context``, whose methods block. A subclass's methods are plain functions."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        refuse_coroutines(cls, "Methods of contexts")

    def reply(self, content: Any = None, **kwargs: Any) -> Any:
        """See ``discord.ext.commands.Context.reply``. Blocks."""
        if on_loop_side():
            return super().reply(content, **kwargs)
        if self.interaction is None:
            kwargs["reference"] = self.message
        return self.send(content, **kwargs)

    def invoke(self, command: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Calls a command's function with these arguments, without checks. Blocks."""
        return command(self, *args, **kwargs)
