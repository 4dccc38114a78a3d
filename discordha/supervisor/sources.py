"""The bot's files, for ``discordha run --watch``: whether one of them has changed.

Guarantees: looks at times and sizes only; a change counts once it has settled for one look, so that an
editor that saves several files causes one reload. Threads and locks: none; a look takes milliseconds for
some hundred files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Sources"]

_SUFFIXES = (".py", ".json", ".toml", ".yaml", ".yml", ".env")
_SKIPPED = {"__pycache__", "node_modules", "site-packages"}
#: Files looked at, at the most: a bot in a home folder must not read all of it.
_MOST = 5_000


class Sources:
    """The files below some folders; hidden folders and virtual environments are left out."""

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._known = self._stamps()
        self._last = self._known

    def changed(self) -> bool:
        """Whether files have changed since the last time that this said so, and nothing has since the last
        look.
        """
        now = self._stamps()
        settled = now == self._last
        self._last = now
        if now == self._known or not settled:
            return False
        self._known = now
        return True

    def _stamps(self) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for path in self._files():
            try:
                status = os.stat(path)
            except OSError:
                continue
            found[path] = status.st_mtime_ns, status.st_size
            if len(found) >= _MOST:
                break
        return found

    def _files(self) -> Iterator[str]:
        for folder in self._folders:
            for root, folders, names in os.walk(folder):
                folders[:] = [
                    name
                    for name in folders
                    if not name.startswith(".")
                    and name not in _SKIPPED
                    and not os.path.exists(os.path.join(root, name, "pyvenv.cfg"))
                ]
                yield from (os.path.join(root, name) for name in names if name.endswith(_SUFFIXES))
