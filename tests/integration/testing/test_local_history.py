"""What the local Discord keeps for those who were not there: its listings, in Discord's order and pages."""

from __future__ import annotations

import datetime
import json
import time
import urllib.error
from typing import Any

import pytest
from raw_gateway import raw_session
from rest import rest

from discordha.testing import LocalDiscord


def ids(messages: list[dict[str, Any]]) -> list[int]:
    return [int(message["id"]) for message in messages]


def refusal(local: LocalDiscord, path: str) -> tuple[int, dict[str, Any], Any]:
    with pytest.raises(urllib.error.HTTPError) as raised:
        rest(local, "GET", path)
    with raised.value as answer:
        return answer.code, json.loads(answer.read()), answer.headers


def test_history_has_discords_order_and_pages(local_discord: LocalDiscord) -> None:
    channel = local_discord.channel_ids[0]
    path = f"/channels/{channel}/messages"
    assert rest(local_discord, "GET", path) == []
    sent = [local_discord.send(channel, f"{n}") for n in range(7)]
    assert ids(rest(local_discord, "GET", path)) == sent[::-1]
    assert ids(rest(local_discord, "GET", f"{path}?limit=3")) == sent[:-4:-1]
    after = f"{path}?after={sent[1]}"
    assert ids(rest(local_discord, "GET", f"{after}&limit=3")) == sent[2:5][::-1], "those that follow next"
    assert ids(rest(local_discord, "GET", f"{path}?after={sent[-1]}")) == []
    assert ids(rest(local_discord, "GET", f"{path}?after={sent[-1] - 1}")) == sent[-1:]
    assert ids(rest(local_discord, "GET", f"{path}?before={sent[4]}&limit=2")) == sent[2:4][::-1]
    assert ids(rest(local_discord, "GET", f"{path}?around={sent[3]}&limit=3")) == sent[2:5][::-1]
    (one,) = rest(local_discord, "GET", f"{path}?limit=1")
    assert "guild_id" not in one
    assert "member" not in one
    assert rest(local_discord, "GET", f"{path}/{sent[-1]}") == one
    for limit in (0, 101):
        assert refusal(local_discord, f"{path}?limit={limit}")[0] == 400


def test_history_needs_permissions(local_discord: LocalDiscord) -> None:
    channel, voice = local_discord.channel_ids[0], local_discord.voice_channel_ids[0]
    local_discord.send(channel, "there")
    local_discord.send(voice, "there")
    assert len(rest(local_discord, "GET", f"/channels/{channel}/messages")) == 1
    assert len(rest(local_discord, "GET", f"/channels/{voice}/messages")) == 1
    local_discord.deny(channel, "read_message_history")
    assert rest(local_discord, "GET", f"/channels/{channel}/messages") == []
    local_discord.deny(channel, "view_channel")
    status, body, _ = refusal(local_discord, f"/channels/{channel}/messages")
    assert (status, body["code"]) == (403, 50001)
    local_discord.deny(channel)
    assert len(rest(local_discord, "GET", f"/channels/{channel}/messages")) == 1
    local_discord.deny(voice, "connect")
    assert refusal(local_discord, f"/channels/{voice}/messages")[0] == 403
    local_discord.delete_channel(channel)
    status, body, _ = refusal(local_discord, f"/channels/{channel}/messages")
    assert (status, body["code"]) == (404, 10003)


def test_a_direct_message_has_a_history(local_discord: LocalDiscord) -> None:
    with raw_session(local_discord) as frames:
        channel, message = local_discord.direct_message("hello")
        (came,) = frames.wait("MESSAGE_CREATE", 1)
    assert (int(came["channel_id"]), int(came["id"])) == (channel, message)
    assert "guild_id" not in came
    assert ids(rest(local_discord, "GET", f"/channels/{channel}/messages")) == [message]


def test_edits_have_a_time(local_discord: LocalDiscord) -> None:
    channel = local_discord.channel_ids[0]
    message = local_discord.send(channel, "before")
    path = f"/channels/{channel}/messages/{message}"
    assert rest(local_discord, "GET", path)["edited_timestamp"] is None
    local_discord.edit(channel, message, "after")
    edited = rest(local_discord, "GET", path)
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(edited["edited_timestamp"])
    assert edited["content"] == "after"
    assert abs(age.total_seconds()) < 60


def test_threads_active_and_archived(local_discord: LocalDiscord) -> None:
    (guild,), channel = local_discord.guild_ids, local_discord.channel_ids[0]
    message = local_discord.send(channel, "about")
    threads = [
        local_discord.create_thread(channel, "first"),
        local_discord.create_thread(channel, "second"),
        local_discord.create_thread(channel, "from a message", message_id=message),
    ]
    assert threads[2] == message
    answer = rest(local_discord, "GET", f"/guilds/{guild}/threads/active")
    assert ids(answer["threads"]) == sorted(threads, reverse=True)
    for thread in answer["threads"]:
        created = datetime.datetime.fromisoformat(thread["thread_metadata"]["create_timestamp"])
        assert abs((datetime.datetime.now(datetime.UTC) - created).total_seconds()) < 60
    last = local_discord.send(threads[0], "in it")
    assert ids(rest(local_discord, "GET", f"/channels/{threads[0]}/messages"))[0] == last

    for thread in threads:
        local_discord.archive_thread(thread)
        time.sleep(0.002)  # archived in this order
    assert rest(local_discord, "GET", f"/guilds/{guild}/threads/active")["threads"] == []
    path = f"/channels/{channel}/threads/archived/public"
    page = rest(local_discord, "GET", f"{path}?limit=2")
    assert (ids(page["threads"]), page["has_more"]) == (threads[:0:-1], True)
    before = page["threads"][-1]["thread_metadata"]["archive_timestamp"].replace("+", "%2B")
    page = rest(local_discord, "GET", f"{path}?limit=2&before={before}")
    assert (ids(page["threads"]), page["has_more"]) == (threads[:1], False)
    local_discord.deny(channel, "view_channel")
    assert refusal(local_discord, path)[0] == 403


def test_members_have_pages_and_need_the_intent(local_discord: LocalDiscord) -> None:
    (guild,) = local_discord.guild_ids
    began = datetime.datetime.now(datetime.UTC)
    newest = local_discord.join(guild)
    found: list[dict[str, Any]] = []
    after = 0
    while True:
        page = rest(local_discord, "GET", f"/guilds/{guild}/members?limit=3&after={after}")
        found += page
        if len(page) < 3:
            break
        after = int(page[-1]["user"]["id"])
    users = [int(member["user"]["id"]) for member in found]
    assert users == sorted(users)
    assert set(local_discord.user_ids) < set(users)
    assert newest in users
    joined = {int(m["user"]["id"]): datetime.datetime.fromisoformat(m["joined_at"]) for m in found}
    assert [user for user in users if joined[user] >= began] == [newest]
    assert refusal(local_discord, f"/guilds/{guild}/members?limit=1001")[0] == 400
    local_discord.reset(privileged_intents=False)
    status, body, _ = refusal(local_discord, f"/guilds/{local_discord.guild_ids[0]}/members?limit=3")
    assert (status, body["code"]) == (403, 50001)


def test_the_audit_log_tells_what_moderators_did(local_discord: LocalDiscord) -> None:
    (guild,), users = local_discord.guild_ids, local_discord.user_ids
    path = f"/guilds/{guild}/audit-logs"
    entries = [
        local_discord.kick(guild, users[0], reason="loud"),
        local_discord.ban(guild, users[1]),
        local_discord.unban(guild, users[1]),
    ]
    local_discord.delete_channel(local_discord.channel_ids[0])
    answer = rest(local_discord, "GET", path)["audit_log_entries"]
    assert [entry["action_type"] for entry in answer] == [12, 23, 22, 20], "newest first"
    assert ids(answer)[:0:-1] == entries
    assert (answer[-1]["target_id"], answer[-1]["reason"]) == (str(users[0]), "loud")
    assert answer[-1]["user_id"] == str(local_discord.owner_ids[0])
    page = rest(local_discord, "GET", f"{path}?after={entries[0]}&limit=2")["audit_log_entries"]
    assert ids(page) == entries[1:], "oldest first"
    page = rest(local_discord, "GET", f"{path}?before={entries[2]}&limit=1")["audit_log_entries"]
    assert ids(page) == [entries[1]]
    page = rest(local_discord, "GET", f"{path}?action_type=22&after=0")["audit_log_entries"]
    assert ids(page) == [entries[1]]
    local_discord.deny_guild(guild, "view_audit_log")
    status, body, _ = refusal(local_discord, path)
    assert (status, body["code"]) == (403, 50013)
    local_discord.deny_guild(guild)
    assert len(rest(local_discord, "GET", path)["audit_log_entries"]) == 4


def test_scheduled_events_are_listed(local_discord: LocalDiscord) -> None:
    (guild,) = local_discord.guild_ids
    with raw_session(local_discord) as frames:
        event = local_discord.create_event(guild, "party")
        (came,) = frames.wait("GUILD_SCHEDULED_EVENT_CREATE", 1)
    assert rest(local_discord, "GET", f"/guilds/{guild}/scheduled-events") == [came]
    assert (int(came["id"]), came["name"]) == (event, "party")


def test_a_new_session_learns_the_last_messages(local_discord: LocalDiscord) -> None:
    channels = local_discord.channel_ids
    sent = local_discord.send(channels[0], "nobody is there")
    threads = [local_discord.create_thread(channels[1], name) for name in ("open", "done", "hidden")]
    local_discord.archive_thread(threads[1])
    hidden = local_discord.create_thread(channels[2], "hidden")
    local_discord.deny(channels[2], "view_channel")
    reply = local_discord.send(threads[0], "nor here")
    with raw_session(local_discord) as frames:
        (guild,) = frames.of("GUILD_CREATE")
        last = {int(channel["id"]): channel["last_message_id"] for channel in guild["channels"]}
        assert last[channels[0]] == str(sent)
        assert last[channels[3]] is None
        open_ = {int(thread["id"]): thread["last_message_id"] for thread in guild["threads"]}
        assert open_ == {threads[0]: str(reply), threads[2]: None}
        assert hidden not in open_


def test_gateway_messages_name_members(local_discord: LocalDiscord) -> None:
    """As the listings do not: the author's, and those of who are mentioned."""
    channel, user = local_discord.channel_ids[0], local_discord.user_ids[1]
    with raw_session(local_discord) as frames:
        message = local_discord.send(channel, f"hello <@{user}>")
        local_discord.edit(channel, message, f"goodbye <@{user}>")
        (created,), (edited,) = frames.wait("MESSAGE_CREATE", 1), frames.wait("MESSAGE_UPDATE", 1)
    for payload in (created, edited):
        assert payload["guild_id"] == str(local_discord.guild_ids[0])
        assert "joined_at" in payload["member"]
        assert "user" not in payload["member"]
        assert [mention["id"] for mention in payload["mentions"]] == [str(user)]
        assert "joined_at" in payload["mentions"][0]["member"]


def test_one_channels_history_fails(local_discord: LocalDiscord) -> None:
    first, second = (f"/channels/{channel}/messages" for channel in local_discord.channel_ids[:2])
    local_discord.fault_rest(path=first, status=429, retry_after=0.25, count=1)
    status, body, headers = refusal(local_discord, first)
    assert (status, body["retry_after"], body["global"]) == (429, 0.25, False)
    assert (headers["Retry-After"], headers["X-RateLimit-Scope"]) == ("0.25", "user")
    assert rest(local_discord, "GET", first) == []
    for expected, code in ((403, 50001), (404, 10003), (502, 0)):
        local_discord.fault_rest(path=first, status=expected)
        status, body, _ = refusal(local_discord, first)
        assert (status, body["code"]) == (expected, code)
        assert rest(local_discord, "GET", second) == []
        local_discord.clear_faults()


def test_all_sessions_end_at_once(local_discord: LocalDiscord) -> None:
    with raw_session(local_discord), raw_session(local_discord):
        assert local_discord.invalidate() == 2
        assert local_discord.sessions() == []
