"""``discord.ext.tasks`` with plain functions: loops that are started by hand, also as methods of a bot.

Only the decorator belongs here; loops and their threads do not, and live in ``discordha.leader``. Bots import
it, and no room of the library does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from discordha.leader.loop import Loop
from discordha.leader.loop_bots import free_loop, title_of
from discordha.leader.schedule import Times, schedule_of

__all__ = ["Loop", "loop"]


def loop(
    *,
    seconds: float | None = None,
    minutes: float | None = None,
    hours: float | None = None,
    time: Times | None = None,
    count: int | None = None,
    reconnect: bool = True,
    name: str | None = None,
    scope: str = "leader",
    missed: str = "run",
) -> Callable[[Callable[..., Any]], Loop]:
    """Decorator: makes a loop of a plain function or method, which runs once ``start`` was called. Its bot is
    the object that has it as a method, or that object's ``bot``; else the only bot of the process.

    :param name: the same on all replicas; by default the function's qualified name.
    :raises ConfigError: an argument is impossible, or the function a coroutine function.

    ``ha.loop`` describes the other arguments.
    """

    def make(function: Callable[..., Any]) -> Loop:
        title = name if name is not None else title_of(function)
        made = Loop(
            function,
            name=title,
            schedule=schedule_of(seconds, minutes, hours, time, name=title),
            units=(seconds, minutes, hours),
            count=count,
            reconnect=reconnect,
            scope=scope,
            missed=missed,
        )
        return free_loop(made)

    return make
