"""The table has every event that discord.py dispatches, and no other; each row fits its handlers."""

from __future__ import annotations

import re
from pathlib import Path

import discord

from discordha.events import EVENTS, Scope

DISPATCHED = re.compile(r"""dispatch\(\s*['"](\w+)['"]""")
#: Dispatched by ``discord.ext.commands``, a framework around a client of its own.
FRAMEWORK = Path(discord.__file__).parent / "ext"


def dispatched() -> set[str]:
    """The names of all events that discord.py's own sources dispatch."""
    found: set[str] = set()
    for path in Path(discord.__file__).parent.rglob("*.py"):
        if not path.is_relative_to(FRAMEWORK):
            found.update(DISPATCHED.findall(path.read_text(encoding="utf-8")))
    return found


def test_the_table_has_every_event_that_discord_py_dispatches() -> None:
    assert dispatched() - set(EVENTS) == set()


def test_the_table_has_one_event_that_discord_py_does_not_dispatch() -> None:
    assert set(EVENTS) - dispatched() == {"gap"}


def test_events_that_need_their_payload_name_the_gateways_event() -> None:
    assert not [name for name, spec in EVENTS.items() if spec.needs_payload and spec.gateway is None]


def test_an_event_that_comes_only_where_cached_names_one_that_comes_always() -> None:
    instead = {name: EVENTS[spec.instead] for name, spec in EVENTS.items() if spec.instead is not None}
    assert not [name for name, other in instead.items() if other.cache_dependent]
    assert not [name for name, other in instead.items() if other.gateway != EVENTS[name].gateway]


def test_only_claimed_events_tell_their_age() -> None:
    assert not [name for name, spec in EVENTS.items() if spec.has_snowflake and spec.scope is not Scope.CLAIM]
