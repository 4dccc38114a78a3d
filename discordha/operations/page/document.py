"""The page as one HTML document, with its style and its script in it, and the headers that go with it.

Guarantees: the document asks for nothing from elsewhere, and its content security policy lets it ask only
its own server. Neither markup nor script from data can run: the policy names the digest of the one script
and of the one style. No I/O after the import of the files; no threads.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import NamedTuple

__all__ = ["Document", "document"]


class Document(NamedTuple):
    """The page, and its headers."""

    body: bytes
    headers: dict[str, str]


@cache
def document() -> Document:
    """Reads the files of the package, once."""
    files = resources.files(__package__)
    page, style, script = ((files / f"page.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
    body = page.replace("/* STYLE */", style).replace("/* SCRIPT */", script)
    policy = "; ".join((
        "default-src 'none'",
        f"style-src '{_digest(style)}'",
        f"script-src '{_digest(script)}'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ))  # fmt: skip
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    return Document(body.encode(), headers)


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
