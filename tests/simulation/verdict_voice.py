"""Judges voice commands by docs/voice.md and docs/guarantees.md."""

from __future__ import annotations

import collections
import math

from simulation.record import Record
from simulation.voice import Command

__all__ = ["judge_voice"]

#: A command that no worker takes within so many seconds is gone.
EXPIRES = 30.0
#: A queued command is played so many seconds after the last fault, and before the end.
PLAYED_WITHIN = 15.0
MAX_ATTEMPTS = 3

Violations = list[tuple[float, str, str]]


def judge_voice(record: Record, violations: Violations, excused: collections.Counter[str]) -> None:
    """Adds what is wrong with voice commands: lost ones, those played again after the acknowledgement, and
    those that overtake others.
    """
    by_guild: dict[int, list[Command]] = {}
    for command in record.voice.commands.values():
        by_guild.setdefault(command.guild, []).append(command)
        _judge_command(record, command, violations, excused)
    for guild, commands in by_guild.items():
        _judge_order(guild, commands, record, violations)


def _judge_command(
    record: Record, command: Command, violations: Violations, excused: collections.Counter[str]
) -> None:
    name, playings = command.name, command.playings
    for playing in playings:
        if playing.begun > command.done:
            text = f"voice command {name} by {playing.machine}, acknowledged at {command.done:.3f}"
            violations.append((playing.begun, "started again", text))
    # An acknowledgement whose answer was lost may have been taken.
    if command.sent == math.inf or command.asked_done < math.inf or _deaths(record, command) >= MAX_ATTEMPTS:
        return
    if not playings and record.over > command.asked + EXPIRES:
        if record.troubled(command.asked, command.asked + EXPIRES):
            excused["a voice command that nobody took in 30 s"] += 1
        else:
            violations.append((command.sent, "lost", f"voice command {name}: nobody took it"))
    elif max(command.sent, record.calm_since) + PLAYED_WITHIN < record.over:
        violations.append((command.sent, "lost", f"voice command {name} was not played to its end"))


def _deaths(record: Record, command: Command) -> int:
    return sum(
        playing.acknowledged == math.inf and record.ended.get(playing.machine, ("",))[0] == "killed"
        for playing in command.playings
    )


def _judge_order(guild: int, commands: list[Command], record: Record, violations: Violations) -> None:
    """What was queued before another command was sent is done before that one begins."""
    for later in commands:
        if not later.playings:
            continue
        begun = later.playings[0].begun
        for earlier in commands:
            ahead = earlier.sent < later.asked and earlier.playings
            if ahead and earlier.asked_done > begun and _deaths(record, earlier) < MAX_ATTEMPTS:
                text = f"voice command {later.name} in {guild} begins before {earlier.name} is done"
                violations.append((begun, "out of order", text))
