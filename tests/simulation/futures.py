"""The futures that the library gets, see ``loading``."""

from __future__ import annotations

from typing import Any

from discordha.gateway import core

__all__ = ["CancelledError", "Future"]

CancelledError: Any = core.CancelledError
Future: Any = core.Future
