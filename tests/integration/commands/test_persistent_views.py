"""Persistent views and dynamic items on three real replicas: each press is answered once."""

from __future__ import annotations

import pytest
from commands_bot import started, wait_looked
from fleet import answer, whole_logs

from discordha.testing import LocalDiscord, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory


@pytest.fixture
def viewed(replicas: ReplicasFactory, local_discord: LocalDiscord) -> tuple[Replicas, int]:
    """Three replicas that know the persistent views, and the message of one of them with the views."""
    fleet = started(replicas, local_discord, 3, restart=True, VIEWS="1")
    wait_for(lambda: whole_logs(fleet).count("views added") == 3, 20, "discord.py's add_view on each replica")
    shown = answer(local_discord, local_discord.slash("persistent"))
    return fleet, int(shown["message_id"])


class TestPersistentViews:
    def test_each_press_is_answered_once(
        self, viewed: tuple[Replicas, int], local_discord: LocalDiscord
    ) -> None:
        fleet, message = viewed
        pressed = {"poll:yes": "poll on r", "legacy:yes": "legacy on r", "dynamic:7": "dynamic 7 on r"}
        asked = [
            (local_discord.click(custom_id, message), begins)
            for _ in range(4)
            for custom_id, begins in pressed.items()
        ]
        for interaction, begins in asked:
            assert str(answer(local_discord, interaction)["content"]).startswith(begins)
        refused = local_discord.click("poll:yes", message, user_id=local_discord.user_ids[4])
        wait_for(lambda: "checked user4" in whole_logs(fleet), 20, "the check of the one that is refused")
        assert answer(local_discord, local_discord.slash("roll"))["content"]
        assert whole_logs(fleet).count("checked user4") == 1
        tried = [r.path for r in local_discord.requests() if r.path.endswith("/callback")]
        assert len(set(tried)) == len(tried), "a press was answered by several replicas"
        assert not local_discord.interaction(refused)["responded"]
        assert "Traceback" not in whole_logs(fleet)

    def test_a_replica_that_dies_over_a_press_is_replaced(
        self, viewed: tuple[Replicas, int], local_discord: LocalDiscord
    ) -> None:
        fleet, message = viewed
        interaction = local_discord.click("poll:die", message)
        wait_for(lambda: sum(replica.runs for replica in fleet) == 4, 20, "the death")
        wait_for(lambda: "is taken over (attempt 2)" in whole_logs(fleet), 20, "the takeover")
        wait_looked(local_discord, interaction)
        state = answer(local_discord, interaction)
        assert str(state["content"]).startswith("died on r")
        assert not state["followups"]
        assert "Traceback" not in whole_logs(fleet)
