"""Messages are told of in their place among the events of their guild."""

from __future__ import annotations

import pytest
from gateway_line import Line

from discordha.testing import LocalDiscord, wait_for


@pytest.mark.timeout(60)
def test_a_message_that_is_replayed_has_no_place_any_more() -> None:
    with LocalDiscord() as discord_:
        line = Line(discord_)
        try:
            line.open()
            line.hear("first")
            line.hear("second")
            assert [guild for guild, _ in line.landmarks] == [discord_.guild_ids[0]] * 2
            ids = [id for _, id in line.landmarks]
            assert ids == sorted(set(ids))
            line.gateway.inject(line.raws[0], 0)
            wait_for(lambda: line.messages.count("first") == 2, 10, "the replayed message")
            assert [id for _, id in line.landmarks] == ids
        finally:
            line.gateway.stop(5)
