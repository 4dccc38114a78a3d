"""Owners' keys that this replica gives up.

Guarantees: a release that etcd has not answered is sent again, and its key is known here until a view shows
the key's end. A release may arrive long after its sender gave it up: a replica that took the key for owned
again would lose the guild, and notice it only when its watch tells.

Threads and locks: ``_lock`` guards ``_known`` and what it holds; no I/O under it. ``send`` and ``repeat``
block for a round trip; any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from discordha.coordination.etcd.group_commit import GroupCommit, Operation

__all__ = ["Release", "Releases"]


class Release:
    """One key that is given up.

    :param token: the key's create revision. The write must have it for a condition.
    :param make: makes the write, each time that it is sent.
    """

    def __init__(self, guild_id: int, token: int, make: Callable[[], Operation]) -> None:
        self.guild_id = guild_id
        self.token = token
        self.make = make
        self.under_way = False
        self.revision: int | None = None  # once etcd has answered


class Releases:
    """See the module."""

    def __init__(self, commit: GroupCommit) -> None:
        self._commit = commit
        self._lock = threading.Lock()
        self._known: dict[int, Release] = {}  # the last one of each guild: an older token's key is gone

    def add(self, releases: Sequence[Release]) -> None:
        """Makes keys known, before they are given up. Does not block."""
        with self._lock:
            for each in releases:
                each.under_way = True
                self._known[each.guild_id] = each

    def send(self, releases: Sequence[Release]) -> list[Operation]:
        """Gives known keys up; returns the writes with their answers, or errors."""
        operations: list[Operation] = []
        try:
            operations += [each.make() for each in releases]
            self._commit.execute(operations)
        finally:
            with self._lock:
                for each in releases:
                    each.under_way = False
                for each, operation in zip(releases, operations, strict=False):
                    if operation.result is not None:
                        each.revision = operation.result.revision
        return operations

    def repeat(self) -> None:
        """Sends again what etcd has not answered.

        :raises StoreUnavailable: etcd does not answer.
        """
        with self._lock:
            left = [each for each in self._known.values() if each.revision is None and not each.under_way]
            for each in left:
                each.under_way = True
        for operation in self.send(left):
            operation.value()

    def has(self, guild_id: int, token: int) -> bool:
        """Whether a key is being given up, or was. No I/O; any thread."""
        with self._lock:
            known = self._known.get(guild_id)
        return known is not None and known.token == token

    def forget(self, has_seen: Callable[[int], bool]) -> None:
        """Forgets the keys whose ends a view has seen. Does not block."""
        with self._lock:
            self._known = {
                guild_id: each
                for guild_id, each in self._known.items()
                if each.revision is None or not has_seen(each.revision)
            }
