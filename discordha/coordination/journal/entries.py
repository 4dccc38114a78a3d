"""Entries of the standby journal, and what etcd holds about them. No I/O, no threads."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.etcd.router import APART
from discordha.coordination.etcd.store import KeyValue
from discordha.coordination.membership.shard_keys import MAX_DIGITS, number_of
from discordha.coordination.partitions import UNPARTITIONED, Partitions

__all__ = [
    "NEVER",
    "UNDER_WAY",
    "UNSTARTED",
    "AttemptRecord",
    "EntryState",
    "JournalEntry",
    "JournalKeys",
    "JournalMark",
    "digest",
]

#: Later than any revision.
NEVER = 2**63
#: In place of a revision: that of a mark that was not seen.
UNKNOWN = -1
#: What the mark says of an entry that may have been handled before.
AGAIN = "again"
#: Stands before a position.
AT = "@"
_NUMBER = rf"[0-9]{{1,{MAX_DIGITS - 1}}}(?![^ ])"
#: The parts of a mark. What is none of them ends it; in place of a number it says nothing.
_MARK = re.compile(
    rf"""
    ([^ ]*)                                   # the writer
    (?:[ ](?:({_NUMBER})|[^ ]*))?             # a revision
    (?:[ ](?:({_NUMBER})|([^ ]*)))?           # that of the session's begin, or that it is unknown
    (?:[ ](?:({_NUMBER})|[^ ]*))?             # the sequence number
    (?:([ ]{AGAIN})(?![^ ])(?:[ ]({_NUMBER}))?)?   # of a second run, perhaps; the doubt
    (?:[ ]{AT}([0-9]{{1,{MAX_DIGITS - 1}}}[.]{_NUMBER}))?  # the position
    """,
    re.VERBOSE,
)


class JournalKeys:
    """Where the keys of journals lie in etcd, below ``root``. A guild's are in its partition, and those of a
    shard's questions in one of its guilds': so the watch tells them in their order. Any thread.

    :param partitions: the bot's, as they are now.
    """

    def __init__(self, root: str, partitions: Callable[[], Partitions] = lambda: UNPARTITIONED) -> None:
        self.root = root
        self._partitions = partitions
        self._apart = root + APART[0]  # a partition's name begins with the other character

    def of(self, kind: str, name: str) -> str:
        """The key of that kind of a name, which begins with the guild."""
        partitions = self._partitions()
        if not partitions:
            return f"{self.root}{kind}/{name}"
        return f"{self._apart}{partitions.of(int(name.partition('/')[0]))}{kind}/{name}"

    def of_shard(self, kind: str, shard: int) -> str:
        """What the keys of that kind of a shard begin with, by its key."""
        partitions = self._partitions()
        if not partitions:
            return f"{self.root}{kind}/{shard}/"
        return f"{self._apart}{partitions.of(number_of(shard) << 22)}{kind}/{shard}/"

    def plain(self, kv: KeyValue) -> KeyValue:
        """The same without the partition."""
        cut = len(self.root)
        if not kv.key.startswith(APART, cut):
            return kv
        return kv._replace(key=self.root + kv.key[kv.key.find("/", cut) + 1 :])


class JournalMark(NamedTuple):
    """The value of a mark."""

    writer: str
    revision: int  # one that is older than the event
    session: int  # when the gateway session began in which its writer received the event
    number: int  # the writer's sequence number: orders the marks of one transaction
    again: bool = False  # perhaps a second run: an earlier leader may have handled the event
    written: int = 0  # the revision of the mark itself
    doubt: int = 0  # see ``JournalEntry.doubt``
    position: str = ""  # see ``Positions``

    @classmethod
    def parse(cls, value: bytes, written: int = 0) -> JournalMark:
        """Reads the stored form. A missing part says nothing."""
        found = _MARK.match(value.decode(errors="replace"))
        assert found is not None  # each part may be missing
        writer, revision, session, odd, number, again, doubt, position = found.groups("0")
        began = int(session) if odd == "0" else NEVER
        at = "" if position == "0" else position
        return cls(writer, int(revision), began, int(number), again != "0", written, int(doubt), at)

    @staticmethod
    def of(entry: JournalEntry, writer: str) -> bytes:
        """The stored form of an entry's mark."""
        session = "-" if entry.began is None else entry.began
        said = f"{writer} {entry.revision} {session} {entry.sequence}"
        if entry.ambiguous:
            said += f" {AGAIN} {entry.doubt}"
        if entry.position:
            said += f" {AT}{entry.position}"
        return said.encode()


class AttemptRecord(NamedTuple):
    """The value of ``ja/<guild>/<digest>/<n>``: how often an event was started, and by which replica last."""

    attempt: int
    event: str
    payload: str | None
    replica: str | None = None

    @classmethod
    def parse(cls, value: bytes) -> AttemptRecord | None:
        """Reads the stored form; ``None`` when something else wrote the key."""
        try:
            data = json.loads(value)
            payload, replica = data.get("payload"), data.get("replica")
            if not (payload is None or isinstance(payload, str)):
                return None
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


#: States of entries that have not begun here.
UNSTARTED = (EntryState.HELD, EntryState.QUEUED)
#: States of entries that run here, or wait for their mark.
UNDER_WAY = (EntryState.RUNNING, EntryState.FINISHED)


@dataclass(slots=True, eq=False)
class JournalEntry:
    """One event in the journal. Whoever runs it subclasses this."""

    key: str  # name and identity: equal events have equal keys
    lane: str
    sequence: int  # grows in the order of the gateway
    received_at: float  # monotonic seconds
    revision: int = 0  # one of etcd that is older than the event
    payload: str | None = None
    partition: str | None = None  # the event's guild
    event_name: str = ""
    name: str = ""  # its keys in etcd end with it
    position: str = ""  # see ``Positions``
    state: EntryState = EntryState.HELD
    replayed: bool = False  # an earlier leader may have begun it
    ambiguous: bool = False  # an earlier leader may have handled it
    doubt: int = 0  # the first mark of a second run that it is in doubt of, where there are no other doubts
    passed_over: bool = False  # an entry behind it in its lane is done
    refused: bool = False  # finished here, but its mark was refused
    attempt: int = 1
    unstarted: int = 0  # an attempt that may have been noted, and was not made
    failures: int = 0  # how often noting an attempt failed for a reason that nobody foresaw
    occurrence: int = 0  # the version that its mark will get
    epoch: int = 0  # see ``MarkEpochs``
    leadership: LeaderTerm | None = None  # under which it was begun
    carry: int = 0  # revision of its carry key
    refused_carry: int = 0  # that of the carry under which etcd refused its mark
    began: int | None = None  # when the gateway session began that received it; set with its mark

    def __post_init__(self) -> None:
        self.event_name = self.key.partition("/")[0]
        self.name = digest(self.key)
        if self.partition is not None:
            self.name = f"{self.partition}/{self.name}"

    @property
    def is_late(self) -> bool:
        """Whether others go first: never."""
        return False

    @property
    def guild(self) -> str | None:
        """The guild in which it happened, if any."""
        return None

    @property
    def lost(self) -> bool:
        """Whether the replica that runs it may have lost it. No I/O; any thread."""
        leadership = self.leadership
        if leadership is None or not leadership.grant.alive:
            return True
        return not leadership.alive and not self.carry
