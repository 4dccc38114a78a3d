"""``discordha/ext/commands/__init__.pyi``, compared with the package and with discord.py.

What mypy says of it is in ``test_stubs.py``.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from discordha import DiscordHA, app_commands
from discordha.ext import commands

ROOT = Path(__file__).parents[3]
STUB = ast.parse((ROOT / "discordha" / "ext" / "commands" / "__init__.pyi").read_text("utf-8")).body
CLASSES = {node.name: node for node in STUB if isinstance(node, ast.ClassDef)}
#: Where discord.py's own plain methods, which take its own objects, are left out.
INTERNAL = {
    *("call_after_hooks", "call_before_hooks", "dispatch_error", "invoke", "on_command_error", "on_message"),
    *("prepare", "recursively_remove_all_commands", "reinvoke", "transform"),
}


def names() -> set[str]:
    """The public names of the stub."""
    found = {node.name for node in STUB if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    for node in STUB:
        if isinstance(node, ast.ImportFrom) and node.module == "discord.ext.commands":
            found |= {each.asname or each.name for each in node.names}
    return {name for name in found if not name.startswith("_")}


def members(kind: str) -> set[str]:
    """The members of a class of the stub and its bases."""
    node = CLASSES[kind]
    found = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
    found |= {ast.unparse(each.target) for each in node.body if isinstance(each, ast.AnnAssign)}
    for base in node.bases:
        found |= members(ast.unparse(base)) if ast.unparse(base) in CLASSES else set()
    return found


def test_it_has_every_public_name_and_no_other() -> None:
    assert names() - {"IDConverter"} == set(commands.__all__) - {"IDConverter"}


@pytest.mark.parametrize(
    "kind", ["Bot", "Cog", "Command", "Context", "Group", "HelpCommand", "HybridCommand"]
)
def test_its_classes_have_the_public_methods_of_discord_py_and_no_invented_ones(kind: str) -> None:
    real = getattr(commands, kind)
    theirs = {
        name
        for base in real.__mro__
        if base.__module__.startswith("discord.ext.commands")
        for name, member in vars(base).items()
        if not name.startswith("_") and (callable(member) or isinstance(member, (property, classmethod)))
    }
    inherited = set(dir(DiscordHA)) if kind == "Bot" else set()
    assert theirs - INTERNAL - inherited - members(kind) == set()
    methods = {each.name for each in CLASSES[kind].body if isinstance(each, ast.FunctionDef)}
    assert {name for name in methods if not hasattr(real, name)} == set()


def test_every_name_of_app_commands_is_typed() -> None:
    from discord import app_commands as theirs

    public = {name for name in dir(theirs) if name[0].isupper()}
    assert public <= set(app_commands.__all__)
