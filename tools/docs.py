"""Writes the parts of the docs that come from the code: the table of events, the options, the API reference.

    python tools/docs.py            writes docs/events.md, docs/configuration.md and docs/api.md
    python tools/docs.py --check    exits with status 1 if one of them is stale

A page keeps the text above its mark.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from discordha.config import Config  # noqa: E402
from discordha.events import EVENTS, EventSpec, Scope  # noqa: E402

# griffe warns of documented keywords that a signature takes as ``**options``.
logging.getLogger("griffe").setLevel(logging.ERROR)

#: Characters; a longer signature has one parameter on each line.
LONG = 100
MARK = "<!-- below: written by make docs -->"

# -- events --------------------------------------------------------------------------------------------------


def part(path: str, spec: EventSpec) -> str:
    """One part of an identity, in terms of the handler's arguments or of the payload."""
    if path.startswith("."):
        return path[1:]
    index, _, attribute = path.partition(".")
    name = spec.arguments[int(index)] if spec.arguments else f"argument {index}"
    return f"{name}.{attribute}" if attribute else name


def note(spec: EventSpec) -> str:
    """Remarks on one row."""
    notes = []
    if spec.instead:
        notes.append(f"only where cached: `on_{spec.instead}` comes always")
    elif spec.cache_dependent:
        notes.append("only where cached")
    if spec.has_snowflake:
        notes.append("age known")
    if spec.else_leader:
        notes.append("`leader` where Discord does not tell that moment")
    return "; ".join(notes)


def events() -> Iterator[str]:
    """The tables of all events."""
    titles = {
        Scope.CLAIM: "claim: one replica claims it",
        Scope.LEADER: "leader: the shard's leader handles it, in order, counted",
        Scope.EVERY: "every: each replica handles it for itself",
    }
    for scope, title in titles.items():
        rows = sorted((spec for spec in EVENTS.values() if spec.scope is scope), key=lambda spec: spec.name)
        yield f"## {title}\n"
        yield f"{len(rows)} events.\n"
        if scope is Scope.EVERY:
            yield "| handler | arguments |"
            yield "|---|---|"
            for spec in rows:
                yield f"| `on_{spec.name}` | {arguments(spec)} |"
        else:
            yield "| handler | arguments | known by | note |"
            yield "|---|---|---|---|"
            for spec in rows:
                known = ", ".join(part(path, spec) for path in spec.id)
                yield f"| `on_{spec.name}` | {arguments(spec)} | {known} | {note(spec)} |"
        yield ""


def arguments(spec: EventSpec) -> str:
    """The arguments of a handler."""
    return "any" if spec.arguments is None else ", ".join(spec.arguments) or "none"


# -- options -------------------------------------------------------------------------------------------------


def options() -> Iterator[str]:
    """The table of all fields of ``Config``."""
    texts = parameters(
        griffe.load("discordha.config", search_paths=[str(ROOT)], docstring_parser="sphinx")["Config"]
    )
    yield "| option | type | default | environment | meaning |"
    yield "|---|---|---|---|---|"
    for field in dataclasses.fields(Config):
        if field.name == "client_options":
            continue  # they have a section of their own
        default = "required" if field.default is dataclasses.MISSING else f"`{field.default!r}`"
        kind = str(field.type).replace("|", "or")
        variable = f"`DISCORDHA_{field.name.upper()}`" + (" or `BOT_TOKEN`" if field.name == "token" else "")
        yield f"| `{field.name}` | {kind} | {default} | {variable} | {line(texts[field.name])} |"
    yield ""


def parameters(thing: griffe.Object | griffe.Alias) -> dict[str, str]:
    """The text of each parameter in a docstring."""
    found: dict[str, str] = {}
    for section in thing.docstring.parsed if thing.docstring else ():
        if section.kind is griffe.DocstringSectionKind.parameters:
            found.update({each.name: each.description for each in section.value})
    return found


def line(text: str) -> str:
    """A docstring's text as one line of Markdown."""
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


# -- the API -------------------------------------------------------------------------------------------------


def api() -> Iterator[str]:
    """All public names, with their docstrings."""
    for package in ("discordha", "discordha.ext.tasks", "discordha.testing"):
        module = griffe.load(
            package, search_paths=[str(ROOT)], docstring_parser="sphinx", resolve_aliases=True
        )
        names = exported(module)
        yield f"## {package}\n"
        for name in sorted(names, key=str.lower):
            if name == "__version__":
                continue
            thing = home(module, name)
            yield from describe(thing, name)


def exported(module: griffe.Object | griffe.Alias) -> list[str]:
    """The names in ``__all__``."""
    return [str(name) for name in module.exports or ()]


def home(module: griffe.Object | griffe.Alias, name: str) -> griffe.Object:
    """The definition of a name that other modules may re-export."""
    found = module[name]
    return found.final_target if isinstance(found, griffe.Alias) else found


def describe(thing: griffe.Object, name: str) -> Iterator[str]:
    """One function, class or value."""
    if isinstance(thing, griffe.Class):
        yield f"### {name}\n"
        yield from code(
            f"class {name}{signature(thing.parameters)}" if takes_arguments(thing) else f"class {name}"
        )
        yield from text(thing)
        for member in members(thing):
            if isinstance(member, griffe.Attribute):
                yield f"#### {name}.{member.name}\n"
            else:
                yield f"#### {name}.{member.name}()\n"
                yield from code(f"{member.name}{signature(member.parameters)}{returns(member)}")
            yield from text(member)
    elif isinstance(thing, griffe.Function):
        yield f"### {name}()\n"
        yield from code(f"{name}{signature(thing.parameters)}{returns(thing)}")
        yield from text(thing)
    else:
        yield f"### {name}\n"
        yield from text(thing)


def takes_arguments(kind: griffe.Class) -> bool:
    """Whether the docstring names arguments of the constructor."""
    return bool(parameters(kind))


def members(kind: griffe.Class) -> Iterator[griffe.Function | griffe.Attribute]:
    """The documented public methods and properties, also of this library's base classes."""
    seen: set[str] = set()
    for owner in (kind, *(base for base in kind.mro() if base.path.startswith("discordha."))):
        for found in owner.members.values():
            member = found.final_target if isinstance(found, griffe.Alias) else found
            if member.name in seen or member.name.startswith("_") or not member.docstring:
                continue
            if isinstance(member, griffe.Function | griffe.Attribute):
                seen.add(member.name)
                yield member


def signature(parameters: griffe.Parameters) -> str:
    """The parameters as source, without ``self``."""
    written: list[str] = []
    starred = False
    for each in parameters:
        if each.name in ("self", "cls"):
            continue
        prefix = ""
        if each.kind is griffe.ParameterKind.var_positional:
            prefix, starred = "*", True
        elif each.kind is griffe.ParameterKind.var_keyword:
            prefix = "**"
        elif each.kind is griffe.ParameterKind.keyword_only and not starred:
            written.append("*")
            starred = True
        kind = f": {each.annotation}" if each.annotation is not None else ""
        default = ""
        if each.default is not None and not prefix:
            default = f" = {each.default}" if kind else f"={each.default}"
        written.append(f"{prefix}{each.name}{kind}{default}")
    whole = f"({', '.join(written)})"
    return whole if len(whole) <= LONG else "(\n    " + ",\n    ".join(written) + ",\n)"


def returns(function: griffe.Function) -> str:
    """The result's type."""
    return f" -> {function.returns}" if function.returns is not None else ""


def code(source: str) -> Iterator[str]:
    """A block of Python."""
    yield f"```python\n{source}\n```\n"


def text(thing: griffe.Object) -> Iterator[str]:
    """A docstring as Markdown: its text, and lists of parameters, errors and result."""
    for section in thing.docstring.parsed if thing.docstring else ():
        kind = section.kind
        if kind is griffe.DocstringSectionKind.text:
            yield section.value.replace("``", "`") + "\n"
        elif kind is griffe.DocstringSectionKind.parameters:
            yield from (f"- `{each.name}`: {line(each.description)}" for each in section.value)
            yield ""
        elif kind is griffe.DocstringSectionKind.raises:
            yield from (f"- raises `{each.annotation}`: {line(each.description)}" for each in section.value)
            yield ""
        elif kind is griffe.DocstringSectionKind.returns:
            yield from (f"- returns {line(each.description)}" for each in section.value)
            yield ""


# -- pages ---------------------------------------------------------------------------------------------------

PAGES = {"events": events, "configuration": options, "api": api}


def main(arguments: list[str]) -> int:
    """Writes or checks the pages."""
    stale = []
    for name, write in PAGES.items():
        path = ROOT / "docs" / f"{name}.md"
        old = path.read_text(encoding="utf-8")
        above, mark, _ = old.partition(MARK)
        if not mark:
            raise SystemExit(f"docs/{name}.md lacks the line {MARK}")
        new = f"{above}{MARK}\n\n" + "\n".join(write()).rstrip() + "\n"
        if new != old:
            stale.append(path.name)
            if "--check" not in arguments:
                path.write_text(new, encoding="utf-8")
                print(f"wrote docs/{name}.md")
    if stale and "--check" in arguments:
        print(f"stale: {', '.join(stale)}; run make docs")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
