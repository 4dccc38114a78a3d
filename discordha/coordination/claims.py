"""Claims: which replica handles an event, and the mark that it is done.

Promises
- While a replica that claimed an event holds its session, nobody else wins a claim on it (P1).
- A marked event is never won again while its mark lives (P3): ``retention`` seconds at least.
- A claim is never assumed lost nor won: where an answer is missing, the claim is asked again until etcd has said
  who owns the key (P2).
- An event whose owners died ``max_attempts`` times becomes a dead letter (P8).

Does not promise that a handler runs only once: the owner may die between the side effect and the mark.

Protocol. One key an event, ``e/<key>``, moves from lease to lease:

- claim: ``version == 0 -> put "r <replica> <attempt>"`` under the session lease. Its create revision is the fencing token.
- mark: ``create_revision == token -> put "d <replica> <attempt>"`` under a retention lease shared by a time bucket. If the
  session was lost meanwhile and nobody else has taken the event, the mark is put as well: the handler did finish.
- release (drain): ``create_revision == token -> put "r <replica> <attempt - 1>"``, then delete: the next owner's attempt is
  not counted up, because this one never started it.
- The second and later attempts also write ``a/<key>``: JSON with the attempts so far and the gateway's payload, so that any
  replica, also one that never received the event, can take it over or bury it.

The hint cache (cachetools) is fed by the coordination watch and answers *done* and *running* without a round trip. It is
only a hint: a miss leads to a claim, and the claim is the truth.

Concurrency
- ``_lock`` guards the hints. Listener callbacks run on the watch thread, after the lock is released.
- ``claim`` blocks and is called on handler threads; ``mark`` and ``release`` never block.
- At a lost session the grant dies, and with it every claim made under it, by its own deadline and without a message.
- At a lost watch the hints go stale, which costs claims that are refused, never a wrong decision. After a gap the new
  snapshot replaces them, and every event that waits for somebody is looked at again (``on_resync``).
"""

from __future__ import annotations

import enum
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from cachetools import TTLCache

from discordha.coordination.commit import GroupCommit, Operation
from discordha.coordination.retention import RetentionLeases
from discordha.coordination.session import Grant, Session
from discordha.coordination.store import (
    Compare,
    Delete,
    Get,
    KeyValue,
    LeaseNotFound,
    Put,
    Snapshot,
    Store,
    Txn,
    TxnResult,
    WatchEvent,
)
from discordha.errors import StoreUnavailable

__all__ = [
    "Attempts",
    "Claim",
    "ClaimListener",
    "ClaimRequest",
    "Claims",
    "Done",
    "Held",
    "Hint",
    "Ownership",
    "parse_claim",
]

_log = logging.getLogger(__name__)

#: A payload larger than this is not kept for takeovers by replicas that never received the event.
MAX_PAYLOAD = 256 * 1024
#: How long a claim waits between two tries while etcd is out of reach, seconds.
RETRY_PAUSE = 0.25


class Hint(enum.Enum):
    """What the watch says of an event."""

    UNKNOWN = "unknown"
    RUNNING = "running"
    DONE = "done"


class Held(NamedTuple):
    """Another replica owns the event."""

    replica: str
    attempt: int
    revision: int


class Done(NamedTuple):
    """The event is finished (``buried``: it is a dead letter)."""

    buried: bool = False


class Attempts(NamedTuple):
    """What ``a/<key>`` remembers of an event that was taken over."""

    attempt: int
    payload: str | None
    shard_id: int
    history: tuple[str, ...]

    @classmethod
    def parse(cls, value: bytes) -> Attempts | None:
        """Reads the stored form; ``None`` when something else wrote the key."""
        try:
            data = json.loads(value)
            return cls(
                int(data["attempt"]), data.get("payload"), int(data.get("shard", 0)), tuple(data.get("history", ()))
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


class ClaimRequest(NamedTuple):
    """One event to claim.

    :param key: event name and identity, ``message/123``.
    :param attempt: 1 for an event that nobody is known to have started.
    :param payload: the gateway's text, kept in etcd from the second attempt on.
    """

    key: str
    attempt: int = 1
    payload: str | None = None
    shard_id: int = 0


class Ownership(Protocol):
    """What a claim stands on: a ``Grant`` of the session."""

    @property
    def alive(self) -> bool: ...

    @property
    def lease_id(self) -> int: ...


class Claim:
    """An event that this replica owns. ``token`` is the fencing token: the etcd revision that created the claim."""

    __slots__ = ("attempt", "grant", "key", "token")

    def __init__(self, key: str, attempt: int, token: int, grant: Ownership) -> None:
        self.key = key
        self.attempt = attempt
        self.token = token
        self.grant = grant

    @property
    def lost(self) -> bool:
        """True from the moment the lease may have run out. No I/O; any thread."""
        return not self.grant.alive


class ClaimListener(Protocol):
    """Who hears of other replicas' claims. All on the watch thread; must be short."""

    def on_done(self, keys: Sequence[str]) -> None: ...

    def on_free(self, key: str, attempt: int) -> None: ...

    def on_orphan(self, key: str, attempts: Attempts) -> None: ...

    def on_resync(self) -> None: ...


def parse_claim(value: bytes) -> tuple[str, str, int] | None:
    """Splits ``r <replica> <attempt>`` or ``d <replica> <attempt>``; ``None`` for anything else."""
    parts = value.split(b" ")
    if len(parts) != 3 or parts[0] not in (b"r", b"d"):
        return None
    try:
        return parts[0].decode(), parts[1].decode(), int(parts[2])
    except ValueError:
        return None


class Claims:
    """The claims of one replica.

    :param root: key prefix of the bot, ending in ``/``.
    :param retention: seconds that a mark outlives its event at least.
    :param max_attempts: how often an event may be started before it becomes a dead letter.
    :param hints: how many *done* hints are kept; running ones are as many as the fleet runs.
    """

    def __init__(
        self,
        store: Store,
        session: Session,
        commit: GroupCommit,
        leases: RetentionLeases,
        *,
        root: str,
        replica_id: str,
        retention: float,
        max_attempts: int,
        hints: int = 100_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._session = session
        self._commit = commit
        self._leases = leases
        self._root = root
        self._prefix = f"{root}e/"
        self._attempts_prefix = f"{root}a/"
        self._dead_prefix = f"{root}dead/"
        self._replica_id = replica_id
        self._max_attempts = max_attempts
        self._stop = threading.Event()
        self._listener: ClaimListener | None = None
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}
        self._done: TTLCache[str, bool] = TTLCache(hints, retention, timer=clock)
        self._attempts: dict[str, Attempts] = {}
        self._revision = 0
        self.unreadable = 0

    def set_listener(self, listener: ClaimListener) -> None:
        """Who hears of done and freed events. Set once, before the watch starts."""
        self._listener = listener

    def stop(self) -> None:
        """Ends every claim that waits for etcd. Idempotent."""
        self._stop.set()

    # -- hints ---------------------------------------------------------------------------------------------

    def hint(self, key: str) -> Hint:
        """What the watch says of an event: no I/O, any thread. Own claims are *running* too."""
        with self._lock:
            if key in self._held:
                return Hint.RUNNING
            return Hint.DONE if key in self._done else Hint.UNKNOWN

    def previous_attempts(self, key: str) -> int:
        """How often the event is known to have been started already, from ``a/<key>``."""
        with self._lock:
            known = self._attempts.get(key)
            return known.attempt if known is not None else 0

    def running(self) -> dict[str, Held]:
        """A copy of who runs what now, as the watch saw it last."""
        with self._lock:
            return dict(self._held)

    # -- claim ---------------------------------------------------------------------------------------------

    def claim(self, requests: Sequence[ClaimRequest]) -> list[Claim | Held | Done | None]:
        """Claims events; returns one answer for each: won, held by another, or done.

        Blocks until etcd has answered, however long that takes; ``None`` for those still open when the replica stops.
        Called on handler threads; any number at once, their requests share transactions.
        """
        answers: list[Claim | Held | Done | None] = [None] * len(requests)
        open_ = list(range(len(requests)))
        while open_ and not self._stop.is_set():
            grant = self._session.current
            if grant is None or not grant.alive:
                self._stop.wait(RETRY_PAUSE / 5)
                continue
            operations = [self._claim_operation(requests[i], grant) for i in open_]
            self._commit.execute(operations)
            unanswered = []
            for i, operation in zip(open_, operations, strict=True):
                try:
                    answers[i] = self._read_answer(requests[i], operation.value(), grant)
                except (StoreUnavailable, LeaseNotFound):
                    # Not known whether it was applied. The same claim asked again tells: it is refused by our own key.
                    unanswered.append(i)
            if unanswered:
                self._stop.wait(RETRY_PAUSE)
            open_ = unanswered
        return answers

    def claim_later(self, requests: Sequence[ClaimRequest], answer: Callable[[ClaimRequest, Claim | None], None]) -> None:
        """Claims in the background; ``answer`` runs on a coordination thread, with ``None`` for whatever is not a clean win.

        Never blocks. For events that wait behind a slow handler of their own lane.
        """
        grant = self._session.current
        if grant is None or not grant.alive:
            for request in requests:
                answer(request, None)
            return
        operations = []
        for request in requests:

            def answered(operation: Operation, request: ClaimRequest = request) -> None:
                try:
                    result = self._read_answer(request, operation.value(), grant)
                except (StoreUnavailable, LeaseNotFound):
                    result = None
                answer(request, result if isinstance(result, Claim) else None)

            operation = self._claim_operation(request, grant)
            operation.callback = answered
            operations.append(operation)
        self._commit.submit(operations)

    def _claim_operation(self, request: ClaimRequest, grant: Grant) -> Operation:
        key = self._prefix + request.key
        if request.attempt <= 1:
            mine = Put(key, self._value("r", 1), grant.lease_id)
            return Operation(Txn((Compare.version(key, 0),), (mine,), (Get(key),)), (key,))
        attempts_key = self._attempts_prefix + request.key
        with self._lock:
            known = self._attempts.get(request.key)
        history = (*(known.history if known is not None else ()), f"attempt {request.attempt - 1} ended with its replica")
        payload = request.payload if request.payload is not None else (known.payload if known is not None else None)
        if payload is not None and len(payload) > MAX_PAYLOAD:
            payload = None
        record: dict[str, Any] = {
            "attempt": request.attempt,
            "payload": payload,
            "shard": request.shard_id,
            "replica": self._replica_id,
            "history": history[-self._max_attempts :],
        }
        lease = self._leases.current()
        writes: tuple[Put | Delete, ...]
        if request.attempt > self._max_attempts:
            letter = {**record, "attempt": request.attempt - 1, "event": request.key, "error": history[-1]}
            writes = (
                Put(key, self._value("d", request.attempt), lease),
                Put(self._dead_prefix + request.key, json.dumps(letter).encode()),
                Delete(attempts_key),
            )
        else:
            writes = (
                Put(key, self._value("r", request.attempt), grant.lease_id),
                Put(attempts_key, json.dumps(record).encode(), lease),
            )
        return Operation(Txn((Compare.version(key, 0),), writes, (Get(key),)), (key, attempts_key))

    def _value(self, state: str, attempt: int) -> bytes:
        return f"{state} {self._replica_id} {attempt}".encode()

    def _read_answer(self, request: ClaimRequest, result: TxnResult, grant: Grant) -> Claim | Held | Done:
        if result.succeeded:
            if request.attempt > self._max_attempts:
                _log.error("%s is a dead letter: %d attempts ended with their replica", request.key, self._max_attempts)
                return Done(buried=True)
            return Claim(request.key, request.attempt, result.revision, grant)
        found = result.responses[0]
        assert isinstance(found, list)
        kv: KeyValue = found[0]
        parsed = parse_claim(kv.value)
        if parsed is None:
            self.unreadable += 1
            _log.error("the claim of %s can't be read (%.40r): left to whoever wrote it", request.key, kv.value)
            return Held("?", request.attempt, kv.mod_revision)
        state, replica, attempt = parsed
        if state == "d":
            with self._lock:
                self._done[request.key] = True
            return Done()
        if kv.lease == grant.lease_id and replica == self._replica_id:
            # Ours: an earlier try was applied although its answer got lost.
            return Claim(request.key, attempt, kv.create_revision, grant)
        held = Held(replica, attempt, kv.mod_revision)
        with self._lock:
            if self._revision < kv.mod_revision:
                self._held[request.key] = held  # the watch has not come that far; it will tell when the key goes
        return held

    # -- marks ---------------------------------------------------------------------------------------------

    def mark(self, claim: Claim, done: Callable[[Claim, bool], None] | None = None) -> None:
        """Marks an event as finished, in the background, until etcd has taken it. Never blocks.

        ``done(claim, marked)`` runs on a coordination thread; ``marked`` is false when another replica had taken the event.
        """
        key = self._prefix + claim.key
        lease = self._leases.current()
        put = Put(key, self._value("d", claim.attempt), lease)
        late = Txn((Compare.version(key, 0),), (put,), (Get(key),))
        success: tuple[Put | Delete, ...] = (put,)
        if claim.attempt > 1:
            success = (put, Delete(self._attempts_prefix + claim.key))
        operation = Operation(
            Txn((Compare.create_revision(key, claim.token),), success, (late,)),
            (key,) if claim.attempt <= 1 else (key, self._attempts_prefix + claim.key),
            persistent=True,
        )

        def answered(operation: Operation) -> None:
            try:
                result = operation.value()
            except LeaseNotFound:
                self._leases.renew()
                self.mark(claim, done)
            except StoreUnavailable:
                _log.warning("the mark of %s was not written: the replica stopped while etcd did not answer", claim.key)
                if done is not None:
                    done(claim, False)
            else:
                marked = self._marked(result, claim)
                if marked:
                    with self._lock:
                        self._done[claim.key] = True
                if done is not None:
                    done(claim, marked)

        operation.callback = answered
        self._commit.submit((operation,))

    def _marked(self, result: TxnResult, claim: Claim) -> bool:
        if result.succeeded:
            return True
        late = result.responses[0]
        assert isinstance(late, TxnResult)
        if late.succeeded:
            return True
        found = late.responses[0]
        assert isinstance(found, list)
        parsed = parse_claim(found[0].value) if found else None
        # Our own mark, when an earlier try was applied although its answer got lost.
        return parsed is not None and parsed[0] == "d" and parsed[1] == self._replica_id

    def release(self, claim: Claim) -> None:
        """Gives an event that was not started back to the others, in the background. Never blocks."""
        key = self._prefix + claim.key
        mine = Compare.create_revision(key, claim.token)
        uncount = Put(key, self._value("r", claim.attempt - 1), claim.grant.lease_id)
        self._commit.submit(
            (Operation(Txn((mine,), (uncount,), ()), (key,)), Operation(Txn((mine,), (Delete(key),), ()), (key,)))
        )

    # -- the coordination watch ----------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Replaces all hints. ``snapshot`` holds the keys below ``e/`` and ``a/``."""
        held: dict[str, Held] = {}
        done: list[str] = []
        attempts: dict[str, Attempts] = {}
        for kv in snapshot.items:
            self._read_key(kv, held, done, attempts)
        with self._lock:
            gone = {key: was for key, was in self._held.items() if key not in held}
            self._held = held
            self._attempts = attempts
            for key in done:
                self._done[key] = True
            self._revision = snapshot.revision
            orphans = [(key, known) for key, known in attempts.items() if key not in held and key not in self._done]
        listener = self._listener
        if listener is None:
            return
        listener.on_done(done)
        done_keys = set(done)
        for key, was in gone.items():
            if key not in done_keys:
                listener.on_free(key, was.attempt)
        for key, known in orphans:
            listener.on_orphan(key, known)
        listener.on_resync()

    def _read_key(
        self, kv: KeyValue, held: dict[str, Held], done: list[str], attempts: dict[str, Attempts]
    ) -> None:
        if kv.key.startswith(self._prefix):
            parsed = parse_claim(kv.value)
            if parsed is None:
                self.unreadable += 1
                _log.warning("the key %s holds no claim (%.40r): ignored", kv.key, kv.value)
            elif parsed[0] == "d":
                done.append(kv.key[len(self._prefix) :])
            else:
                held[kv.key[len(self._prefix) :]] = Held(parsed[1], parsed[2], kv.mod_revision)
        elif kv.key.startswith(self._attempts_prefix):
            known = Attempts.parse(kv.value)
            if known is None:
                self.unreadable += 1
                _log.warning("the key %s holds no attempts (%.40r): ignored", kv.key, kv.value)
            else:
                attempts[kv.key[len(self._attempts_prefix) :]] = known

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        """Applies one batch of changes, then tells the listener."""
        prefix = self._prefix
        cut = len(prefix)
        finished: list[str] = []
        freed: list[tuple[str, int, Attempts | None]] = []
        with self._lock:
            for kind, kv in events:
                if not kv.key.startswith(prefix):
                    self._apply_attempts(kind, kv)
                    continue
                key = kv.key[cut:]
                if kind == "delete":
                    was = self._held.pop(key, None)
                    if was is not None:
                        freed.append((key, was.attempt, self._attempts.get(key)))
                    else:
                        self._done.pop(key, None)
                    continue
                parsed = parse_claim(kv.value)
                if parsed is None:
                    self.unreadable += 1
                    _log.warning("the key %s holds no claim (%.40r): ignored", kv.key, kv.value)
                elif parsed[0] == "d":
                    self._held.pop(key, None)
                    self._done[key] = True
                    finished.append(key)
                else:
                    self._held[key] = Held(parsed[1], parsed[2], kv.mod_revision)
            self._revision = revision
        listener = self._listener
        if listener is None:
            return
        if finished:
            listener.on_done(finished)
        for key, attempt, known in freed:
            listener.on_free(key, attempt)
            if known is not None:
                listener.on_orphan(key, known)

    def _apply_attempts(self, kind: str, kv: KeyValue) -> None:
        if not kv.key.startswith(self._attempts_prefix):
            return
        key = kv.key[len(self._attempts_prefix) :]
        if kind == "delete":
            self._attempts.pop(key, None)
            return
        known = Attempts.parse(kv.value)
        if known is None:
            self.unreadable += 1
            _log.warning("the key %s holds no attempts (%.40r): ignored", kv.key, kv.value)
        else:
            self._attempts[key] = known

    def on_lost(self) -> None:
        """The stream is down. Nothing to do: stale hints cost a refused claim, never a wrong decision."""
