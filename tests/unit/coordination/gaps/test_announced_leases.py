"""Leases of marks are announced only where a catch-up may renew them."""

from __future__ import annotations

import discord
import pytest

from discordha.config import Config
from discordha.coordination.node import CoordinationNode


@pytest.mark.parametrize(("catch_up", "announced"), [(0.0, 0), (600.0, 1)])
def test_without_a_catch_up_no_replica_is_told_of_leases(catch_up: float, announced: int) -> None:
    config = Config(token="x" * 60, intents=discord.Intents.none(), ha=False, catch_up=catch_up)
    node = CoordinationNode(config, "", "alone", dict)
    node.start()
    try:
        node.leases.current()
        assert node.store.count(f"{node.root}ml/") == announced
    finally:
        node.stop()
