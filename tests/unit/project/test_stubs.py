"""``discordha/views.pyi``, the views as type checkers see them, compared with discord.py and by mypy."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import discord
import pytest
from discord import app_commands
from discord_models import VIEWED, title

from discordha import views
from discordha.blocking.kinds import is_model

ROOT = Path(__file__).parents[3]
BOTS = ROOT / "tests" / "support" / "typed_bots"
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
STUB = ROOT / "discordha" / "views.pyi"
CLASSES = {
    node.name: node for node in ast.parse(STUB.read_text("utf-8")).body if isinstance(node, ast.ClassDef)
}
#: A bot of ``discordha.ext.commands``, for ``discordha/ext/commands/__init__.pyi``.
TYPED = """
from discordha import app_commands, views
from discordha.ext import commands

@commands.command()
@commands.cooldown(1, 5.0, commands.BucketType.user)
def ping(ctx: commands.Context) -> None:
    message: views.Message = ctx.send("pong")
    member = commands.MemberConverter().convert(ctx, "x")
    member.send("y")
    ctx.send("z").edit(content=4)  # wrong

@ping.error
def failed(ctx: commands.Context, error: commands.CommandError) -> None:
    if isinstance(error, commands.CommandOnCooldown):
        reveal_type(error.retry_after)

def tell(error: app_commands.AppCommandError) -> None:
    if isinstance(error, app_commands.CommandOnCooldown):
        reveal_type(error.retry_after)

@app_commands.command()
@app_commands.checks.cooldown(1, 5.0, key=lambda interaction: interaction.user.id)
def roll(interaction: views.Interaction) -> None:
    interaction.response.send_message("4")
"""
#: Viewed classes without a public name, to which no other class leads.
UNREACHED = {
    "discord.shard.Shard",
    "discord.template._PartialTemplateState",
    "discord.webhook.async_.AsyncWebhookAdapter",
    "discord.webhook.sync.SyncWebhookMessage",
}


def own(name: str) -> Iterator[ast.ClassDef]:
    """A class of the stub and its bases, nearest first."""
    node = CLASSES.get(name)
    if node is not None:
        yield node
        for base in node.bases:
            yield from own(ast.unparse(base))


def find(kind: type, name: str) -> list[ast.stmt]:
    """The definitions of a member in the nearest class that has any."""
    stub_name = "_AbcUser" if title(kind) == "discord.abc.User" else kind.__name__
    for node in own(stub_name):
        found = [
            each
            for each in node.body
            if (isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)) and each.name == name)
            or (isinstance(each, ast.AnnAssign) and ast.unparse(each.target) == name)
        ]
        if found:
            return found
    return []


def test_every_public_coroutine_blocks() -> None:
    wrong = []
    missing = set()
    for kind, name in VIEWED:
        definitions = find(kind, name)
        if not definitions:
            missing.add(title(kind))
        for definition in definitions:
            result = definition.returns if isinstance(definition, ast.FunctionDef) else definition.annotation  # type: ignore[union-attr]
            text = "" if result is None else ast.unparse(result)
            if (
                isinstance(definition, ast.AsyncFunctionDef)
                or not text
                or any(mark in text for mark in ("Coroutine", "Awaitable", "Async", "Future"))
            ):
                wrong.append(f"{title(kind)}.{name} -> {text}")
            function = inspect.getattr_static(kind, name)
            if inspect.isasyncgenfunction(function) and not text.startswith("BlockingIterator["):
                wrong.append(f"{title(kind)}.{name} -> {text}")
    assert not wrong
    assert missing == UNREACHED


def test_no_public_name_of_a_model_is_missing() -> None:
    missing = []
    kinds = [kind for kind in vars(discord).values() if inspect.isclass(kind) and is_model(kind)]
    for kind in kinds:
        if kind.__name__ in CLASSES:
            missing += [
                f"{title(kind)}.{name}"
                for name in dir(kind)
                if not name.startswith("_") and not name.isupper() and not find(kind, name)
            ]
    assert missing == ["discord.voice_client.VoiceClient.cleanup"]  # discord.VoiceProtocol has it


def test_the_names_are_discord_pys_own_at_run_time() -> None:
    for name in CLASSES:
        if not name.startswith("_") and name not in {"Wrap"} and not hasattr(views, name):
            # Without a public name in discord.py.
            assert name in {"PinnedMessage"} or not hasattr(discord, name), name
    assert views.Message is discord.Message
    assert views.User is discord.User
    assert views.Messageable is discord.abc.Messageable
    assert views.AppCommand is app_commands.AppCommand
    assert views.Embed is discord.Embed
    assert views.utils is discord.utils
    assert {"Message", "Messageable", "Intents"} <= set(dir(views))
    with pytest.raises(AttributeError, match="Mesage"):
        views.Mesage  # noqa: B018

    def command(
        interaction: views.Interaction, member: views.Member | None, where: views.TextChannel
    ) -> None:
        """A slash command's function, under ``from __future__ import annotations``."""

    hints = get_type_hints(command)
    assert hints["interaction"] is discord.Interaction
    assert hints["member"] == discord.Member | None
    assert app_commands.Command(name="x", description="x", callback=coroutine_of(hints)).parameters[0].type


def coroutine_of(hints: dict[str, object]) -> object:
    async def callback(interaction, member, where):  # type: ignore[no-untyped-def]
        pass

    callback.__annotations__ = {name: hint for name, hint in hints.items() if name != "return"}
    return callback


def test_the_generator_writes_what_is_committed_and_notices_drift(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import stubs

    if discord.__version__ not in STUB.read_text("utf-8")[:1000]:
        pytest.skip(f"the stub is of another discord.py than {discord.__version__}")
    assert stubs.main(["--check"]) == 0, capsys.readouterr().out
    text = STUB.read_text("utf-8")
    changed = tmp_path / "views.pyi"
    changed.write_text(text.replace("def publish(self)", "async def publish(self)"), "utf-8")
    monkeypatch.setattr(stubs, "TARGET", changed)
    assert stubs.main(["--check"]) == 1
    assert "-    async def publish(self)" in capsys.readouterr().out
    stubs.main([])
    assert changed.read_text("utf-8") == text


@pytest.fixture(scope="module")
def complaints() -> dict[str, dict[int, list[str]]]:
    """mypy's messages on the bots, by file and line. Uses the project's warm cache."""
    command = [sys.executable, "-m", "mypy", "--strict", "--hide-error-context", "--no-error-summary"]
    files = [str(BOTS / name) for name in ("accepted.py", "refused.py")] + [str(path) for path in EXAMPLES]
    run = subprocess.run(
        [*command, *files], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    assert run.returncode in {0, 1}, run.stdout + run.stderr
    found: dict[str, dict[int, list[str]]] = {}
    for line in run.stdout.splitlines():
        path, number, kind, message = line.split(":", 3)
        if kind.strip() == "error":
            found.setdefault(Path(path).name, {}).setdefault(int(number), []).append(message.strip())
    return found


def test_mypy_accepts_a_bot_with_blocking_calls(complaints: dict[str, dict[int, list[str]]]) -> None:
    assert complaints.get("accepted.py", {}) == {}


def test_mypy_accepts_the_examples(complaints: dict[str, dict[int, list[str]]]) -> None:
    assert {path.name: complaints.get(path.name, {}) for path in EXAMPLES} == {
        path.name: {} for path in EXAMPLES
    }


def test_mypy_refuses_mistakes(complaints: dict[str, dict[int, list[str]]]) -> None:
    found = complaints.get("refused.py", {})
    lines = (BOTS / "refused.py").read_text("utf-8").splitlines()
    expected = {
        number: line.split("  # ")[1] for number, line in enumerate(lines, 1) if "  # " in line and number > 5
    }
    assert set(found) == set(expected), found
    for number, reason in expected.items():
        assert any(reason in message for message in found[number]), (number, reason, found[number])


def mypy(*arguments: str) -> str:
    """mypy's lines about these files. It is silent about what they import, as about every installed package:
    with older dependencies than ours the library's own files have errors, which no user sees.
    """
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--follow-imports=silent"]
    command += arguments
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert run.returncode in {0, 1}, run.stdout + run.stderr
    return run.stdout


def test_mypy_accepts_the_bot_of_cogs() -> None:
    assert mypy("examples/cogs") == ""


def test_mypy_sees_blocking_methods_views_and_errors(tmp_path: Path) -> None:
    bot = tmp_path / "typed.py"
    bot.write_text(TYPED, "utf-8")
    lines = mypy(str(bot)).splitlines()
    assert len(lines) == 3, lines
    assert 'Argument "content" to "edit"' in lines[0]
    assert [line.split(": ", 2)[2] for line in lines[1:]] == ['Revealed type is "float"'] * 2
