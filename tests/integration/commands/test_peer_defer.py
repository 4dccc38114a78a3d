"""Interactions whose owner falls silent: a peer defers them in time, and the next owner completes them."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from commands_bot import BOT, per_replica, wait_synced
from fleet import values, whole_logs

from discordha.coordination.membership.placement import order
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


@pytest.fixture
def local_discord() -> Iterator[LocalDiscord]:
    """One with so many channels that each replica is preferred for many."""
    with LocalDiscord(channels=128) as discord:
        yield discord


class Scene:
    """Three replicas of the bot of commands. The first one reaches etcd and Discord through proxies."""

    def __init__(self, fleet: Replicas, discord: LocalDiscord, etcd: LocalEtcd, root: str) -> None:
        self.fleet, self.discord, self.etcd, self.root = fleet, discord, etcd, root
        self._used: set[int] = set()
        wait_for(lambda: self._states() == ["ready"] * len(fleet), 20, "the ranks to settle")

    def _states(self) -> list[str]:
        """What the replicas' member records say; no replica that starts is preferred."""
        records = values(self.etcd, f"{self.root}m/").values()
        return [json.loads(value)["state"] for value, _ in records]

    def ask(self, index: int, path: str, **options: Any) -> int:
        """A command in a channel that a replica prefers, once that has claimed it. Another replica may be
        faster while the ranks are new.
        """
        ids = [replica.replica_id for replica in self.fleet]
        for channel in self.discord.channel_ids:
            if channel in self._used or order(str(channel), ids)[0] != ids[index]:
                continue
            self._used.add(channel)
            interaction = self.discord.slash(path, options=options, channel_id=channel)
            key = functools.partial(owner, self.etcd, self.root, interaction)
            if wait_for(key, 5, "a claim", interval=0.005) == ids[index]:
                return interaction
        raise AssertionError(f"r{index} claims nothing")

    def wait_deferred(self, interaction: int, *, ephemeral: bool) -> None:
        """It is deferred within Discord's 3 s; the local Discord takes no answer that comes later."""
        wait_for(lambda: self.discord.interaction(interaction)["responded"], 4, "a first answer")
        state = self.discord.interaction(interaction)
        assert (state["thinking"], state["ephemeral"]) == (True, ephemeral), state

    def wait_content(self, interaction: int, content: str) -> None:
        """It has been completed."""
        wait_for(
            lambda: self.discord.interaction(interaction)["content"] == content,
            TTL + 1 + BUSY,
            lambda: f"{content}, not {self.discord.interaction(interaction)}",
        )
        assert not self.discord.interaction(interaction)["thinking"]


def test_an_interaction_survives_a_silent_owner(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, root: str
) -> None:
    """One owner's links swallow what is sent, and another one is paused: a peer defers for both."""
    if len(local_etcd.endpoints) > 1:
        pytest.skip("one proxy, one endpoint")
    with (
        FaultProxy.to(local_etcd.endpoints[0]) as to_etcd,
        FaultProxy.to(f"127.0.0.1:{local_discord.port}") as to_discord,
    ):

        def environment(index: int) -> dict[str, str]:
            endpoint = {"endpoint": to_discord.endpoint} if index == 0 else {}
            found = {**local_discord.env(f"r{index}", **endpoint), "WHO": f"r{index}"}
            return found | ({"DISCORDHA_ETCD_ENDPOINTS": to_etcd.endpoint} if index == 0 else {})

        fleet = replicas(
            BOT, 3, discord=None, env={"DISCORDHA_SESSION_TTL": str(TTL)}, per_replica_env=environment
        )
        fleet.wait_ready(60)
        wait_synced(local_discord)
        scene = Scene(fleet, local_discord, local_etcd, root)
        cut = scene.ask(0, "slow", seconds=1.0)
        private = scene.ask(1, "whisper")
        own = scene.ask(1, "never")  # defers for itself
        fleet[1].pause()
        to_etcd.black_hole()
        to_discord.black_hole()
        scene.wait_deferred(cut, ephemeral=False)
        scene.wait_deferred(private, ephemeral=True)
        for interaction in (cut, private):  # others that ``ask`` made may be deferred, too
            told = f"interaction {interaction} is deferred: the replica that claimed it is silent"
            assert fleet[2].log_text().count(told) == 1
        scene.wait_content(cut, "slow but sure 1")
        scene.wait_content(private, "whispered")
        assert requests(local_discord, own) in ([], ["r2"]), requests(local_discord, own)
        assert not local_discord.interaction(own)["responded"]
        # The first owners find an answer, and add nothing.
        fleet[1].resume()
        to_etcd.heal()
        to_discord.heal()
        for index in (0, 1):
            wait_for(lambda index=index: "is lost" in fleet[index].log_text(), 20, "the loss")  # type: ignore[misc]
        fleet.wait_ready(60)
        for interaction, content in ((cut, "slow but sure 1"), (private, "whispered")):
            state = local_discord.interaction(interaction)
            assert (state["content"], state["followups"]) == (content, []), state


def test_a_peer_defers_only_while_the_owner_is_silent(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, root: str
) -> None:
    """A slow handler on a living owner costs no second request; an owner that wakes within its TTL completes
    what a peer deferred.
    """
    fleet = replicas(
        BOT,
        3,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": str(TTL)},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    wait_synced(local_discord)
    scene = Scene(fleet, local_discord, local_etcd, root)
    slow = scene.ask(0, "slow", seconds=4.0)
    short = scene.ask(1, "slow", seconds=1.0)
    fleet[1].pause()
    scene.wait_deferred(short, ephemeral=False)
    fleet[1].resume()
    scene.wait_content(short, "slow but sure 1")
    scene.wait_content(slow, "slow but sure 4")
    assert requests(local_discord, slow) == ["r0"]
    assert "is taken over" not in whole_logs(fleet)
