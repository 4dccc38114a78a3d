"""Rolling reload: the replicas are replaced one after another, each by one that is ready before it drains.

Guarantees
- A new replica that does not become ready in time is ended, and the reload with it: the replicas that run
  go on.
- Nobody drains before a successor is ready, but for a bot without etcd (``ha=False``), of which only one
  process may handle events: there the old one drains first, and a gap is the price.

Threads and locks: none. A reload is a generator that the parent's main thread drives: it yields a condition
and a deadline, and is told whether the condition came true in time.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Generator

from discordha.supervisor.process import BotProcess, describe_exit
from discordha.supervisor.slots import Slots

__all__ = ["Procedure", "rollout"]

#: How long a new replica that is given up may take to end, seconds.
GIVE_UP = 5.0

#: Yields a condition and for how many seconds to wait for it; is sent whether it came true.
Procedure = Generator[tuple[Callable[[], object], float], bool, bool]


def rollout(slots: Slots, timeout: float, say: Callable[[str], None]) -> Procedure:
    """Replaces each replica; returns whether the new version runs.

    :param timeout: seconds in which a new replica must be ready.
    :param say: called with each line of what goes on.
    """
    total = len(slots.slots)
    for number, slot in enumerate(slots.slots, 1):
        old = slot.process
        if old is not None and not old.ha:
            say(f"{old.name} drains before its successor starts, since the bot says ha=False")
            yield from _drain(slots, old)
        begun = time.monotonic()
        new = slots.start_successor(slot)
        yield lambda new=new: new.ready or not new.alive, timeout  # type: ignore[misc]
        if not new.ready:
            why = yield from _give_up(new, timeout)
            slot.successor = None
            if slot.process is None and not slot.ended:  # its old one has died, or had to drain first
                slot.start_at = time.monotonic()
            mixed = f"; {number - 1} of {total} run the new version already" if number > 1 else ""
            say(f"rolled back: {new.name} did not become ready: {why}{mixed}")
            return False
        slot.process, slot.successor = new, None
        slot.start_at, slot.ended = None, False
        slot.backoff.reset()
        say(f"{new.name} is ready after {time.monotonic() - begun:.1f} s ({number} of {total})")
        if old is not None and old.alive:
            yield from _drain(slots, old)
            say(f"{old.name} has drained")
    return True


def _drain(slots: Slots, process: BotProcess) -> Procedure:
    slots.drain(process)
    yield lambda: not process.alive, float("inf")  # the slots kill it in time
    return True


def _give_up(new: BotProcess, timeout: float) -> Generator[tuple[Callable[[], object], float], bool, str]:
    """Ends a replica that did not become ready; says why it did not."""
    if not new.alive:
        assert new.status is not None
        return new.refusal or f"it {describe_exit(new.status)}"
    new.signal(signal.SIGTERM)
    ended = yield lambda: not new.alive, GIVE_UP
    if not ended:
        new.kill()
        yield lambda: not new.alive, GIVE_UP
    return f"it was not ready within {timeout:g} s"
