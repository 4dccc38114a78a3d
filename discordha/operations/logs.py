"""Logs as JSON, one object a line, for those who collect them.

    handler = logging.StreamHandler()
    handler.setFormatter(discordha.operations.logs.JsonFormatter(ha.replica_id))

Pure; any thread.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from discordha.context import current_event

__all__ = ["JsonFormatter"]


class JsonFormatter(logging.Formatter):
    """Time, level, logger, message, replica, and the event that the logging thread handles.

    :param replica_id: the replica's name, in every line.
    """

    def __init__(self, replica_id: str = "") -> None:
        super().__init__()
        self._replica_id = replica_id

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "replica": self._replica_id,
        }
        event = current_event()
        if event is not None:
            entry.update(event=event.name, identity=event.identity, attempt=event.attempt)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)
