"""What claims consist of: requests, answers, and their form in etcd. No I/O, no threads."""

from __future__ import annotations

import enum
import json
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

    :param replica: who made the attempt, under the session's ``lease``; ``None`` if an operator wrote it.
    """

    attempt: int
    payload: str | None
    shard_id: int
    history: tuple[str, ...]
    traceparent: str | None = None
    replica: str | None = None
    lease: int = 0

    @classmethod
    def parse(cls, value: bytes) -> Attempts | None:
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
    """

    key: str
    attempt: int = 1
    payload: str | None = None
    shard_id: int = 0
    failures: int = 0
    refused: str | None = None
    recorded: bool = False
    traceparent: str | None = None

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

    def record(
        self, known: Attempts | None, replica_id: str, max_attempts: int, lease: int = 0
    ) -> dict[str, Any]:
        """The record of attempts, once this one is made."""
        history = () if known is None else known.history
        if self.attempt > 1:
            history = (*history, f"attempt {self.attempt - 1} ended with its replica")
        payload = self.payload
        if payload is None and known is not None:
            payload = known.payload
        traceparent = {"trace": self.traceparent} if self.traceparent else {}
        return {
            **traceparent,
            "attempt": self.attempt,
            "payload": payload if payload and len(payload) <= MAX_PAYLOAD else None,
            "shard": self.shard_id,
            "replica": replica_id,
            "lease": lease,
            "history": history[-max_attempts:],
        }

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
    """An event that this replica owns. ``token``, the fencing token, is the claim's create revision."""

    __slots__ = ("attempt", "grant", "key", "recorded", "token")

    def __init__(
        self, key: str, attempt: int, token: int, grant: Ownership, *, recorded: bool = False
    ) -> None:
        self.key = key
        self.attempt = attempt
        self.token = token
        self.grant = grant
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
    def on_resync(self) -> None: ...


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
