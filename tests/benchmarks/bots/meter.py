"""What a bot measures of itself, written to the file ``METER`` four times a second."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any


class Meter:
    """Counts events and notes when the first and the last one came. ``hit`` may be called by any thread."""

    def __init__(self) -> None:
        self._path = Path(os.environ["METER"])
        self._times: list[float] = []
        self.more: dict[str, Any] = {}
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
            }
            beside = self._path.with_suffix(".new")
            beside.write_text(json.dumps(state))
            beside.replace(self._path)
            threading.Event().wait(0.25)
