"""The rules about code that is right in one process, and wrong in several.

Threads and locks: none.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from discordha.operations.lint.rules import Place, Rule
from discordha.operations.lint.source import Function, Source

__all__ = ["REPLICA_RULES"]

#: Calls that make something which handlers can write to.
CONTAINERS = {
    "dict", "list", "set", "bytearray", "collections.Counter", "collections.OrderedDict",
    "collections.defaultdict", "collections.deque", "itertools.count",
}  # fmt: skip
MUTATORS = {
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft",
    "remove", "setdefault", "sort", "update",
}  # fmt: skip
COOLDOWNS = {
    "discord.app_commands.checks.cooldown", "discord.app_commands.checks.dynamic_cooldown",
    "discord.ext.commands.cooldown", "discord.ext.commands.dynamic_cooldown",
    "discord.ext.commands.max_concurrency", "discord.ext.commands.CooldownMapping.from_cooldown",
    "discord.app_commands.Cooldown", "discord.ext.commands.Cooldown",
}  # fmt: skip
BROAD = {"", "Exception", "BaseException"}


def module_state(source: Source) -> Iterator[Place]:
    """Dicts, counters and the like of a module or of a bot that functions write."""
    states = _module_names(source)
    seen: set[tuple[ast.AST | None, str]] = set()
    for node in source.nodes(ast.AST):
        written, function = _written(node), source.function(node)
        if written is None or source.in_ui(node) or not isinstance(function, Function):
            continue
        name = source.name(written)
        place: ast.AST
        if isinstance(written, ast.Name) and written.id in states:
            if _is_local(source, node, written.id):
                continue
            place, scope = states[written.id], None
        elif name.startswith("self.") and name.count(".") == 1 and _keeps_state(source, node):
            place, scope = node, source.klass(node)
        else:
            continue
        if (scope, name) not in seen:
            seen.add((scope, name))
            yield place, f"{name}, which {function.name} writes,"


def _module_names(source: Source) -> dict[str, ast.AST]:
    """The names of a module that hold a container or a number."""
    found: dict[str, ast.AST] = {}
    for node in source.tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        value, targets = node.value, node.targets if isinstance(node, ast.Assign) else [node.target]
        if value is not None and _is_state(source, value):
            found |= {target.id: node for target in targets if isinstance(target, ast.Name)}
    return found


def _is_state(source: Source, value: ast.AST) -> bool:
    if isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp):
        return True
    if isinstance(value, ast.Constant):
        return value.value is None or isinstance(value.value, int | float | str)
    return isinstance(value, ast.Call) and source.name(value) in CONTAINERS


def _written(node: ast.AST) -> ast.AST | None:
    """The variable that a node changes, or whose value it changes."""
    if isinstance(node, ast.AugAssign):
        target: ast.AST = node.target
        return target.value if isinstance(target, ast.Subscript) else target
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        return node.value
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return node
    if not isinstance(node, ast.Call):
        return None
    func = node.func
    if isinstance(func, ast.Attribute) and func.attr in MUTATORS:
        return func.value.value if isinstance(func.value, ast.Subscript) else func.value
    return node.args[0] if isinstance(func, ast.Name) and func.id == "next" and node.args else None


def _is_local(source: Source, node: ast.AST, name: str) -> bool:
    """Whether a name is a variable of a function around the node, not of the module."""
    functions = [each for each in source.parents(node) if isinstance(each, Function)]
    inside = [each for function in functions for each in ast.walk(function)]
    if any(isinstance(each, ast.Global) and name in each.names for each in inside):
        return False
    return any(
        (isinstance(each, ast.arg) and each.arg == name)
        or (isinstance(each, ast.Name) and each.id == name and isinstance(each.ctx, ast.Store))
        for each in inside
    )


def _keeps_state(source: Source, node: ast.AST) -> bool:
    """Whether a node writes to ``self`` of a bot or cog in one of its handlers."""
    owner = source.klass(node)
    return (owner in source.bots or owner in source.cogs) and source.handler(node) is not None


def cooldown(source: Source) -> Iterator[Place]:
    """Cooldowns that each replica counts for itself."""
    for node in source.nodes(ast.Call):
        name = source.name(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "update_rate_limit":
            yield node, "a cooldown that is asked by hand"
        ours = name.startswith("discordha.")
        if name in COOLDOWNS or (
            not ours and name.endswith((".checks.cooldown", ".checks.dynamic_cooldown"))
        ):
            yield node, name


def swallowed_loss(source: Source) -> Iterator[Place]:
    """``except Exception`` in a loop that goes on, whatever was refused."""
    for node in source.nodes(ast.Try):
        if not _in_loop(source, node) or not any(
            isinstance(each, ast.Call) for part in node.body for each in ast.walk(part)
        ):
            continue
        for handler in node.handlers:
            if _catches(source, handler, {"LockLost", "discordha.LockLost"}):
                break  # it is dealt with
            if _is_broad(source, handler) and not _leaves(handler):
                yield handler, f"except {ast.unparse(handler.type)}" if handler.type else "except"


def _in_loop(source: Source, node: ast.AST) -> bool:
    """Whether a node is in the body of a loop of its own function."""
    for each in source.parents(node):
        if isinstance(each, ast.For | ast.AsyncFor | ast.While):
            return True
        if isinstance(each, Function | ast.Lambda | ast.ClassDef):
            return False
    return False


def _catches(source: Source, handler: ast.ExceptHandler, names: set[str]) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(source.name(kind) in names for kind in kinds)


def _is_broad(source: Source, handler: ast.ExceptHandler) -> bool:
    return handler.type is None or _catches(source, handler, BROAD - {""})


def _leaves(handler: ast.ExceptHandler) -> bool:
    """Whether the last statement ends the loop or raises."""
    return isinstance(handler.body[-1], ast.Raise | ast.Return | ast.Break)


REPLICA_RULES = (
    Rule("replica-state", module_state, "{} is kept by one replica, and gone with it",
         "ha.cache(name): set, increment, get_or_set; where it is meant for one replica, "
         "write `# discordha: ignore[replica-state]` there"),
    Rule("cooldown", cooldown, "{} counts on each replica for itself",
         "cooldowns of discordha.ext.commands or discordha.app_commands, or "
         "ha.cache(name, ttl=seconds).increment(user.id)"),
    Rule("swallowed-loss", swallowed_loss,
         "`{}` in a loop swallows LockLost: the loop goes on when another replica has the event",
         "name the errors, such as discord.HTTPException; or `except discordha.LockLost: raise` before it"),
)  # fmt: skip
