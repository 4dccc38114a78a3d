"""Ports bots for discord.py: deletes ``async`` and ``await``, and makes the replacements of ``REPLACED``.

``python tests/support/ported/port.py events`` prints a ported bot. Everything but ``REPLACED`` stays.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from pathlib import Path

__all__ = ["BEFORE", "REPLACED", "ported", "without_async"]

#: The bots as they are for discord.py.
BEFORE = Path(__file__).parent / "bots"

_RUN = (('run("token")', "run()"),)
_CLIENT = (
    ("\nimport discord\n", "\nimport discord\nimport discordha\n"),
    ("(discord.Client)", "(discordha.DiscordHA)"),
    *_RUN,
)
_COMMANDS = (("from discord.ext import commands", "from discordha.ext import commands"), *_RUN)

#: The replacements in each bot, after ``async`` and ``await`` are gone: pairs of old and new.
REPLACED: dict[str, tuple[tuple[str, str], ...]] = {
    "events": (
        *_CLIENT,
        ("Porter(intents=intents)", "Porter.from_env(intents=intents)"),
        ("import asyncio\n", "import os\nimport time\n"),
        ("asyncio.sleep", "time.sleep"),
        ("ROLE_MESSAGE = 0", "ROLE_MESSAGE = int(os.environ['ROLE_MESSAGE'])"),
        ('CIRCLE}": 0', "CIRCLE}\": int(os.environ['RED_ROLE'])"),
    ),
    "slash": (
        *_CLIENT,
        ("import enum\n", "import enum\nimport os\n"),
        ("from discord import app_commands", "from discordha import app_commands"),
        ("id=0", "id=int(os.environ['MY_GUILD'])"),
        ("STAFF_CHANNEL = 0", "STAFF_CHANNEL = int(os.environ['STAFF_CHANNEL'])"),
        (
            "super().__init__(intents=discord.Intents.default(), **options)",
            "super().__init__(discordha.Config.from_env(intents=discord.Intents.default(), **options))",
        ),
        # The bot has a tree, and registers its commands by itself.
        ("        self.tree = app_commands.CommandTree(self)\n", ""),
        ("        self.tree.sync(guild=HOME)\n", ""),
        # A setup_hook of a client is called by hand.
        ("client.run()", "client.setup_hook()\nclient.run()"),
        # discord.py's rule for annotations that bring their own ``transform``.
        ("    def transform(cls,", "    async def transform(cls,"),
    ),
    # The view is discord.py's own and not bound to the bot.
    "views": (*_COMMANDS, ("decision.wait()", "bot.call(decision.wait(), timeout=200)")),
    "prefix": _COMMANDS,
    "persistent": _COMMANDS,
}


def ported(name: str) -> str:
    """The source of one bot as it runs on discordha.

    :raises ValueError: the bot lacks the old text of a replacement.
    """
    # A newline before the first line, as replacements may begin with one.
    source = "\n" + without_async((BEFORE / f"{name}.py").read_text(encoding="utf-8"))
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
