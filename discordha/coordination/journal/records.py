"""What etcd holds of the entries of a journal besides their marks: which replica still runs what (carries),
and how often what has been started (attempts). No I/O, no threads, no lock of its own.

Promises: follows the watch; a key that something else wrote there is ignored, with a warning.

Concurrency: ``Journal`` calls everything here under its lock.
"""

from __future__ import annotations

import logging

from discordha.coordination.etcd.store import KeyValue
from discordha.coordination.journal.entries import Attempted
from discordha.coordination.membership.shard_keys import is_number

__all__ = ["Records"]

_log = logging.getLogger(__name__)

#: An entry's name and occurrence.
At = tuple[str, int]


class Records:
    """See the module.

    :param carries: prefix of the keys that say who still runs what.
    :param attempts: prefix of the keys that count attempts.
    """

    def __init__(self, carries: str, attempts: str) -> None:
        self._carries_at = carries
        self._attempts_at = attempts
        self.carried: dict[At, str] = {}  # the replica
        self.attempts: dict[At, Attempted] = {}

    def clear(self) -> None:
        """A snapshot follows."""
        self.carried.clear()
        self.attempts.clear()

    def apply(self, kind: str, kv: KeyValue) -> bool:
        """A key was put or deleted, of these or others; true when a carry is gone."""
        if kv.key.startswith(self._carries_at):
            at = _at(kv.key, self._carries_at)
            if at is None:
                return False
            if kind == "delete":
                return self.carried.pop(at, None) is not None
            self.carried[at] = kv.value.decode(errors="replace")
        elif kv.key.startswith(self._attempts_at):
            at = _at(kv.key, self._attempts_at)
            if at is not None:
                self._apply_attempt(kind, at, kv)
        return False

    def _apply_attempt(self, kind: str, at: At, kv: KeyValue) -> None:
        if kind == "delete":
            self.attempts.pop(at, None)
            return
        record = Attempted.parse(kv.value)
        if record is None:
            _log.warning("the key %s holds no attempts: ignored", kv.key)
        else:
            self.attempts[at] = record


def _at(key: str, prefix: str) -> At | None:
    name, _, number = key[len(prefix) :].rpartition("/")
    return (name, int(number)) if is_number(number) else None
