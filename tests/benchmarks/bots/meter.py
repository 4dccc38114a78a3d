"""What a bot measures of itself, written to the file ``METER`` four times a second.

``METER_THREADS=1``: also what each thread spends, which costs more than it should in other measurements.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def threads() -> dict[str, list[float]]:
    """CPU seconds and waits (each a wake-up) of each thread since its start; gRPC's by their short name."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    found: dict[str, list[float]] = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            spent = int((task / "schedstat").read_text().split()[0]) / 1e9
            status = (task / "status").read_text()
            name = names.get(int(task.name)) or "native " + (task / "comm").read_text().strip()
        except FileNotFoundError:
            continue  # it ended meanwhile
        waits = int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])
        known = found.setdefault(name, [0.0, 0.0])
        known[0] += spent
        known[1] += waits
    return found


class Meter:
    """Counts events and notes when the first and the last one came. ``hit`` may be called by any thread."""

    def __init__(self) -> None:
        self._path = Path(os.environ["METER"])
        self._times: list[float] = []
        self.more: dict[str, Any] = {}
        self.ask: Callable[[], dict[str, Any]] = dict
        threading.Thread(target=self._report, name="meter", daemon=True).start()

    def hit(self) -> None:
        """One event was handled."""
        self._times.append(time.monotonic())

    def _report(self) -> None:
        while True:
            times = self._times
            count = len(times)
            state = {
                "at": time.monotonic(),
                "cpu": time.process_time(),
                "count": count,
                "first": times[0] if count else None,
                "last": times[count - 1] if count else None,
                **self.more,
                **self.ask(),
            }
            if os.environ.get("METER_THREADS"):
                state["threads"] = threads()
            beside = self._path.with_suffix(".new")
            beside.write_text(json.dumps(state))
            beside.replace(self._path)
            threading.Event().wait(0.25)
