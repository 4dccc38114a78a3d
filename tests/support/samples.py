"""Compares the samples of real output in docs/cli.md with the present output of the commands, by their shape.

Names and numbers may differ. ``WRITE_SAMPLES=1`` in the environment rewrites the page instead.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["check_sample"]

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
_WRITE = bool(os.environ.get("WRITE_SAMPLES"))


def check_sample(name: str, command: str, output: str, names: Mapping[str, str]) -> None:
    """Compares one sample.

    :param names: texts of the output, and their replacements on the page.
    """
    if names:
        longest_first = sorted(names, key=len, reverse=True)
        output = re.sub("|".join(map(re.escape, longest_first)), lambda found: names[found[0]], output)
    lines = [line.rstrip() for line in output.strip("\n").splitlines()]
    text = "\n".join([f"$ {command}", *lines])
    block = re.compile(rf"<!-- sample: {re.escape(name)} -->\n```\n(.*?)\n```", re.DOTALL)
    page = PAGE.read_text(encoding="utf-8")
    match = block.search(page)
    assert match is not None, f"docs/cli.md has no sample {name!r}"
    if _WRITE:
        page = page[: match.start(1)] + text + page[match.end(1) :]
        PAGE.write_text(page, encoding="utf-8")
        return
    assert shape(match[1]) == shape(text), (
        f"the sample {name!r} in docs/cli.md is not this (WRITE_SAMPLES=1 writes it anew):\n{text}"
    )


def shape(text: str) -> list[Any]:
    """The comparable part: words, without numbers, rules, spaces and gRPC's remarks in brackets; of JSON, the
    names of all fields.
    """
    command, _, output = text.partition("\n")
    try:
        return [command, _fields(json.loads(output))]
    except ValueError:
        pass
    lines = [_words(line) for line in output.splitlines()]
    return [re.sub(r"\d+", "0", command), *filter(None, lines)]


def _words(line: str) -> str:
    line = re.sub(r"\(failed to connect .*\)", "(...)", line)
    line = re.sub(r"[\s─-╿-]+", " ", line)
    line = re.sub(r"[\d.:]*\d", "0", line)
    return re.sub(r"0( 0)+", "0", line).strip()


def _fields(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _fields(inner) for name, inner in sorted(value.items())}
    if isinstance(value, list):
        return [_fields(value[0])] if value and isinstance(value[0], dict) else "list"
    return type(value).__name__ if not isinstance(value, int | float) else "number"
