"""Keeps long-lived threads alive: an unexpected error does not end them.

Guarantees: a thread that fails begins its work again. While it keeps failing, ``failing`` names it, so that
the replica is not ready. Once it has kept failing for ``GIVE_UP_AFTER`` seconds, the listeners get an error,
so that ``run()`` ends with the reason. Threads belong to the process: two replicas in one both say so.

Threads and locks: ``_lock`` guards the tables; nothing is called under it. Listeners are called on the thread
that fails.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from discordha.errors import DiscordHAError, reason_of

__all__ = ["failing", "listen", "note_failure", "unending"]

_log = logging.getLogger(__name__)

#: Pauses before a thread's work begins again, seconds: doubled from the first to the last. Work that lasted
#: for longer than the last one begins with the first again.
FIRST_PAUSE = 0.1
LAST_PAUSE = 5.0
#: A thread that has not failed for this long counts as sound again, seconds.
SOUND_AFTER = 15.0
#: A thread that has kept failing for this long is given up, seconds.
GIVE_UP_AFTER = 60.0

Listener = Callable[[DiscordHAError | None], None]


class _Trouble(NamedTuple):
    """A thread's failures: since when, the last one, their number and reason."""

    since: float
    last: float
    times: int
    reason: str


_lock = threading.Lock()
_troubles: WeakKeyDictionary[threading.Thread, _Trouble] = WeakKeyDictionary()
_listeners: list[Listener] = []


def note_failure(error: BaseException) -> None:
    """Notes that the work of the calling thread failed unexpectedly, and that the thread goes on. Never
    blocks.
    """
    thread, now, reason = threading.current_thread(), time.monotonic(), reason_of(error)
    with _lock:
        known = _troubles.get(thread)
        if known is None or now - known.last > SOUND_AFTER:
            known = _Trouble(now, now, 0, reason)
        _troubles[thread] = _Trouble(known.since, now, known.times + 1, reason)
        listeners = list(_listeners)
    lasted = now - known.since
    hopeless = lasted >= GIVE_UP_AFTER
    text = f"the thread {thread.name} has failed again and again for {lasted:.0f} s: {reason}"
    for listener in listeners:
        listener(DiscordHAError(f"{text}; the log has each error") if hopeless else None)


def failing() -> list[str]:
    """The threads that have failed more than once just now, and why. No I/O; any thread."""
    now = time.monotonic()
    with _lock:
        troubles = list(_troubles.items())
    return [
        f"the thread {thread.name} fails: {trouble.reason}"
        for thread, trouble in troubles
        if trouble.times > 1 and now - trouble.last <= SOUND_AFTER and thread.is_alive()
    ]


def listen(listener: Listener) -> Callable[[], None]:
    """Calls a function at each failure of a thread, with an error once the thread is given up. It must not
    block. Any thread.

    :return: ends that. Idempotent.
    """
    with _lock:
        _listeners.append(listener)

    def end() -> None:
        with _lock:
            if listener in _listeners:
                _listeners.remove(listener)

    return end


def unending(run: Callable[..., None], stop: threading.Event) -> Callable[..., None]:
    """A thread's target that calls ``run``, and calls it again after every error. Ends when ``run`` returns,
    and after an error once ``stop`` is set. The log names the thread and the error.
    """

    def target(*args: Any) -> None:
        pause = FIRST_PAUSE
        while True:
            begun = time.monotonic()
            try:
                return run(*args)
            except BaseException as error:  # noqa: BLE001 - SystemExit, too, would end the thread silently
                if time.monotonic() - begun > LAST_PAUSE:
                    pause = FIRST_PAUSE
                name = threading.current_thread().name
                _log.exception("the thread %s failed; it goes on in %.1f s", name, pause)
                if not stop.is_set():
                    note_failure(error)
            if stop.wait(pause):
                return None
            pause = min(pause * 2, LAST_PAUSE)

    return target
