"""Entries of the standby journal, and the values that etcd holds about them. No I/O, no threads."""

from __future__ import annotations

import enum
import json
from hashlib import blake2b
from typing import NamedTuple

from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.membership.shard_keys import is_number

__all__ = ["NEVER", "AttemptRecord", "EntryState", "JournalEntry", "JournalMark", "digest"]

#: Later than any revision.
NEVER = 2**63


class JournalMark(NamedTuple):
    """The value of a mark.

    :param writer: the replica that handled the event.
    :param revision: one that is older than the event.
    :param session: when the gateway session began in which the writer received it.
    :param number: orders the marks of one transaction: its writer's sequence number.
    """

    writer: str
    revision: int
    session: int
    number: int

    @classmethod
    def parse(cls, value: bytes) -> JournalMark:
        """Reads the stored form. A missing part says nothing."""
        writer, *said = value.decode(errors="replace").split(" ")
        revision, session, number = (int(n) if is_number(n) else None for n in (*said, "0", "0", "0")[:3])
        return cls(writer, revision or 0, NEVER if session is None else session, number or 0)

    @staticmethod
    def of(entry: JournalEntry, writer: str) -> bytes:
        """The stored form of an entry's mark."""
        session = "-" if entry.began is None else entry.began
        return f"{writer} {entry.revision} {session} {entry.sequence}".encode()


class AttemptRecord(NamedTuple):
    """The value of ``ja/<guild>/<digest>/<n>``: how often an event has been started.

    :param replica: the one that noted it.
    """

    attempt: int
    event: str
    payload: str | None
    replica: str | None = None

    @classmethod
    def parse(cls, value: bytes) -> AttemptRecord | None:
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
    QUEUED = "queued"  # in its lane, to be run
    RUNNING = "running"
    FINISHED = "finished"  # its mark is on the way
    GONE = "gone"


class JournalEntry:
    """One event in the journal. Whoever runs it subclasses this.

    :param key: name and identity of the event: equal events have equal keys.
    :param lane: entries of one lane run in order.
    :param sequence: grows in the order of the gateway.
    :param received_at: monotonic seconds.
    :param revision: one of etcd that is older than the event (``Event.acknowledged_revision``).
    :param payload: kept for a dead letter.
    :param partition: the event's guild.
    """

    __slots__ = (
        "ambiguous",
        "attempt",
        "began",
        "carry",
        "digest",
        "event_name",
        "key",
        "lane",
        "leadership",
        "name",
        "occurrence",
        "passed_over",
        "payload",
        "received_at",
        "refused",
        "replayed",
        "revision",
        "sequence",
        "state",
        "unstarted",
    )

    def __init__(
        self,
        key: str,
        lane: str,
        *,
        sequence: int,
        received_at: float,
        revision: int = 0,
        payload: str | None = None,
        partition: str | None = None,
    ) -> None:
        self.key = key
        self.event_name = key.partition("/")[0]
        self.digest = digest(key)
        self.name = self.digest if partition is None else f"{partition}/{self.digest}"  # its keys end with it
        self.lane = lane
        self.sequence = sequence
        self.received_at = received_at
        self.revision = revision
        self.payload = payload
        self.state = EntryState.HELD
        self.replayed = False  # an earlier leader may have begun it
        self.ambiguous = False  # an earlier leader may have handled it
        self.passed_over = False  # an entry behind it in its lane is done
        self.refused = False  # finished here, but its mark was refused
        self.attempt = 1
        self.unstarted = 0  # an attempt that may have been noted, and was not made
        self.occurrence = 0  # the version that its mark will get
        self.leadership: LeaderTerm | None = None  # under which it was begun
        self.carry = 0  # revision of its carry key
        self.began: int | None = None  # when the gateway session began that received it; set with its mark

    @property
    def lost(self) -> bool:
        """Whether the replica that runs it may have lost it. No I/O; any thread."""
        leadership = self.leadership
        if leadership is None or not leadership.grant.alive:
            return True
        return not leadership.alive and not self.carry
