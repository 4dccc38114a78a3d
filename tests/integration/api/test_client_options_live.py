"""Options of discord.py's client, the fleet's presence and look-ups, on real connections of two shards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fleet import BOTS, logs
from forward_proxy import ForwardProxy

from discordha.testing import LocalDiscord, LocalEtcd, Replicas, wait_for

CHESS = {"status": "idle", "activity": "chess"}


def presence(record: dict[str, Any]) -> dict[str, Any]:
    """What a session or an IDENTIFY shows."""
    found = record["presence"]
    return {"status": found["status"], "activity": (found["activity"] or {}).get("name")}


class Scene:
    """Two replicas, each with both shards of six guilds, behind a proxy."""

    def __init__(self, discord: LocalDiscord, fleet: Replicas, proxy: ForwardProxy) -> None:
        self.discord = discord
        self.fleet = fleet
        self.proxy = proxy
        self.channel = discord.channel_ids[0]

    def ask(self, question: str, answers: int = 1) -> list[Any]:
        before = len(self.discord.messages())
        self.discord.send(self.channel, question)
        wait_for(
            lambda: len(self.discord.messages()) >= before + answers,
            30,
            lambda: logs(self.fleet),
            interval=0.01,
        )
        return self.discord.messages()[before:]

    def sessions(self) -> list[dict[str, Any]]:
        return [session for session in self.discord.sessions() if session["attached"]]

    def all_show(self, activity: str, status: str) -> None:
        wanted = {"status": status, "activity": activity}
        wait_for(
            lambda: len(self.sessions()) == 4 and all(presence(each) == wanted for each in self.sessions()),
            30,
            lambda: f"{wanted}, not {[presence(each) for each in self.sessions()]}\n{logs(self.fleet)}",
            interval=0.02,
        )

    def mentions(self, since: int) -> list[Any]:
        posts = [each for each in self.discord.requests() if each.method == "POST"]
        asked = [each for each in posts if "@everyone" in str((each.body or {}).get("content"))]
        return [each.body.get("allowed_mentions") for each in asked[since:]]


@pytest.fixture(scope="module")
def scene(local_etcd: LocalEtcd) -> Iterator[Scene]:
    with (
        LocalDiscord(guilds=6, shards=2) as discord,
        ForwardProxy() as proxy,
        Replicas(
            BOTS / "options.py",
            2,
            etcd=local_etcd,
            discord=discord,
            env={
                "DISCORDHA_SESSION_TTL": "2",
                "DISCORDHA_NAME": LocalEtcd.namespace(),
                "DISCORDHA_SHARD_COUNT": "2",
                "PROXY": proxy.url,
            },
            per_replica_env=lambda index: discord.env(f"r{index}"),
        ) as fleet,
    ):
        fleet.wait_ready(60)
        wait_for(lambda: len(discord.sessions()) == 4, 30, lambda: logs(fleet))
        yield Scene(discord, fleet, proxy)


def test_the_first_identify_of_every_shard_carries_the_presence(scene: Scene) -> None:
    assert len(scene.discord.identifies()) == 4
    assert [presence(each) for each in scene.discord.identifies()] == [CHESS] * 4


def test_look_ups_find_six_guilds_on_two_shards_of_one_replica(scene: Scene) -> None:
    discord = scene.discord
    seen = json.loads(scene.ask("!look")[0].content)
    assert seen["guilds"] == seen["found"] == sorted(discord.guild_ids)
    assert len(seen["guilds"]) == 6
    assert seen["shards"] == [0, 1]
    assert seen["channels"] >= len(discord.channel_ids)
    assert seen["user"] == seen["application"] == discord.bot_id
    assert seen["latency"]
    assert seen["fetched"] == "user0"


def test_caches_are_as_small_as_the_options_say(scene: Scene) -> None:
    for _ in range(5):
        scene.ask("!mention")
    seen = json.loads(scene.ask("!look")[0].content)
    assert seen["cached"] == 3  # of the lowest shard's client
    assert seen["members"] <= 6  # the bot itself, in each guild


def test_rest_and_gateway_go_through_the_proxy(scene: Scene) -> None:
    targets = scene.proxy.targets
    assert any("/gateway/" in target for target in targets)
    assert any("/api/" in target for target in targets)


def test_a_connection_that_is_closed_resumes_through_the_proxy_at_once(scene: Scene) -> None:
    before = {session["id"] for session in scene.sessions()}
    assert scene.discord.disconnect("r1", code=4000) == 2
    wait_for(
        lambda: (
            {session["id"] for session in scene.sessions() if session["resumed"]}
            and len(scene.sessions()) == 4
        ),
        4.0,  # a first try that fails takes 5 s
        lambda: logs(scene.fleet),
    )
    assert {session["id"] for session in scene.sessions()} == before


def test_options_hold_after_every_reconnect(scene: Scene) -> None:
    before, known = len(scene.mentions(0)), len(scene.discord.identifies())
    assert scene.discord.disconnect("r1") == 2
    assert scene.discord.invalidate("r0") == 2
    wait_for(lambda: len(scene.discord.identifies()) >= known + 2, 30, "new sessions")
    scene.all_show("chess", "idle")
    scene.ask("!mention")
    assert all(presence(each) == CHESS for each in scene.discord.identifies())
    assert scene.mentions(before) == [{"parse": []}]


def test_a_changed_presence_reaches_all_shards_and_new_sessions(scene: Scene) -> None:
    scene.ask("!play go")
    scene.all_show("go", "online")
    known = len(scene.discord.identifies())
    scene.fleet[0].kill()
    scene.fleet[0].start()
    scene.fleet[0].wait_ready(60)
    scene.all_show("go", "online")
    later = scene.discord.identifies()[known:]
    assert later
    assert all(presence(each) == {"status": "online", "activity": "go"} for each in later)


def test_quick_changes_end_with_the_last(scene: Scene) -> None:
    for game in ("a", "b", "c"):
        scene.ask(f"!play {game}")
    scene.all_show("c", "online")


def test_a_wrong_presence_is_refused(scene: Scene) -> None:
    errors = [message.content for message in scene.ask("!wrong", 2)]
    assert [error.split(" ", 1)[0] for error in errors] == ["activity", "status"]


def test_a_new_fleet_begins_with_what_its_bot_says(scene: Scene) -> None:
    """The word of the fleet before is forgotten. A session that begins again says its own in vain."""
    for replica in scene.fleet:
        replica.drain()
    for replica in scene.fleet:
        assert replica.wait_exit(30) == 0
    for replica in scene.fleet:
        replica.environment["READY_SAYS"] = "ready"
        replica.start()
    scene.fleet.wait_ready(60)
    scene.all_show("ready", "dnd")
    scene.ask("!play last")
    scene.all_show("last", "online")
