"""The guild in a journal key: the same on every host, and always one of the event's shard."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from discordha.coordination.membership.shard_keys import number_for
from discordha.events import Event, Identity, Scope, guild_of

GUILD = 1_234_567_890 << 22


def event(name: str, data: dict[str, Any] | None, *args: Any) -> Event:
    raw = json.dumps({"op": 0, "t": "X", "d": data}) if data is not None else None
    return Event(name, args, Identity(Scope.LEADER, "key", "order", None), 0, raw, 0.0)


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        (event("raw_reaction_add", {"guild_id": str(GUILD), "channel_id": "5"}), GUILD),
        (event("guild_update", {"id": str(GUILD)}), GUILD),
        (event("guild_join", None, SimpleNamespace(id=GUILD)), GUILD),
    ],
)
def test_the_payload_tells_it(happened: Event, expected: int) -> None:
    for count in (1, 4, 7):
        assert guild_of(happened, number_for(GUILD, count), count) == expected


def test_what_belongs_to_no_guild_is_on_shard_0() -> None:
    assert guild_of(event("raw_reaction_add", {"channel_id": "5"}), 0, 8) == 0


@pytest.mark.parametrize("number", range(8))
def test_whatever_comes_the_key_leads_back_to_the_shard(number: int) -> None:
    strange = event("raw_reaction_add", {"guild_id": "no number"})
    assert number_for(guild_of(strange, number, 8), 8) == number
