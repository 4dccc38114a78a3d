"""The signals of a replica's process, and of the children that it forks.

Guarantees
- While ``signals`` lasts, SIGTERM and SIGINT call a function. Before and after, they do as they did before.
- A forked child gets the earlier handlers back before any of its code runs, so SIGTERM ends it.

Threads and locks: the main thread enters and leaves ``signals``. Any thread may fork. There is no lock: a
signal handler or a forked child could wait for it for ever.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["signals"]

_HANDLED = (signal.SIGTERM, signal.SIGINT)
#: The handlers that ``signals`` has replaced, by signal.
_replaced: dict[int, Any] = {}
#: The signal mask of a thread that forks, from before.
_forking = threading.local()


@contextmanager
def signals(call: Callable[[int], None]) -> Iterator[None]:
    """Calls a function with the number of each SIGTERM and SIGINT while the context lasts; main thread."""
    for number in _HANDLED:
        _replaced[number] = signal.getsignal(number) or signal.SIG_DFL
        signal.signal(number, lambda number, _frame: call(number))
    try:
        yield
    finally:
        _restore()


def _restore() -> None:
    for number, handler in list(_replaced.items()):
        signal.signal(number, handler)
        del _replaced[number]


def _before_fork() -> None:
    # A signal that reaches the child before it has the earlier handlers must wait: it would be lost.
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED) if _replaced else None


def _after_fork() -> None:
    mask, _forking.mask = getattr(_forking, "mask", None), None
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _after_fork_in_child() -> None:
    _restore()
    _after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
