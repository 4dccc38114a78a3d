"""``discordha.ext.commands``: its names, and what is refused or decided before the bot starts."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from discord.ext import commands as theirs

from discordha import ConfigError, DiscordHAError
from discordha.ext import commands
from discordha.ext.commands.routing import command_of

#: discord.py's names that are its own here, too, by the reason.
SAME = {
    "its errors are raised and caught as they are": set(theirs.errors.__all__),
    "plain data": {
        *("Author", "BucketType", "Cooldown", "CurrentChannel", "CurrentGuild", "Flag", "Paginator"),
        *("Parameter", "Timestamp", "flag", "param", "parameter"),
    },
    "takes plain functions already, which must not block": {
        *("CooldownMapping", "DynamicCooldownMapping", "Greedy", "Range", "when_mentioned"),
        "when_mentioned_or",
    },
    "abstract; subclasses are made of Converter": {"IDConverter"},
    "runs converters inside discord.py": {"run_converters"},
}


def make_bot(prefix: Any = "!", **options: Any) -> Any:
    options = {"token": "x.y.z", "intents": discord.Intents.none(), "ha": False, **options}
    return commands.Bot(prefix, **options)


def message(content: str, *, bot: bool = False) -> Any:
    return SimpleNamespace(content=content, author=SimpleNamespace(bot=bot, id=5), guild=None)


class TestNames:
    def test_every_public_name_is_here_or_has_its_reason(self) -> None:
        same: set[str] = set().union(*SAME.values())
        public = {
            name
            for name, value in vars(theirs).items()
            if not name.startswith("_") and not inspect.ismodule(value)
        }
        own = set()
        for name in public:
            here = getattr(commands, name)
            if here is not getattr(theirs, name):
                own.add(name)
        assert own | same == public
        assert set(commands.__all__) == public
        assert not own & same

    def test_classes_of_the_same_name_are_subclasses(self) -> None:
        for name in commands.__all__:
            here, there = getattr(commands, name), getattr(theirs, name)
            if inspect.isclass(there) and name not in ("AutoShardedBot", "Bot", "GroupCog"):
                assert issubclass(here, there), name

    def test_no_coroutine_function_is_left(self) -> None:
        """On the author's side every method blocks. ``command_callback`` is what discord.py looks at."""
        for name in ("Bot", "Cog", "Command", "Context", "Group", "HelpCommand", "HybridCommand"):
            kind = getattr(commands, name)
            left = {
                each
                for each in dir(kind)
                if not each.startswith("_")
                and inspect.iscoroutinefunction(getattr(kind, each))
                and not hasattr(getattr(kind, each), "__cog_special_method__")
            }
            assert left <= {"command_callback"}, (name, left)


class TestRefusals:
    def test_coroutine_functions(self) -> None:
        bot = make_bot()

        async def plain(*args: Any) -> None: ...

        for register in (
            bot.command(),
            bot.group(),
            bot.hybrid_command(),
            bot.event,
            bot.check,
            bot.before_invoke,
            bot.after_invoke,
            bot.add_listener,
            commands.check,
            commands.Cog.listener(),
            commands.command(),
        ):
            with pytest.raises(ConfigError, match=r"is a coroutine function.*delete every `await`"):
                register(plain)
        with pytest.raises(ConfigError, match="Functions for the prefix"):
            make_bot(plain)

    def test_coroutine_methods_of_classes(self) -> None:
        with pytest.raises(ConfigError, match="Methods of cogs"):

            class _Cog(commands.Cog):
                async def cog_check(self, ctx: Any) -> bool:
                    return True

        with pytest.raises(ConfigError, match="Methods of contexts"):

            class _Context(commands.Context):
                async def tick(self) -> None: ...

        with pytest.raises(ConfigError, match="Methods that discord"):

            class _Converter(commands.Converter[str]):
                async def convert(self, ctx: Any, argument: str) -> str:
                    return argument

        with pytest.raises(ConfigError, match="Help commands"):

            class _Help(commands.HelpCommand):
                async def command_callback(self, ctx: Any, *, command: str | None = None) -> None: ...

    def test_discord_pys_own_commands_and_cogs(self) -> None:
        bot = make_bot()

        @theirs.command()
        async def old(ctx: Any) -> None: ...

        with pytest.raises(ConfigError, match="'old' is discord"):
            bot.add_command(old)
        with pytest.raises(ConfigError, match="derive it from discordha"):
            bot.add_cog(theirs.Cog())

    def test_a_misspelt_event(self) -> None:
        with pytest.raises(ConfigError, match="did you mean on_message"):

            @make_bot().event
            def on_mesage(message: Any) -> None: ...

    def test_the_token_is_missed_at_the_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("BOT_TOKEN", "DISCORDHA_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        bot = commands.Bot("!", intents=discord.Intents.none(), ha=False)
        with pytest.raises(ConfigError, match="BOT_TOKEN"):
            bot.start()

    def test_reload(self) -> None:
        with pytest.raises(DiscordHAError, match="roll the replicas"):
            make_bot().reload_extension("any")


class TestRouting:
    def test_a_message_is_a_command_or_not(self) -> None:
        bot = make_bot(["!", "??"], case_insensitive=True)

        @bot.command(aliases=["p"])
        def pong(ctx: Any) -> None: ...

        for content in ("!pong", "??p", "!PONG now", "!p"):
            assert command_of(bot, message(content)) is pong, content
        for content in ("pong", "! pong", "!pon", "!pongs", "", "!", "hello !pong"):
            assert command_of(bot, message(content)) is None, content
        assert command_of(bot, message("!pong", bot=True)) is None
        bot.strip_after_prefix = True
        assert command_of(bot, message("! pong")) is pong

    def test_the_first_prefix_that_fits_decides_as_in_discord_py(self) -> None:
        bot = make_bot(["!", "!!"])

        @bot.command()
        def pong(ctx: Any) -> None: ...

        assert command_of(bot, message("!!pong")) is None

    def test_a_function_for_the_prefix_is_not_called_on_the_gateway_thread(self) -> None:
        def prefix(bot: Any, message: Any) -> str:
            raise AssertionError

        bot = make_bot(prefix)

        @bot.command()
        def pong(ctx: Any) -> None: ...

        assert command_of(bot, message("whatever!pong now")) is pong
        assert command_of(bot, message("nothing of the kind")) is None

    def test_an_on_message_of_the_bots_own_takes_all_messages(self) -> None:
        bot = make_bot()

        @bot.command()
        def pong(ctx: Any) -> None: ...

        assert [each.name for each in bot._registry.select("message", [message("!pong")])] == ["command pong"]

        @bot.event
        def on_message(message: Any) -> None: ...

        @bot.listen()
        def on_message_too(message: Any) -> None: ...

        names = [each.name.rsplit(".")[-1] for each in bot._registry.select("message", [message("!pong")])]
        assert names == ["on_message"]
        bot.event(on_message)
        assert len(bot._registry.select("message", [message("hello")])) == 1

    def test_a_subclass_with_an_on_message(self) -> None:
        seen = []

        class Mine(commands.Bot):
            def on_message(self, message: Any) -> None:
                seen.append(message)

            def on_level_up(self, level: int) -> None:
                seen.append(level)

        bot = Mine("!", token="x.y.z", intents=discord.Intents.none(), ha=False)
        (handler,) = bot._registry.select("message", [message("!pong")])
        handler.function("a message")
        bot.dispatch("level_up", 3)
        assert seen == ["a message", 3]


class TestCogsAndExtensions:
    def test_a_cog_comes_and_goes(self) -> None:
        done: list[Any] = []

        class Mine(commands.Cog):
            def cog_load(self) -> None:
                done.append("load")

            def cog_unload(self) -> None:
                done.append("unload")

            @commands.Cog.listener()
            def on_message(self, message: Any) -> None:
                done.append(message)

            @commands.Cog.listener("on_level_up")
            def grown(self, level: int) -> None:
                done.append(level)

            @commands.command()
            def mine(self, ctx: Any) -> str:
                return f"mine {ctx}"

        bot = make_bot()
        bot.add_cog(Mine())
        assert set(bot.all_commands) == {"help", "mine"}
        bot.get_command("mine")("ctx")
        (handler,) = bot._registry.select("message", [message("hello")])
        handler.function("a message")
        bot.dispatch("level_up", 7)
        assert bot.remove_cog("Mine").qualified_name == "Mine"
        assert done == ["load", "a message", 7, "unload"]
        assert set(bot.all_commands) == {"help"}
        assert not bot._registry.select("message", [message("hello")])

    def test_what_a_cog_raises_while_it_loads_comes_out(self) -> None:
        class Broken(commands.Cog):
            def cog_load(self) -> None:
                raise ValueError("no database")

        bot = make_bot()
        with pytest.raises(ValueError, match="no database"):
            bot.add_cog(Broken())
        assert not bot.cogs

    def test_extensions(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(str(tmp_path))
        (tmp_path / "good_extension.py").write_text(
            "from discordha.ext import commands\n"
            "class Tags(commands.Cog):\n"
            "    @commands.command()\n"
            "    def tag(self, ctx): ...\n"
            "def setup(bot):\n"
            "    bot.add_cog(Tags())\n"
            "def teardown(bot):\n"
            "    bot.torn = True\n"
        )
        (tmp_path / "async_extension.py").write_text("async def setup(bot): ...\n")
        (tmp_path / "empty_extension.py").write_text("")
        (tmp_path / "bad_extension.py").write_text("def setup(bot):\n    1 / 0\n")
        bot = make_bot()
        bot.load_extension("good_extension")
        assert list(bot.extensions) == ["good_extension"]
        assert bot.get_command("tag") is not None
        with pytest.raises(theirs.ExtensionAlreadyLoaded):
            bot.load_extension("good_extension")
        bot.unload_extension("good_extension")
        assert bot.torn
        assert bot.get_command("tag") is None
        assert "good_extension" not in sys.modules
        with pytest.raises(ConfigError, match="delete every `await`"):
            bot.load_extension("async_extension")
        with pytest.raises(theirs.NoEntryPointError):
            bot.load_extension("empty_extension")
        with pytest.raises(theirs.ExtensionFailed, match="division by zero"):
            bot.load_extension("bad_extension")
        with pytest.raises(theirs.ExtensionNotFound):
            bot.load_extension("no_extension")
        assert not bot.extensions
        assert "bad_extension" not in sys.modules

    def test_an_overridden_method_can_be_called_by_a_subclass(self) -> None:
        class Base(commands.Cog):
            def cog_check(self, ctx: Any) -> bool:
                return bool(ctx == "allowed")

        class Derived(Base):
            def cog_check(self, ctx: Any) -> bool:
                return super().cog_check(ctx)

        assert Derived().cog_check("refused") is False
        assert Derived().cog_check("allowed") is True


def test_a_commands_function_can_be_called_directly() -> None:
    bot = make_bot()

    @bot.command()
    def broken(ctx: Any) -> None:
        raise ValueError(f"on purpose, for {ctx}")

    with pytest.raises(ValueError, match="on purpose, for me"):
        broken("me")
