"""The two sides of an object that discord.py and a bot's author share, such as a ``commands.Context``.

On the loop's side it is as discord.py made it: coroutine methods, discord.py's own objects. On the author's
side, any other thread, its methods block and its attributes are views.

Guarantees: the loop's thread is always on the loop's side. Other threads are on the author's, except within
``loop_side``, where they run code of discord.py's that awaits nothing.

Threads and locks: the only state is each thread's own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from discordha.context import runs_loop

__all__ = ["author_side", "loop_side", "on_loop_side", "run_without_loop"]


class _Thread(threading.local):
    is_loop_side = False


_thread = _Thread()


def on_loop_side() -> bool:
    """Whether the calling code is discord.py's: coroutine methods return coroutines. Never blocks."""
    return runs_loop() or _thread.is_loop_side


@contextmanager
def loop_side() -> Iterator[None]:
    """Code in this context is on the loop's side, on whichever thread."""
    before, _thread.is_loop_side = _thread.is_loop_side, True
    try:
        yield
    finally:
        _thread.is_loop_side = before


@contextmanager
def author_side() -> Iterator[None]:
    """Code in this context is on the author's side, unless its thread runs the loop."""
    before, _thread.is_loop_side = _thread.is_loop_side, False
    try:
        yield
    finally:
        _thread.is_loop_side = before


def run_without_loop(start: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Runs a coroutine of discord.py's on the calling thread, without a loop, and returns its result. The
    plain functions that it awaits run on this thread, too. Blocks for as long as they do.

    :raises RuntimeError: the coroutine waits for something else.
    """
    with loop_side():
        coroutine = start()
        try:
            coroutine.send(None)
        except StopIteration as end:
            return end.value
        coroutine.close()
    raise RuntimeError(f"{coroutine!r} waits for the loop, and may not be called on this thread")
