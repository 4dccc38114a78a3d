"""Declarations of commands and components, and the private names of discord.py that they use."""

from __future__ import annotations

import inspect
import re
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from discord import app_commands as theirs
from yarl import URL

import discordha
from discordha import ConfigError, app_commands
from discordha.commands.answers import Answer
from discordha.commands.components import Components, values_of
from discordha.commands.persistent import PersistentViews
from discordha.commands.sync import comparable, digest_of
from discordha.commands.trampoline import adapt, is_unanswerable
from discordha.commands.tree import Tree
from discordha.coordination.quotas.command_records import CommandRecord


def bot() -> discordha.DiscordHA:
    return discordha.DiscordHA(token="x.y.z", intents=discord.Intents.none(), ha=False)


class TestSurface:
    """Fails if a new discord.py lacks a name that this library uses."""

    def test_a_tree_asks_its_client_for_nothing_else(self) -> None:
        tree = Tree()
        assert tree._state._command_tree is tree
        assert inspect.iscoroutinefunction(theirs.CommandTree._call)
        assert "self._command_tree._from_interaction(interaction)" in inspect.getsource(
            discord.state.ConnectionState.parse_interaction_create
        )
        asked = set(re.findall(r"self\.client\.(\w+)", inspect.getsource(theirs.CommandTree._call)))
        asked |= set(
            re.findall(r"self\.client\.(\w+)", inspect.getsource(theirs.CommandTree._call_context_menu))
        )
        assert asked == {"dispatch"}
        assert "await self.interaction_check(interaction)" in inspect.getsource(theirs.CommandTree._call)

    def test_an_interactions_answer_can_be_another(self) -> None:
        assert "_cs_response" in discord.Interaction.__slots__
        source = inspect.getsource(discord.InteractionResponse)
        assert "_response_type" in source
        assert "_original_response" in discord.Interaction.__slots__
        assert issubclass(Answer, discord.InteractionResponse)
        for name in ("send_message", "defer", "edit_message", "send_modal", "autocomplete"):
            assert inspect.iscoroutinefunction(getattr(discord.InteractionResponse, name))
            assert f"async def {name}" in source

    def test_commands_keep_what_is_replaced(self) -> None:
        made = app_commands.command(name="a", description="b")(lambda interaction: None)
        assert made._params == {}
        assert made.checks == []
        assert "maybe_coroutine" in inspect.getsource(
            theirs.transformers.CommandParameter.transform  # type: ignore[attr-defined]
        )

    def test_a_client_knows_the_tree_and_does_not_run_it(self) -> None:
        tree = Tree()
        client = discord.Client(intents=discord.Intents.none())
        tree.attach(client)
        assert client._connection._command_tree is tree
        assert tree._from_interaction(object()) is None  # type: ignore[arg-type]


class TestDeclaring:
    def test_options_come_from_the_plain_functions_annotations(self) -> None:
        ha = bot()

        @ha.command()
        @app_commands.describe(amount="how many")
        def buy(
            interaction: discord.Interaction, what: str, amount: app_commands.Range[int, 1, 5] = 1
        ) -> None:
            """Buys things

            at length"""

        (payload,) = [each.to_dict(ha.tree) for each in ha.tree.get_commands()]
        assert (payload["name"], payload["description"]) == ("buy", "Buys things")
        what, amount = payload["options"]
        assert (what["type"], what["required"]) == (3, True)
        assert (amount["description"], amount["min_value"], amount["max_value"]) == ("how many", 1, 5)
        assert buy.callback.__discordha_plain__.__name__ == "buy"

    def test_interactions_are_missed_by_a_bot_that_answers_any(self) -> None:
        assert "interaction" not in bot()._registry.events

        def answer(interaction: discord.Interaction) -> None: ...

        for declare in (
            lambda ha: ha.command(name="roll", description="d")(answer),
            lambda ha: ha.tree.command(name="roll", description="d", guild=discord.Object(1))(answer),
            lambda ha: ha.component("press")(answer),
            lambda ha: ha.add_view(discord.ui.View(timeout=None)),
            lambda ha: ha.add_handler(answer, "interaction"),
        ):
            ha = bot()
            declare(ha)
            assert "interaction" in ha._registry.events

    def test_coroutine_functions_are_refused_with_what_to_do(self) -> None:
        ha = bot()

        async def late(interaction: discord.Interaction) -> None: ...

        for declare in (
            ha.command(name="late", description="d"),
            ha.tree.command(name="late", description="d"),
            ha.tree.context_menu(name="late"),
            ha.component("late"),
            ha.tree.error,
            app_commands.command(name="late", description="d"),
        ):
            with pytest.raises(ConfigError, match="delete every `await` in it"):
                declare(late)
        own = theirs.command(name="late", description="d")(late)
        with pytest.raises(ConfigError, match=r"discord\.py's own"):
            ha.tree.add_command(own)
        group = theirs.Group(name="g", description="d")
        group.add_command(own)
        with pytest.raises(ConfigError, match=r"discord\.py's own"):
            ha.tree.add_command(group)
        assert ha.tree.get_commands() == []

    def test_autocompletes_and_errors_are_plain(self) -> None:
        ha = bot()

        def complete(interaction: Any, current: str) -> list[Any]:
            return []

        @ha.command(description="d")
        @app_commands.autocomplete(one=complete)
        def both(interaction: discord.Interaction, one: str, two: str) -> None: ...

        assert both.autocomplete("two")(complete) is complete
        assert [option["autocomplete"] for option in both.to_dict(ha.tree)["options"]] == [True, True]
        assert both.error(complete) is complete
        assert inspect.iscoroutinefunction(both.on_error)
        with pytest.raises(TypeError, match="unknown parameter"):
            both.autocomplete("three")(complete)

    def test_checks_may_be_added_and_removed(self) -> None:
        def allowed(interaction: Any) -> bool:
            return True

        made = app_commands.command(name="a", description="b")(lambda interaction: None)
        made.add_check(allowed)
        assert inspect.iscoroutinefunction(made.checks[0])
        made.remove_check(allowed)
        assert made.checks == []
        app_commands.checks.has_permissions(administrator=True)(made)
        assert not inspect.iscoroutinefunction(made.checks[0])  # discord.py's own, which does not block

    async def _call(self, function: Any) -> None:
        await function(1)

    def test_what_is_awaited_elsewhere_says_so(self) -> None:
        import asyncio

        with pytest.raises(discordha.DiscordHAError, match="plain function of a command"):
            asyncio.run(self._call(adapt(lambda one: one, "Things")))


def refusal(code: int, path: str) -> discord.HTTPException:
    response: Any = SimpleNamespace(status=404, reason="", url=URL(f"http://localhost/api/v10{path}"))
    return discord.HTTPException(response, {"code": code, "message": "gone"})


def test_only_the_interactions_own_token_makes_it_unanswerable() -> None:
    assert is_unanswerable(refusal(10062, "/interactions/1/tok/callback"), "tok")
    assert is_unanswerable(refusal(10015, "/webhooks/2/tok/messages/@original"), "tok")
    assert is_unanswerable(refusal(50027, "/webhooks/2/tok"), "tok")
    assert not is_unanswerable(refusal(10015, "/webhooks/3/other"), "tok")
    assert not is_unanswerable(refusal(10008, "/webhooks/2/tok/messages/@original"), "tok")
    assert not is_unanswerable(ValueError(), "tok")


class TestComponents:
    def found(self, custom_id: str, *patterns: Any) -> tuple[str, dict[str, str]] | None:
        components = Components()
        for pattern in patterns:
            components.add(pattern, lambda interaction, **names: None, "auto")
        match = components.find(custom_id)
        return (match[0].pattern, dict(match[1])) if match is not None else None

    def test_patterns_fit_as_a_whole(self) -> None:
        assert self.found("vote:1", "vote:*") == ("vote:*", {})
        assert self.found("vote:", "vote:*") == ("vote:*", {})
        assert self.found("vote:1:2\n", "vote:*") == ("vote:*", {})
        assert self.found("avote:1", "vote:*") is None
        assert self.found("vote.1", "vote:*") is None
        assert self.found("vote", "vote") == ("vote", {})
        assert self.found("votes", "vote") is None
        assert self.found("a.b", "a.b") == ("a.b", {})
        assert self.found("axb", "a.b") is None

    def test_names_stand_for_one_part(self) -> None:
        assert self.found("vote:7:yes", "vote:{poll}:{choice}") == (
            "vote:{poll}:{choice}",
            {"poll": "7", "choice": "yes"},
        )
        assert self.found("vote:7:yes:no", "vote:{poll}:{choice}") is None
        assert self.found("vote::yes", "vote:{poll}:{choice}") is None
        assert self.found("page-3", re.compile(r"page-(?P<number>\d+)")) == (
            r"page-(?P<number>\d+)",
            {"number": "3"},
        )

    def test_the_closest_wins_whatever_the_order(self) -> None:
        patterns = ["*", re.compile("vote:al+"), "vote:*", "vote:{poll}:x", "vote:all"]
        for order in (patterns, patterns[::-1]):
            names = [self.found(each, *order) for each in ("vote:all", "vote:1:x", "vote:1", "else")]
            assert [name and name[0] for name in names] == ["vote:all", "vote:{poll}:x", "vote:*", "*"]

    def test_equally_close_ones_in_order(self) -> None:
        assert self.found("a:b", "a:{one}", "a:*") == ("a:{one}", {"one": "b"})
        assert self.found("a:b", "a:*", "a:{one}") == ("a:*", {})

    def test_functions_must_take_what_is_named(self) -> None:
        components = Components()
        with pytest.raises(ConfigError, match=r"is called with \(interaction, poll\)"):
            components.add("vote:{poll}", lambda interaction: None, None)
        with pytest.raises(ConfigError, match="impossible"):
            components.add("{a}:{a}", lambda interaction, a: None, None)
        with pytest.raises(ConfigError, match="not ''"):
            components.add("", lambda interaction: None, None)
        components.add("vote", lambda interaction: None, None)
        with pytest.raises(ConfigError, match="has a function already"):
            components.add("vote", lambda interaction: None, None)

    def test_values(self) -> None:
        assert values_of({"custom_id": "a"}) == []
        assert values_of({"custom_id": "a", "values": ["x"]}) == ["x"]
        row = {"type": 1, "components": [{"type": 4, "custom_id": "text", "value": "hi"}]}
        label = {"type": 18, "component": {"type": 3, "custom_id": "pick", "values": ["x"]}}
        assert values_of({"components": [row, label]}) == {"text": "hi", "pick": ["x"]}


class TestSyncing:
    def payload(self) -> list[dict[str, Any]]:
        tree = Tree()

        @tree.command(name="one", description="d")
        @app_commands.default_permissions(administrator=True)
        def one(interaction: discord.Interaction, text: str, channel: discord.TextChannel) -> None: ...

        @tree.context_menu(name="Two")
        def two(interaction: discord.Interaction, message: discord.Message) -> None: ...

        return [each.to_dict(tree) for each in tree.get_commands()]

    def test_the_digest_knows_changes_and_no_order(self) -> None:
        payload = self.payload()
        assert digest_of(payload) == digest_of(payload[::-1])
        changed = self.payload()
        changed[0]["options"][0]["description"] = "another"
        assert digest_of(payload) != digest_of(changed)

    def test_what_discord_returns_is_the_same(self) -> None:
        payload = self.payload()
        returned = self.payload()[::-1]
        for each in returned:
            each.update(
                id="1", application_id="2", version="3", nsfw=False, contexts=None, integration_types=[0]
            )
            permissions = each.get("default_member_permissions")
            each["default_member_permissions"] = None if permissions is None else str(permissions)
            for option in each.get("options", ()):
                if option.get("required") is False:
                    del option["required"]
        assert comparable(payload) == comparable(returned)
        returned[1]["options"][0]["name"] = "other"
        assert comparable(payload) != comparable(returned)

    def test_a_record_remembers_what_came_before(self) -> None:
        record = CommandRecord("a").followed_by("b").followed_by("c")
        assert record == CommandRecord("c", ("b", "a"))
        assert record.followed_by("a") == CommandRecord("a", ("c", "b"))
        for number in range(50):
            record = record.followed_by(str(number))
        assert len(record.older) == 20


class Lasting(discord.ui.View):
    """A persistent view with a button with a callback, and one without."""

    def __init__(self) -> None:
        super().__init__(timeout=None)
        self.add_item(discord.ui.Button(label="plain", custom_id="lasting:plain"))

    @discord.ui.button(label="yes", custom_id="lasting:yes")
    async def yes(self, interaction: Any, button: Any) -> None:
        """Does something."""


class Numbered(discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"numbered:(?P<number>[0-9]+)"):
    """Does something for each number."""


class TestPersistentViews:
    """The callbacks for which a press is claimed, on discord.py's own client."""

    @staticmethod
    def pressed(client: discord.Client, custom_id: str, message_id: int = 5) -> list[str]:
        interaction: Any = SimpleNamespace(
            data={"component_type": 2, "custom_id": custom_id},
            message=SimpleNamespace(id=message_id),
            _state=client._connection,
        )
        return [press.name for press in PersistentViews.presses(interaction)]

    def test_presses_of_declared_added_and_sent_views_are_claimed(self) -> None:
        views = PersistentViews()
        views.add(Lasting(), None)
        views.add_items((Numbered,))
        client = discord.Client(intents=discord.Intents.none())
        assert self.pressed(client, "lasting:yes") == []
        views.attach(client)
        assert self.pressed(client, "lasting:yes") == [f"{__name__}.Lasting(lasting:yes)"]
        assert self.pressed(client, "lasting:plain") == []
        assert self.pressed(client, "numbered:12") == [
            f"{__name__}.Numbered({Numbered.__discord_ui_compiled_template__.pattern})"
        ]
        other = discord.ui.View(timeout=None)
        other.add_item(discord.ui.Button(label="layout", custom_id="lasting:yes"))
        client._connection.store_view(other, 5)  # as a sent view, which only lays out a button
        assert self.pressed(client, "lasting:yes") == [f"{__name__}.Lasting(lasting:yes)"]
        (declared,) = (view for view in client.persistent_views if isinstance(view, Lasting))
        declared.stop()
        assert self.pressed(client, "lasting:yes") == []

    def test_a_view_with_a_timeout_is_its_senders_alone(self) -> None:
        client = discord.Client(intents=discord.Intents.none())
        PersistentViews().attach(client)
        lasting = Lasting()
        client._connection.store_view(lasting, 5)
        assert self.pressed(client, "lasting:yes") == [f"{__name__}.Lasting(lasting:yes)"]
        assert self.pressed(client, "lasting:yes", 6) == []
        lasting.timeout = 60.0
        assert self.pressed(client, "lasting:yes") == []

    def test_a_press_waits_for_its_view(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It may overtake the answer to the request that sent the view."""
        client = discord.Client(intents=discord.Intents.none())
        PersistentViews().attach(client)
        store = client._connection._view_store
        ran: list[tuple[Any, str]] = []
        view = Lasting()
        view.add_item(discord.ui.Button(label="no id of its own"))  # so it is not persistent
        monkeypatch.setattr(
            view, "_dispatch_item", lambda item, interaction: ran.append((interaction, item.custom_id))
        )
        first, other = (SimpleNamespace(message=SimpleNamespace(id=message)) for message in (5, 6))
        store.dispatch_view(2, "lasting:yes", first)  # type: ignore[arg-type]
        store.dispatch_view(2, "lasting:yes", other)  # type: ignore[arg-type]
        store.dispatch_view(2, "lasting:no", first)  # type: ignore[arg-type]
        assert not ran
        client._connection.store_view(view, 5)
        assert ran == [(first, "lasting:yes")]
        client._connection.store_view(view, 5)
        assert len(ran) == 1, "a press ran twice"
        monkeypatch.setattr("discordha.commands.persistent.ANSWERABLE", 0.0)
        client._connection.store_view(view, 6)
        assert len(ran) == 1, "a press ran that can't be answered any more"

    def test_views_that_are_not_persistent_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="timeout=None, and each item a custom_id"):
            bot().add_view(discord.ui.View())
        with pytest.raises(ConfigError, match=r"takes a discord\.ui\.View, not Modal"):
            bot().add_view(discord.ui.Modal(title="m", custom_id="m"))  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=r"subclasses of discord\.ui\.DynamicItem"):
            bot().add_dynamic_items(discord.ui.Button)  # type: ignore[arg-type]

    def test_the_private_names_used_of_discord_py(self) -> None:
        """Fails if a new discord.py calls callbacks in another way."""
        parse = inspect.getsource(discord.state.ConnectionState.parse_interaction_create)
        assert "self._view_store.dispatch_view(component_type, custom_id, interaction)" in parse
        dispatch = inspect.getsource(discord.ui.view.ViewStore.dispatch_view)
        assert "self.dispatch_dynamic_items(component_type, custom_id, interaction)" in dispatch
        scheduled = discord.ui.view.BaseView._scheduled_task
        assert list(inspect.signature(scheduled).parameters) == ["self", "item", "interaction"]
