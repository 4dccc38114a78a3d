"""Applies all rules to files.

Guarantees: nothing is imported or run, and a file that is no Python is a finding, not an error.

Threads and locks: none. Reads files.
"""

from __future__ import annotations

import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from discordha.operations.lint.replica_rules import REPLICA_RULES
from discordha.operations.lint.rules import PORTING_RULES, Rule
from discordha.operations.lint.source import Source

__all__ = ["RULES", "Finding", "files_below", "lint_file", "lint_text"]

#: All rules, by name.
RULES: dict[str, Rule] = {rule.name: rule for rule in (*PORTING_RULES, *REPLICA_RULES)}


class Finding(NamedTuple):
    """One place that needs a change; lines and columns count from 1."""

    path: str
    line: int
    column: int
    rule: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.rule}: {self.reason}: {self.remedy}"


def files_below(paths: Iterable[Path]) -> Iterator[Path]:
    """The files themselves, and the Python files in folders, sorted."""
    for path in paths:
        if path.is_dir():
            yield from sorted(path.rglob("*.py"))
        else:
            yield path


def lint_file(path: Path) -> list[Finding]:
    """The findings in a file, by line.

    :raises OSError: it cannot be read.
    """
    try:
        with tokenize.open(path) as file:
            text = file.read()
    except (SyntaxError, UnicodeDecodeError) as error:
        return [_unreadable(str(path), error)]
    return lint_text(text, str(path))


def lint_text(text: str, path: str) -> list[Finding]:
    """The findings in a source, by line."""
    try:
        source = Source(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        return [_unreadable(path, error)]
    found = [
        Finding(
            path,
            getattr(node, "lineno", 1),
            getattr(node, "col_offset", 0) + 1,
            rule.name,
            rule.reason.format(words),
            rule.remedy,
        )
        for rule in RULES.values()
        for node, words in rule.find(source)
    ]
    return sorted(each for each in set(found) if not source.is_ignored(each.rule, each.line))


def _unreadable(path: str, error: Exception) -> Finding:
    line = getattr(error, "lineno", None) or 1
    return Finding(path, line, 1, "syntax", f"this is no Python ({error})", "mend the syntax first")
