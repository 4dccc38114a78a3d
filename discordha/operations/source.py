"""What health checks and metrics read of a replica."""

from __future__ import annotations

from typing import Any, Protocol

from discordha.stats import Stats

__all__ = ["Source"]


class Source(Protocol):
    """A running replica. Both may be asked by any thread, and neither blocks."""

    stats: Stats

    def status(self) -> dict[str, Any]:
        """State, reasons for not being ready, session, watch, gateway, queue, leaders."""
