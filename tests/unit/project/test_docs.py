"""The pages lead to each other, and to files, tests, make targets and names that are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from discordha import __version__

ROOT = Path(__file__).parents[3]
DOCS = sorted((ROOT / "docs").glob("*.md"))
FRONT = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
PAGES = [*FRONT, *DOCS]
#: The changelog names modules that were there once.
CURRENT = [page for page in PAGES if page.name != "CHANGELOG.md"]
LINK = re.compile(r"\]\(([^)#:\s]*)(?:#([^)]*))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
TEST = re.compile(r"(?<![\w/])(test_\w+\.py)\b")
FUNCTION = re.compile(r"(?<!\w)(test_\w+)(?![\w.])")
PATH = re.compile(r"(?<![\w/.-])(?:discordha|tests|tools|examples|docs)/[\w./<>*-]*")
WORD = r"(?:[a-z][a-z-]*|[A-Z_]+=\S+)"
MAKE = re.compile(rf"(?:^|[`;&] *|\$ )make ({WORD}(?: {WORD})*)", re.MULTILINE)
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)


def anchor(title: str) -> str:
    """A heading's address on the page."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def code(page: Path) -> Iterator[str]:
    """All that a page marks as code: blocks, and what stands between backticks."""
    text = page.read_text(encoding="utf-8")
    yield from FENCE.findall(text)
    yield from INLINE.findall(FENCE.sub("", text))


def paths(page: Path) -> set[str]:
    """The paths of this repository that a page names as code."""
    return {found.rstrip(".") for text in code(page) for found in PATH.findall(text)}


def is_there(path: str) -> bool:
    """Whether a path leads to a file or folder; ``<room>`` stands for any name, as ``*`` does."""
    pattern = re.sub(r"<[^>]*>", "*", path).rstrip("/")
    return any(ROOT.glob(pattern)) if pattern else False


def names(page: Path) -> str:
    """The identifier of a parametrized test."""
    return page.name


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target, fragment in LINK.findall(page.read_text(encoding="utf-8")):
        path = page.parent / target if target else page
        if not path.exists():
            broken.append(target)
        elif fragment and fragment not in map(anchor, HEADING.findall(path.read_text(encoding="utf-8"))):
            broken.append(f"{target}#{fragment}")
    assert not broken


@pytest.mark.parametrize("page", CURRENT, ids=names)
def test_every_path_that_is_named_is_there(page: Path) -> None:
    assert not [path for path in sorted(paths(page)) if not is_there(path)]


def test_a_path_that_is_missing_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "See `discordha/no/such.py`, `tests/unit/<room>/`, `/discordha/v1/<name>/` and\n"
        "```\npytest tests/unit/nowhere -q\n```\n",
        encoding="utf-8",
    )
    assert {path for path in paths(page) if not is_there(path)} == {
        "discordha/no/such.py",
        "tests/unit/nowhere",
    }
    assert "tests/unit/<room>/" in paths(page)


@pytest.mark.parametrize("page", CURRENT, ids=names)
def test_every_test_that_is_named_is_there(page: Path) -> None:
    files = {path.name: path for path in (ROOT / "tests").rglob("test_*.py")}
    functions = {
        name
        for path in files.values()
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    text = "\n".join(INLINE.findall(FENCE.sub("", page.read_text(encoding="utf-8"))))
    assert not set(TEST.findall(text)) - files.keys()
    assert not set(FUNCTION.findall(text)) - functions - {name.removesuffix(".py") for name in files}


@pytest.mark.parametrize("page", CURRENT, ids=names)
def test_every_make_target_that_is_named_is_there(page: Path) -> None:
    targets = set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    named = {
        word
        for text in code(page)
        for command in MAKE.findall(f"`{text}")
        for word in command.split()
        if "=" not in word
    }
    assert not named - targets


def test_every_page_is_reached_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    reached = {target for target, _ in LINK.findall(readme)}
    assert not {str(page.relative_to(ROOT)) for page in PAGES[1:]} - reached


def test_the_changelog_knows_this_version() -> None:
    versions = re.findall(
        r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert __version__ in versions
    assert versions == sorted(versions, key=lambda version: [*map(int, version.split("."))], reverse=True)


def test_every_room_is_on_the_map() -> None:
    package = ROOT / "discordha"
    rooms = {
        f"discordha/{path.parent.relative_to(package)}/"
        for path in package.rglob("__init__.py")
        if path.parent != package
    }
    assert not rooms - paths(ROOT / "CONTRIBUTING.md")


def test_each_change_request_names_one_folder_and_at_most_two_modules() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    _, _, section = text.partition("## To change X, go to Y")
    rows = re.findall(r"^\| (?!To change|---)(.+?) \| (.+?) \|$", section.partition("\n## ")[0], re.MULTILINE)
    assert len(rows) >= 20
    for change, where in rows:
        modules = [found for found in PATH.findall(where) if found.endswith(".py")]
        assert 1 <= len(modules) <= 2, change
        assert len({Path(module).parent for module in modules}) == 1, change


def test_pre_commit_runs_what_make_lint_and_make_typecheck_run() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    wanted = []
    for target in ("lint", "typecheck"):
        found = re.search(rf"^{target}:.*\n((?:\t.*\n?)+)", makefile, re.MULTILINE)
        assert found is not None
        wanted += [line.strip().removeprefix("$(BIN)/") for line in found[1].splitlines()]
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert {repository["repo"] for repository in config["repos"]} == {"local"}
    assert [hook["entry"].removeprefix(".venv/bin/") for hook in hooks] == wanted
    assert not any(hook["pass_filenames"] for hook in hooks)
