"""The futures that the library gets, see ``loading``."""

from __future__ import annotations

from discordha.leader.catch_up import Future

__all__ = ["Future"]
