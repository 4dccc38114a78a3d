"""Interactions whose owner falls silent: a peer defers them in time, and the next owner completes them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from commands_bot import BOT, per_replica, wait_synced
from fleet import values, whole_logs

from discordha.testing import FaultProxy, LocalDiscord, LocalEtcd, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

TTL = 5.0
#: What a busy machine may add, seconds.
BUSY = 5.0


def owner(etcd: LocalEtcd, root: str, interaction: int) -> str | None:
    """The replica that has claimed an interaction."""
    found = values(etcd, f"{root}e/interaction/{interaction}").values()
    return next((value.split()[1].decode() for value, _ in found if value.startswith(b"r ")), None)


def requests(discord: LocalDiscord, interaction: int) -> list[str]:
    """Who tried to answer first."""
    return [r.replica for r in discord.requests() if r.path.startswith(f"/interactions/{interaction}/")]


class Scene:
    """Two replicas of the bot of commands."""

    def __init__(self, fleet: Replicas, discord: LocalDiscord, etcd: LocalEtcd, root: str) -> None:
        self.fleet, self.discord, self.etcd, self.root = fleet, discord, etcd, root

    def ask(self, ask: Callable[[], int]) -> tuple[int, int]:
        """Somebody acts: the interaction, and the index of the replica that has claimed it."""
        interaction = ask()
        ids = {replica.replica_id: replica.index for replica in self.fleet}
        found = wait_for(lambda: owner(self.etcd, self.root, interaction), 5, "a claim", interval=0.005)
        return interaction, ids[found]

    def slash(self, path: str, **options: Any) -> Callable[[], int]:
        """A command, by any user in the first channel."""
        return lambda: self.discord.slash(path, options=options)

    def check(self, interaction: int, content: str) -> None:
        """It is deferred within 3 s, and then completed by another replica with this answer."""
        wait_for(lambda: self.discord.interaction(interaction)["responded"], 4, "a first answer")
        state = self.discord.interaction(interaction)
        assert state["thinking"], state

        def completed() -> bool:
            return bool(self.discord.interaction(interaction)["content"] == content)

        wait_for(completed, TTL + 1 + BUSY, lambda: f"{content}, not {self.discord.interaction(interaction)}")
        assert not self.discord.interaction(interaction)["thinking"]


@pytest.fixture
def scene(replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, root: str) -> Scene:
    fleet = replicas(
        BOT,
        2,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": str(TTL)},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    wait_synced(local_discord)
    return Scene(fleet, local_discord, local_etcd, root)


def test_a_paused_owner_costs_no_interaction(scene: Scene) -> None:
    interaction, index = scene.ask(scene.slash("slow", seconds=1.0))
    scene.fleet[index].pause()
    scene.check(interaction, "slow but sure 1")
    assert "is deferred: the replica that claimed it is silent" in scene.fleet[1 - index].log_text()
    assert "can't be answered any more" not in whole_logs(scene.fleet)
    scene.fleet[index].resume()
    # The first owner finds an answer, and adds nothing.
    wait_for(lambda: "is lost" in scene.fleet[index].log_text(), 20, "the loss to be seen")
    time.sleep(1.0)
    state = scene.discord.interaction(interaction)
    assert (state["content"], state["followups"]) == ("slow but sure 1", []), state


def test_an_owner_that_wakes_within_its_ttl_completes_what_a_peer_deferred(scene: Scene) -> None:
    interaction, index = scene.ask(scene.slash("slow", seconds=1.0))
    scene.fleet[index].pause()
    wait_for(lambda: scene.discord.interaction(interaction)["thinking"], 4, "a peer's defer")
    scene.fleet[index].resume()
    wait_for(
        lambda: scene.discord.interaction(interaction)["content"] == "slow but sure 1", BUSY, "the answer"
    )
    assert "is taken over" not in whole_logs(scene.fleet)


def test_a_placeholder_is_as_private_as_the_command_says(scene: Scene) -> None:
    interaction, index = scene.ask(scene.slash("whisper"))
    scene.fleet[index].pause()
    wait_for(lambda: scene.discord.interaction(interaction)["thinking"], 4, "a peer's defer")
    assert scene.discord.interaction(interaction)["ephemeral"]
    wait_for(
        lambda: scene.discord.interaction(interaction)["content"] == "whispered", TTL + 1 + BUSY, "the answer"
    )


def test_a_slow_handler_on_a_living_owner_costs_no_second_request(scene: Scene) -> None:
    interaction, index = scene.ask(scene.slash("slow", seconds=4.0))
    wait_for(
        lambda: scene.discord.interaction(interaction)["content"] == "slow but sure 4",
        10 + BUSY,
        "the answer",
    )
    assert requests(scene.discord, interaction) == [f"r{index}"]


def test_a_command_that_defers_for_itself_is_left_alone(scene: Scene) -> None:
    interaction, index = scene.ask(scene.slash("never"))
    scene.fleet[index].pause()
    time.sleep(3.2)
    assert not scene.discord.interaction(interaction)["responded"]
    assert requests(scene.discord, interaction) == []


def test_an_owner_that_is_cut_off_from_everything(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, root: str
) -> None:
    """Both of its links swallow what is sent: it lives, and knows of nothing."""
    if len(local_etcd.endpoints) > 1:
        pytest.skip("one proxy, one endpoint")
    with (
        FaultProxy.to(local_etcd.endpoints[0]) as to_etcd,
        FaultProxy.to(f"127.0.0.1:{local_discord.port}") as to_discord,
    ):

        def environment(index: int) -> dict[str, str]:
            found = {**local_discord.env(f"r{index}"), "WHO": f"r{index}"}
            if index == 0:
                found.update(local_discord.env("r0", endpoint=to_discord.endpoint))
                found["DISCORDHA_ETCD_ENDPOINTS"] = to_etcd.endpoint
            return found

        fleet = replicas(
            BOT,
            2,
            discord=None,
            env={"DISCORDHA_SESSION_TTL": str(TTL)},
            per_replica_env=environment,
        )
        fleet.wait_ready(60)
        wait_synced(local_discord)
        scene = Scene(fleet, local_discord, local_etcd, root)
        for channel in local_discord.channel_ids:  # one that the first replica prefers

            def ask(channel: int = channel) -> int:
                return local_discord.slash("slow", options={"seconds": 1.0}, channel_id=channel)

            interaction, index = scene.ask(ask)
            if index == 0:
                break
            wait_for(lambda: local_discord.interaction(interaction)["content"], 10, "its answer")  # noqa: B023
        else:
            pytest.skip("the first replica prefers none of the channels")
        to_etcd.black_hole()
        to_discord.black_hole()
        scene.check(interaction, "slow but sure 1")
        to_etcd.heal()
        to_discord.heal()
