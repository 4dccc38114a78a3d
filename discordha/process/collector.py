"""Python's cyclic collector in a process that is a bot's own.

A full collection walks over everything that the process has imported, and all else in it waits meanwhile: for
60 ms with this library, discord.py and gRPC, which is more than ``grace``. A burst causes one every few
thousand events.

Guarantees: while ``imports_frozen`` lasts, collections pass over what was there before. Their number does not
change. A bot that has frozen objects itself, or has disabled the collector, keeps what it has set.

Not guaranteed: that what was there before is freed, if it is part of a cycle that ends meanwhile.

Threads and locks: no lock; one thread at a time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["imports_frozen"]


@contextmanager
def imports_frozen() -> Iterator[None]:
    """Spares what exists by now from collections while the context lasts. Blocks for one full collection."""
    if not gc.isenabled() or gc.get_freeze_count():
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
