"""``ha.loop`` and ``discordha.ext.tasks``: every public name of discord.py's, and refusals at declaration."""

from __future__ import annotations

import datetime
import inspect
import re
from pathlib import Path
from typing import Any

import discord
import pytest
from discord.ext import tasks as theirs

from discordha import ConfigError, DiscordHA
from discordha.ext import tasks
from discordha.leader import loop_bots

PAGE = Path(__file__).parents[3] / "docs" / "on-time.md"


@pytest.fixture
def ha() -> DiscordHA:
    return DiscordHA(token="a.b.c", intents=discord.Intents.none(), ha=False)


def tick() -> None:
    """Does nothing."""


async def sleepy() -> None:
    """Does nothing."""


def public(owner: object) -> set[str]:
    names = {name for name in dir(owner) if not name.startswith("_")}
    instance = vars(theirs.loop(seconds=1)(sleepy)) if owner is theirs.Loop else {}
    return names | {name for name in instance if not name.startswith("_")}


def test_every_public_name_of_discord_py_is_here_or_in_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    _, _, section = text.partition("## The names of discord.ext.tasks")
    table = dict(re.findall(r"^\| `(\w+)[^`]*` \| (.+?) \|", section, re.MULTILINE))
    ours = tasks.loop(seconds=1)(tick)
    wanted = public(theirs.Loop) | set(theirs.__all__)
    assert wanted - table.keys() == set()
    for name in wanted:
        is_here = hasattr(ours, name) or hasattr(tasks, name)
        assert is_here == (not table[name].startswith("no")), name
    missing = set(inspect.signature(theirs.loop).parameters) - set(inspect.signature(tasks.loop).parameters)
    assert missing == set()
    ha_loop = inspect.signature(DiscordHA.loop).parameters
    assert set(inspect.signature(tasks.loop).parameters) == set(ha_loop) - {"self"}
    change = inspect.signature(tasks.Loop.change_interval).parameters
    assert set(inspect.signature(theirs.Loop.change_interval).parameters) == set(change)


def test_the_interval_is_shown_as_discord_py_shows_it() -> None:
    arguments: dict[str, Any] = {"seconds": 5, "minutes": 2, "hours": 1}
    for options in (arguments, {"minutes": 3}, {"time": datetime.time(9)}):
        ours, other = tasks.loop(**options)(tick), theirs.loop(**options)(sleepy)
        for name in ("seconds", "minutes", "hours", "time", "current_loop", "next_iteration", "count"):
            assert getattr(ours, name) == getattr(other, name), (options, name)


class Holder:
    """An object with a loop, and its bot."""

    def __init__(self, bot: DiscordHA) -> None:
        self.bot = bot

    @tasks.loop(seconds=60)
    def work(self, number: int = 0) -> None:
        """Does nothing."""


@pytest.mark.parametrize(
    ("options", "function", "message"),
    [
        ({"seconds": 1}, sleepy, "plain functions"),
        ({"seconds": 1}, lambda number: None, "called without arguments"),
        ({}, tick, "never runs"),
        ({"seconds": 0}, tick, "above 0"),
        ({"seconds": 1, "count": 0}, tick, "count of the loop tick must be above 0"),
        ({"seconds": 1, "count": True}, tick, "count of the loop tick must be above 0"),
        ({"seconds": 1, "scope": "claim"}, tick, 'scope of the loop tick must be "leader" or "every"'),
        ({"seconds": 1, "missed": "twice"}, tick, 'missed of the loop tick must be "run" or "skip"'),
        ({"seconds": 1, "name": ""}, tick, "may not be empty"),
        ({"seconds": 1, "name": "a/b"}, tick, "hold a slash"),
        ({"seconds": 1, "time": datetime.time(9)}, tick, "both time= and seconds="),
    ],
)
def test_impossible_loops_are_refused_when_declared(
    options: dict[str, Any], function: Any, message: str, ha: DiscordHA
) -> None:
    with pytest.raises(ConfigError, match=message):
        ha.loop(**options)(function)


def test_a_name_is_there_once(ha: DiscordHA) -> None:
    ha.loop(seconds=1)(tick)
    with pytest.raises(ConfigError, match="there is a loop 'tick' already"):
        ha.loop(seconds=2)(tick)


@pytest.mark.parametrize("hook", ["before_loop", "after_loop", "error"])
def test_hooks_are_checked(hook: str, ha: DiscordHA) -> None:
    loop = ha.loop(seconds=1)(tick)
    with pytest.raises(ConfigError, match="plain functions"):
        getattr(loop, hook)(sleepy)
    with pytest.raises(ConfigError, match=f"can't be {hook} of the loop tick"):
        getattr(loop, hook)(lambda a, b, c: None)
    with pytest.raises(TypeError, match="class of exceptions"):
        loop.add_exception_type(5)  # type: ignore[arg-type]
    loop.add_exception_type(KeyError)
    assert loop.remove_exception_type(KeyError)
    assert not loop.remove_exception_type(KeyError)


def test_a_loop_finds_its_bot(ha: DiscordHA, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = Holder(ha)
    assert holder.work is holder.work
    assert holder.work is not Holder(ha).work
    holder.work.start(5)
    assert holder.work.is_running()
    assert ha._loops == [holder.work]
    with pytest.raises(ConfigError, match="called with 2 arguments"):
        Holder(ha).work.start(1, 2)
    monkeypatch.setattr(loop_bots, "_bots", {ha, object()})
    with pytest.raises(ConfigError, match="this process has 2"):
        tasks.loop(seconds=1)(tick).start()


def test_what_is_declared_after_start_is_refused(ha: DiscordHA, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DiscordHA, "_is_started", lambda self: True)
    with pytest.raises(ConfigError, match="while the bot runs"):
        ha.loop(seconds=1)(tick)
