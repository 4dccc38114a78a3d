"""The default log of a bot whose author set up none, and a formatter for logs as JSON, one object a line.

    handler = logging.StreamHandler()
    handler.setFormatter(discordha.operations.logs.JsonFormatter(ha.replica_id))

Guarantees: each entry takes one line of JSON. This library never logs a token or a password, at any level.

Threads and locks: no state; any thread.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from discordha.context import current_event

__all__ = ["JsonFormatter", "log_to_stderr"]

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class JsonFormatter(logging.Formatter):
    """Formats time, level, logger, message, replica, and the event that the logging thread handles.

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


def log_to_stderr(replica_id: str, environ: Mapping[str, str]) -> None:
    """Logs to standard error from ``INFO`` on, unless logging is set up already. ``DISCORDHA_LOG_LEVEL`` sets
    another level, ``DISCORDHA_LOG_FORMAT=json`` the JSON form. What the author's views and modals raise is
    logged, too: discord.py's loggers are silent otherwise.
    """
    log = logging.getLogger("discordha")
    if logging.getLogger().handlers or log.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    wanted = environ.get("DISCORDHA_LOG_FORMAT", "text").lower()
    if wanted == "json":
        handler.setFormatter(JsonFormatter(replica_id))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    log.addHandler(handler)
    logging.getLogger("discord.ui").addHandler(handler)
    level = environ.get("DISCORDHA_LOG_LEVEL", "INFO").upper()
    log.setLevel(level if level in _LEVELS else "INFO")
    if wanted not in ("json", "text"):
        log.warning("DISCORDHA_LOG_FORMAT must be json or text, not %r", wanted)
    if level not in _LEVELS:
        log.warning("DISCORDHA_LOG_LEVEL must be one of %s, not %r", ", ".join(_LEVELS), level)
