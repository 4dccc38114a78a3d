"""Traces and metrics by OpenTelemetry's API, with ``telemetry=True``.

The names and attributes of spans belong here, and the instruments of metrics. When a span begins and ends
does not: the rooms that work events say so. Every room above ``coordination`` may import this package. Only
``spans`` and ``meters``, and ``gateway.spans`` for requests to Discord, import OpenTelemetry, and nothing
imports them while telemetry is off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from discordha.errors import ConfigError

if TYPE_CHECKING:
    from discordha.telemetry.spans import EventTrace, Telemetry

__all__ = ["EventTrace", "Telemetry", "make_telemetry"]


def make_telemetry(enabled: bool, replica_id: str) -> Telemetry | None:
    """What makes a replica's spans and metrics; ``None``: it makes none.

    :raises ConfigError: OpenTelemetry's API is not installed.
    """
    if not enabled:
        return None
    try:
        from discordha.telemetry.spans import Telemetry
    except ImportError as error:
        raise ConfigError(
            f"telemetry needs OpenTelemetry's API ({error}): pip install 'discordha[otel]'"
        ) from None
    return Telemetry(replica_id)
