"""What claims consist of: requests, answers, and their form in etcd. No I/O, no threads."""

from __future__ import annotations

import enum
import json
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from discordha.coordination.etcd.store import KeyValue, RequestRefused

__all__ = [
    "ASIDE",
    "MAX_PAYLOAD",
    "Attempts",
    "Claim",
    "ClaimListener",
    "ClaimRequest",
    "Done",
    "Held",
    "Hint",
    "Ownership",
    "held_by",
    "is_aside",
    "marked_at",
    "parse_claim",
    "traceparent_of",
    "value_of",
]

#: Larger payloads of events are not kept for takeovers and dead letters, bytes.
MAX_PAYLOAD = 256 * 1024


#: A claim that fails for no reason that this library knows is tried again so often.
MAX_FAILURES = 5
#: Ends the claim of an event whose handler waits. Versions that do not know it ignore it.
ASIDE = b"aside"
#: No readable claim has more words, even with spaces in the replica's name.
MAX_WORDS = 64


class Hint(enum.Enum):
    """The state of an event as far as this replica knows."""

    UNKNOWN = "unknown"
    RUNNING = "running"
    DONE = "done"


class Held(NamedTuple):
    """Another replica owns the event.

    :param lease: that of its session; 0 when unknown.
    :param aside: whether its handler waits, and holds up no younger event.
    """

    replica: str
    attempt: int
    revision: int
    lease: int = 0
    traceparent: str | None = None
    aside: bool = False


class Done(NamedTuple):
    """The event is finished, or ``buried`` as a dead letter."""

    buried: bool = False


class Attempts(NamedTuple):
    """The record ``a/<key>`` of an event that was taken over.

    :param attempt: how often the event was claimed.
    :param begun: how many of these attempts may have begun to run. ``None``, as older versions leave it: all.
    :param revision: of the record's last write; 0 if there is none.
    :param replica: who made the attempt, under the session's ``lease``; ``None`` if an operator wrote it, or
        the attempt has ended.
    """

    attempt: int
    payload: str | None
    shard_id: int
    history: tuple[str, ...]
    traceparent: str | None = None
    begun: int | None = None
    revision: int = 0
    replica: str | None = None
    lease: int = 0

    @property
    def runs(self) -> int:
        """How many attempts may have begun to run."""
        return self.attempt if self.begun is None else self.begun

    @classmethod
    def parse(cls, value: bytes, revision: int = 0) -> Attempts | None:
        """Reads the stored form; ``None`` if something else wrote the key."""
        try:
            data = json.loads(value)
            payload = data.get("payload")
            if not (payload is None or isinstance(payload, str)):
                return None
            return cls(
                int(data["attempt"]),
                payload,
                int(data.get("shard", 0)),
                tuple(str(line) for line in data.get("history", ())),
                str(data.get("trace") or "") or None,
                int(data["begun"]) if "begun" in data else None,
                revision,
                str(data.get("replica") or "") or None,
                int(data.get("lease", 0)),
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return None


class ClaimRequest(NamedTuple):
    """One event to claim.

    :param key: event name and identity, such as ``message/123``.
    :param attempt: 1 for an event that nobody is known to have started.
    :param payload: the gateway's text, kept in etcd from the second attempt on; empty to keep none.
    :param failures: how often the claim has failed for a reason that nobody foresaw.
    :param refused: why etcd takes no claim of the event, which becomes a dead letter instead.
    :param recorded: keep the payload and count the attempts from the first on: no replica receives the event
        again once all have ended.
    :param traceparent: the context of the attempt's trace, kept with it for the next attempt.
    :param found: the record in etcd, if it was newer than what the watch had shown.
    """

    key: str
    attempt: int = 1
    payload: str | None = None
    shard_id: int = 0
    failures: int = 0
    refused: str | None = None
    recorded: bool = False
    traceparent: str | None = None
    found: Attempts | None = None

    def after(self, error: Exception) -> ClaimRequest | None:
        """What to ask for once a claim has failed for its contents: the claim without its payload, then a
        dead letter; ``None`` if that fails, too.
        """
        if not isinstance(error, RequestRefused) and self.failures < MAX_FAILURES:
            return self._replace(failures=self.failures + 1)
        if self.refused is not None:
            return None
        if (self.attempt > 1 or self.recorded) and self.payload != "":
            return self._replace(payload="")
        return self._replace(payload="", refused=f"its claim is refused: {error}")

    def given(self, kv: KeyValue | None = None) -> ClaimRequest:
        """What to ask for after the claim was refused because the record of attempts is another one."""
        found = Attempts.parse(kv.value, kv.mod_revision) if kv is not None else None
        if found is None:  # there is none, or something else wrote it
            made = self.attempt - 1
            found = Attempts(made, None, self.shard_id, (), begun=made, revision=kv.mod_revision if kv else 0)
        return self._replace(attempt=max(self.attempt, found.attempt + 1), found=found)

    def runs_before(self, known: Attempts | None) -> int:
        """How many attempts may have begun before this one. Those without a record count as begun: the first
        one, and those whose record is gone."""
        made = self.attempt - 1
        return made if known is None else min(known.runs + max(made - known.attempt, 0), made)

    def record(
        self, known: Attempts | None, replica_id: str, max_attempts: int, lease: int = 0
    ) -> dict[str, Any]:
        """The record of attempts, once this one is claimed. A first attempt counts as begun: it is not noted
        when it begins."""
        history = () if known is None else known.history
        if self.attempt > 1 and (known is None or known.attempt < self.attempt):
            history = (*history, f"attempt {self.attempt - 1} ended with its replica")
        payload = self.payload
        if payload is None and known is not None:
            payload = known.payload
        traceparent = {"trace": self.traceparent} if self.traceparent else {}
        return {
            **traceparent,
            "attempt": self.attempt,
            "begun": max(self.runs_before(known), 1),
            "payload": payload if payload and len(payload) <= MAX_PAYLOAD else None,
            "shard": self.shard_id,
            "replica": replica_id,
            "lease": lease,
            "history": history[-max_attempts:],
        }

    def burial(self, known: Attempts | None, max_attempts: int) -> str | None:
        """Why the claim makes a dead letter of the event; ``None`` if it does not."""
        if self.refused is None and self.runs_before(known) >= max_attempts:
            return f"{max_attempts} attempts ended with their replica"
        return self.refused

    def letter(self, record: dict[str, Any]) -> bytes:
        """The dead letter in place of the record."""
        error = self.refused or record["history"][-1]
        letter = {**record, "attempt": self.attempt - 1, "event": self.key, "error": error}
        return json.dumps(letter).encode()


class Ownership(Protocol):
    """What a claim depends on: a ``Grant`` of the session."""

    @property
    def alive(self) -> bool: ...
    @property
    def lease_id(self) -> int: ...


class Claim:
    """An event that this replica owns. ``token``, the fencing token, is the claim's create revision.

    :param record: that of the attempts, from the second one on.
    """

    __slots__ = ("attempt", "grant", "key", "record", "recorded", "token")

    def __init__(
        self,
        key: str,
        attempt: int,
        token: int,
        grant: Ownership,
        *,
        recorded: bool = False,
        record: dict[str, Any] | None = None,
    ) -> None:
        self.key = key
        self.attempt = attempt
        self.token = token
        self.grant = grant
        self.record = record
        self.recorded = recorded or attempt > 1  # a record of attempts lies beside it

    @property
    def lost(self) -> bool:
        """Whether the lease may have run out. No I/O; any thread."""
        return not self.grant.alive


class ClaimListener(Protocol):
    """Is told of other replicas' claims, on the watch's thread and on that of the looks; must not block."""

    def on_done(self, keys: Sequence[str]) -> None: ...
    def on_free(self, freed: Sequence[tuple[str, int]]) -> None: ...
    def on_orphan(self, key: str, attempts: Attempts) -> None: ...
    def on_looked(self, keys: Sequence[str]) -> None: ...
    def on_resync(self, attempted: Sequence[str]) -> None: ...


def value_of(state: str, replica_id: str, attempt: int) -> bytes:
    """A claim (``r``) or a mark (``d``), as ``parse_claim`` reads it."""
    when = f" {int(time.time() * 1000)}" if state == "d" else ""  # for people to read
    return f"{state} {replica_id} {attempt}{when}".encode()


def parse_claim(value: bytes) -> tuple[str, str, int] | None:
    """Splits ``r <replica> <attempt> [<trace>]`` or ``d <replica> <attempt> <when>``, and ignores more words;
    else ``None``. A replica's name may hold spaces: earlier versions took the host's as it was."""
    words = _split(value)
    return None if words is None else words[:3]


def held_by(parsed: tuple[str, str, int], kv: KeyValue) -> Held:
    """Who holds an event, by its claim."""
    _, replica, attempt = parsed
    return Held(replica, attempt, kv.mod_revision, kv.lease, traceparent_of(kv.value), is_aside(kv.value))


def traceparent_of(value: bytes) -> str | None:
    """The context of a claim's trace, if it has one."""
    if b" 00-" not in value:  # the only version of the header that there is; most claims have none
        return None
    state, _, _, more = _split(value) or ("", "", 0, [])
    return more[0].decode(errors="replace") if state == "r" and more else None


def is_aside(value: bytes) -> bool:
    """Whether an event holds up no younger one: its claim is ``r <replica> <attempt> [<trace>] aside``."""
    if not value.endswith(b" " + ASIDE):
        return False  # most values: this is asked for every claim that the watch shows
    state, _, _, more = _split(value) or ("", "", 0, [])
    return state == "r" and more[-1:] == [ASIDE]


def marked_at(value: bytes) -> float | None:
    """When a mark was made, in seconds since 1970 by its owner's clock. For people to read only."""
    state, _, _, more = _split(value) or ("", "", 0, [])
    return int(more[0]) / 1000 if state == "d" and more and more[0].isdigit() else None


def _split(value: bytes) -> tuple[str, str, int, list[bytes]] | None:
    """State, replica, attempt, and the words behind them. The attempt is the first number after the name."""
    parts = value.split(b" ", MAX_WORDS)
    if parts[0] not in (b"r", b"d"):
        return None
    for at in range(2, len(parts)):
        try:
            attempt = int(parts[at])
            return parts[0].decode(), b" ".join(parts[1:at]).decode(), attempt, parts[at + 1 :]
        except ValueError:
            continue
    return None
