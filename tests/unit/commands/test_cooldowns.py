"""Cooldowns of slash commands: what is refused where it is written, and the names of buckets."""

from __future__ import annotations

from typing import Any

import pytest
from discord import app_commands as theirs

from discordha import ConfigError, app_commands
from discordha.commands.checks import _name


async def later(interaction: Any) -> int:
    return 1


def test_coroutine_functions_and_wrong_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="Functions of cooldowns"):
        app_commands.checks.cooldown(1, 5.0, key=later)
    with pytest.raises(ConfigError, match="Functions of cooldowns"):
        app_commands.checks.dynamic_cooldown(later)
    with pytest.raises(ConfigError, match=r"can't make keys of cooldowns: it is called with \(interaction\)"):
        app_commands.checks.cooldown(1, 5.0, key=lambda: 1)


def test_buckets_have_names_over_processes() -> None:
    minute, hour = theirs.Cooldown(1, 60.0), theirs.Cooldown(1, 3600.0)
    names = {
        _name("roll", minute, 5),
        _name("roll", hour, 5),
        _name("roll", minute, None),
        _name("roll", minute, (5, "x")),
        _name("set roll", minute, 5),
    }
    assert len(names) == 5
    assert _name("roll", minute, (5, 6)) == _name("roll", theirs.Cooldown(1, 60), (5, 6))
    with pytest.raises(TypeError, match=r"the key <object .* of /roll has no name over processes"):
        _name("roll", minute, object())


def test_each_replica_for_itself_is_discord_py_s_own() -> None:
    @app_commands.command()
    @app_commands.checks.cooldown(1, 5.0, per_replica=True)
    def roll(interaction: Any) -> None: ...

    (check,) = roll.checks
    assert check.__module__ == "discord.app_commands.checks"
