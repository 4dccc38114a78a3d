"""Views: what they pass through, what they wrap, what they hand back to discord.py."""

from __future__ import annotations

import asyncio
import copy
import datetime
import inspect
import pickle
import threading
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from discord import app_commands, ui
from loop_thread import loop_thread

from discordha.blocking import LoopBridge, View, unwrap, wrap
from discordha.blocking.iterators import PAGE, BlockingIterator, ViewSequence
from discordha.blocking.kinds import is_model
from discordha.context import CurrentEvent, handler_scope
from discordha.errors import LockLost


class Http:
    """Stands for discord.py's HTTP client; records what would be sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.typing: list[int] = []
        self.threads: set[str] = set()

    async def send_message(self, channel_id: int, *, params: Any) -> dict[str, Any]:
        self.threads.add(threading.current_thread().name)
        payload = params.payload or {}
        self.sent.append({"channel": channel_id, **payload})
        return message_data(100 + len(self.sent), channel_id, payload.get("content", ""))

    async def send_typing(self, channel_id: int) -> None:
        self.typing.append(channel_id)

    async def logs_from(
        self, channel_id: int, limit: int, before: Any = None, **_: Any
    ) -> list[dict[str, Any]]:
        await asyncio.sleep(0)
        self.pages = [*getattr(self, "pages", []), limit]
        last = before if before is not None else 1000
        return [message_data(last - n, channel_id, "old") for n in range(1, min(limit, last) + 1)]


def message_data(message_id: int, channel_id: int, content: str) -> dict[str, Any]:
    author = {"id": "5", "username": "ann", "discriminator": "0", "avatar": None, "global_name": None}
    return {
        "id": str(message_id), "channel_id": str(channel_id), "content": content, "author": author,
        "type": 0, "attachments": [], "embeds": [], "mentions": [{**author, "id": "6"}], "mention_roles": [],
        "pinned": False, "mention_everyone": False, "tts": False, "timestamp": "2024-01-01T00:00:00+00:00",
        "edited_timestamp": None, "flags": 0, "components": [],
    }  # fmt: skip


class World:
    """A guild with a channel on a real connection state, over a fake HTTP client."""

    def __init__(self, loop: asyncio.AbstractEventLoop, bridge: LoopBridge) -> None:
        self.loop = loop
        self.bridge = bridge
        self.http = Http()

        async def connect() -> discord.Client:
            client = discord.Client(intents=discord.Intents.all())
            client._connection.http = self.http  # type: ignore[assignment]
            client._connection.loop = loop
            return client

        self.client = bridge.call(connect())
        state = self.client._connection
        data: Any = {
            "id": "1", "name": "guild", "member_count": 3, "owner_id": "5",
            "roles": [{"id": "1", "name": "@everyone", "position": 0, "permissions": "0", "color": 0},
                      {"id": "2", "name": "mods", "position": 2, "permissions": "8", "color": 0}],
            "channels": [{"id": "7", "name": "general", "type": 0, "position": 0}],
            "members": [{"user": {"id": str(n), "username": f"u{n}", "discriminator": "0", "avatar": None},
                         "roles": ["2"], "joined_at": None, "flags": 0} for n in (5, 6)],
        }  # fmt: skip
        self.guild = discord.Guild(data=data, state=state)
        state._add_guild(self.guild)
        channel = self.guild.get_channel(7)
        assert isinstance(channel, discord.TextChannel)
        self.channel = channel
        self.message = discord.Message(state=state, channel=channel, data=message_data(50, 7, "hi"))  # type: ignore[arg-type]
        self.view: Any = wrap(self.message, bridge)


@pytest.fixture
def world() -> Iterator[World]:
    with loop_thread() as (loop, bridge):
        yield World(loop, bridge)


def event(is_lost: Any = lambda: False, token: int = 7, **changes: Any) -> CurrentEvent:
    values: dict[str, Any] = {
        "identity": "50",
        "name": "message",
        "attempt": 1,
        "shard_id": 0,
        "occurrence": 1,
    }
    return CurrentEvent(**{**values, "fencing_token": token, "is_lost": is_lost, **changes})


# -- what comes out ----------------------------------------------------------------------------------------


def test_attributes_pass_through_and_models_are_wrapped(world: World) -> None:
    view = world.view
    assert view.content == "hi"
    assert type(view.content) is str
    assert isinstance(view.channel, View)
    assert view.channel.name == "general"
    assert view.channel.guild.name == "guild"
    assert view.author.display_name == "u5"
    assert type(view.created_at) is datetime.datetime
    assert view.type is discord.MessageType.default
    assert view.flags is world.message.flags
    assert view.guild is None or isinstance(view.guild, View)


def test_isinstance_holds_and_match_works(world: World) -> None:
    view = world.view
    assert isinstance(view, discord.Message)
    assert isinstance(view.channel, discord.TextChannel)
    assert isinstance(view.channel, discord.abc.Messageable)
    assert isinstance(view.channel, discord.abc.GuildChannel)
    assert isinstance(view, discord.abc.Snowflake)
    assert isinstance(view, View)
    assert not isinstance(view, discord.TextChannel)
    match view.channel:
        case discord.VoiceChannel():
            pytest.fail("a text channel is no voice channel")
        case discord.TextChannel(name=name):
            assert name == "general"
        case _:
            pytest.fail("matched nothing")


def test_equality_hash_order_and_text_are_the_objects(world: World) -> None:
    view, again = world.view, wrap(world.message, world.bridge)
    assert view == world.message
    assert world.message == view
    assert view == again
    assert (view != again) is False
    assert view != world.view.channel
    assert {view: 1}[world.message] == 1
    assert {world.message, view, again} == {view}
    everyone, mods = sorted(view.channel.guild.roles)
    assert everyone < mods
    assert mods >= everyone
    assert everyone.name == "@everyone"
    assert str(view.author) == "u5"
    assert f"{view.author}" == "u5"
    assert f"{view.channel.mention}" == "<#7>"
    assert repr(view).startswith("<view of <Message id=50")
    assert bool(view)
    assert "send" in dir(view.channel)
    assert inspect.signature(view.channel.send).parameters.keys() >= {"content", "embed"}


def test_asset_has_the_dunders_of_its_object(world: World) -> None:
    avatar = world.view.author.display_avatar
    assert str(avatar).startswith("https://")
    assert len(avatar) == len(str(avatar))
    assert avatar == world.view.author.display_avatar


def test_containers(world: World) -> None:
    view = world.view
    guild = view.channel.guild
    assert type(view.mentions) is list
    assert all(isinstance(user, View) for user in view.mentions)
    assert view.embeds is world.message.embeds  # nothing in it to wrap: handed out as it is
    assert isinstance(guild.members, ViewSequence)
    assert len(guild.members) == 2
    assert all(isinstance(member, View) for member in guild.members)
    assert all(isinstance(member, View) for member in guild.members[:2])
    assert isinstance(guild.members[0], discord.Member)
    assert view.author in guild.members
    assert world.guild.get_member(5) in guild.members
    assert guild.members == guild.members
    assert discord.utils.get(guild.roles, name="mods").permissions.administrator
    assert isinstance(discord.utils.find(lambda member: member.id == 6, guild.members), View)
    assert [type(channel).__name__ for channel in guild.text_channels] == ["TextChannelView"]
    assert [channel for channel, _ in guild.by_category()] == [None]
    assert isinstance(next(iter(guild.by_category()))[1][0], View)
    members = wrap(world.client, world.bridge).get_all_members()
    assert [member.id for member in members] == [5, 6]
    pair = wrap(discord.guild.BanEntry(reason="spam", user=world.client.get_user(5)), world.bridge)  # type: ignore[arg-type]
    assert type(pair) is discord.guild.BanEntry
    assert isinstance(pair.user, View)
    held = wrap({world.message: [world.channel], "x": (1, 2)}, world.bridge)
    assert all(isinstance(item, View) for item in (next(iter(held)), held[world.message][0]))
    assert wrap(frozenset({world.message}), world.bridge) == {world.message}


def test_plain_data_is_not_wrapped(world: World) -> None:
    for plain in (
        None, 1, "x", discord.Embed(), discord.Colour.red(), discord.Permissions.all(), discord.Intents.all(),
        discord.MessageType.reply, discord.utils.MISSING,
        discord.Object(1), discord.AllowedMentions.none(), discord.Game("x"), discord.PermissionOverwrite(),
        discord.ClientException(), discord.Message, discord.utils.utcnow(), ui.Button(),
        app_commands.Choice(name="a", value=1), [1, 2], {"a": 1}, {1}, (1, 2), asyncio, lambda: None,
    ):  # fmt: skip
        assert wrap(plain, world.bridge) is plain


def test_users_own_classes_for_discord_py_to_call_are_not_wrapped(world: World) -> None:
    class Buttons(ui.View):
        @ui.button(label="x")
        async def press(self, interaction: discord.Interaction, button: ui.Button[Any]) -> None: ...

    class Form(ui.Modal, title="x"):
        name: ui.TextInput[Any] = ui.TextInput(label="name")

    @app_commands.command()
    async def command(interaction: discord.Interaction) -> None: ...

    for kind in (Buttons, Form, type(command), app_commands.CommandTree, discord.PCMAudio):
        assert not is_model(kind)
    for own in (Buttons(), Form(), command):
        assert wrap(own, world.bridge) is own
        assert unwrap(own) is own


def test_subclasses_of_models_are_wrapped(world: World) -> None:
    class Bot(discord.Client):
        answer = 42

        async def shout(self) -> str:
            return threading.current_thread().name

    async def make() -> Bot:
        return Bot(intents=discord.Intents.none())

    bot = world.bridge.call(make())
    view = wrap(bot, world.bridge)
    assert isinstance(view, Bot)
    assert view.answer == 42
    assert view.shout() == "test-loop"
    view.counter = 1  # an attribute of the object's own
    view.helper = wrap(world.message, world.bridge)
    assert bot.counter == 1  # type: ignore[attr-defined]
    assert bot.helper is world.message  # type: ignore[attr-defined]
    assert isinstance(view.helper, View)
    del view.counter
    assert not hasattr(view, "counter")


def test_private_names_are_left_alone(world: World) -> None:
    assert world.view._state is world.message._state


def test_setting_an_attribute_sets_the_objects(world: World) -> None:
    world.view.content = "new"
    assert world.message.content == "new"
    world.view.author = wrap(world.guild.get_member(6), world.bridge)
    assert world.message.author is world.guild.get_member(6)
    with pytest.raises(AttributeError):
        world.view.jump_url = "x"
    with pytest.raises(AttributeError):
        world.view.nothing_of_this_name = "x"
    with pytest.raises(AttributeError, match="'Message' object has no attribute 'nothing_of_this_name'"):
        _ = world.view.nothing_of_this_name


@pytest.mark.parametrize("action", [pickle.dumps, copy.copy, copy.deepcopy])
def test_pickling_and_copying_are_refused(world: World, action: Any) -> None:
    with pytest.raises(TypeError, match=r"a view of Message can't be pickled or copied.*discordha.unwrap"):
        action(world.view)


def test_unwrap(world: World) -> None:
    assert unwrap(world.view) is world.message
    assert unwrap(world.message) is world.message
    assert unwrap([world.view, 1])[0] is world.message
    assert unwrap({"a": (world.view,)})["a"][0] is world.message
    assert unwrap(world.view.channel.guild.members) == list(world.guild.members)
    text = ["x"]
    assert unwrap(text) is text


# -- what blocks -------------------------------------------------------------------------------------------


def test_a_coroutine_method_blocks_and_its_result_is_a_view(world: World) -> None:
    sent = world.view.channel.send("pong", embed=discord.Embed(title="t"))
    assert isinstance(sent, View)
    assert isinstance(sent, discord.Message)
    assert sent.content == "pong"
    assert world.http.threads == {"test-loop"}
    assert world.http.sent[0]["embeds"][0]["title"] == "t"


def test_errors_name_the_callers_line(world: World) -> None:
    with pytest.raises(TypeError, match="mix embed and embeds"):
        world.view.channel.send("x", embed=discord.Embed(), embeds=[])
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        world.view.channel.send("x", colour=1)


def test_on_the_loop_thread_it_is_refused_and_attributes_are_not(world: World) -> None:
    async def callback() -> str:
        assert world.view.content == "hi"
        with pytest.raises(
            RuntimeError, match=r"Messageable.send was called as a blocking call on the thread"
        ):
            world.view.channel.send("x")
        await unwrap(world.view.channel).send("y")
        return "done"

    assert world.bridge.call(callback()) == "done"
    assert [payload["content"] for payload in world.http.sent] == ["y"]


def test_views_in_arguments_are_unwrapped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    async def spy(self: Any, *args: Any, **kwargs: Any) -> None:
        seen.extend([args, kwargs])

    monkeypatch.setattr(discord.TextChannel, "edit", spy)
    view, channel = world.view, world.view.channel
    overwrites = {channel.guild.default_role: discord.PermissionOverwrite(send_messages=False)}
    channel.edit(view, [view, [view]], overwrites=overwrites, pair=(view, 1), members=channel.guild.members)
    (first, nested), kwargs = seen
    assert first is world.message
    assert nested[0] is world.message
    assert nested[1][0] is world.message
    assert next(iter(kwargs["overwrites"])) is world.guild.default_role
    assert kwargs["pair"][0] is world.message
    assert type(kwargs["pair"]) is tuple
    assert kwargs["members"] == list(world.guild.members)


def test_predicates_get_views_and_coroutine_functions_stay(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    async def purge(self: Any, *, check: Any, other: Any) -> list[discord.Message]:
        assert inspect.iscoroutinefunction(other)
        return [message for message in [world.message] if check(message)]

    async def other() -> None: ...

    def check(message: Any) -> bool:
        seen.append(message)
        return bool(message.author == world.view.author)

    monkeypatch.setattr(discord.TextChannel, "purge", purge)
    assert world.view.channel.purge(check=check, other=other) == [world.message]
    assert isinstance(seen[0], View)


def test_methods_that_do_not_wait_run_here_and_return_views(world: World) -> None:
    guild = world.view.channel.guild
    assert isinstance(guild.get_member(5), View)
    assert guild.get_member(99) is None
    assert isinstance(world.view.channel.get_partial_message(5), discord.PartialMessage)
    assert world.view.channel.permissions_for(guild.get_member(5)).administrator
    assert isinstance(world.view.to_reference(), discord.MessageReference)


def test_a_dictionary_that_changes_under_a_property_is_read_on_the_loop(world: World) -> None:
    calls: list[str] = []

    class Racing(discord.Guild):
        @property
        def text_channels(self) -> list[Any]:
            calls.append(threading.current_thread().name)
            if len(calls) == 1:
                raise RuntimeError("dictionary changed size during iteration")
            return [world.channel]

        def get_member_named(self, name: str, /) -> Any:
            if threading.current_thread().name != "test-loop":
                raise RuntimeError("dictionary changed size during iteration")
            return name

        @property
        def broken(self) -> None:
            raise RuntimeError("something else")

    view = wrap(object.__new__(Racing), world.bridge)
    with handler_scope(event(lambda: True), "h"):  # reading is no side effect: not fenced
        assert view.text_channels == [world.channel]
        assert view.get_member_named("ann") == "ann"
    assert calls[1:] == ["test-loop"]
    with pytest.raises(RuntimeError, match="something else"):
        _ = view.broken


def test_a_methods_own_timeout_is_longer_than_call_timeout(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float | None] = []

    class Recording:
        def call(self, awaitable: Any, timeout: float | None = None) -> Any:
            limits.append(timeout)
            awaitable.close()

    client = wrap(world.client, Recording())

    async def wait(self: Any, *, timeout: float | None = None) -> None: ...

    class Waiting(discord.Client):
        wait_long = wait

    client = wrap(object.__new__(Waiting), Recording())
    client.wait_long()
    client.wait_long(timeout=100)
    assert limits == [float("inf"), 130.0]


# -- iterators ---------------------------------------------------------------------------------------------


def test_history_is_lazy_and_comes_in_pages(world: World) -> None:
    history = world.view.channel.history(limit=250)
    assert isinstance(history, BlockingIterator)
    assert not hasattr(world.http, "pages")
    first = next(history)
    assert isinstance(first, View)
    assert isinstance(first, discord.Message)
    assert world.http.pages == [100]
    assert len([first, *(next(history) for _ in range(99))]) == 100
    assert world.http.pages == [100]
    assert len(list(history)) == 150
    assert world.http.pages == [100, 100, 50]
    assert list(history) == []


def test_a_page_is_one_trip(world: World) -> None:
    trips: list[Any] = []

    class Counting:
        def call(self, awaitable: Any, timeout: float | None = None) -> Any:
            trips.append(awaitable)
            return world.bridge.call(awaitable, timeout)

    async def numbers() -> AsyncIterator[int]:
        for number in range(3 * PAGE):
            yield number

    assert list(wrap(numbers(), Counting())) == list(range(3 * PAGE))
    assert len(trips) <= 4


def test_an_error_comes_after_the_items_before_it(world: World) -> None:
    async def failing() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise discord.ClientException("no more")

    items = wrap(failing(), world.bridge)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(discord.ClientException, match="no more"):
        next(items)
    assert list(items) == []


def test_an_iterator_can_be_closed_also_when_the_event_is_lost(world: World) -> None:
    closed: list[str] = []

    async def endless() -> AsyncIterator[int]:
        try:
            while True:
                await asyncio.sleep(0)
                yield 1
        finally:
            closed.append(threading.current_thread().name)

    lost: list[bool] = []
    with handler_scope(event(lambda: bool(lost)), "h"), wrap(endless(), world.bridge) as items:
        assert next(items) == 1
        lost.append(True)
    assert closed == ["test-loop"]
    assert list(items) == []
    items.close()


def test_fetching_a_page_of_a_lost_event_is_refused(world: World) -> None:
    with handler_scope(event(lambda: True), "h"), pytest.raises(LockLost):
        next(world.view.channel.history())


def test_an_object_that_is_an_async_iterable_is_a_lazy_iterator(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pins:
        def __aiter__(self) -> AsyncIterator[discord.Message]:
            return self.items()

        async def items(self) -> AsyncIterator[discord.Message]:
            yield world.message

        def __await__(self) -> Any:
            raise AssertionError("deprecated")

    monkeypatch.setattr(discord.TextChannel, "pins", lambda self: Pins())
    assert list(world.view.channel.pins()) == [world.message]


# -- context managers --------------------------------------------------------------------------------------


def test_typing_as_a_context_manager_types_once_and_ends(world: World) -> None:
    with world.view.channel.typing() as nothing:
        assert nothing is None
        tasks = [task for task in asyncio.all_tasks(world.loop) if "do_typing" in repr(task)]
        assert len(tasks) == 1
    assert world.http.typing == [7]
    world.bridge.call(asyncio.sleep(0))
    assert tasks[0].cancelled()


def test_typing_as_a_call_types_once(world: World) -> None:
    world.view.channel.typing()
    assert world.http.typing == [7]


def test_typing_ends_when_the_event_is_lost(world: World) -> None:
    lost: list[bool] = []
    tasks: list[asyncio.Task[Any]] = []

    def handle() -> None:
        with world.view.channel.typing():
            tasks.extend(task for task in asyncio.all_tasks(world.loop) if "do_typing" in repr(task))
            lost.append(True)
            world.view.channel.send("x")

    with handler_scope(event(lambda: bool(lost)), "h"), pytest.raises(LockLost):
        handle()
    world.bridge.call(asyncio.sleep(0))
    assert [task.cancelled() for task in tasks] == [True]
    assert not world.http.sent


def test_typing_that_is_entered_late_types_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("discordha.blocking.views.time", SimpleNamespace(monotonic=lambda: now[0]))
    typing = world.view.channel.typing()
    now[0] += 5.0
    with typing:
        assert world.http.typing == [7, 7]


# -- discord.ui --------------------------------------------------------------------------------------------


def test_a_ui_view_made_on_a_handler_thread_hears_of_its_interactions(world: World) -> None:
    class Buttons(ui.View):
        @ui.button(label="x", custom_id="x")
        async def press(self, interaction: Any, button: Any) -> None: ...

    buttons = Buttons()
    world.view.channel.send("press", view=buttons)
    assert world.http.sent[0]["components"]
    dispatched: list[Any] = []

    async def dispatch() -> None:
        task = buttons._dispatch_item(buttons.children[0], SimpleNamespace(data={}, client=None))  # type: ignore[arg-type]
        dispatched.append(task)
        buttons.stop()

    world.bridge.call(dispatch())
    assert dispatched != [None], (
        "discord.py ignores interactions of a view without a running loop at its making"
    )
    assert world.bridge.call(buttons.wait()) is False
    assert buttons.is_finished()
    world.view.channel.send("again", view=buttons)  # finished: not armed again
    assert buttons.is_finished()


def test_a_ui_view_made_on_a_handler_thread_can_be_waited_for(world: World) -> None:
    buttons = ui.View()
    world.view.channel.send("press", view=buttons)

    async def wait_and_stop() -> bool:
        waiting = asyncio.create_task(buttons.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        buttons.stop()
        return await waiting

    assert world.bridge.call(wait_and_stop()) is False


# -- nonces ------------------------------------------------------------------------------------------------


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


def test_outside_of_handlers_and_for_events_of_every_replica_discord_py_chooses(world: World) -> None:
    world.view.channel.send("a")
    with handler_scope(event(token=0, for_itself=True), "on_ready"):
        world.view.channel.send("b")
    with handler_scope(event(token=0, for_itself=True), "on_ready"):
        world.view.channel.send("b")
    assert len(set(nonces(world))) == 3
    assert all(nonce.isdigit() for nonce in nonces(world))


def test_what_is_handled_without_etcd_by_all_is_said_once(world: World) -> None:
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
    """By discord.py's signatures; a new one that takes a nonce appears here, one that loses it disappears."""
    from discordha.blocking.nonces import creates_message

    found = {
        function.__qualname__
        for kind in vars(discord).values()
        if inspect.isclass(kind) and is_model(kind)
        for _, function in inspect.getmembers(kind, inspect.iscoroutinefunction)
        if creates_message(function)
    }
    assert found == {"Messageable.send", "PartialMessage.reply", "PartialMessage.forward"}
