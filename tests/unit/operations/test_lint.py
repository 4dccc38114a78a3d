"""``discordha lint``: ten snippets for each rule, bots before and after porting."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from lint_snippets import HEAD, SNIPPETS
from ported.port import BEFORE, REPLACED, ported

from discordha.operations.cli.fleet_commands import cli
from discordha.operations.lint.linter import RULES, lint_file, lint_text

ROOT = Path(__file__).parents[3]
WRONG = [(rule, text) for rule, (wrong, _) in SNIPPETS.items() for text in wrong]
RIGHT = [(rule, text) for rule, (_, right) in SNIPPETS.items() for text in right]
#: What porting.md has the author of a bot change, by the bots that have it.
EVERYWHERE = {"discord-client", "async-def", "run-token"}
SOMEWHERE = {
    "command-tree": {"slash"},
    "ext-commands": {"views", "prefix", "persistent"},
    "asyncio-call": {"events"},
    "view-wait": {"views"},
}


def test_each_rule_has_ten_snippets() -> None:
    assert SNIPPETS.keys() == RULES.keys()
    assert all(len(wrong) == len(right) == 5 for wrong, right in SNIPPETS.values())


@pytest.mark.parametrize(("rule", "text"), WRONG)
def test_a_wrong_snippet_is_found(rule: str, text: str) -> None:
    found = [each for each in lint_text(HEAD + text, "bot.py") if each.rule == rule]
    assert found, text
    assert all(each.line > HEAD.count("\n") for each in found)
    assert all(each.remedy and "{}" not in each.reason for each in found)


@pytest.mark.parametrize(("rule", "text"), RIGHT)
def test_nothing_is_found_in_a_right_snippet(rule: str, text: str) -> None:
    assert lint_text(HEAD + text, "bot.py") == [], rule


@pytest.mark.parametrize("name", sorted(REPLACED))
def test_a_bot_before_and_after_porting(name: str) -> None:
    before = {each.rule for each in lint_file(BEFORE / f"{name}.py")}
    assert before == EVERYWHERE | {rule for rule, names in SOMEWHERE.items() if name in names}
    assert lint_text(ported(name), name) == []


def test_nothing_is_found_in_the_examples_of_this_library() -> None:
    result = CliRunner().invoke(cli, ["lint", str(ROOT / "examples")])
    assert result.output == "nothing found\n"
    assert result.exit_code == 0


def test_the_command(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(
        f"{HEAD}raise SystemExit('this file was run')\n\nasync def on_x(): await y\n", encoding="utf-8"
    )
    broken = tmp_path / "broken.py"
    broken.write_text("def (:\n", encoding="utf-8")
    before = set(sys.modules)
    as_json = CliRunner().invoke(cli, ["lint", "--json", str(tmp_path)])
    assert as_json.exit_code == 1
    found = json.loads(as_json.output)
    assert Counter(each["rule"] for each in found) == {"async-def": 1, "syntax": 1}
    assert found[0] == {
        "path": str(bot),
        "line": 9,
        "column": 1,
        "rule": "async-def",
        "reason": RULES["async-def"].reason.format("on_x is a coroutine function with 1 `await`"),
        "remedy": RULES["async-def"].remedy,
    }
    said = CliRunner().invoke(cli, ["lint", str(bot)])
    assert said.output.startswith(f"{bot}:9: async-def: on_x")
    assert CliRunner().invoke(cli, ["lint", str(tmp_path / "none.py")]).exit_code == 2
    assert not {name for name in set(sys.modules) - before if name in {"bot", "broken"}}


@pytest.mark.parametrize("comment", ["# discordha: ignore", "# discordha: ignore[run-token, cooldown]"])
def test_a_comment_silences_its_line(comment: str) -> None:
    assert lint_text(f"{HEAD}ha.run('token')  {comment}\n", "bot.py") == []
    assert lint_text(f"{HEAD}ha.run('token')  # discordha: ignore[cooldown]\n", "bot.py") != []
    assert lint_text(f"{HEAD}{comment}\nha.run('token')\n", "bot.py") != []


def test_the_page_has_each_rule() -> None:
    page = (ROOT / "docs" / "porting.md").read_text(encoding="utf-8")
    assert [
        name for name, rule in RULES.items() if f"| `{name}` |" not in page or rule.remedy not in page
    ] == []
