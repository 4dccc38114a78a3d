"""The rules about coroutines and about discord.py's own clients. ``replica_rules`` has those about state.

Each rule is a function that finds places in a source; ``RULES`` has its name, reason and remedy.

Threads and locks: none.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from discordha.operations.lint.source import CLIENTS, Function, Source

__all__ = ["PORTING_RULES", "Place", "Rule"]

#: A node, and the words that stand for ``{}`` in the rule's reason.
Place: TypeAlias = tuple[ast.AST, str]

#: Methods that discord.py awaits itself, also in a ported bot: those of annotations.
STAY_COROUTINES = {"transform"}
#: Calls that take a coroutine.
TAKES_COROUTINES = {"call", "run_coroutine_threadsafe"}
#: What plain code may use of asyncio.
ASYNCIO_ALLOWED = {"asyncio.TimeoutError", "asyncio.CancelledError", "asyncio.to_thread"}
#: What discord.py awaits of views, items and modals.
UI_CALLBACKS = {"callback", "interaction_check", "on_error", "on_submit", "on_timeout"}
LOOP_METHODS = {"create_task", "call_later", "call_soon", "run_in_executor", "run_until_complete", "call_at"}


class Rule(NamedTuple):
    """One rule. ``reason`` may hold ``{}`` for the words of a place."""

    name: str
    find: Callable[[Source], Iterator[Place]]
    reason: str
    remedy: str


def async_def(source: Source) -> Iterator[Place]:
    """Coroutine functions that nothing would await."""
    used = _passed_coroutines(source)
    for node in source.nodes(ast.AsyncFunctionDef):
        if source.in_ui(node) or node in source.ui_functions:
            continue
        if node.name in STAY_COROUTINES or node.name in used:
            continue
        outer = source.function(node)
        if isinstance(outer, ast.AsyncFunctionDef) and not source.is_handler(node):
            continue  # goes with the function around it
        awaits = sum(isinstance(each, ast.Await | ast.AsyncFor | ast.AsyncWith) for each in ast.walk(node))
        inside = f" with {awaits} `await`" if awaits else ""
        yield node, f"{node.name} is a coroutine function{inside}"


def _passed_coroutines(source: Source) -> set[str]:
    """The functions whose coroutines are handed to ``ha.call``."""
    return {
        source.name(argument).rpartition(".")[2]
        for node in source.nodes(ast.Call)
        if isinstance(node.func, ast.Attribute) and node.func.attr in TAKES_COROUTINES
        for argument in node.args
        if isinstance(argument, ast.Call)
    }


def leftover_await(source: Source) -> Iterator[Place]:
    """``await`` in a plain function."""
    for node in source.nodes(ast.Await, ast.AsyncFor, ast.AsyncWith):
        if not isinstance(source.function(node), ast.AsyncFunctionDef):
            words = {ast.AsyncFor: "async for", ast.AsyncWith: "async with"}
            yield node, words.get(type(node), "await")


def asyncio_call(source: Source) -> Iterator[Place]:
    """Calls into asyncio, other than from callbacks of ``discord.ui``."""
    for node in source.nodes(ast.Call):
        name = source.name(node)
        if not name and isinstance(node.func, ast.Attribute) and node.func.attr in LOOP_METHODS:
            name = f"{source.name(node.func.value) or '(...)'}.{node.func.attr}"
            of_asyncio = source.name(node.func.value).startswith("asyncio.")
        else:
            of_asyncio = name.startswith("asyncio.")
        parts = name.split(".")
        of_loop = parts[-1] in LOOP_METHODS and len(parts) > 1 and parts[-2] == "loop"
        if (of_asyncio or of_loop) and name not in ASYNCIO_ALLOWED and not source.in_ui(node):
            yield node, name


def tasks_loop(source: Source) -> Iterator[Place]:
    """Loops of discord.py's."""
    for name, node in source.imported():
        if name == "discord.ext.tasks" or name.startswith("discord.ext.tasks."):
            yield node, name


def discord_commands(source: Source) -> Iterator[Place]:
    """The command framework of discord.py's."""
    for name, node in source.imported():
        if name == "discord.ext.commands" or name.startswith("discord.ext.commands."):
            yield node, name


def discord_client(source: Source) -> Iterator[Place]:
    """Clients of discord.py's, made or derived from."""
    for node in source.nodes(ast.ClassDef, ast.Call):
        used = node.bases if isinstance(node, ast.ClassDef) else [node]
        for name in map(source.name, used):
            if CLIENTS.fullmatch(name) and name.startswith("discord."):
                yield node, name


def command_tree(source: Source) -> Iterator[Place]:
    """Trees made by hand."""
    for node in source.nodes(ast.Call):
        if source.name(node) in {"discord.app_commands.CommandTree", "discordha.app_commands.CommandTree"}:
            yield node, ""


def run_token(source: Source) -> Iterator[Place]:
    """``run`` and ``start`` with a token."""
    for node in source.nodes(ast.Call):
        if (
            isinstance(node.func, ast.Attribute)
            and node.func.attr in {"run", "start", "login"}
            and source.is_bot(node.func.value)
            and node.args
        ):
            yield node, f"{ast.unparse(node.func)}(...)"


def client_close(source: Source) -> Iterator[Place]:
    """The bot ended by its own code."""
    for node in source.nodes(ast.Call):
        if (
            isinstance(node.func, ast.Attribute)
            and node.func.attr in {"close", "logout"}
            and source.is_bot(node.func.value)
        ):
            yield node, f"{ast.unparse(node.func)}()"


def ui_callback(source: Source) -> Iterator[Place]:
    """Callbacks of `discord.ui` that are plain functions."""
    for node in source.nodes(ast.FunctionDef):
        owner = next(source.parents(node))
        if (owner in source.ui and node.name in UI_CALLBACKS) or node in source.ui_functions:
            yield node, node.name


def view_wait(source: Source) -> Iterator[Place]:
    """``view.wait()`` whose coroutine nobody runs."""
    views = {each.name for each in source.ui}
    held = {
        source.name(target)
        for node in source.nodes(ast.Assign)
        if _is_view(source, node.value, views)
        for target in node.targets
    }
    for node in source.nodes(ast.Call):
        func = node.func
        if not (isinstance(func, ast.Attribute) and func.attr == "wait") or source.in_ui(node):
            continue
        if source.name(func.value) not in held and not _is_view(source, func.value, views):
            continue
        around = next(source.parents(node))
        passed = isinstance(around, ast.Call) and source.name(around).rpartition(".")[2] in TAKES_COROUTINES
        if not passed:
            yield node, ast.unparse(func)


def _is_view(source: Source, value: ast.AST, views: set[str]) -> bool:
    name = source.name(value) if isinstance(value, ast.Call) else ""
    return name in views or name in {"discord.ui.View", "discord.ui.Modal", "discord.ui.LayoutView"}


def stored_view(source: Source) -> Iterator[Place]:
    """Views that are kept for later, beyond the handler that sends them."""
    views = {each.name for each in source.ui}
    for node in source.nodes(ast.Assign):
        if not _is_view(source, node.value, views) or not isinstance(source.function(node), Function):
            continue
        for target in node.targets:
            if isinstance(target, ast.Attribute | ast.Subscript) and not source.in_ui(node):
                yield node, ast.unparse(target)


PORTING_RULES = (
    Rule("async-def", async_def, "{}; handlers are plain functions that may block",
         "delete `async`, and each `await` in it; a coroutine that must stay is run by `ha.call(...)`"),
    Rule("leftover-await", leftover_await, "`{}` in a plain function is a syntax error",
         "delete it: methods of views block, and iterate and open as plain objects do"),
    Rule("asyncio-call", asyncio_call, "{} needs an event loop, which handler threads do not have",
         "time.sleep for asyncio.sleep; calls one after another, or threads, for gather and create_task; "
         "ha.wait_for and timeout= for wait_for; ha.loop for tasks that go on"),
    Rule("tasks-loop", tasks_loop, "{} runs on every replica, and needs coroutines",
         "from discordha.ext import tasks, or @ha.loop(...)"),
    Rule("ext-commands", discord_commands, "{} is a framework of coroutines around a client of its own",
         "from discordha.ext import commands, or @ha.command(...)"),
    Rule("discord-client", discord_client, "{} answers every event on each replica",
         "discordha.DiscordHA.from_env(intents=...), or discordha.ext.commands.Bot(...) for a commands.Bot; "
         "a class derives from them likewise"),
    Rule("command-tree", command_tree, "the bot has a command tree, which is synced by itself",
         "ha.tree, or @ha.command(...)"),
    Rule("run-token", run_token, "{} with a token",
         "ha.run(); the token comes from BOT_TOKEN"),
    Rule("client-close", client_close, "{} cuts off the handlers that run, and only on this replica",
         "end a replica with SIGTERM or `discordha drain`; ha.stop() drains it, but not from a handler"),
    Rule("ui-callback", ui_callback, "{} is a plain function, and discord.py awaits it on its loop",
         "keep `async` and `await` in callbacks of discord.ui, or make it an ha.component(...)"),
    Rule("view-wait", view_wait, "{}() is a coroutine that nobody runs",
         "ha.call(view.wait(), timeout=...), or ha.component(...) for presses that any replica handles"),
    Rule("stored-view", stored_view, "the view in {} is known to one replica, and gone with it",
         "ha.component(...), or ha.add_view(...) for views without a timeout; keep state in the custom id"),
)  # fmt: skip
