"""How slow the machine is that runs the tests: a slow one waits longer, and runs fewer files at a time.

``python tests/support/machine.py`` prints how many workers ``make test`` should have. A machine counts as
slow when a loop of plain Python takes much longer than on the machines that the tests were written on,
whatever the reason: an old processor, or neighbours.
"""

from __future__ import annotations

import os
import statistics
import time

__all__ = ["slowness", "workers"]

#: What one turn of the loop takes elsewhere, seconds.
USUAL = 40e-9
TURNS = 100_000
#: A machine is as it should be below this, and no slower than that.
LEAST, MOST = 1.6, 4.0


def _loop() -> float:
    begun, total = time.perf_counter(), 0
    for number in range(TURNS):
        total += number
    return (time.perf_counter() - begun) / TURNS


def slowness() -> float:
    """By which factor the machine is slow: 1.0 to ``MOST``. Takes a fraction of a second."""
    factor = statistics.median(_loop() for _ in range(25)) / USUAL
    return 1.0 if factor < LEAST else round(min(factor, MOST), 1)


def workers() -> int:
    """Files at a time: one more than there are cores, since tests wait half of their time; where the machine
    is slow, they do not.
    """
    cores = os.cpu_count() or 1
    return cores + 1 if slowness() == 1.0 else max(cores - 1, 1)


if __name__ == "__main__":
    print(workers())
