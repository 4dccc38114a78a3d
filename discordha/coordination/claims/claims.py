"""Claims: which replica handles an event, and the mark that the event is done.

Guarantees
- While a replica that claimed an event holds its session, nobody else wins a claim on it (P1).
- A marked event is not won again while its mark lives: ``retention`` seconds at least (P3).
- A claim is never assumed lost or won: if an answer is missing, etcd is asked again who owns the key (P2).
- An event whose owners died ``max_attempts`` times becomes a dead letter (P8).
- With ``open_on_loss``, while there is no session, every replica wins every claim, under no lease.

A handler may run twice: its replica may die between the side effect and the mark.

An event has one key, ``e/<key>``, which moves from lease to lease. A claim puts ``r <replica> <attempt>``
under the session, if the key is absent; its create revision is the fencing token. A mark puts ``d <replica>
<attempt> <when>`` under a retention lease, if the token matches or, after a lost session, if nobody else took
the event. A release takes the attempt back, then deletes the key. From the second attempt on, ``a/<key>``
keeps the attempts and the payload, so that any replica can take over or bury the event.

Threads and locks: no lock. ``claim`` blocks and is called on handler threads; ``mark``, ``release`` and
``claim_later`` never block, and call back on the thread that got etcd's answer. A lost session ends the
grant, and with it every claim made under it, by the local deadline.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence

from discordha.coordination.claims.hints import ClaimHints
from discordha.coordination.claims.records import (
    Claim,
    ClaimListener,
    ClaimRequest,
    Done,
    Held,
    Hint,
    parse_claim,
)
from discordha.coordination.etcd.group_commit import GroupCommit, Operation
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.store import (
    Compare,
    Delete,
    Get,
    Guarded,
    KeyValue,
    LeaseNotFound,
    Put,
    RequestRefused,
    Txn,
    TxnResult,
)
from discordha.coordination.session import Grant, Session
from discordha.errors import DiscordHAError, StoreUnavailable

__all__ = ["Claims"]

_log = logging.getLogger(__name__)

#: The pause between the first two tries of a claim while etcd does not answer, seconds.
RETRY_PAUSE = 0.25
#: The pause doubles up to this one, seconds.
LAST_RETRY_PAUSE = 1.0


class _MarkWrite(Operation):
    """The write of a mark; ``late`` if the claim is gone."""

    __slots__ = ("claim", "done", "late")

    def __init__(
        self,
        txn: Txn | Guarded,
        keys: tuple[str, ...],
        claim: Claim,
        done: Callable[[Claim, bool], None] | None,
        callback: Callable[[Operation], None],
        *,
        late: bool = False,
    ) -> None:
        super().__init__(txn, keys, callback, persistent=True)
        self.claim = claim
        self.done = done
        self.late = late


class Claims:
    """The claims of one replica, below the key prefix ``root``.

    :param session: ``None`` for a replica without peers: it wins every claim that is not done, and keeps its
        marks in ``hints`` alone.
    :param max_attempts: how often an event may be started before it becomes a dead letter.
    :param open_on_loss: win every claim while there is no session.
    :param backlog: how many marks may wait for etcd before those of claims won without etcd are dropped.
    """

    def __init__(
        self,
        session: Session | None,
        commit: GroupCommit,
        leases: RetentionLeases,
        hints: ClaimHints,
        *,
        root: str,
        replica_id: str,
        max_attempts: int,
        open_on_loss: bool = False,
        backlog: int = 10_000,
    ) -> None:
        self._session = session
        self._commit = commit
        self._leases = leases
        self._hints = hints
        self._prefix = f"{root}e/"
        self._attempts_prefix = f"{root}a/"
        self._dead_prefix = f"{root}dead/"
        self._replica_id = replica_id
        self._max_attempts = max_attempts
        self._open_on_loss = open_on_loss
        self._backlog = backlog
        self._no_lease = Grant(0, 0, math.inf, time.monotonic)  # of claims won without etcd: never lost
        self._tokens = itertools.count(1)
        self._first = f"r {replica_id} 1".encode()
        self._answered = self._on_mark  # bound once instead of for each mark
        self._no_claims_ahead_until = 0.0  # those would come as fast as events, where etcd refuses
        self._stop = threading.Event()

    def listen(self, listener: ClaimListener) -> None:
        """See ``ClaimHints.set_listener``."""
        self._hints.set_listener(listener)

    def hint(self, key: str) -> Hint:
        """The state of an event that nobody works on here; no I/O. A claim of this session is *unknown*: its
        answer was lost, or it is being released, and the next claim tells."""
        grant = self._session.current if self._session is not None else None
        return self._hints.hint(key, own_lease=grant.lease_id if grant is not None else 0)

    def owner(self, key: str) -> str | None:
        """See ``ClaimHints.owner``."""
        return self._hints.owner(key)

    @property
    def is_open(self) -> bool:
        """Whether every claim is won because there is no session. No I/O; any thread."""
        return self._open_on_loss and self._session is not None and self._session.current is None

    def previous_attempts(self, key: str) -> int | None:
        """How often the event has been started, from ``a/<key>``; ``None`` without a record: once at most.
        0 for a dead letter that an operator replays. No I/O."""
        known = self._hints.attempts(key)
        return known.attempt if known is not None else None

    def stop(self) -> None:
        """Ends every claim that waits for etcd. Idempotent."""
        self._stop.set()

    # -- claim ---------------------------------------------------------------------------------------------

    def claim(self, requests: Sequence[ClaimRequest]) -> list[Claim | Held | Done | None]:
        """Claims events; returns an answer for each: won, held by another replica, or done.

        Blocks until etcd has answered, however long that takes; ``None`` for claims without an answer when
        the replica stops. Any number of handler threads at once; their requests share transactions."""
        if self._session is None:
            return [self._win_without_lease(request, next(self._tokens)) for request in requests]
        answers: list[Claim | Held | Done | None] = [None] * len(requests)
        open_ = list(range(len(requests)))
        requests = list(requests)
        pause = RETRY_PAUSE
        while open_ and not self._stop.is_set():
            grant = self._session.current
            if grant is None:
                if self._open_on_loss:
                    for i in open_:
                        answers[i] = self._win_without_lease(requests[i])
                    break
                self._stop.wait(RETRY_PAUSE / 5)
                continue
            operations = [self._claim_operation(requests[i], grant) for i in open_]
            self._commit.execute(operations)
            unanswered = []
            for i, operation in zip(open_, operations, strict=True):
                try:
                    answers[i] = self._read_answer(requests[i], operation.value(), grant)
                except RequestRefused as error:
                    answers[i] = self._ask_for_less(requests, i, error)
                except DiscordHAError:
                    pass  # Perhaps applied. The next try tells: this replica's own key refuses it.
                except Exception as error:  # noqa: BLE001 - no event may wait for a claim that can't be made
                    _log.exception("the claim of %s failed unexpectedly", requests[i].key)
                    answers[i] = self._ask_for_less(requests, i, error)
                if answers[i] is None:
                    unanswered.append(i)
            if unanswered:
                self._stop.wait(pause)
                pause = min(2 * pause, LAST_RETRY_PAUSE)
            open_ = unanswered
        return answers

    def _ask_for_less(self, requests: list[ClaimRequest], i: int, error: Exception) -> Done | None:
        """Replaces a request that failed for its contents; the answer if nothing is left to ask for."""
        key = requests[i].key
        less = requests[i].after(error)
        if less is None:
            _log.error("%s is given up without a dead letter, which etcd refuses, too: %s", key, error)
            self._hints.note_done(key)
            return Done(buried=True)
        if less.refused is None and less.payload == "":
            _log.warning("%s is claimed without its payload in etcd: %s", key, error)
        requests[i] = less
        return None

    def _win_without_lease(self, request: ClaimRequest, token: int = 0) -> Claim | Done:
        if self._hints.hint(request.key) is Hint.DONE:
            return Done()
        return Claim(request.key, request.attempt, token, self._no_lease)

    def claim_later(
        self, requests: Sequence[ClaimRequest], answer: Callable[[ClaimRequest, Claim | None], None]
    ) -> None:
        """Claims events that wait behind a slow handler of their lane, unless etcd took none just now. Never
        blocks.

        :param answer: called on a coordination thread; with ``None`` unless the claim is won.
        """
        grant = self._session.current if self._session is not None else None
        if grant is None or time.monotonic() < self._no_claims_ahead_until:
            for request in requests:
                answer(request, None)
            return
        operations = []
        for request in requests:

            def answered(operation: Operation, request: ClaimRequest = request) -> None:
                try:
                    result = self._read_answer(request, operation.value(), grant)
                except StoreUnavailable:
                    self._no_claims_ahead_until = time.monotonic() + LAST_RETRY_PAUSE
                    result = None
                except Exception:  # noqa: BLE001 - the claim that is made in the event's turn tells
                    result = None
                answer(request, result if isinstance(result, Claim) else None)

            operation = self._claim_operation(request, grant)
            operation.callback = answered
            operations.append(operation)
        self._commit.submit(operations)

    def _claim_operation(self, request: ClaimRequest, grant: Grant) -> Operation:
        key = self._prefix + request.key
        if request.attempt <= 1 and request.refused is None:
            return Operation(Guarded(key, "version", 0, self._first, grant.lease_id), (key,))
        attempts_key = self._attempts_prefix + request.key
        record = request.record(self._hints.attempts(request.key), self._replica_id, self._max_attempts)
        lease = self._leases.current()
        writes: tuple[Put | Delete, ...]
        if request.attempt > self._max_attempts or request.refused is not None:
            writes = (
                Put(key, self._value("d", request.attempt), lease),
                Put(self._dead_prefix + request.key, request.letter(record)),
                Delete(attempts_key),
            )
        else:
            writes = (
                Put(key, self._value("r", request.attempt), grant.lease_id),
                Put(attempts_key, json.dumps(record).encode(), lease),
            )
        return Operation(Txn((Compare.version(key, 0),), writes, (Get(key),)), (key, attempts_key))

    def _value(self, state: str, attempt: int) -> bytes:
        when = f" {int(time.time() * 1000)}" if state == "d" else ""  # for people to read
        return f"{state} {self._replica_id} {attempt}{when}".encode()

    def _read_answer(self, request: ClaimRequest, result: TxnResult, grant: Grant) -> Claim | Held | Done:
        if result.succeeded:
            if request.refused is not None:
                _log.error("%s is a dead letter: %s", request.key, request.refused)
                return Done(buried=True)
            if request.attempt > self._max_attempts:
                _log.error(
                    "%s is a dead letter: %d attempts ended with their replica",
                    request.key,
                    self._max_attempts,
                )
                return Done(buried=True)
            return Claim(request.key, request.attempt, result.revision, grant)
        found = result.responses[0]
        assert isinstance(found, list)
        kv: KeyValue = found[0]
        parsed = parse_claim(kv.value)
        if parsed is None:
            unknown = Held("?", request.attempt, kv.mod_revision)
            self._hints.note_unreadable(request.key, unknown, kv.value)
            return unknown
        state, replica, attempt = parsed
        if state == "d":
            self._hints.note_done(request.key)
            return Done()
        if kv.lease == grant.lease_id and replica == self._replica_id:
            # This replica's own: an earlier try was applied, but its answer was lost.
            return Claim(request.key, max(attempt, 1), kv.create_revision, grant)
        held = Held(replica, attempt, kv.mod_revision, kv.lease)
        self._hints.note_held(request.key, held)
        return held

    # -- marks ---------------------------------------------------------------------------------------------

    def mark(self, claim: Claim, done: Callable[[Claim, bool], None] | None = None) -> None:
        """Marks an event as finished, in the background, until etcd has accepted the mark. Never blocks.

        :param done: called on a coordination thread with the claim and whether it is marked; false if another
            replica had taken the event, or etcd refuses the mark; the log says so.
        """
        if claim.grant is self._no_lease:
            self._hints.note_done(claim.key)
            if self._session is None or self._commit.waiting > self._backlog:
                if done is not None:
                    done(claim, True)
                return
        key = self._prefix + claim.key
        value, lease = self._value("d", claim.attempt), self._leases.current()
        if claim.attempt > 1 or self._hints.attempts(claim.key) is not None:
            attempts_key = self._attempts_prefix + claim.key
            txn: Txn | Guarded = Txn(
                (Compare.create_revision(key, claim.token),),
                (Put(key, value, lease), Delete(attempts_key)),
                (Get(key),),
            )
            mark = _MarkWrite(txn, (key, attempts_key), claim, done, self._answered)
        else:
            guarded = Guarded(key, "create_revision", claim.token, value, lease)
            mark = _MarkWrite(guarded, (key,), claim, done, self._answered)
        self._commit.submit((mark,))

    def _on_mark(self, operation: Operation) -> None:
        assert isinstance(operation, _MarkWrite)
        claim, done = operation.claim, operation.done
        try:
            result = operation.value()
        except LeaseNotFound:
            self._leases.renew_then(lambda: self.mark(claim, done))
            return
        except StoreUnavailable:
            _log.warning(
                "the mark of %s was not written: the replica stopped while etcd did not answer", claim.key
            )
            marked = False
        except Exception as error:  # noqa: BLE001 - its item must not wait for a mark that can't be made
            _log.error(
                "the mark of %s is refused: when this replica ends, another runs it again: %s",
                claim.key,
                error,
            )
            marked = False
            self._hints.note_done(claim.key)
        else:
            if not result.succeeded and not result.responses[0] and not operation.late:
                self._mark_late(operation)
                return
            marked = result.succeeded or self._is_mine(result)
            if marked:
                self._hints.note_done(claim.key)
            else:
                _log.warning("%s was finished here after another replica had taken it", claim.key)
        if done is not None:
            done(claim, marked)

    def _mark_late(self, refused: _MarkWrite) -> None:
        """Marks an event whose claim is gone with its session and that nobody has taken since."""
        claim, key = refused.claim, self._prefix + refused.claim.key
        guarded = Guarded(key, "version", 0, self._value("d", claim.attempt), self._leases.current())
        self._commit.submit((_MarkWrite(guarded, (key,), claim, refused.done, self._answered, late=True),))

    def _is_mine(self, refused: TxnResult) -> bool:
        """Whether this replica's own mark refused it: an earlier try was applied, but its answer was lost."""
        found = refused.responses[0]
        assert isinstance(found, list)
        parsed = parse_claim(found[0].value) if found else None
        return parsed is not None and parsed[0] == "d" and parsed[1] == self._replica_id

    def release(self, claim: Claim) -> None:
        """Gives back an event that was not started, in the background, until etcd takes it. Never blocks."""
        key = self._prefix + claim.key
        mine = Compare.create_revision(key, claim.token)
        uncount = Put(key, self._value("r", claim.attempt - 1), claim.grant.lease_id)
        self._commit.submit(
            (
                Operation(Txn((mine,), (uncount,), ()), (key,), persistent=True),
                Operation(Txn((mine,), (Delete(key),), ()), (key,), persistent=True),
            )
        )
