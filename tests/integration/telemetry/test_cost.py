"""What tracing costs where it is off: how much of the Python code that an event runs."""

from __future__ import annotations

import linecache
import re
import threading
from collections import Counter
from collections.abc import Iterator
from types import FrameType
from typing import Any

import discord
import pytest

from discordha import Config, DiscordHA
from discordha.testing import LocalDiscord, wait_for

EVENTS = 100
#: The lines that are there for tracing. They are counted whole, with what they do besides.
FOR_TRACING = re.compile(r"\b_?(telemetry|trace|traceparent|note_claim|begin_trace)\b")


class Instructions:
    """Counts the bytecode instructions that threads execute, by file and line, while ``counting``."""

    def __init__(self) -> None:
        self.counting = False
        self.by_line: Counter[tuple[str, int]] = Counter()

    def called(self, frame: FrameType, event: str, arg: object) -> Any:
        if not self.counting:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._executed

    def _executed(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "opcode":
            self.by_line[frame.f_code.co_filename, frame.f_lineno or 0] += 1
        return self._executed

    def in_all(self) -> int:
        return sum(self.by_line.values())

    def of_tracing(self) -> int:
        return sum(
            count
            for (file, line), count in self.by_line.items()
            if "/discordha/" in file and FOR_TRACING.search(linecache.getline(file, line))
        )


@pytest.fixture
def instructions() -> Iterator[Instructions]:
    found = Instructions()
    threading.settrace(found.called)
    yield found
    threading.settrace(None)  # type: ignore[arg-type]


def test_off_it_is_less_than_a_hundredth_of_an_event(
    local_discord: LocalDiscord, instructions: Instructions
) -> None:
    """From the frame to the mark, with a handler that does nothing; what C code does is not counted."""
    bot = DiscordHA(Config.from_env(local_discord.env(), ha=False, intents=discord.Intents.all()))
    handled: list[str] = []
    bot.listen("message")(lambda message: handled.append(message.content))
    channel = local_discord.channel_ids[0]
    with bot:
        assert bot.wait_until_ready(20)
        instructions.counting = True
        for number in range(EVENTS):
            local_discord.send(channel, f"message {number}")
        wait_for(lambda: len(handled) == EVENTS, 60, "all to be handled")
        wait_for(lambda: not any(bot.status()["queue"].values()), 20, "their marks")
        instructions.counting = False
    in_all, of_tracing = instructions.in_all() / EVENTS, instructions.of_tracing() / EVENTS
    share = of_tracing / in_all
    print(f"an event: {in_all:.0f} instructions, {of_tracing:.1f} of them for tracing ({share:.2%})")
    assert of_tracing > 5, "the lines are found"
    assert share < 0.01
