"""Timers: reminders that outlive restarts, each run once by one replica.

The way of a due timer from the store to its handler belongs here; the store's keys do not, and lie in
``coordination.shared``. ``replica`` and ``api`` may import it.
"""

__all__ = ()
