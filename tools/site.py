"""Builds the docs as a site, in build/site: strictly, and so that no page fetches anything from elsewhere.

    python tools/site.py

The pages are those of docs/, with the changelog and CONTRIBUTING.md. Links to examples and tests lead to
copies. Mermaid comes from the npm registry, by ``npm pack``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES, SITE = ROOT / "build/site-pages", ROOT / "build/site"
#: Pages that lie beside docs/.
BESIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
MERMAID = "12.3.0"
#: A link out of docs/, and one of a page beside it into docs/.
_UP = re.compile(r"\]\(\.\./([^)#]+)(#[^)]*)?\)")
_DOWN = re.compile(r"\]\(docs/")
#: What would be fetched from elsewhere.
_FETCHED = re.compile(
    r"<(?:script|img|iframe|source)[^>]+src=[\"']?(?:https?:)?//|<link[^>]+rel=[\"']?(?:stylesheet|preconnect|preload)[^>]+href=[\"']?(?:https?:)?//"
)


def main() -> None:
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(ROOT / "docs", PAGES)
    for name in BESIDE:
        text = (ROOT / name).read_text()
        text = _DOWN.sub("](", re.sub(r"\]\((?=examples/|LICENSE)", "](../", text))
        (PAGES / name).write_text(text)
    for page in PAGES.glob("*.md"):
        page.write_text(_UP.sub(lambda link: inside(link[1], link[2] or ""), page.read_text()))
    assets = PAGES / "assets"
    assets.mkdir()
    mermaid(assets)
    os.environ["NO_MKDOCS_2_WARNING"] = "1"
    subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict"], cwd=ROOT, check=True)
    fetched = [page.name for page in SITE.rglob("*.html") if _FETCHED.search(page.read_text())]
    if fetched:
        raise SystemExit(f"these pages fetch something from elsewhere: {fetched}")
    print(f"{SITE.relative_to(ROOT)}/index.html: {len(list(SITE.rglob('*.html')))} pages")


def inside(path: str, anchor: str) -> str:
    """The link to a copy of a file or folder of the project, as a page of the site."""
    if path in BESIDE:
        return f"]({path}{anchor})"
    source = ROOT / path
    files = [source] if source.is_file() else sorted(file for file in source.rglob("*") if file.is_file())
    files = [
        file
        for file in files
        if file.suffix in {".py", ".yaml", ".service", ".tpl", ".json", ".txt", ".md", ""}
    ]
    name = "source-" + path.strip("/").replace("/", "-").replace(".", "-") + ".md"
    parts = [f"# {path}"]
    for file in files:
        language = {".py": "python", ".yaml": "yaml", ".tpl": "yaml", ".json": "json"}.get(
            file.suffix, "text"
        )
        parts += [f"## {file.relative_to(ROOT)}", f"````{language}\n{file.read_text().rstrip()}\n````"]
    (PAGES / name).write_text("\n\n".join(parts) + "\n")
    return f"]({name})"


def mermaid(assets: Path) -> None:
    """Puts mermaid's script and its licence among the assets."""
    kept = ROOT / f"build/mermaid-{MERMAID}.tgz"
    if not kept.exists():
        subprocess.run(
            ["npm", "pack", f"mermaid@{MERMAID}", "--silent", "--pack-destination", str(kept.parent)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    with tarfile.open(kept) as archive:
        for member, name in (
            ("package/dist/mermaid.min.js", "mermaid.min.js"),
            ("package/LICENSE", "mermaid-LICENSE.txt"),
        ):
            content = archive.extractfile(member)
            assert content is not None
            (assets / name).write_bytes(content.read())


if __name__ == "__main__":
    main()
