"""Which bot a loop belongs to: the one that declares it, the one of the object that has it, or the only one.

Threads and locks: ``_bots`` and ``_free`` are weak sets that constructors fill, on the thread that declares.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Protocol

from discordha.dispatch.handlers.callables import own_name
from discordha.errors import ConfigError

if TYPE_CHECKING:
    from discordha.leader.loop import Loop

__all__ = ["LoopHost", "find_bot", "free_loop", "register_bot", "take_free_loops", "title_of"]

#: The attributes of an object with loops that may hold its bot.
BOT_ATTRIBUTES = ("bot", "client", "ha")


class LoopHost(Protocol):
    """A bot, as its loops use it."""

    def _adopt_loop(self, loop: Loop) -> None:
        """Takes in a loop, and gives it a thread if the bot runs."""


_bots: weakref.WeakSet[LoopHost] = weakref.WeakSet()
_free: weakref.WeakSet[Loop] = weakref.WeakSet()  # declared without a bot


def register_bot(bot: LoopHost) -> None:
    """Takes note of a bot, for loops that are declared without one."""
    _bots.add(bot)


def free_loop(loop: Loop) -> Loop:
    """Takes note of a loop that is declared without a bot."""
    _free.add(loop)
    return loop


def take_free_loops(bot: LoopHost) -> None:
    """Gives the loops of modules to a bot that starts, if it is the only one, so that all its replicas know
    them, also those that do not call ``start``.
    """
    if list(_bots) == [bot]:
        for loop in sorted(_free, key=lambda each: each.name):
            if loop.is_free:
                loop.join_bot(bot)


def find_bot(name: str, owner: tuple[Any, ...]) -> LoopHost:
    """The bot of a loop.

    :param owner: the object that has the loop as a method, if there is one.
    :raises ConfigError: no bot is known, or several are.
    """
    for each in owner:
        for candidate in (each, *(getattr(each, attribute, None) for attribute in BOT_ATTRIBUTES)):
            if candidate is not None and callable(getattr(candidate, "_adopt_loop", None)):
                host: LoopHost = candidate
                return host
    bots = list(_bots)
    if len(bots) != 1:
        raise ConfigError(
            f"the loop {name} belongs to no bot, and this process has {len(bots)}: declare it with "
            "@ha.loop(...), or in a class whose objects have the bot as .bot"
        )
    return bots[0]


def title_of(function: Any) -> str:
    """A function's qualified name, for a loop that is given none."""
    return own_name(function).rpartition("<locals>.")[2]
