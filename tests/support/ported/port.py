"""Ports discord.py's examples: deletes ``async`` and ``await``, and makes the replacements of ``REPLACED``.

``python tests/support/ported/port.py reply`` prints a ported example. Everything but ``REPLACED`` is as its
authors wrote it.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from pathlib import Path

__all__ = ["ORIGINALS", "REPLACED", "ported", "without_async"]

ORIGINALS = Path(__file__).parent / "originals"

_CLIENT = (
    ("\nimport discord\n", "\nimport discord\n\nimport discordha\n"),
    ("(discord.Client)", "(discordha.DiscordHA)"),
    ("MyClient(intents=intents)", "MyClient.from_env(intents=intents)"),
    ("client.run('token')", "client.run()"),
)
#: The bot has a tree, and registers its commands by itself.
_TREE = (
    _CLIENT[0],
    _CLIENT[1],
    ("        self.tree = app_commands.CommandTree(self)\n", ""),
)
_COPIED = (
    *_TREE,
    ("discord.Object(id=0)", "discord.Object(id=int(os.environ['MY_GUILD']))"),
    ("\nimport discord\n", "\nimport os\n\nimport discord\n"),
    ("        self.tree.sync(guild=MY_GUILD)\n", ""),
    ("client.run('token')", "client.setup_hook()\nclient.run()"),
)


#: A bot of ``discord.ext.commands``; its views stay.
_COMMANDS = (
    ("from discord.ext import commands\n", "from discordha.ext import commands\n"),
    ("bot.run('token')", "bot.run()"),
)


#: The replacements in each example, after ``async`` and ``await`` are gone: pairs of old and new.
REPLACED: dict[str, tuple[tuple[str, str], ...]] = {
    "reply": _CLIENT,
    "deleted": _CLIENT,
    "new_member": _CLIENT,
    "guessing_game": _CLIENT,
    "edits": (*_CLIENT, ("asyncio.sleep", "time.sleep"), ("import asyncio", "import time")),
    "reaction_roles": (
        *_CLIENT,
        ("\nimport discord\n", "\nimport os\n\nimport discord\n"),
        ("self.role_message_id = 0 ", "self.role_message_id = int(os.environ['ROLE_MESSAGE']) "),
        ("name='🔴'): 0,", "name='🔴'): int(os.environ['RED_ROLE']),"),
    ),
    "app_commands/basic": (
        *_COPIED,
        ("super().__init__(intents=intents)", "super().__init__(discordha.Config.from_env(intents=intents))"),
        ("get_channel(0)", "get_channel(int(os.environ['LOG_CHANNEL']))"),
    ),
    "app_commands/transformers": (
        *_COPIED,
        (
            "super().__init__(intents=discord.Intents.default())",
            "super().__init__(discordha.Config.from_env(intents=discord.Intents.default()))",
        ),
        # discord.py's rule for annotations that bring their own ``transform``.
        ("    def transform(cls,", "    async def transform(cls,"),
    ),
    "modals/basic": (
        ("import discord\nfrom", "import os\n\nimport discord\n\nimport discordha\nfrom"),
        *_TREE[1:],
        ("discord.Object(0)", "discord.Object(int(os.environ['MY_GUILD']))"),
        ("super().__init__(intents=intents)", "super().__init__(discordha.Config.from_env(intents=intents))"),
        ("        self.tree.sync(guild=TEST_GUILD)\n", "        pass\n"),
        ("client.run('token')", "client.run()"),
    ),
    "views/counter": _COMMANDS,
    "views/ephemeral": _COMMANDS,
    "views/tic_tac_toe": _COMMANDS,
    "views/dropdown": _COMMANDS,
    "views/link": _COMMANDS,
    # The view is discord.py's own and not bound to the bot; it times out after 180 seconds.
    "views/confirm": (*_COMMANDS, ("    view.wait()", "    bot.call(view.wait(), timeout=200)")),
}


def ported(name: str) -> str:
    """The source of one example as it runs on discordha.

    :raises ValueError: the example lacks the old text of a replacement.
    """
    # A newline before the first line, as replacements may begin with one.
    source = "\n" + without_async((ORIGINALS / f"{name}.py").read_text(encoding="utf-8"))
    for old, new in REPLACED[name]:
        if old not in source:
            raise ValueError(f"{name}: there is no {old!r}")
        source = source.replace(old, new)
    return source.lstrip("\n")


def without_async(source: str) -> str:
    """Deletes ``async`` and ``await``, except in ``discord.ui`` classes, whose callbacks run on the loop."""
    kept = [
        range(node.lineno, (node.end_lineno or node.lineno) + 1)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).startswith("discord.ui.") for base in node.bases)
    ]
    lines = source.splitlines(keepends=True)
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    for token in reversed(tokens):  # from the end, so that columns still hold
        number, column = token.start
        if token.string in ("async", "await") and token.type in (tokenize.NAME, *_KEYWORDS):
            if any(number in part for part in kept):
                continue
            line = lines[number - 1]
            lines[number - 1] = line[:column] + line[token.end[1] + 1 :]
    return "".join(lines)


_KEYWORDS = tuple(getattr(tokenize, name) for name in ("ASYNC", "AWAIT") if hasattr(tokenize, name))


if __name__ == "__main__":
    print(ported(sys.argv[1]), end="")
