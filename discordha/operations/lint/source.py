"""A bot's source as the rules see it: its syntax tree, with imports resolved and discord.py's roles known.

Guarantees: nothing is imported or run. What comes from other files is known by its import alone: a class that
derives from an imported bot of one's own counts as no bot.

Threads and locks: none.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cached_property
from typing import TypeAlias, TypeVar

__all__ = ["Function", "Source"]

Node = TypeVar("Node", bound=ast.AST)
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

#: The classes of clients that discord.py and discordha have, and those that hold handlers for them.
CLIENTS = re.compile(r"discord\.(AutoSharded)?Client|discord(ha)?\.ext\.commands\.(AutoSharded)?Bot")
BOTS = re.compile(rf"{CLIENTS.pattern}|discordha\.DiscordHA")
COGS = re.compile(r"discord(ha)?\.ext\.commands\.(Group)?Cog|discord(ha)?\.app_commands\.Group")
#: Names that bots go by, where the file does not say what they are.
BOT_NAMES = {"client", "bot", "ha"}
#: Decorators, by their last part, that make a function a handler.
DECORATORS = {
    "after_invoke", "after_loop", "autocomplete", "before_invoke", "before_loop", "check", "command",
    "component", "context_menu", "error", "event", "group", "hybrid_command", "hybrid_group", "listen",
    "listener", "loop", "on_broadcast", "on_error", "timer",
}  # fmt: skip
IGNORE = re.compile(r"#\s*discordha:\s*ignore(?:\[([\w, -]+)\])?")


class Source:
    """One file.

    :raises SyntaxError: it is no Python.
    """

    def __init__(self, text: str) -> None:
        self.tree = ast.parse(text)
        self._parents = {
            child: parent for parent in ast.walk(self.tree) for child in ast.iter_child_nodes(parent)
        }
        self._imports = dict(self._imported())
        self._ignored = dict(_ignored(text))

    # -- the tree --------------------------------------------------------------------------------------------

    def nodes(self, *kinds: type[Node]) -> Iterator[Node]:
        """All nodes of these kinds, in the order of the tree."""
        return (node for node in ast.walk(self.tree) if isinstance(node, kinds))

    def parents(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around a node, from the inside."""
        while node in self._parents:
            node = self._parents[node]
            yield node

    def function(self, node: ast.AST) -> Function | ast.Lambda | None:
        """The innermost function around a node."""
        return next((each for each in self.parents(node) if isinstance(each, Function | ast.Lambda)), None)

    def klass(self, node: ast.AST) -> ast.ClassDef | None:
        """The class whose method a node is in, or is."""
        return next((each for each in self.parents(node) if isinstance(each, ast.ClassDef)), None)

    def is_ignored(self, rule: str, line: int) -> bool:
        """Whether a comment on the line says ``discordha: ignore``, of all rules or of this one."""
        rules = self._ignored.get(line)
        return rules is not None and (not rules or rule in rules)

    # -- names -----------------------------------------------------------------------------------------------

    def name(self, node: ast.AST | None) -> str:
        """The dotted name of an expression, from where it is imported; empty for any other expression."""
        if isinstance(node, ast.Call):
            return self.name(node.func)
        if isinstance(node, ast.Subscript):
            return self.name(node.value)
        if isinstance(node, ast.Name):
            return self._imports.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            base = self.name(node.value)
            return f"{base}.{node.attr}" if base and not isinstance(node.value, ast.Call) else ""
        return ""

    def imported(self) -> Iterator[tuple[str, ast.AST]]:
        """Each imported name in full, with its node."""
        for node in self.nodes(ast.Import, ast.ImportFrom):
            if isinstance(node, ast.Import):
                yield from ((alias.name, node) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield from ((f"{node.module}.{alias.name}", node) for alias in node.names)

    def _imported(self) -> Iterator[tuple[str, str]]:
        for node in self.nodes(ast.Import, ast.ImportFrom):
            for alias in node.names:  # type: ignore[attr-defined] # both kinds have it
                if isinstance(node, ast.ImportFrom):
                    yield alias.asname or alias.name, f"{node.module}.{alias.name}"
                elif alias.asname:
                    yield alias.asname, alias.name

    # -- roles -----------------------------------------------------------------------------------------------

    def _derived(self, first: re.Pattern[str]) -> set[ast.ClassDef]:
        """The classes of this file that derive from others, also through each other."""
        found: set[ast.ClassDef] = set()
        while True:
            names = {each.name for each in found}
            more = {
                node
                for node in self.nodes(ast.ClassDef)
                if any(first.fullmatch(base) or base in names for base in map(self.name, node.bases))
            }
            if more <= found:
                return found
            found |= more

    @cached_property
    def bots(self) -> set[ast.ClassDef]:
        """The classes of bots."""
        return self._derived(BOTS)

    @cached_property
    def cogs(self) -> set[ast.ClassDef]:
        """The classes that hold handlers for a bot."""
        return self._derived(COGS)

    @cached_property
    def ui(self) -> set[ast.ClassDef]:
        """The classes of ``discord.ui``, whose methods discord.py calls on its loop."""
        return self._derived(re.compile(r"discord\.ui\.\w+"))

    @cached_property
    def ui_functions(self) -> set[Function]:
        """The functions that are given to an item as its ``callback``, such as ``button.callback = yes``."""
        kinds = {each.name for each in self.ui}
        assigned = [node for node in self.nodes(ast.Assign) if len(node.targets) == 1]
        items = {
            self.name(node.targets[0])
            for node in assigned
            if isinstance(node.value, ast.Call)
            and (self.name(node.value).startswith("discord.ui.") or self.name(node.value) in kinds)
        }
        given = {
            node.value.id
            for node in assigned
            if isinstance(node.targets[0], ast.Attribute)
            and node.targets[0].attr == "callback"
            and self.name(node.targets[0].value) in items
            and isinstance(node.value, ast.Name)
        }
        return {node for node in ast.walk(self.tree) if isinstance(node, Function) and node.name in given}

    @cached_property
    def bot_names(self) -> set[str]:
        """The names that hold a bot, as they are written."""
        names = set(BOT_NAMES) | {f"self.{name}" for name in BOT_NAMES}
        classes = {each.name for each in self.bots}
        for node in self.nodes(ast.Assign):
            if isinstance(node.value, ast.Call):
                made = self.name(node.value).removesuffix(".from_env")
                if BOTS.fullmatch(made) or made in classes:
                    names |= {self.name(target) for target in node.targets}
        return names

    def is_bot(self, node: ast.AST) -> bool:
        """Whether an expression is a bot: by its name, or ``self`` in a bot's class."""
        name = self.name(node)
        return name in self.bot_names or (name == "self" and self.klass(node) in self.bots)

    def in_ui(self, node: ast.AST) -> bool:
        """Whether a node is inside of a class of ``discord.ui``, or of an item's callback."""
        return any(each in self.ui or each in self.ui_functions for each in self.parents(node))

    def is_handler(self, node: ast.AST | None) -> bool:
        """Whether a function is called by the bot: decorated so, or by its name in a bot's or cog's class."""
        if not isinstance(node, Function):
            return False
        if any(self.name(each).rpartition(".")[2] in DECORATORS for each in node.decorator_list):
            return True
        owner = self.klass(node)
        special = node.name.startswith(("on_", "cog_")) or node.name in {"setup_hook", "interaction_check"}
        return special and (owner in self.bots or owner in self.cogs)

    def handler(self, node: ast.AST) -> Function | None:
        """The handler that a node is in."""
        for each in self.parents(node):
            if isinstance(each, Function) and self.is_handler(each):
                return each
        return None


def _ignored(text: str) -> Iterator[tuple[int, set[str]]]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        found = IGNORE.search(token.string) if token.type == tokenize.COMMENT else None
        if found:
            yield token.start[0], set(re.split(r"[, ]+", found[1])) if found[1] else set()
