"""The import direction of docs/design.md, "Layers", read from the source without running it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "discordha"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# Lower imports nothing higher. A name stands for the module and all below it; the longest name decides.
LAYERS = {
    "errors": 0,
    "config": 0,
    "_version": 0,
    "context": 1,
    "declarations": 6,
    "stats": 1,
    "restore": 1,
    "coordination": 2,
    "deafness": 1,
    "events": 3,
    "handlers": 3,
    "cache_view": 3,
    "named_lock": 3,
    "running": 3,
    "shared_state": 3,
    "lanes": 3,
    "views": 1,
    "client_view": 3,
    "rest": 3,
    "blocking": 4,
    "gateway": 4,
    "runner": 4,
    "dispatcher": 5,
    "leadership": 5,
    "reconciler": 5,
    "leader_shard": 5,
    "seniority": 3,
    "leader_loop": 5,
    # Commands run through the blocking views and are synced through etcd; what a bot declares holds them.
    "commands": 5,
    "app_commands": 6,
    "wait_for": 3,
    "leader_alone": 5,
    "voice": 6,
    "shards": 6,
    "shard_index": 6,
    "shard_planner": 6,
    "identify": 6,
    "identify_turn": 6,
    "leading": 6,
    "readiness": 1,
    "monitor": 7,
    "report": 7,
    "replica": 7,
    "ha": 7,
    "__init__": 8,
    "operations": 8,
    "operations.source": 6,
    "operations.metrics": 6,
    "operations.health": 6,
    "operations.logs": 6,
    "__main__": 9,
}
# Modules that may import discord at run time, and those that may also touch its machinery
# (its connection state, its gateway, its HTTP client). Everything else types against nothing of it.
DISCORD_USERS = {"config", "events", "gateway", "blocking", "commands", "voice", "shards", "identify", "ha"}
DISCORD_USERS |= {"views"}
DISCORD_USERS = {"config", "events", "gateway", "blocking", "commands", "app_commands", "voice"}
DISCORD_USERS |= {"shards", "identify", "ha", "views"}
DISCORD_MACHINERY_USERS = {"gateway", "blocking"}
DISCORD_MACHINERY = {"discord.state", "discord.gateway", "discord.http", "discord.client", "discord.shard"}
ETCD_USERS = {"coordination.store", "coordination.watch"}
ETCD_PARTS = "coordination._"
TESTING_MAY_USE = {"errors", "config", "testing", "_version"}


def imports(module: str) -> Iterator[tuple[str, bool]]:
    """Full names that the module imports, relative ones resolved, and whether only for type checking."""
    path = MODULES[module]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = list((Path("discordha") / path.relative_to(PACKAGE)).parent.parts)
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        found: list[str] = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            home = ".".join([*base, *([node.module] if node.module else [])])
            # "from discordha import config" imports the module discordha.config; "from x import name" only x.
            inner_names = [f"{home}.{alias.name}" for alias in node.names]
            found = [name if _is_module(name) else home for name in inner_names]
        for name in found:
            yield name, id(node) in typing_only


def _is_module(name: str) -> bool:
    return name.startswith("discordha.") and name.removeprefix("discordha.") in MODULES


def layer(module: str) -> int | None:
    """The layer of a module by its longest listed name."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in LAYERS:
            return LAYERS[".".join(parts[:length])]
    return None


def inside(module: str, names: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def top(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


LIBRARY = [name for name in MODULES if not inside(name, {"testing"})]


@pytest.mark.parametrize("module", LIBRARY)
def test_imports_go_down_only(module: str) -> None:
    own = layer(module)
    assert own is not None, f"{module} has no layer: give it one in this test and in docs/design.md"
    for name, _ in imports(module):
        if top(name, "discordha") and name != "discordha":
            target = name.removeprefix("discordha.")
            if top(target, "testing"):  # for the demo
                assert inside(module, {"operations", "__main__"}), f"{module} → {name}"
            else:
                reached = layer(target)
                assert reached is not None, f"{target} has no layer"
                assert reached <= own, f"{module} (layer {own}) imports {name} (layer {reached})"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_the_store_and_the_watch_know_the_etcd_client(module: str) -> None:
    """They may keep parts of themselves in private modules beside them, which nobody else imports then."""
    if module not in ETCD_USERS and not module.startswith(ETCD_PARTS):
        assert not [name for name, _ in imports(module) if name.startswith(f"discordha.{ETCD_PARTS}")]
        assert not [name for name, _ in imports(module) if top(name, "etcd3") or top(name, "grpc")]


@pytest.mark.parametrize("module", [name for name in LIBRARY if inside(name, {"coordination"})])
def test_coordination_never_imports_discord(module: str) -> None:
    assert not [name for name, _ in imports(module) if top(name, "discord")]


@pytest.mark.parametrize("module", LIBRARY)
def test_discord_is_imported_where_it_is_meant_to_be(module: str) -> None:
    used = {name for name, typing_only in imports(module) if top(name, "discord") and not typing_only}
    if used:
        assert inside(module, DISCORD_USERS), f"{module} imports {sorted(used)}"
    if used & DISCORD_MACHINERY:
        assert inside(module, DISCORD_MACHINERY_USERS), f"{module} imports {sorted(used & DISCORD_MACHINERY)}"


@pytest.mark.parametrize("module", [name for name in MODULES if inside(name, {"testing"})])
def test_the_harness_stands_beside_the_library(module: str) -> None:
    """It sees a bot from outside, so of the library it knows errors and settings only."""
    for name, typing_only in imports(module):
        if top(name, "discordha") and name != "discordha" and not typing_only:
            assert inside(name.removeprefix("discordha."), TESTING_MAY_USE), f"{module} → {name}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_public_modules_say_what_they_export(module: str) -> None:
    path = MODULES[module]
    if any(part.startswith("_") and part != "__init__" for part in module.split(".")):
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not tree.body:
        return
    assert ast.get_docstring(tree), f"{module} has no docstring"
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert "__all__" in assigned, f"{module} has no __all__"


def test_a_bot_imports_nothing_that_only_tools_and_tests_need() -> None:
    """A replica that starts while others work takes little of the machine that it may share with them."""
    script = "import sys, discordha; discordha.DiscordHA; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    extras = {"prometheus_client", "click", "rich", "simcord", "pytest", "psutil", "cryptography", "numpy"}
    unwanted = extras | {"aiohttp.web", "discord.ext", "discordha.testing", "discordha.operations.cli"}
    names = loaded.stdout.split()
    assert "discordha.ha" in names
    assert not [name for name in names if inside(name, unwanted)]
