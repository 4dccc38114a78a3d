"""Python's cyclic collector while ``run()`` lasts."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import discord
import pytest

import discordha.bot
from discordha import Config, DiscordHA
from discordha.process.collector import imports_frozen


class Cycle:
    """Something that only the collector frees."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def as_python_starts() -> Iterator[None]:
    """With the collector enabled and nothing frozen, before and after."""
    assert gc.isenabled()
    gc.unfreeze()
    yield
    gc.enable()
    gc.unfreeze()


def test_what_was_there_before_is_passed_over_and_the_rest_is_not() -> None:
    before = Cycle()
    known = weakref.ref(before)
    with imports_frozen():
        after = Cycle()
        known_after = weakref.ref(after)
        del before, after
        gc.collect()
        assert known() is not None
        assert known_after() is None
    gc.collect()
    assert known() is None, "afterwards everything is as it was"


def test_garbage_from_before_is_not_kept() -> None:
    known = weakref.ref(Cycle())
    with imports_frozen():
        assert known() is None


def test_a_bot_that_has_frozen_objects_keeps_them_frozen() -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    more = [Cycle() for _ in range(100)]
    with imports_frozen():
        assert gc.get_freeze_count() <= frozen
    assert gc.get_freeze_count() > frozen / 2
    assert len(more) == 100


def test_a_bot_that_has_disabled_the_collector_is_left_alone() -> None:
    gc.disable()
    with imports_frozen():
        assert gc.get_freeze_count() == 0
        assert not gc.isenabled()


def test_run_does_so_before_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    bot = DiscordHA(Config(token="x", ha=False, intents=discord.Intents.none()))
    counts: list[int] = []

    def start() -> None:
        counts.append(gc.get_freeze_count())
        bot._ends.put("the test ends it")

    monkeypatch.setattr(bot, "start", start)
    monkeypatch.setattr(discordha.bot, "log_to_stderr", lambda *_: None)
    thresholds = gc.get_threshold()
    bot.run()
    assert counts[0] > 10_000
    assert gc.get_threshold() == thresholds
    assert gc.get_freeze_count() == 0
