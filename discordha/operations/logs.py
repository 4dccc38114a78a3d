"""Where a bot's log goes when its author set up none, and logs as JSON, one object a line, for those who
collect them.

    handler = logging.StreamHandler()
    handler.setFormatter(discordha.operations.logs.JsonFormatter(ha.replica_id))

Promises: one line an entry in the JSON form, whatever is in it. No token or password is ever logged by this
library, at any level.

Pure, but for ``log_to_stderr``; any thread.
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


def log_to_stderr(replica_id: str, environ: Mapping[str, str]) -> None:
    """A bot whose author set up no logging still says what it does: on standard error, from ``INFO`` on.

    ``DISCORDHA_LOG_LEVEL`` is another level, ``DISCORDHA_LOG_FORMAT=json`` makes it JSON. Does nothing where
    there is a set-up already.
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
    level = environ.get("DISCORDHA_LOG_LEVEL", "INFO").upper()
    log.setLevel(level if level in _LEVELS else "INFO")
    if wanted not in ("json", "text"):
        log.warning("DISCORDHA_LOG_FORMAT must be json or text, not %r", wanted)
    if level not in _LEVELS:
        log.warning("DISCORDHA_LOG_LEVEL must be one of %s, not %r", ", ".join(_LEVELS), level)
