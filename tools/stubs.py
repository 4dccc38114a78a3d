"""Writes ``discordha/views.pyi``: discord.py's models for type checkers, blocking as in handlers.

    python tools/stubs.py           writes the file
    python tools/stubs.py --check   fails if the file is stale

It reads the source of the installed discord.py, so that a new version of that needs a new run but, as long as
it keeps its habits, no edit. Equal input gives equal output on every supported Python.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import discord
import discord.abc
import discord.app_commands
from stub_classes import Classes, exists
from stub_types import GENERICS, HOMES, Types, is_viewed, key

__all__ = ["generate", "main"]

TARGET = Path(__file__).parents[1] / "discordha" / "views.pyi"

#: Public classes of discord.py to which no view leads.
LEFT_OUT = {"discord.webhook.sync.SyncWebhook", "discord.webhook.sync.SyncWebhookMessage"}
#: Modules of the package that the stub passes on as they are.
MODULES = {"abc", "app_commands", "opus", "ui", "utils"}
TYPING = {
    *("Any", "ClassVar", "Literal", "NamedTuple", "Never", "NoReturn", "NotRequired", "ParamSpec"),
    *("Protocol", "Required", "Self", "TypedDict", "TypeVar", "Unpack", "overload"),
}

HEADER = f'''\
# mypy: disable-error-code="assignment,override,overload-overlap,overload-cannot-match,misc"
# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false
# pyright: reportOverlappingOverload=false, reportInvalidTypeVarUse=false
"""discord.py's classes as blocking views, for type checkers. At run time these names are discord.py's own.

Written by tools/stubs.py (make stubs) from the source of discord.py {discord.__version__}, (c) Rapptz, MIT
licence; not to be edited. The checks that are off are those that discord.py's own classes do not pass.
"""
'''

BASE = '''\
class _View:
    """The base of all views."""

    def __init__(self, made_by_discordha_only: Never, /) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def __ne__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...
'''


def generate() -> str:
    """The text of the stub."""
    types = Types()
    classes = Classes(types)
    for kind in _public():
        types.needed.setdefault(key(kind), kind)
    done: dict[str, str] = {}
    while todo := [name for name in types.needed if name not in done]:
        for name in todo:
            done[name] = classes.text(types.needed[name])
    names = [types.name(kind) for kind in types.needed.values()]
    if twice := {name for name in names if names.count(name) > 1}:
        raise SystemExit(f"two classes have one name: {sorted(twice)}; see RENAMED in tools/stub_types.py")
    if classes.unused:
        raise SystemExit(f"INFERRED has attributes that need no help: {sorted(classes.unused)}")
    variables = "".join(f"{line}\n" for _, line in sorted(types.variables.items()))
    ordered = [done[name] for name in sorted(done, key=lambda name: (types.name(types.needed[name]), name))]
    body = "\n".join([variables, BASE, *ordered, _wrap(types)])
    return "\n".join([HEADER, "".join(_imports(types, body)), "".join(_others(set(names))), body])


def _public() -> Iterator[type]:
    for home in HOMES:
        for name, kind in sorted(vars(sys.modules[home]).items()):
            if name == getattr(kind, "__name__", "") and is_viewed(kind) and key(kind) not in LEFT_OUT:
                yield kind


def _imports(types: Types, body: str) -> Iterator[str]:
    used = set(re.findall(r"\w+", body))
    for module in sorted(types.imports):
        yield f"import {module}\n"
    for module, known in (("collections.abc", GENERICS.values()), ("typing", TYPING)):
        yield f"from {module} import (\n"
        for name in sorted(used & set(known)):
            yield f"    {name},\n"
        yield ")\n"
    yield "\nfrom discordha.blocking.iterators import BlockingIterator\n"


def _others(taken: set[str]) -> Iterator[str]:
    """Imports of discord.py's other public names, so that the module can replace it."""
    for name, value in sorted(vars(discord).items()):
        if inspect.ismodule(value):
            wanted = name in MODULES
        else:
            wanted = getattr(value, "__module__", "").startswith("discord.") and not name.startswith("_")
        if wanted and name not in taken:
            yield f"from discord import {name} as {name}\n"


def _wrap(types: Types) -> str:
    """The type of ``ha.wrap``: overloads from discord.py's classes to their views, special ones first, and
    protocols last, which match by structure.
    """

    def is_protocol(kind: type) -> bool:
        return bool(getattr(kind, "_is_protocol", False))

    kinds = [k for k in types.needed.values() if not issubclass(k, (tuple, dict)) and exists(k)]
    pairs = [
        (types.path(kind), types.name(kind))
        for kind in sorted(kinds, key=lambda kind: (is_protocol(kind), -len(kind.__mro__), key(kind)))
    ]
    lines = ["class Wrap(Protocol):", '    """From discord.py\'s object to its view."""\n']
    for real, view in [*pairs, ("None", "None"), ("object", "Any")]:
        lines += ["    @overload", f"    def __call__(self, value: {real}, /) -> {view}: ..."]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Writes the stub, or compares it (``--check``). Returns the exit status."""
    text = generate()
    if "--check" not in arguments:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    known = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
    if known == text:
        return 0
    lines = difflib.unified_diff(known.splitlines(True), text.splitlines(True), TARGET.name, "generated")
    sys.stdout.writelines(lines)
    print(
        f"\n{TARGET.name} is not what discord.py {discord.__version__} gives: run make stubs, and commit it"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
