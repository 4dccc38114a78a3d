"""What the standby journal holds: entries, and what etcd says of those that were run again. No I/O, no
threads.
"""

from __future__ import annotations

import enum
import json
from hashlib import blake2b
from typing import Any, NamedTuple

from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.membership.shard_keys import is_number

__all__ = ["NEVER", "Attempted", "Entry", "EntryState", "Mark", "digest"]

#: Later than any revision.
NEVER = 2**63


class Mark(NamedTuple):
    """What a mark says. ``revision``: one that is older than its event; ``session``: when the gateway session
    began in which its writer received it; ``number``: how many its writer had received by then, which orders
    the marks of one transaction.
    """

    writer: str
    revision: int
    session: int
    number: int

    @classmethod
    def parse(cls, value: bytes) -> Mark:
        """Reads the stored form. What is missing says nothing."""
        writer, *said = value.decode(errors="replace").split(" ")
        revision, session, number = (int(n) if is_number(n) else None for n in (*said, "0", "0", "0")[:3])
        return cls(writer, revision or 0, NEVER if session is None else session, number or 0)

    @staticmethod
    def of(entry: Entry, writer: str) -> bytes:
        """The stored form of an entry's."""
        session = "-" if entry.began is None else entry.began
        return f"{writer} {entry.revision} {session} {entry.number}".encode()


class Attempted(NamedTuple):
    """What ``ja/<shard>/<digest>/<n>`` says: how often an event has been started."""

    attempt: int
    event: str
    payload: str | None
    replica: str | None = None  # who wrote it

    @classmethod
    def parse(cls, value: bytes) -> Attempted | None:
        """Reads the stored form; ``None`` when something else wrote the key."""
        try:
            data = json.loads(value)
            payload = data.get("payload")
            if not (payload is None or isinstance(payload, str)):
                return None
            replica = data.get("replica")
            known = replica if isinstance(replica, str) else None
            return cls(int(data["attempt"]), str(data["event"]), payload, known)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return None


def digest(key: str) -> str:
    """The name under which equal events are counted."""
    return blake2b(key.encode(), digest_size=12).hexdigest()


class EntryState(enum.Enum):
    """Where an entry is."""

    HELD = "held"  # kept for the case that this replica leads
    QUEUED = "queued"  # given to the owner, to be run
    RUNNING = "running"
    FINISHED = "finished"  # its mark is on the way
    GONE = "gone"


class Entry:
    """One event in the journal. ``item`` is the owner's; ``name`` is what its keys end with."""

    __slots__ = (
        "attempt",
        "began",
        "carry",
        "digest",
        "doubtful",
        "item",
        "key",
        "lane",
        "leadership",
        "name",
        "number",
        "occurrence",
        "passed_over",
        "payload",
        "received_at",
        "refused",
        "replayed",
        "revision",
        "state",
        "unstarted",
    )

    def __init__(  # noqa: PLR0917
        self,
        key: str,
        lane: str,
        item: Any,
        payload: str | None,
        received_at: float,
        partition: str | None = None,
    ) -> None:
        self.key = key
        self.digest = digest(key)
        self.name = self.digest if partition is None else f"{partition}/{self.digest}"
        self.lane = lane
        self.item = item
        self.payload = payload
        self.received_at = received_at
        self.state = EntryState.HELD
        self.replayed = False
        self.doubtful = False  # replayed, and perhaps handled before
        self.passed_over = False  # what stood behind it in its lane is done
        self.refused = False  # finished here, but its mark was refused
        self.attempt = 1
        self.unstarted = 0  # an attempt that may have been noted, and was not made
        self.occurrence = 0
        self.leadership: LeaderTerm | None = None
        self.carry = 0  # revision of its carry key
        self.revision = 0  # one that is older than its event
        self.number = 0  # of those that were received here
        self.began: int | None = (
            None  # the revision of the session in which it was received; when it is marked
        )

    @property
    def lost(self) -> bool:
        """Whether the replica that runs it may not own it any more. No I/O; any thread."""
        leadership = self.leadership
        if leadership is None or not leadership.grant.alive:
            return True
        return not leadership.alive and not self.carry
