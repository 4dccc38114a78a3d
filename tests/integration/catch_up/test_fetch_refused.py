"""What Discord refuses, or a receiver holds up, harms one channel alone, and is said."""

from __future__ import annotations

import asyncio

import discord
import pytest
from missed_events import fetched, moment_now, on_line

from discordha.catch_up import fetch
from discordha.catch_up.missed import Missed
from discordha.testing import LocalDiscord

MESSAGES = frozenset({"MESSAGE_CREATE"})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused is tried again soon."""
    monkeypatch.setattr(fetch, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(fetch, "LAST_PAUSE", 0.1)


def test_what_the_bot_may_not_read(local_discord: LocalDiscord) -> None:
    hidden, silent, gone, open_ = local_discord.channel_ids[:4]
    since = moment_now()
    for channel in (hidden, silent, gone, open_):
        local_discord.send(channel, "hello")
    local_discord.deny(hidden, "view_channel")
    local_discord.deny(silent, "read_message_history")
    local_discord.deny_guild(local_discord.guild_ids[0], "view_audit_log")
    with on_line(local_discord) as line:
        local_discord.fault_rest(path=f"/channels/{gone}/*", status=404)
        found = fetched(line, since)
        assert [event.payload["channel_id"] for event in found.events] == [str(open_)]
        assert found.skipped.keys() == {f"channel:{silent}", f"channel:{gone}", f"archived:{gone}"}
        assert "read" in found.skipped[f"channel:{silent}"]
        assert "404" in found.skipped[f"channel:{gone}"]
    paths = {request.path for request in local_discord.requests()}
    assert not any(str(hidden) in path or str(silent) in path or "audit" in path for path in paths)


@pytest.mark.parametrize("status", [403, 429, 503])
@pytest.mark.usefixtures("quick")
def test_a_refusal_harms_one_channel_alone(local_discord: LocalDiscord, status: int) -> None:
    bad, *good = local_discord.channel_ids
    since = moment_now()
    for number in range(3):
        for channel in local_discord.channel_ids:
            local_discord.send(channel, str(number))
    with on_line(local_discord) as line:
        local_discord.fault_rest(path=f"/channels/{bad}/messages", status=status, retry_after=0.3, count=2)
        found = fetched(line, since, wanted=MESSAGES)
        for channel in good:
            assert found.contents(channel) == ["0", "1", "2"]
        if status == 403:
            assert list(found.skipped) == [f"channel:{bad}"]
            assert found.contents(bad) == []
        else:
            assert found.skipped == {}
            assert [event.order_key for event in found.events[-3:]] == [str(bad)] * 3, "the others went first"
            assert found.contents(bad) == ["0", "1", "2"]


@pytest.mark.parametrize("status", [403, 404, 429, 503])
@pytest.mark.usefixtures("quick")
def test_a_refusal_between_two_pages_harms_one_channel_alone(
    local_discord: LocalDiscord, status: int
) -> None:
    bad, *good = local_discord.channel_ids[:3]
    since = moment_now()
    for channel in (bad, *good):
        local_discord.load(rate=0, count=150, channels=[channel], template="{n}").wait(30)
    is_refused = False

    async def deliver(event: Missed) -> None:
        nonlocal is_refused
        if event.order_key == str(bad) and not is_refused:
            is_refused = True
            path = f"/channels/{bad}/messages"
            await asyncio.to_thread(
                local_discord.fault_rest, path=path, status=status, retry_after=0.3, count=2
            )

    with on_line(local_discord) as line:
        found = fetched(line, since, wanted=MESSAGES, deliver=deliver)
    order = [event.order_key for event in found.events]
    for channel in good:
        assert order.count(str(channel)) == 150
    if status < 429:
        assert list(found.skipped) == [f"channel:{bad}"], "said"
        assert str(status) in found.skipped[f"channel:{bad}"]
        assert order.count(str(bad)) == 100
        last = max(event.snowflake for event in found.events if event.order_key == str(bad))
        assert found.done[f"channel:{bad}"] == last, "nothing behind it counts as handed on"
    else:
        assert found.skipped == {}
        assert order.count(str(bad)) == 150
        assert set(order[-50:]) == {str(bad)}, "the others went first"


@pytest.mark.usefixtures("quick")
def test_an_endless_refusal_is_given_up(local_discord: LocalDiscord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "RETRY_FOR", 0.5)
    bad, good = local_discord.channel_ids[:2]
    since = moment_now()
    for channel in (bad, good):
        local_discord.send(channel, "hello")
    with on_line(local_discord) as line:
        local_discord.fault_rest(path=f"/channels/{bad}/*", status=503)
        found = fetched(line, since, wanted=MESSAGES)
        assert found.contents(good) == ["hello"]
        assert found.skipped[f"channel:{bad}"].startswith("refused for")
        assert found.done[f"channel:{bad}"] == since, "a successor tries again"


def test_a_slow_receiver_holds_up_its_channel_alone(local_discord: LocalDiscord) -> None:
    slow, *others = local_discord.channel_ids
    since = moment_now()
    for channel in local_discord.channel_ids:
        local_discord.send(channel, "hello")
    released = 0

    async def deliver(event: Missed) -> None:
        nonlocal released
        if event.order_key == str(slow):
            while released < len(others):
                await asyncio.sleep(0.01)
        released += 1

    with on_line(local_discord) as line:
        found = fetched(line, since, wanted=MESSAGES, deliver=deliver)
    assert found.events[-1].order_key == str(slow)


def test_an_error_of_the_receiver_ends_it(local_discord: LocalDiscord) -> None:
    since = moment_now()
    local_discord.send(local_discord.channel_ids[0], "hello")

    async def deliver(_event: Missed) -> None:
        raise discord.ClientException("the receiver's own")

    with on_line(local_discord) as line, pytest.raises(discord.ClientException, match="own"):
        fetched(line, since, wanted=MESSAGES, deliver=deliver)
