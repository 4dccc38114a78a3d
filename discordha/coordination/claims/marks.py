"""Marks: that an event is finished. One that is marked is not won again while its mark lives.

Guarantees: a mark is made in the background, and made again until etcd has accepted it. It is refused if
another replica has taken the event. If the claim went with its session and nobody has taken the event since,
it is marked all the same. The marks of one transaction are answered in one call.

Threads and locks: no lock. ``make`` is called on any thread and never blocks; answers come on the thread that
got etcd's.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from discordha.coordination.claims.hints import ClaimHints
from discordha.coordination.claims.records import Claim, Ownership, value_of
from discordha.coordination.claims.writes import MarkAnswer, MarkWrite, is_mark_of
from discordha.coordination.etcd.group_commit import GroupCommit, Operation
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.store import Compare, Delete, Get, Guarded, LeaseNotFound, Put, Txn
from discordha.errors import StoreUnavailable

__all__ = ["Marks"]

_log = logging.getLogger(__name__)


class Marks:
    """Those of one replica, below the key prefix ``root``.

    :param no_lease: the ownership of claims that were won without etcd.
    :param alone: there are no peers, and marks are kept in ``hints`` alone.
    :param backlog: how many marks may wait for etcd before those of claims won without it are dropped.
    """

    def __init__(  # noqa: PLR0917
        self,
        commit: GroupCommit,
        leases: RetentionLeases,
        hints: ClaimHints,
        root: str,
        replica_id: str,
        no_lease: Ownership,
        *,
        alone: bool,
        backlog: int,
    ) -> None:
        self._commit = commit
        self._leases = leases
        self._hints = hints
        self._root = root
        self._prefix = f"{root}e/"
        self._replica_id = replica_id
        self._no_lease = no_lease
        self._alone = alone
        self._backlog = backlog
        self._answered = self._on_marks  # bound once instead of for each mark

    def make(self, claims: Sequence[Claim], done: MarkAnswer | None = None) -> None:
        """Marks events as finished, in the background, until etcd has accepted the marks. Never blocks.

        :param done: called, on a coordination thread, with claims and whether they are marked; false if
            another replica had taken the event, or etcd refuses the mark; the log says so.
        """
        if self._alone:
            self._hints.note_done(*[claim.key for claim in claims])
            if done is not None:
                done(claims, True)
            return
        writes: list[MarkWrite] = []
        for claim in claims:
            if claim.grant is self._no_lease:
                self._hints.note_done(claim.key)
                if self._commit.waiting > self._backlog:
                    if done is not None:
                        done((claim,), True)
                    continue
            writes.append(self._mark_write(claim, done))
        if writes:
            self._commit.submit(writes)

    def _mark_write(self, claim: Claim, done: MarkAnswer | None) -> MarkWrite:
        key = self._prefix + claim.key
        value, lease = value_of("d", self._replica_id, claim.attempt), self._leases.current()
        if claim.recorded or self._hints.attempts(claim.key) is not None:
            attempts_key = f"{self._root}a/{claim.key}"
            txn = Txn(
                (Compare.create_revision(key, claim.token),),
                (Put(key, value, lease), Delete(attempts_key)),
                (Get(key),),
            )
            return MarkWrite(txn, (key, attempts_key), claim, done, self._answered)
        guarded = Guarded(key, "create_revision", claim.token, value, lease)
        return MarkWrite(guarded, (key,), claim, done, self._answered)

    def _on_marks(self, operations: Sequence[Operation]) -> None:
        """Takes the answers of all marks of one transaction."""
        told: dict[tuple[MarkAnswer | None, bool], list[Claim]] = {}
        for operation in operations:
            assert isinstance(operation, MarkWrite)
            plain = operation.error is None and operation.value().succeeded  # most marks
            marked = True if plain else self._read_mark(operation)
            if marked is not None:
                told.setdefault((operation.done, marked), []).append(operation.claim)
        for (done, marked), claims in told.items():
            if marked:
                self._hints.note_done(*[claim.key for claim in claims])
            if done is not None:
                done(claims, marked)

    def _read_mark(self, operation: MarkWrite) -> bool | None:
        """Whether an event is marked; ``None`` if the mark is made again."""
        claim, done = operation.claim, operation.done
        try:
            result = operation.value()
        except LeaseNotFound:
            self._leases.renew_then(lambda: self.make((claim,), done))
            return None
        except StoreUnavailable:
            _log.warning("the mark of %s is not written: the replica stops while etcd is away", claim.key)
            return False
        except Exception as error:  # noqa: BLE001 - its item must not wait for a mark that can't be made
            told = "the mark of %s is refused: when this replica ends, another runs it again: %s"
            _log.error(told, claim.key, error)
            self._hints.note_done(claim.key)
            return False
        if not result.succeeded and not result.responses[0] and not operation.late:
            self._mark_late(operation)
            return None
        marked = result.succeeded or is_mark_of(self._replica_id, result)
        if not marked:
            _log.warning("%s was finished here after another replica had taken it", claim.key)
        return marked

    def _mark_late(self, refused: MarkWrite) -> None:
        """Marks an event whose claim is gone with its session and that nobody has taken since."""
        claim, key = refused.claim, self._prefix + refused.claim.key
        value = value_of("d", self._replica_id, claim.attempt)
        guarded = Guarded(key, "version", 0, value, self._leases.current())
        self._commit.submit((MarkWrite(guarded, (key,), claim, refused.done, self._answered, late=True),))
