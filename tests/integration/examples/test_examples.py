"""The examples, each on three replicas with a local Discord and etcd: ``make examples``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet import EXAMPLES, answer, logs, per_replica, verdict
from rest import custom_ids, make_role, rest, roles_of
from tones import write_tones

from discordha.testing import LocalDiscord, Replicas, wait_for
from discordha.testing.discord.records import Request
from discordha.testing.plugin import ReplicasFactory

Start = Callable[..., Replicas]
ARTIST, GAMER = "\N{ARTIST PALETTE}", "\N{VIDEO GAME}"


@pytest.fixture
def start(replicas: ReplicasFactory, local_discord: LocalDiscord) -> Iterator[Start]:
    """Starts replicas of an example. At the end they drain, without an error and without a request that the
    local Discord does not know.
    """
    started: list[Replicas] = []

    def run(script: str, count: int = 3, **options: Any) -> Replicas:
        fleet = replicas(
            EXAMPLES / script, count, discord=None, per_replica_env=per_replica(local_discord), **options
        )
        started.append(fleet)
        fleet.wait_ready(60)
        return fleet

    yield run
    for fleet in started:
        for replica in fleet:
            replica.drain()
            assert replica.wait_exit(30) == 0, logs(fleet)
            assert "Traceback" not in replica.log_text(), logs(fleet)
    assert not local_discord.unknown_requests()


def said(discord: LocalDiscord, *texts: str) -> None:
    """Waits until the bot has sent these texts, in any order, and no others."""
    wait_for(
        lambda: sorted(message.content for message in discord.messages()) == sorted(texts),
        20,
        lambda: f"{sorted(texts)}, not {sorted(message.content for message in discord.messages())}",
    )


def test_every_example_is_tested() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f'"{path.name}"' in text, f"{path.name} has no test here"


def test_ping(start: Start, local_discord: LocalDiscord) -> None:
    start("ping.py")
    sent = local_discord.load(rate=50, count=100).wait(30)
    result = verdict(local_discord, sent)
    assert result.total.ok, result


def test_moderation(start: Start, local_discord: LocalDiscord) -> None:
    start("moderation.py")
    channel = local_discord.channel_ids[0]
    owner, user = local_discord.owner_ids[0], local_discord.user_ids[1]
    mention = f"<@{user}>: please mind your words (strike"
    texts: list[str] = []

    def then(text: str) -> None:
        texts.append(text)
        said(local_discord, *texts)

    local_discord.send(channel, "!filter list", owner)
    then("filter: no words")
    local_discord.send(channel, "!filter add Darn", owner)
    then("filter: 1 words")
    local_discord.send(channel, "!filter add heck", owner)
    then("filter: 2 words")
    local_discord.send(channel, "!filter nonsense", owner)
    then("filter: !filter add WORD, !filter remove WORD, or !filter list")
    local_discord.send(channel, "!filter remove darn", user)  # not allowed
    then(f"{mention} 1 of 3)")
    local_discord.send(channel, "a darned good day", user)  # another word
    edited = local_discord.send(channel, "what the", user)
    local_discord.edit(channel, edited, "what the HECK!")
    then(f"{mention} 2 of 3)")
    last = local_discord.send(channel, "Darn.", user)
    then(f"{mention} 3 of 3)")

    def calls(method: str, end: str) -> list[Any]:
        return [
            request
            for request in local_discord.requests()
            if request.method == method and request.path.endswith(end)
        ]

    wait_for(lambda: calls("PATCH", f"/members/{user}"), 10, "the time-out")
    assert len(calls("PATCH", f"/members/{user}")) == 1
    for message in (edited, last):
        assert len(calls("DELETE", f"/messages/{message}")) == 1
    local_discord.send(channel, "!filter remove darn", owner)
    then("filter: 1 words")
    local_discord.send(channel, "!filter list", owner)
    then("filter: heck")


def test_soundboard(start: Start, local_discord: LocalDiscord, tmp_path: Path) -> None:
    write_tones(tmp_path / "horn.wav", [440.0], 1.0)
    start("soundboard.py", env={"SOUNDS": str(tmp_path)})
    wait_for(lambda: len(local_discord.commands()) == 2, 30, "the commands to be known")
    state = answer(local_discord, local_discord.slash("sound", {"name": "horn"}))
    assert (state["content"], state["ephemeral"]) == ("Join a voice channel first.", True)
    local_discord.move_voice(
        local_discord.guild_ids[0], local_discord.user_ids[0], local_discord.voice_channel_ids[0]
    )
    choices = answer(local_discord, local_discord.slash("sound", {"name": "h"}, autocomplete="name"))[
        "choices"
    ]
    assert [choice["name"] for choice in choices] == ["horn"]
    state = answer(local_discord, local_discord.slash("sound", {"name": "flute"}))
    assert state["content"] == "There is no flute."
    state = answer(local_discord, local_discord.slash("sound", {"name": "horn"}))
    assert state["content"] == "Done."
    # A second warning, and the silence after it.
    wait_for(lambda: sum(s["packets"] for s in local_discord.voice_sessions()) > 60, 30, "the sound")
    (recording,) = local_discord.voice_recordings()
    assert abs(recording.seconds - 1.0) <= 0.04
    assert all(abs(tone - 440.0) < 1.0 for tone in recording.frequencies()[1:])


def test_commands(start: Start, local_discord: LocalDiscord) -> None:
    start("commands.py")
    wait_for(lambda: len(local_discord.commands()) == 1, 30, "the command to be known")
    choices = answer(local_discord, local_discord.slash("tea", {"tea": "ea"}, autocomplete="tea"))["choices"]
    assert [choice["name"] for choice in choices] == ["Earl Grey"]
    state = answer(local_discord, local_discord.slash("tea", {"tea": "sencha", "cups": 3}))
    assert state["content"] == "3 x sencha: will you have some?"
    message = state["message_id"]
    state = answer(local_discord, local_discord.click("tea:sencha:no", message))
    assert (state["content"], state["ephemeral"]) == ("no sencha for user0", True)
    modal = answer(local_discord, local_discord.click("why:sencha", message))["modal"]
    assert modal["title"] == "Why this one?"
    interaction = local_discord.submit("reason:sencha", {"reason": "it is green"})
    assert answer(local_discord, interaction)["content"] == "sencha: it is green"


def test_on_time(start: Start, local_discord: LocalDiscord) -> None:
    channel, user = local_discord.channel_ids[0], local_discord.user_ids[0]
    start("on_time.py", env={"NEWS": str(channel)})
    wait_for(lambda: len(local_discord.commands()) == 2, 30, "the commands to be known")
    state = answer(local_discord, local_discord.slash("remind", {"seconds": 1, "what": "the tea"}))
    assert state["content"] == "in 1 s"
    for index in range(10):  # of several channels, so that several replicas count
        local_discord.send(local_discord.channel_ids[index % 8], f"message {index}", user)
    state = answer(local_discord, local_discord.slash("members"))
    assert re.fullmatch(r"\d+ members in 1 guilds, says each of 3 replicas", state["content"])

    def posts() -> list[str]:
        return [message.content for message in local_discord.messages()]

    wait_for(lambda: f"<@{user}> has 10 points" in posts(), 20, lambda: f"ten points, not {posts()}")
    wait_for(lambda: any("the tea" in text for text in posts()), 20, lambda: f"the reminder, not {posts()}")
    assert posts().count(f"<@{user}> has 10 points") == 1
    assert sum("the tea" in text for text in posts()) == 1


def leader_of(fleet: Replicas) -> Any:
    """The leader: the replica with the newest token."""

    def token(replica: Any) -> int:
        tokens = re.findall(r"takeover: leads shard 0 \(token (\d+)\)", replica.log_text())
        return max(map(int, tokens), default=-1)

    return max(fleet, key=token)


class Community:
    """A guild with the roles of the community bot, three replicas, and their messages."""

    def __init__(self, start: Start, discord: LocalDiscord) -> None:
        self.discord = discord
        self.guild, (self.lobby, self.talk, *_) = discord.guild_ids[0], discord.channel_ids
        self.owner, self.users = discord.owner_ids[0], discord.user_ids
        self.roles = {name: make_role(discord, self.guild, name) for name in ("member", "artist", "gamer")}
        rest(discord, "PATCH", f"/guilds/{self.guild}", {"system_channel_id": str(self.lobby)})
        self.fleet = start("community.py", env={"DISCORDHA_SESSION_TTL": "5", "STATUS_EVERY": "0.5"})

    def said(self, *parts: str, reference: int | None = None) -> list[str]:
        """The bot's messages with all these parts, as replies to a message if one is given."""
        return [
            message.content
            for message in self.discord.messages()
            if all(part in message.content for part in parts) and reference in (None, message.reference)
        ]

    def type(self, content: str, user: int, *parts: str) -> None:
        """Sends a message of a user, and checks for one answer with all these parts."""
        before = len(self.said(*parts))
        self.discord.send(self.talk, content, user)
        wait_for(lambda: len(self.said(*parts)) == before + 1, 20, f"an answer to {content}")

    def has_role(self, user: int, name: str) -> bool:
        return self.roles[name] in roles_of(self.discord, self.guild, user)

    def status(self) -> list[str]:
        """The pinned messages of the lobby."""
        pins = rest(self.discord, "GET", f"/channels/{self.lobby}/messages/pins")["items"]
        return [pin["message"]["content"] for pin in pins]

    def wait_status(self, end: str) -> None:
        wait_for(
            lambda: len(self.status()) == 1 and self.status()[0].endswith(end),
            30,
            lambda: f"one status that ends with {end!r}, not {self.status()}",
            interval=0.1,
        )

    def vote(self, poll: int, buttons: dict[str, str], choice: str, user: int) -> int:
        return self.discord.click(buttons[choice], poll, channel_id=self.talk, user_id=user)


def test_community(start: Start, local_discord: LocalDiscord) -> None:
    community = Community(start, local_discord)
    discord, users, owner, talk = local_discord, community.users, community.owner, community.talk
    wait_for(lambda: len(discord.commands()) == 3, 30, "the commands")
    community.wait_status("0 welcomed, 0 warnings. At your service: 3 replicas.")

    # Each part without faults.
    community.type("!help", users[0], "`/faq`")
    community.type("!help", owner, "`!warn`")
    community.type(f"!warn <@{users[1]}> no", users[0], "for moderators")
    for number in (1, 2, 3):
        community.type(f"!warn <@{users[1]}> spam", owner, f"<@{users[1]}>: spam (warning {number} of 3)")

    def silenced() -> list[Request]:
        return [
            r for r in discord.requests() if r.method == "PATCH" and r.path.endswith(f"/members/{users[1]}")
        ]

    found = wait_for(silenced, 10, "the third warning's time-out")
    assert [r.body.keys() for r in found] == [{"communication_disabled_until"}]
    community.type(f"!forgive <@{users[1]}>", owner, "all is forgiven")
    community.type(f"!warn <@{users[1]}> again", owner, "again (warning 1 of 3)")
    community.type("!roles", owner, "React for a role")
    offer = discord.messages()[-1].id

    def offered() -> list[Request]:
        """The bot's own reactions, before which it has stored the message."""
        path = f"/messages/{offer}/reactions/"
        return [r for r in discord.requests() if r.method == "PUT" and path in r.path and r.status == 204]

    wait_for(lambda: len(offered()) >= 2, 10, "what to react with")
    discord.react(talk, offer, GAMER, users[0])
    wait_for(lambda: community.has_role(users[0], "gamer"), 10, "the role")
    discord.unreact(talk, offer, GAMER, users[0])
    wait_for(lambda: not community.has_role(users[0], "gamer"), 10, "the role to go")
    choices = answer(discord, discord.slash("faq", {"topic": "r"}, autocomplete="topic"))["choices"]
    assert [choice["value"] for choice in choices] == ["rules", "roles", "redeploy"]
    state = answer(discord, discord.slash("faq", {"topic": "rules"}, channel_id=talk))
    assert (state["content"], state["ephemeral"]) == ("Be kind, and stay on topic.", True)
    state = answer(discord, discord.slash("faq", {"topic": "tea", "public": True}, channel_id=talk))
    assert (state["content"], state["ephemeral"]) == ("I know nothing about tea.", False)
    modal = answer(discord, discord.slash("suggest", channel_id=talk, user_id=users[2]))["modal"]
    fields = {"what": "a tea room", "why": "I am thirsty"}
    thanks = answer(discord, discord.submit(modal["custom_id"], fields, channel_id=talk, user_id=users[2]))
    assert thanks["content"] == "Thank you for your suggestion!"
    asked = discord.slash("poll", {"question": "Tea?"}, channel_id=talk)
    poll = answer(discord, asked)["message_id"]
    body = next(r.body for r in discord.requests() if r.path.startswith(f"/interactions/{asked}/"))
    choose = custom_ids(body)
    assert answer(discord, community.vote(poll, choose, "no", users[0]))["content"] == "Tea?\nyes 0, no 1"
    assert answer(discord, community.vote(poll, choose, "yes", users[0]))["content"] == "Tea?\nyes 1, no 0"

    # Under load, while the leader dies.
    leader = leader_of(community.fleet)
    helped, joined, voted, warned = [], [], {}, []
    for number in range(120):
        channel = discord.channel_ids[1 + number % 6]
        helped.append(discord.send(channel, "!help", users[number % 5]))
        if number % 12 == 0:
            joined.append(discord.join(community.guild))
            warned.append(f"reason {number}.")
            discord.send(talk, f"!warn <@{users[3]}> {warned[-1]}", owner)
        if number % 24 == 0:
            user = users[number // 24]
            discord.react(talk, offer, ARTIST, user)
            voted[user] = community.vote(poll, choose, "yes" if user != users[4] else "no", user)
        if number == 60:
            leader.kill()
    for user, interaction in voted.items():
        # A click whose replica died stays without an answer, as Discord wants one within 3 s.
        def seen(interaction: int = interaction) -> bool:
            gone = f"can't be answered any more (interaction {interaction}," in logs_of(community.fleet)
            return gone or bool(discord.interaction(interaction)["responded"])

        wait_for(seen, 30, "the end of a click", interval=0.05)
        if not discord.interaction(interaction)["responded"]:
            answer(discord, community.vote(poll, choose, "yes" if user != users[4] else "no", user))

    def poll_says() -> str:
        return str(rest(discord, "GET", f"/channels/{talk}/messages/{poll}")["content"])

    def all_seen() -> bool:
        replies = {message.reference for message in discord.messages()}
        return (
            set(helped) <= replies
            and all(community.said("Welcome", f"<@{user}>") for user in joined)
            and all(community.said(reason) for reason in warned)
        )

    wait_for(all_seen, 60, "all answers", interval=0.1)
    wait_for(
        lambda: all(community.has_role(user, "member") for user in joined), 20, "the roles of who joined"
    )
    wait_for(
        lambda: all(community.has_role(user, "artist") for user in users), 20, "the roles of who reacted"
    )
    wait_for(lambda: poll_says() == "Tea?\nyes 4, no 1", 20, lambda: f"the votes, not {poll_says()}")
    community.wait_status(f"{len(warned) + 1} warnings. At your service: 2 replicas.")
    leader.start()
    leader.wait_ready(30)
    community.wait_status("At your service: 3 replicas.")

    # Each user got each answer once.
    replies = [message.reference for message in discord.messages()]
    assert all(replies.count(message) == 1 for message in helped)
    assert all(len(community.said("Welcome", f"<@{user}>")) == 1 for user in joined)
    assert all(len(community.said(reason)) == 1 for reason in warned)
    numbers = [community.said(reason)[0].rpartition("(warning ")[2] for reason in warned]
    assert sorted(int(number.split()[0]) for number in numbers) == list(range(1, len(warned) + 1))
    assert len(community.said("**guild0**")) == 1
    answers = [r.path for r in discord.requests() if r.path.endswith("/callback") and r.status == 200]
    assert len(set(answers)) == len(answers)
    assert not any(discord.interaction(interaction)["followups"] for interaction in voted.values())


def logs_of(fleet: Replicas) -> str:
    return "".join(replica.log_text() for replica in fleet)
