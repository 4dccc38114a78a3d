"""Claims: which replica handles an event, and the mark that the event is done.

Guarantees
- While a replica that claimed an event holds its session, nobody else wins a claim on it (P1).
- A marked event is not won again while its mark lives: ``retention`` seconds at least (P3).
- A claim is never assumed lost or won: if an answer is missing, etcd is asked again who owns the key (P2).
- An event that ``max_attempts`` owners began and did not end becomes a dead letter (P8).
- With ``open_on_loss``, while there is no session, every replica wins every claim, under no lease.

A handler may run twice: its replica may die between the side effect and the mark.

An event has one key, ``e/<key>``, which moves from lease to lease. A claim puts ``r <replica> <attempt>
[<trace>]`` under the session, if the key is absent; its create revision is the fencing token. A mark puts
``d <replica> <attempt> <when>`` under a retention lease, if the token matches or, after a lost session, if
nobody else took the event. A release takes the attempt back, then deletes the key. ``set_aside`` puts a word
behind the claim: peers need not wait for the event. From the second attempt on, ``a/<key>`` keeps the
attempts, those that began (``BegunRuns``), and the payload, so that any replica can take over or bury the
event. A claim that does not know its last state is refused, and made again.

Threads and locks: no lock. ``claim`` blocks and is called on handler threads; ``mark``, ``release`` and
``claim_later`` never block, and call back on the thread that got etcd's answer. A lost session ends the
grant, and with it every claim made under it, by the local deadline.
"""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from discordha.coordination.claims.begun import BegunRuns
from discordha.coordination.claims.hints import ClaimHints
from discordha.coordination.claims.looks import Looks
from discordha.coordination.claims.marks import Marks
from discordha.coordination.claims.records import (
    Attempts,
    Claim,
    ClaimListener,
    ClaimRequest,
    Done,
    Held,
    Hint,
    held_by,
    parse_claim,
    value_of,
)
from discordha.coordination.claims.writes import aside, claims_with_record, releases
from discordha.coordination.etcd.group_commit import GroupCommit, Operation
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.store import (
    Guarded,
    KeyValue,
    LeaseNotFound,
    RequestRefused,
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
_UNKNOWN, _DONE = Hint.UNKNOWN, Hint.DONE


class Claims:
    """The claims of one replica, below the key prefix ``root``.

    :param session: ``None`` for a replica without peers: it wins every claim that is not done, and keeps its
        marks in ``hints`` alone.
    :param max_attempts: how often an event may be started before it becomes a dead letter.
    :param open_on_loss: win every claim while there is no session.
    :param backlog: how many marks may wait for etcd before those of claims won without etcd are dropped.
    :param looks: ``None`` for a replica without peers.
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
        looks: Looks | None = None,
    ) -> None:
        self._session = session
        self._commit = commit
        self._leases = leases
        self._hints = hints
        self._root = root
        self._looks = looks
        self._prefix = f"{root}e/"
        self._replica_id = replica_id
        self._max_attempts = max_attempts
        self._open_on_loss = open_on_loss
        self._no_lease = Grant(0, 0, math.inf, time.monotonic)  # of claims won without etcd: never lost
        self._tokens = itertools.count(1)
        self._first = f"r {replica_id} 1".encode()
        self.owner, self.is_aside, self.traceparent = hints.owner, hints.is_aside, hints.traceparent
        #: Marks events as finished.
        self.mark = Marks(
            commit, leases, hints, root, replica_id, self._no_lease, alone=session is None, backlog=backlog
        ).make
        self._no_claims_ahead_until = 0.0  # those would come as fast as events, where etcd refuses
        self._stop = threading.Event()
        #: Notes that an event's handlers begin.
        self.begin = BegunRuns(commit, leases, root, self._stop).note

    def listen(self, listener: ClaimListener) -> None:
        """See ``ClaimHints.set_listener``."""
        self._hints.set_listener(listener)

    def hint(self, key: str) -> Hint:
        """The state of an event that nobody works on here; no I/O. A claim of this session is *unknown*: its
        answer was lost, or it is being released, and the next claim tells."""
        hint = self._hints.hint(key)
        if hint is _UNKNOWN or self._session is None or (grant := self._session.current) is None:
            return hint
        return self._hints.hint(key, own_lease=grant.lease_id)

    @property
    def can_look(self) -> bool:
        """Whether looks tell what other replicas do; not while every claim is won. No I/O."""
        return self._looks is not None and not self.is_open

    def look(self, keys: Iterable[str]) -> None:
        """Looks at events; the listener is told (``on_looked``). Never blocks."""
        if self._looks is not None:
            self._looks.ask(keys)

    @property
    def is_open(self) -> bool:
        """Whether every claim is won because there is no session. No I/O; any thread."""
        return self._open_on_loss and self._session is not None and self._session.current is None

    def previous_attempts(self, key: str) -> int | None:
        """How often the event was started; ``None``: once at most. 0: an operator replays it. No I/O."""
        known = self._hints.attempts(key)
        return known.attempt if known is not None else None

    def runs_before(self, key: str, attempt: int) -> int:
        """How many runs may have begun before an attempt, as far as the watch shows. No I/O."""
        return ClaimRequest(key, attempt).runs_before(self._hints.attempts(key))

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
        open_, requests = list(range(len(requests))), list(requests)
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
            unanswered: list[int] = []
            outdated: list[int] = []
            for i, operation in zip(open_, operations, strict=True):
                try:
                    result = operation.value()
                    answers[i] = self._read_answer(requests[i], result, grant)
                    if answers[i] is None:
                        requests[i] = requests[i].given(*result.responses[1])
                        outdated.append(i)
                        continue
                except LeaseNotFound:
                    self._leases.renew_then(lambda: None)  # unless it is the session's that is gone
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
            open_ = [*outdated, *unanswered]
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
        if self._hints.hint(request.key) is _DONE:
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
        if request.attempt <= 1 and request.refused is None and not request.recorded:
            first = self._first
            if request.traceparent is not None:
                first = b"%b %b" % (first, request.traceparent.encode())
            return Operation(Guarded(key, "version", 0, first, grant.lease_id), (key,))
        return claims_with_record(
            self._root,
            request,
            self._known(request),
            self._replica_id,
            self._max_attempts,
            session=grant.lease_id,
            retention=self._leases.current(),
        )

    def _known(self, request: ClaimRequest) -> Attempts | None:
        return request.found if request.found is not None else self._hints.attempts(request.key)

    def _read_answer(
        self, request: ClaimRequest, result: TxnResult, grant: Grant
    ) -> Claim | Held | Done | None:
        """``None`` if nobody owns the event, and its record is not the known one."""
        if result.succeeded:
            if request.attempt <= 1 and request.refused is None:  # most events
                return Claim(request.key, request.attempt, result.revision, grant, recorded=request.recorded)
            reason = request.burial(self._known(request), self._max_attempts)
            if reason is not None:
                _log.error("%s is a dead letter: %s", request.key, reason)
                return Done(buried=True)
            return self._won(request, request.attempt, result.revision, grant)
        found = result.responses[0]
        if not (isinstance(found, list) and found):
            return None
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
            return self._won(request, max(attempt, 1), kv.create_revision, grant)
        held = held_by(parsed, kv)
        self._hints.note_held(request.key, held)
        return held

    def _won(self, request: ClaimRequest, attempt: int, token: int, grant: Grant) -> Claim:
        record = None
        if attempt > 1:
            made = request._replace(attempt=attempt)
            record = made.record(self._known(made), self._replica_id, self._max_attempts, grant.lease_id)
        return Claim(request.key, attempt, token, grant, recorded=request.recorded, record=record)

    @property
    def is_alone(self) -> bool:
        """Whether marks concern nobody but this replica, and may be made together later on. No I/O."""
        return self._session is None

    def set_aside(self, claim: Claim, traceparent: str | None = None) -> None:
        """Tells the other replicas, in the background, that an event under way holds up no younger one. Never
        blocks. If etcd does not take it, they wait for the event's end. ``traceparent``: that of the claim.
        """
        if self._session is None or claim.grant is self._no_lease:
            return
        value = value_of("r", self._replica_id, claim.attempt)
        if traceparent is not None:
            value = b"%b %b" % (value, traceparent.encode())
        self._commit.submit((aside(self._prefix + claim.key, claim, value),))

    def release(self, claim: Claim) -> None:
        """Gives back an event that was not started, in the background, until etcd takes it. Never blocks."""
        value = value_of("r", self._replica_id, claim.attempt - 1)
        self._commit.submit(releases(self._prefix + claim.key, claim, value))
