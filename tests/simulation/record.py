"""What happened in a simulation, as its verdict needs it."""

from __future__ import annotations

import collections
import dataclasses
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulation.on_time import OnTimeRecord
    from simulation.voice import VoiceRecord

__all__ = ["Happening", "Operation", "Record", "Run", "Trouble"]


@dataclasses.dataclass
class Happening:
    """One event of Discord's. ``kind``: ``"message"`` or ``"reaction"``; ``name`` is equal for equal
    reactions."""

    number: int
    kind: str
    name: str
    channel: int
    at: float
    guild: int = 0
    sessions: int = 0  # that were to receive it
    received: dict[str, float] = dataclasses.field(default_factory=dict)  # by process


@dataclasses.dataclass
class Run:
    """One run of a handler."""

    name: str
    machine: str
    attempt: int
    token: int
    begun: float
    ended: float | None = None
    error: str | None = None


@dataclasses.dataclass
class Operation:
    """One operation on shared state. ``returned`` is infinite while nobody knows whether it was applied."""

    client: str
    key: str
    what: str
    argument: Any
    invoked: float
    returned: float
    result: Any = None


@dataclasses.dataclass
class Trouble:
    """Something was wrong from a moment to another. ``who``: a process, or nobody for all of them."""

    what: str
    begun: float
    ended: float
    who: str | None = None


class Record:
    """Everything, in the order of the moments."""

    def __init__(self, on_time: OnTimeRecord, voice: VoiceRecord) -> None:
        self.on_time = on_time
        self.voice = voice
        self.lines: list[str] = []
        self.happenings: list[Happening] = []
        self.by_name: dict[str, list[Happening]] = {}
        self.by_channel: dict[int, list[Happening]] = {}
        self.runs: dict[str, list[Run]] = {}
        self.operations: list[Operation] = []
        self.troubles: list[Trouble] = []
        self.sessions: list[float] = []  # when each gateway session began
        self.started: dict[str, float] = {}  # processes
        self.ended: dict[str, tuple[str, float]] = {}  # processes: how and when
        self.kept: dict[str, set[str]] = {}  # by process: the reactions that wait in its journal at the end
        self.draining: dict[str, float] = {}  # since when
        self.ttl = 5.0
        self.catches_up = False
        self.began = math.inf  # from when on all replicas were ready
        self.calm_since = math.inf  # from when on there were no faults
        self.over = math.inf
        self.violations: list[tuple[float, str, str]] = []
        self.excused: collections.Counter[str] = collections.Counter()
        self.faults = 0

    def line(self, at: float, text: str) -> None:
        """Adds a line to the history."""
        self.lines.append(f"{at:12.6f} {text}")

    def violation(self, at: float, kind: str, text: str) -> None:
        """Notes a broken promise."""
        self.violations.append((at, kind, text))
        self.line(at, f"VIOLATION {kind}: {text}")

    def happened(self, happening: Happening) -> None:
        """Notes an event."""
        self.happenings.append(happening)
        self.by_name.setdefault(happening.name, []).append(happening)
        if happening.kind == "message":
            self.by_channel.setdefault(happening.channel, []).append(happening)

    def troubled(self, begun: float, ended: float, who: str | None = None) -> bool:
        """Whether something was wrong with a process, or with all, at any time between two moments."""
        return any(
            trouble.begun <= ended and trouble.ended >= begun and (who is None or trouble.who in (None, who))
            for trouble in self.troubles
        )

    def somebody_lived(self, begun: float, ended: float) -> bool:
        """Whether a process had begun before a moment, and neither drained nor ended until another."""
        return any(
            at <= begun
            and self.draining.get(who, math.inf) > ended
            and self.ended.get(who, ("", math.inf))[1] > ended
            for who, at in self.started.items()
        )
