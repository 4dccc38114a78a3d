"""What lanes are made of, in tests."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Job"]


@dataclass(eq=False)
class Job:
    sequence: int
    lane: str = "k"
    event_name: str = "message"
    attempt: int = 1
    is_late: bool = False
