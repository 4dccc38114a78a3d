"""Views: attributes that pass through, values that are wrapped, arguments that are unwrapped."""

from __future__ import annotations

import asyncio
import copy
import datetime
import inspect
import pickle
import threading
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from discord import app_commands, ui
from view_world import World, event

from discordha.blocking import View, unwrap, wrap
from discordha.blocking.iterators import ViewSequence
from discordha.blocking.kinds import is_model
from discordha.context import handler_scope

# -- what comes out ------------------------------------------------------------------------------------------


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
    assert view.embeds is world.message.embeds  # nothing in it to wrap
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
    view.counter = 1  # an attribute of the object alone
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


# -- what blocks ---------------------------------------------------------------------------------------------


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
    with handler_scope(event(lambda: True), "h"):  # reading has no effect, and is not fenced
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


# -- discord.ui ----------------------------------------------------------------------------------------------


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
