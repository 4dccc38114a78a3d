"""The exports of modules, and the modules that a bot loads. setup.cfg has the directions of imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
PACKAGE = TESTS.parent / "discordha"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


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
    """A replica that starts takes little of a machine that it shares with others."""
    script = "import sys, discordha; discordha.DiscordHA; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    extras = {"prometheus_client", "click", "rich", "simcord", "pytest", "psutil", "cryptography", "numpy"}
    unwanted = extras | {"aiohttp.web", "discord.ext", "discordha.testing", "discordha.operations.cli.main"}
    names = loaded.stdout.split()
    assert "discordha.bot" in names
    assert not [name for name in names for other in unwanted if f"{name}.".startswith(f"{other}.")]


def test_no_test_imports_another_test() -> None:
    """Helpers live in tests/support, so that a test file may be moved, split or removed alone."""
    test_files = sorted(TESTS.rglob("test_*.py"))
    names = [path.stem for path in test_files]
    assert len(names) == len(set(names)), "two test files have one name"
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            imported = [node.module] if isinstance(node, ast.ImportFrom) else []
            imported += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not set(imported) & set(names), f"{path} imports a test"
