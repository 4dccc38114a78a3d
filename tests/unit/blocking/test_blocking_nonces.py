"""The nonces of messages that handlers send."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import inspect
import io
from collections.abc import Callable
from typing import Any

import discord
import pytest
from view_world import World, event

from discordha.blocking import wrap
from discordha.blocking.kinds import is_model
from discordha.blocking.nonces import with_token
from discordha.context import handler_scope
from discordha.errors import LockLost, StoreUnavailable


def nonces(world: World) -> list[str]:
    return [payload["nonce"] for payload in world.http.sent]


def test_messages_of_a_handler_have_equal_nonces_in_every_attempt(world: World) -> None:
    for attempt in (1, 2):
        with handler_scope(event(attempt=attempt), "bot.on_message"):
            world.view.channel.send("a")
            world.view.reply("b")
            for _ in range(3):
                world.view.channel.guild.get_channel(7).send("c")
    sent = nonces(world)
    assert len(sent) == 10
    assert sent[:5] == sent[5:]
    assert len(set(sent)) == 5
    assert all(len(nonce) == 25 and nonce.isascii() and nonce.isalnum() for nonce in sent)
    assert all(payload["enforce_nonce"] is True for payload in world.http.sent)


def test_nonces_differ_by_event_occurrence_and_handler(world: World) -> None:
    for current, handler in (
        (event(), "a"),
        (event(), "b"),
        (event(identity="51"), "a"),
        (event(name="message_edit"), "a"),
        (event(occurrence=2), "a"),
    ):
        with handler_scope(current, handler):
            world.view.channel.send("x")
    assert len(set(nonces(world))) == 5


def test_explicit_nonces_are_kept_and_not_counted(world: World) -> None:
    with handler_scope(event(), "h"):
        world.view.channel.send("a", nonce="mine")
        world.view.channel.send("b")
    with handler_scope(event(), "h"):
        world.view.channel.send("b", nonce=None)
    first, second, third = nonces(world)
    assert first == "mine"
    assert second == third


def test_a_forwarded_message_has_a_nonce(world: World) -> None:
    for _ in range(2):
        with handler_scope(event(), "h"):
            world.view.forward(world.view.channel)
            world.view.forward(destination=world.view.channel, fail_if_not_exists=False)
    one, two, *again = nonces(world)
    assert [one, two] == again
    assert one != two
    assert len(one) == 25
    assert world.http.sent[0]["message_reference"]["type"] == discord.MessageReferenceType.forward.value


def test_discord_py_chooses_nonces_outside_of_handlers_and_for_events_of_every_replica(world: World) -> None:
    world.view.channel.send("a")
    with handler_scope(event(token=0, for_itself=True), "on_ready"):
        world.view.channel.send("b")
    with handler_scope(event(token=0, for_itself=True), "on_ready"):
        world.view.channel.send("b")
    assert len(set(nonces(world))) == 3
    assert all(nonce.isdigit() for nonce in nonces(world))


def test_a_message_that_is_sent_again_after_a_failure_keeps_its_nonce(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, outcomes = world.http.send_message, iter([OSError, OSError, None, None, None])

    async def fails(channel_id: int, *, params: Any) -> dict[str, Any]:
        sent = await send(channel_id, params=params)
        error = next(outcomes)
        if error is not None:
            raise error
        return sent

    monkeypatch.setattr(world.http, "send_message", fails)
    channel = world.view.channel
    with handler_scope(event(), "h"):
        for content in ("a", "b"):
            with pytest.raises(OSError):
                channel.send(content)
        channel.send("b")  # again
        channel.send("a")  # again
        channel.send("a")  # one more
    first, second, *later = nonces(world)
    assert later[:2] == [second, first]
    assert later[2] not in {first, second}
    monkeypatch.undo()
    with handler_scope(event(attempt=2), "h"):  # nothing fails
        for content in ("a", "b", "a"):
            channel.send(content)
    assert nonces(world)[5:] == [first, second, later[2]]


def test_other_calls_of_a_handler_have_names_of_their_own() -> None:
    def names(*calls: tuple[object, bool]) -> list[str | None]:
        found = []
        for call, succeeds in calls:
            try:
                with with_token("schedule", call) as token:
                    found.append(token)
                    if not succeeds:
                        raise StoreUnavailable("etcd does not answer")
            except StoreUnavailable:
                pass
        return found

    with handler_scope(event(), "h"):
        first, again, other, more = names(("a", False), ("a", True), ("b", True), ("a", True))
    assert again == first
    assert len({first, other, more}) == 3
    with handler_scope(event(attempt=2), "h"):
        assert names(("a", True), ("b", True), ("a", True)) == [first, other, more]
    with handler_scope(event(token=0, for_itself=True), "h"):
        assert names(("a", True)) == [None]
    assert names(("a", True)) == [None]


def test_what_is_sent_elsewhere_or_was_changed_meanwhile_is_another_call(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = world.http.send_message

    async def fails(channel_id: int, *, params: Any) -> dict[str, Any]:
        await send(channel_id, params=params)
        raise OSError

    monkeypatch.setattr(world.http, "send_message", fails)
    with handler_scope(event(), "h"):
        for channel in (7, 8):
            with pytest.raises(OSError):
                wrap(world.client.get_partial_messageable(channel), world.bridge).send("a")
        note = {"n": [1]}
        names = []
        for number in (1, 2):
            note["n"][0] = number
            with contextlib.suppress(StoreUnavailable), with_token("broadcast", note) as token:
                names.append(token)
                raise StoreUnavailable("etcd does not answer")
    assert len(set(nonces(world))) == 2
    assert len(set(names)) == 2


@dataclasses.dataclass
class Score:
    points: int


def embed() -> tuple[dict[str, Any], Callable[[], object]]:
    made = discord.Embed(title="1")
    return {"embed": made}, lambda: setattr(made, "title", "2")


def field() -> tuple[dict[str, Any], Callable[[], object]]:
    made = discord.Embed(title="1").add_field(name="a", value="1")
    return {"embeds": [made]}, lambda: made.set_field_at(0, name="a", value="2")


def view() -> tuple[dict[str, Any], Callable[[], object]]:
    button: discord.ui.Button[discord.ui.View] = discord.ui.Button(label="1", custom_id="b")
    return {"view": discord.ui.View(timeout=None).add_item(button)}, lambda: setattr(button, "label", "2")


def mentions() -> tuple[dict[str, Any], Callable[[], object]]:
    made = discord.AllowedMentions(users=False)
    return {"allowed_mentions": made}, lambda: setattr(made, "users", True)


def poll() -> tuple[dict[str, Any], Callable[[], object]]:
    made = discord.Poll("?", datetime.timedelta(hours=1)).add_answer(text="1")
    return {"poll": made}, lambda: made.add_answer(text="2")


def file() -> tuple[dict[str, Any], Callable[[], object]]:
    made = discord.File(io.BytesIO(b"1"), "1.txt")
    return {"file": made}, lambda: setattr(made, "filename", "2.txt")


def score() -> tuple[dict[str, Any], Callable[[], object]]:
    made = Score(1)
    return {"payload": made}, lambda: setattr(made, "points", 2)


@pytest.mark.parametrize("make", [embed, field, view, mentions, poll, file, score])
def test_an_object_that_was_changed_meanwhile_makes_another_call(
    make: Callable[[], tuple[dict[str, Any], Callable[[], object]]],
) -> None:
    """Discord would answer with the message of the first, and nobody would see the second."""
    call, change = make()

    def attempt() -> str | None:
        with contextlib.suppress(OSError), with_token("send", call) as token:
            raise OSError("the answer is lost")
        return token

    with handler_scope(event(), "h"):
        first = attempt()
        assert attempt() == first, "nothing was changed"
        change()
        second = attempt()
        assert second != first
        assert attempt() == second


def test_messages_keep_their_nonces_without_etcd(world: World) -> None:
    for _ in range(2):
        with handler_scope(event(token=0), "on_message"):
            world.view.channel.send("a")
    one, other = nonces(world)
    assert one == other


def test_a_lost_event_sends_nothing(world: World) -> None:
    with (
        handler_scope(event(lambda: True), "h"),
        pytest.raises(LockLost, match=r"Messageable.send was not called"),
    ):
        world.view.channel.send("x")
    assert not world.http.sent


def test_the_methods_that_create_messages_are_these() -> None:
    """By discord.py's signatures, so that a method which gains or loses the nonce is noticed here."""
    from discordha.blocking.nonces import creates_message

    found = {
        function.__qualname__
        for kind in vars(discord).values()
        if inspect.isclass(kind) and is_model(kind)
        for _, function in inspect.getmembers(kind, inspect.iscoroutinefunction)
        if creates_message(function)
    }
    assert found == {"Messageable.send", "PartialMessage.reply", "PartialMessage.forward"}
