"""What was missed comes back from Discord: all of it, once, in order, as the gateway would have sent it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import discord
import pytest
from gateway_line import Line
from missed_events import Fetched, Stopped, fetched, moment_now, on_line
from raw_gateway import Frames, raw_session

from discordha.catch_up import fetch
from discordha.catch_up.missed import Missed
from discordha.catch_up.plan import KEPT
from discordha.events import EVENTS, identify
from discordha.gateway.injection import forget
from discordha.testing import LocalDiscord, wait_for

MESSAGES = frozenset({"MESSAGE_CREATE"})
#: Fields that are listed as they are now.
CHANGES = {
    "MESSAGE_CREATE": ("content", "edited_timestamp", "mentions", "referenced_message"),
    "THREAD_CREATE": (
        "last_message_id",
        "message_count",
        "total_message_sent",
        "member_count",
        "thread_metadata",
    ),
}


@pytest.fixture
def eventful(local_discord: LocalDiscord) -> tuple[int, Frames]:
    """An outage with everything that can be had back: its begin, and the frames that were missed."""
    (guild,), channels, users = local_discord.guild_ids, local_discord.channel_ids, local_discord.user_ids
    old = local_discord.send(channels[0], "old")
    local_discord.send(channels[1], "old")
    since = moment_now()
    with raw_session(local_discord) as frames:
        first = local_discord.send(channels[0], f"hello <@{users[1]}>")
        local_discord.send(channels[0], "an answer", users[1], reply_to=first)
        local_discord.edit(channels[0], old, "old, better")
        thread = local_discord.create_thread(channels[2], "topic")
        local_discord.send(thread, "in the thread")
        asked = local_discord.send(channels[3], "question")
        local_discord.create_thread(channels[3], "about it", message_id=asked)
        done = local_discord.create_thread(channels[3], "soon done")
        local_discord.send(done, "done")
        local_discord.archive_thread(done)
        local_discord.send(local_discord.voice_channel_ids[0], "in the voice channel")
        local_discord.join(guild)
        local_discord.join(guild)
        local_discord.ban(guild, users[4])
        local_discord.create_event(guild, "party")
        local_discord.edit(channels[0], first, "goodbye")
        frames.wait("MESSAGE_UPDATE", 2)
    return since, frames


def by_id(payloads: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {payload.get("id") or payload["user"]["id"]: payload for payload in payloads}
    assert len(found) == len(payloads)
    return found


def assert_holds(found: Any, sent: Any, path: str = "") -> None:
    """Everything that the gateway sent is found; the REST API may tell more."""
    if isinstance(sent, dict):
        for key, value in sent.items():
            assert key in found, f"{path}.{key}"
            assert_holds(found[key], value, f"{path}.{key}")
    elif isinstance(sent, list):
        assert len(found) == len(sent), path
        for number, (one, other) in enumerate(zip(found, sent, strict=True)):
            assert_holds(one, other, f"{path}[{number}]")
    else:
        assert found == sent, path


def test_all_comes_back_as_the_gateway_sent_it(
    local_discord: LocalDiscord, eventful: tuple[int, Frames]
) -> None:
    since, frames = eventful
    with on_line(local_discord) as line:
        found = fetched(line, since)
    for kind in sorted(KEPT):
        sent, had = by_id(frames.of(kind)), by_id(found.of(kind))
        assert had.keys() == sent.keys(), kind
        for key, payload in sent.items():
            for field in CHANGES.get(kind, ()):
                payload.pop(field, None)
            assert_holds(had[key], payload, f"{kind} {key}")
    assert found.outcome is not None
    assert found.outcome.missing == frozenset()
    assert found.skipped.keys() == set()
    assert found.outcome.delivered == {kind: len(frames.of(kind)) for kind in KEPT}
    assert found.progress[-1].remaining == 0


class Taking(Line):
    """Notes the identities of the frames that are given to it."""

    def __init__(self, local: LocalDiscord) -> None:
        super().__init__(local)
        self.taken: set[tuple[str, object]] = set()
        self.kind = ""

    def on_dispatch(
        self,
        event: str,
        args: tuple[Any, ...],
        raw: str | None,
        shard_id: int,
        acknowledged_revision: int,
        *,
        guild: int,
    ) -> None:
        if raw is not None and "replayed" in raw and event in EVENTS:
            identity = identify(event, args, json.loads(raw)["d"], ordering="channel")
            self.taken.add((event, identity))

    def give(self, events: list[Missed]) -> None:
        client = self.gateway.clients[0]

        async def inject() -> None:
            for event in events:
                forget(client, event.type, event.payload)
                client.replay(json.dumps({"op": 0, "t": event.type, "d": event.payload, "replayed": True}))

        asyncio.run_coroutine_threadsafe(inject(), self.gateway.loop).result(20)


def test_discord_py_takes_each_as_news(local_discord: LocalDiscord, eventful: tuple[int, Frames]) -> None:
    """Also what the new session's GUILD_CREATE has told of; with the identity that the live event had."""
    since, frames = eventful
    live = [Missed(kind, payload, 0, "", "") for kind, payload in frames.all if kind in KEPT]
    taken: list[set[tuple[str, object]]] = []
    for events in (live, None):
        line = Taking(local_discord)
        line.open()
        try:
            guild = line.gateway.clients[0].get_guild(local_discord.guild_ids[0])
            assert guild is not None
            members = guild.member_count
            line.give(fetched(line, since).events if events is None else events)
            assert guild.member_count == members == len(guild.members)
        finally:
            line.gateway.stop(5.0)
        taken.append({each for each in line.taken if each[0] != "message_edit"})  # depends on the cache
    assert taken[0] == taken[1]
    names = [name for name, _ in taken[1]]
    for name, kind in (
        ("message", "MESSAGE_CREATE"),
        ("raw_message_edit", "MESSAGE_UPDATE"),
        ("thread_create", "THREAD_CREATE"),
        ("member_join", "GUILD_MEMBER_ADD"),
        ("audit_log_entry_create", "GUILD_AUDIT_LOG_ENTRY_CREATE"),
        ("scheduled_event_create", "GUILD_SCHEDULED_EVENT_CREATE"),
    ):
        assert names.count(name) == len(frames.of(kind)) > 0, name


def test_a_channels_order_with_edits(local_discord: LocalDiscord) -> None:
    channel = local_discord.channel_ids[0]
    old = local_discord.send(channel, "old")
    since = moment_now()
    first = local_discord.send(channel, "1")
    moment_now()
    local_discord.edit(channel, old, "old 2")
    moment_now()
    local_discord.send(channel, "2")
    moment_now()
    local_discord.edit(channel, first, "1 changed")
    until = moment_now()
    local_discord.send(channel, "later")
    moment_now()
    local_discord.edit(channel, old, "old 3")
    with on_line(local_discord) as line:
        found = fetched(line, since, until=until)
        assert found.contents(channel) == ["1 changed", "2", "1 changed*"], "old was edited once more, later"
        found = fetched(line, since)
        assert found.contents(channel) == ["1 changed", "2", "1 changed*", "later", "old 3*"]
        found = fetched(line, since, wanted=frozenset({"MESSAGE_UPDATE"}))
        assert found.contents(channel) == ["1 changed*", "old 3*"]
        assert [event.snowflake for event in found.events] == sorted(e.snowflake for e in found.events)


def test_an_edit_where_nothing_was_written(local_discord: LocalDiscord) -> None:
    channel = local_discord.channel_ids[0]
    message = local_discord.send(channel, "before")
    since = moment_now()
    local_discord.edit(channel, message, "after")
    with on_line(local_discord) as line:
        assert fetched(line, since).contents(channel) == ["after*"]
        found = fetched(line, since, wanted=MESSAGES)
        assert found.outcome is not None
        assert (found.events, found.outcome.requests) == ([], 0), "nothing is asked for that nobody wants"


@pytest.mark.parametrize("count", [99, 100, 101, 230])
def test_pages(local_discord: LocalDiscord, count: int) -> None:
    channel = local_discord.channel_ids[0]
    local_discord.send(channel, "old")
    since = moment_now()
    local_discord.load(rate=0, count=count, channels=[channel], template="{n}").wait(20)
    with on_line(local_discord) as line:
        found = fetched(line, since, wanted=MESSAGES)
        assert found.contents(channel) == [str(number) for number in range(count)]
        asked = [each for each in local_discord.requests() if each.path == f"/channels/{channel}/messages"]
        assert len(asked) == count // 100 + 1
        limited = fetched(line, since, wanted=MESSAGES, limit=count)
        assert (limited.contents(channel), limited.skipped) == (found.contents(channel), {})
        limited = fetched(line, since, wanted=MESSAGES, limit=count - 1)
        assert limited.contents(channel) == found.contents(channel)[:-1]
        assert "catch_up_limit" in limited.skipped[f"channel:{channel}"]


def test_another_goes_on_wherever_one_stopped(
    local_discord: LocalDiscord, eventful: tuple[int, Frames]
) -> None:
    since, _ = eventful
    until = moment_now()
    with on_line(local_discord) as line:
        whole = fetched(line, since, until=until)
        for stop in range(len(whole.events)):
            left = stop

            async def deliver(_event: Missed) -> None:
                nonlocal left
                if left == 0:
                    raise Stopped
                left -= 1

            first = fetched(line, since, until=until, deliver=deliver)
            second = fetched(line, since, until=until, done=first.done)
            assert first.outcome is None
            assert keys(first) | keys(second) == keys(whole), f"lost after {stop}"
            for source, moment, _ in keys(first) & keys(second):
                assert moment > first.done.get(source, since), f"repeated after {stop}"


def keys(found: Fetched) -> set[tuple[str, int, str]]:
    return {
        (
            event.source,
            event.snowflake,
            event.type + str(event.payload.get("id") or event.payload["user"]["id"]),
        )
        for event in found.events
    }


def test_authors_are_members_without_the_members_intent(local_discord: LocalDiscord) -> None:
    """The gateway tells them, a hundred at once. Who has left is a user."""
    channel, users = local_discord.channel_ids[0], local_discord.user_ids
    intents = discord.Intents.all()
    intents.members = intents.presences = False
    since = moment_now()
    for user in users:
        local_discord.send(channel, f"<@{users[0]}>", user)
    local_discord.leave(local_discord.guild_ids[0], users[-1])
    with on_line(local_discord, intents=intents) as line:
        found = fetched(line, since)
    payloads = found.of("MESSAGE_CREATE")
    assert [int(payload["author"]["id"]) for payload in payloads] == users
    assert ["member" in payload for payload in payloads] == [True] * (len(users) - 1) + [False]
    for payload in payloads:
        assert "joined_at" in payload["mentions"][0]["member"]
    assert found.of("GUILD_MEMBER_ADD") == [], "the gateway would not send them either"
    assert not any(request.path.endswith("/members") for request in local_discord.requests())


def test_members_who_joined_from_pages_or_one_by_one(local_discord: LocalDiscord) -> None:
    (guild,) = local_discord.guild_ids
    since = moment_now()
    joined = [local_discord.join(guild) for _ in range(3)]
    local_discord.leave(guild, joined.pop())
    wanted = frozenset({"GUILD_MEMBER_ADD"})
    for chunked in (True, False):
        local_discord.trim()
        with on_line(local_discord, chunk_guilds_at_startup=chunked) as line:
            found = fetched(line, since, wanted=wanted)
            nothing = fetched(line, moment_now(), wanted=wanted)
        assert [int(payload["user"]["id"]) for payload in found.of("GUILD_MEMBER_ADD")] == joined
        assert {payload["guild_id"] for payload in found.of("GUILD_MEMBER_ADD")} == {str(guild)}
        assert nothing.events == []


@pytest.mark.parametrize("chunked", [True, False])
def test_a_guild_that_the_bot_joined_meanwhile(local_discord: LocalDiscord, chunked: bool) -> None:
    """Of its own joining a bot receives GUILD_CREATE, and nothing of what was before."""
    (guild,), channel, bot = local_discord.guild_ids, local_discord.channel_ids[0], local_discord.bot_id
    since = moment_now()
    local_discord.join(guild)
    edited = local_discord.send(channel, "too early, edited later")
    local_discord.send(channel, "too early")
    local_discord.edit(channel, local_discord.send(channel, "too early, edited early"), "edited early")
    local_discord.create_thread(channel, "too early")
    local_discord.create_event(guild, "too early")
    moment_now()
    local_discord.leave(guild, bot)
    local_discord.join(guild, bot)
    moment_now()
    joined = local_discord.join(guild)
    local_discord.send(channel, "hello")
    moment_now()
    local_discord.edit(channel, edited, "edited")
    moment_now()
    thread = local_discord.create_thread(channel, "in time")
    event = local_discord.create_event(guild, "in time")
    with on_line(local_discord, chunk_guilds_at_startup=chunked) as line:
        found = fetched(line, since)
        limited = fetched(line, since, wanted=MESSAGES, limit=2)
    assert [int(payload["user"]["id"]) for payload in found.of("GUILD_MEMBER_ADD")] == [joined]
    assert found.contents(channel) == ["hello", "edited*", "in time"]
    assert [int(payload["id"]) for payload in found.of("THREAD_CREATE")] == [thread]
    assert [int(payload["id"]) for payload in found.of("GUILD_SCHEDULED_EVENT_CREATE")] == [event]
    assert limited.contents(channel) == ["hello", "in time"], "earlier messages do not count"
    assert limited.skipped == {}


def test_direct_messages_that_are_known(local_discord: LocalDiscord) -> None:
    with on_line(local_discord) as line:
        channel, _ = local_discord.direct_message("live")
        wait_for(lambda: "live" in line.messages, 20, "the message")
        client = line.gateway.clients[0]

        async def open_channel() -> None:
            """Discord lists no such channels: discord.py knows those that the bot has opened."""
            await (await client.fetch_user(local_discord.user_ids[0])).create_dm()

        asyncio.run_coroutine_threadsafe(open_channel(), line.gateway.loop).result(20)
        since = moment_now()
        local_discord.direct_message("missed")
        found = fetched(line, since)
        (payload,) = found.of("MESSAGE_CREATE")
        assert (payload["channel_id"], payload["content"]) == (str(channel), "missed")
        assert "guild_id" not in payload


def test_a_guild_that_is_not_there(local_discord: LocalDiscord) -> None:
    local_discord.reset(guilds=2, channels=1)
    since = moment_now()
    for channel in local_discord.channel_ids:
        local_discord.send(channel, "hello")
    away, _ = local_discord.guild_ids
    with on_line(local_discord) as line:
        local_discord.emit("GUILD_DELETE", {"id": str(away), "guild_id": str(away), "unavailable": True})
        client = line.gateway.clients[0]
        guild = client.get_guild(away)
        assert guild is not None
        wait_for(lambda: guild.unavailable, 20, "the guild to be away")
        found = fetched(line, since)
        assert found.contents(local_discord.channel_ids[1]) == ["hello"]
        assert found.contents(local_discord.channel_ids[0]) == []
        assert found.skipped == {f"guild:{away}": "guild unavailable"}


def test_what_discord_does_not_keep_is_told(local_discord: LocalDiscord) -> None:
    lost = {"MESSAGE_REACTION_ADD", "TYPING_START", "VOICE_STATE_UPDATE"}
    with on_line(local_discord) as line:
        found = fetched(line, moment_now(), wanted=KEPT | lost)
    assert found.outcome is not None
    assert found.outcome.missing == lost


def test_it_runs_once(local_discord: LocalDiscord) -> None:
    with on_line(local_discord) as line:

        async def twice() -> None:
            now = moment_now()
            fetcher = fetch.HistoryFetcher(
                line.gateway.clients[0], wanted=KEPT, since=now, until=now, limit=1, done={}
            )

            async def deliver(_event: Missed) -> None: ...

            await fetcher.run(deliver, lambda progress: None)
            with pytest.raises(RuntimeError, match="once"):
                await fetcher.run(deliver, lambda progress: None)

        asyncio.run_coroutine_threadsafe(twice(), line.gateway.loop).result(20)
