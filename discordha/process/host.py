"""The host's name, as a part of other names. No I/O beyond asking the system; any thread."""

from __future__ import annotations

import re
import socket

__all__ = ["host_name"]

#: Characters of a host's name that replica ids take over.
MAX_HOST = 63


def host_name() -> str:
    """The host's name in the characters that ``replica_id`` allows: hosts may be named otherwise."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname())[:MAX_HOST].strip("-._") or "replica"
