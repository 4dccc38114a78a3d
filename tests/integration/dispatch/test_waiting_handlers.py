"""Handlers that wait for later events of their channel, and handlers without an order, under the default
``ordering``, on three replicas.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet import BOTS, answer, logs

from discordha.testing import LocalDiscord, LocalEtcd, Replicas, wait_for
from discordha.testing.replicas import Replica


class Scene:
    """Three replicas of the bot, and what is written in one channel."""

    def __init__(self, discord: LocalDiscord, fleet: Replicas, gates: Path) -> None:
        self.discord = discord
        self.fleet = fleet
        self.gates = gates
        self.channel = discord.channel_ids[0]

    def says(self, text: str, *, user: int = 0) -> None:
        self.discord.send(self.channel, text, user_id=self.discord.user_ids[user])

    def waits_for(self, *texts: str) -> None:
        def missing() -> list[str]:
            found = [message.content for message in self.discord.messages()]
            return [text for text in texts if text not in found]

        wait_for(lambda: not missing(), 30, lambda: f"{missing()}\n{logs(self.fleet)}", interval=0.01)

    def count(self, text: str) -> int:
        return [message.content for message in self.discord.messages()].count(text)

    def player(self, game: str) -> Replica:
        """The replica that ran a game last."""
        runs = [(replica, replica.log_text().count(f"game {game} begins")) for replica in self.fleet]
        (found,) = [replica for replica, times in runs if times]
        return found


@pytest.fixture(scope="module")
def scene(local_etcd: LocalEtcd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    gates = tmp_path_factory.mktemp("gates")
    with (
        LocalDiscord(guilds=1) as discord,
        Replicas(
            BOTS / "dialogs.py",
            3,
            etcd=local_etcd,
            discord=discord,
            env={
                "DISCORDHA_SESSION_TTL": "2",
                "DISCORDHA_NAME": LocalEtcd.namespace(),
                "GATES": str(gates),
            },
            per_replica_env=lambda index: discord.env(f"r{index}"),
        ) as fleet,
    ):
        fleet.wait_ready(60)
        yield Scene(discord, fleet, gates)


def test_a_game_collects_what_others_write_while_it_waits(scene: Scene) -> None:
    scene.says("!game one")
    scene.waits_for("one: write words, then end")
    scene.says("word one apple", user=1)
    scene.says("word one pear")
    scene.waits_for("apple counts", "pear counts")
    scene.says("end one")
    scene.waits_for("one: apple pear")


def test_two_dialogs_in_one_channel_at_once(scene: Scene) -> None:
    for user in (0, 1):
        scene.says("!dialog", user=user)
        scene.waits_for(f"user{user}: colour?")
    for user, colour in ((1, "red"), (0, "blue")):
        scene.says(colour, user=user)
        scene.waits_for(f"user{user}: animal?")
    for user, animal in ((0, "cat"), (1, "dog")):
        scene.says(animal, user=user)
    scene.waits_for("user0: blue cat", "user1: red dog")


def test_handlers_without_an_order_neither_wait_nor_hold_up(scene: Scene) -> None:
    scene.says("!hold held")
    scene.waits_for("holds the channel up", "logged")
    scene.says("!aside aside")
    scene.waits_for("stands aside")
    scene.says("!ping behind")
    scene.says("!aside first")
    (scene.gates / "first").touch()
    scene.waits_for("stood aside")
    assert not scene.count("pong behind")
    assert not scene.count("held")
    (scene.gates / "held").touch()
    scene.waits_for("held", "pong behind")
    assert scene.count("stood aside") == 1
    (scene.gates / "aside").touch()
    wait_for(lambda: scene.count("stood aside") == 2, 30, lambda: logs(scene.fleet))
    assert scene.count("logged") == 1


def test_a_command_without_an_order_holds_nothing_up(scene: Scene) -> None:
    wait_for(lambda: bool(scene.discord.commands()), 10, "the command to be registered")
    waiting = scene.discord.slash("wait", {"gate_name": "slash"}, channel_id=scene.channel)
    scene.says("!ping beside")
    scene.waits_for("pong beside")
    (scene.gates / "slash").touch()
    assert answer(scene.discord, waiting)["content"] == "waited"


def test_a_kill_in_the_middle_of_a_wait(scene: Scene) -> None:
    """The game runs again elsewhere, and its channel goes on all the time."""
    scene.says("!game two")
    scene.waits_for("two: write words, then end")
    scene.says("!ping before")
    scene.waits_for("pong before")
    dead = scene.player("two")
    dead.kill()
    scene.says("!ping after")
    scene.waits_for("pong after")
    living = [replica for replica in scene.fleet if replica is not dead]
    again = "game two begins, attempt 2"
    wait_for(lambda: any(again in each.log_text() for each in living), 30, lambda: logs(scene.fleet))
    scene.says("word two plum")
    scene.waits_for("plum counts")
    scene.says("end two")
    scene.waits_for("two: plum")
    assert scene.count("two: write words, then end") == 1


def test_peers_take_the_channel_over_from_a_drain_that_waits_for_a_game(scene: Scene) -> None:
    scene.says("!game three")
    scene.waits_for("three: write words, then end")
    leaving = scene.player("three")
    leaving.drain()
    wait_for(lambda: "stopping" in leaving.log_text(), 10, lambda: logs(scene.fleet))
    scene.says("word three fig")
    scene.waits_for("fig counts")
    assert leaving.alive
    scene.says("end three")
    scene.waits_for("three: fig")
    assert leaving.wait_exit(30) == 0
