"""The declarations and calls between replicas, as a bot's author makes them, and the inbox."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import discord
import pytest

from discordha import ConfigError, DiscordHA
from discordha.coordination.shared.posts import ASK, BROADCAST, EVENT, Answer, Post
from discordha.errors import StoreUnavailable
from discordha.ext import commands
from discordha.peers.inbox import Inbox
from discordha.stats import Stats


@pytest.fixture
def ha() -> DiscordHA:
    return DiscordHA(token="a.b.c", intents=discord.Intents.none(), ha=False)


def test_declarations_that_are_refused(ha: DiscordHA) -> None:
    async def late(payload: object) -> None:
        """Does nothing."""

    for declare in (ha.on_broadcast, ha.on_ask):
        with pytest.raises(ConfigError, match="coroutine function"):
            declare("x")(late)
        with pytest.raises(ConfigError, match=r"called with \(payload\)"):
            declare("x")(lambda: None)
        for name in ("", "x" * 101, late, None):
            with pytest.raises(ConfigError, match=r"must be text"):
                declare(name)  # type: ignore[arg-type]
    ha.on_ask("x")(lambda payload: 1)
    with pytest.raises(ConfigError, match="already"):
        ha.on_ask("x")(lambda payload: 2)


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("message", {}, "not free"),
        ("on_message", {}, "not free"),
        ("timer", {}, "not free"),
        ("level up", {}, "identifier"),
        ("", {}, "identifier"),
        (None, {}, "identifier"),
        ("x" * 61, {}, "identifier"),
        ("known", {}, "declared already"),
        ("other", {"scope": "leader"}, '"claim" or "every"'),
    ],
)
def test_events_that_are_refused(name: Any, options: Any, match: str, ha: DiscordHA) -> None:
    ha.add_event("on_known")
    with pytest.raises(ConfigError, match=match):
        ha.add_event(name, **options)


def test_handlers_of_own_events(ha: DiscordHA) -> None:
    with pytest.raises(ConfigError, match=r'ha\.add_event\("level_up"\)'):
        ha.listen("level_up")(lambda: None)
    ha.add_event("level_up", ("user", "level"))
    ha.listen("level_up", where=lambda user, level: True)(lambda user, level: None)
    ha.listen("on_level_up", scope="every")(lambda user, level: None)
    with pytest.raises(ConfigError, match=r"called with \(user, level\)"):
        ha.listen("level_up")(lambda user: None)
    with pytest.raises(ConfigError, match="the bot's own event"):
        ha.listen("level_up", scope="leader")(lambda user, level: None)
    with pytest.raises(ConfigError, match="did you mean on_level_up"):
        ha.listen("levelup")(lambda user, level: None)


def test_calls_that_are_refused_before_anything_is_sent(ha: DiscordHA) -> None:
    with pytest.raises(ConfigError, match="on_broadcast"):
        ha.broadcast("x")
    with pytest.raises(ConfigError, match="on_ask"):
        ha.ask_all("x")
    with pytest.raises(ConfigError, match="add_event"):
        ha.dispatch("x")
    ha.add_event("x", ("one",))
    with pytest.raises(ConfigError, match=r"takes \(one\), and was given 2"):
        ha.dispatch("x", 1, 2)
    ha.on_ask("x")(lambda payload: 1)
    for timeout in (0, -1, float("nan"), float("inf"), 1e9):
        with pytest.raises(ValueError, match="timeout"):
            ha.ask_all("x", timeout=timeout)


def test_a_bot_of_commands_dispatches_what_it_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    bot = commands.Bot("!", token="a.b.c", intents=discord.Intents.none(), ha=False)
    sent: list[Any] = []
    posts = SimpleNamespace(send=lambda *arguments: sent.append(arguments))
    monkeypatch.setattr(type(bot), "_running", lambda self: SimpleNamespace(posts=posts))
    bot.add_event("level_up")
    heard: list[int] = []
    bot.add_listener(heard.append, "on_level_up")
    bot.add_listener(heard.append, "on_local")
    bot.dispatch("level_up", 1)
    bot.dispatch("local", 2)
    assert sent == [(EVENT, "level_up", [1], None)]
    assert heard == [2]


class Lanes:
    def __init__(self) -> None:
        self.items: list[Any] = []

    def sizes(self) -> tuple[int, int, int]:
        return 0, 0, len(self.items)

    def put(self, item: Any) -> None:
        self.items.append(item)


class Posts:
    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.away = 0
        self.open = True

    def listen(self, deliver: Any) -> None:
        self.deliver = deliver

    def is_open(self, question: Post) -> bool:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        return self.open

    def answer(self, question: Post, answer: Answer) -> None:
        self.answers.append(answer)


class Scene:
    def __init__(self, limit: int = 100) -> None:
        self.lanes, self.posts, self.stats = Lanes(), Posts(), Stats()
        self.own: list[Any] = []
        self.heard: list[Any] = []
        self.inbox = Inbox(
            self.posts,  # type: ignore[arg-type]
            SimpleNamespace(receive_own=lambda *args, **more: self.own.append((args, more))),  # type: ignore[arg-type]
            self.lanes,  # type: ignore[arg-type]
            self.stats,
            broadcasts={"note": [print, repr]},
            asks={"half": lambda payload: payload / 2},
            has_events=True,
            on_event=lambda name, args: self.heard.append((name, args)),
            shard=lambda: 7,
            limit=limit,
        )


def test_what_arrives_early_waits_and_keeps_its_order() -> None:
    scene = Scene()
    scene.posts.deliver(Post("1", BROADCAST, "note", "a", "r0"))
    scene.posts.deliver(Post("2", BROADCAST, "unknown", "b", "r0"))
    assert scene.lanes.items == []
    scene.inbox.start()
    scene.posts.deliver(Post("3", BROADCAST, "note", "c", "r0"))
    assert [item.event.args for item in scene.lanes.items] == [("a",), ("c",)]
    assert {item.lane for item in scene.lanes.items} == {"every/broadcast/r0"}
    assert [handler.function for handler in scene.lanes.items[0].handlers] == [print, repr]
    scene.inbox.pause()
    scene.posts.deliver(Post("4", BROADCAST, "note", "d", "r0"))
    assert len(scene.lanes.items) == 2


def test_what_has_no_room_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(limit=2)
    scene.inbox.start()
    for number in range(5):
        scene.posts.deliver(Post(str(number), BROADCAST, "note", number, "r0"))
    assert len(scene.lanes.items) == 2
    assert scene.stats.count("dropped") == 3
    assert caplog.text.count("broadcasts and questions are dropped") == 1


def test_events_go_to_the_dispatcher_also_those_from_before() -> None:
    scene = Scene()
    scene.inbox.start()
    scene.posts.deliver(Post("1", EVENT, "level_up", [1, 2], "r0"))
    scene.posts.deliver(Post("2", EVENT, "level_up", [3], "r0", is_old=True))
    (args, more), (old_args, old_more) = scene.own
    assert args[:3] == ("level_up", (1, 2), "1")
    assert (args[4], more, old_more) == (7, {"is_old": False}, {"is_old": True})
    assert scene.heard == [("level_up", (1, 2))]
    # The stored form leads to the same event.
    scene.inbox.inject(old_args[3])
    assert scene.own[2] == (old_args, old_more)
    scene.inbox.inject('{"discordha": "event"}')
    assert len(scene.own) == 3


def ask(scene: Scene, name: str, payload: Any) -> None:
    """Runs the handler of a question, as a handler thread does."""
    scene.posts.deliver(Post("1", ASK, name, payload, "r0", lease=5))
    item = scene.lanes.items.pop()
    item.handlers[0].function(*item.event.args)


def test_answers() -> None:
    scene = Scene()
    scene.inbox.start()
    scene.posts.away = 1
    ask(scene, "half", 4)
    with pytest.raises(TypeError):
        ask(scene, "half", "x")
    ask(scene, "unknown", 4)
    scene.posts.open = False
    ask(scene, "half", 4)
    found = scene.posts.answers
    assert found[0] == Answer(2.0, None)
    assert str(found[1].error).startswith("TypeError: ")
    assert found[2] == Answer(None, "this replica has no @ha.on_ask('unknown')")
    assert len(found) == 3
    scene.posts.away = 10**6
    timer = threading.Timer(0.2, scene.inbox.stop)
    timer.start()
    ask(scene, "half", 4)  # ends with the replica
    timer.join()
    assert len(found) == 3
