"""Journal writer: marks, carries, attempts, dead letters, as etcd gets them. docs/design.md has the protocol.

Guarantees
- Each may be sent again after its answer was lost: it is applied once, and a later answer tells so.
- Nothing is applied once the leadership that it is written under has ended, except marks of carried events.
- A lane's marks arrive in the order in which they were made, while the retention lease lasts.

Threads and locks: no thread, no lock, no state. ``mark`` never blocks, all else blocks on etcd.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from discordha.coordination.claims.records import MAX_FAILURES, MAX_PAYLOAD
from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.etcd.group_commit import GroupCommit, Operation
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.store import (
    Compare,
    Delete,
    Get,
    KeyValue,
    LeaseNotFound,
    Op,
    Put,
    RequestRefused,
    Store,
    Txn,
    TxnResult,
)
from discordha.coordination.journal.entries import AttemptRecord, JournalEntry, JournalKeys, JournalMark
from discordha.coordination.membership.shard_keys import number_of
from discordha.errors import DiscordHAError

__all__ = ["JournalWriter"]

_log = logging.getLogger(__name__)

#: Carries that go into one transaction.
CARRY_BATCH = 100


class JournalWriter:
    """See the module."""

    def __init__(  # noqa: PLR0917
        self,
        store: Store,
        commit: GroupCommit,
        leases: RetentionLeases,
        keys: JournalKeys,
        shard_id: int,
        replica_id: str,
        max_attempts: int,
    ) -> None:
        self._store = store
        self._commit = commit
        self._leases = leases
        self._keys = keys
        self._letters_at = f"{keys.root}dead/"
        #: Of marks, carries and attempts, as the journal is told of them.
        self.prefixes = (f"{keys.root}j/", f"{keys.root}jc/", f"{keys.root}ja/")
        self.shard_id = shard_id
        self.replica_id = replica_id
        self._max_attempts = max_attempts

    def carry(
        self, entries: Sequence[JournalEntry], leadership: LeaderTerm, timeout: float | None = None
    ) -> bool:
        """Leaves a carry for each entry, unless the leadership is over; false when etcd does not answer, and
        may have taken some. May be repeated. An entry that is marked already gets none: it would stand in the
        way of later equal events.

        :param timeout: seconds for each ``CARRY_BATCH`` entries; by default as any call.
        """
        for start in range(0, len(entries), CARRY_BATCH):
            batch = entries[start : start + CARRY_BATCH]
            puts = []
            for entry in batch:
                key = self._keys.of("jc", _at(entry))
                free = Compare.version_below(self._keys.of("j", entry.name), entry.occurrence)
                put = Put(key, self.replica_id.encode(), leadership.lease_id)
                puts.append(Txn((free, Compare.version(key, 0)), (put,), (Get(key),)))
            try:
                result = self._store.txn((leadership.guard(),), puts, timeout=timeout)
            except (DiscordHAError, LeaseNotFound) as error:
                _log.debug("shard %d is not handed over yet: %s", number_of(self.shard_id), error)
                return not leadership.grant.alive
            if not result.succeeded:
                return True
            for entry, answer in zip(batch, result.responses, strict=True):
                assert isinstance(answer, TxnResult)
                if answer.succeeded:
                    entry.carry = result.revision
                elif found := [kv for kv in _found(answer) if kv.lease == leadership.lease_id]:
                    entry.carry = found[0].create_revision  # of a try before, whose answer was lost
        return True

    def attempt(self, entry: JournalEntry, leadership: LeaderTerm) -> bool | Put:
        """Notes that an event is about to be run again. False when etcd does not take it now; a dead letter
        when there are no attempts left, or etcd never takes it: it refuses the note even without the payload,
        or noting it keeps failing.
        """
        if entry.attempt > self._max_attempts:
            return self.letter(entry.key, entry.payload)
        record: dict[str, Any] = {"attempt": entry.attempt, "replica": self.replica_id, "event": entry.key}
        try:
            if entry.payload is not None and len(entry.payload) <= MAX_PAYLOAD:
                try:
                    return self._note({**record, "payload": entry.payload}, entry, leadership)
                except RequestRefused as error:
                    _log.warning("the attempt at %s is noted without its payload: %s", entry.key, error)
            return self._note(record, entry, leadership)
        except Exception as error:  # noqa: BLE001 - an entry must not stay between two states
            if not isinstance(error, RequestRefused) and entry.failures < MAX_FAILURES:
                entry.failures += 1
                _log.exception("the attempt at %s is tried again", entry.key)
                return False
            reason = f"its attempt is refused: {error}"
            return self.letter(entry.key, entry.payload, attempts=entry.attempt - 1, error=reason)

    def _note(self, record: dict[str, Any], entry: JournalEntry, leadership: LeaderTerm) -> bool:
        key = self._keys.of("ja", _at(entry))
        put = Put(key, json.dumps(record).encode(), self._leases.current())
        operation = Operation(Txn((leadership.guard(),), (put,)), (key,))
        self._commit.execute((operation,))
        try:
            return operation.value().succeeded
        except RequestRefused:
            raise
        except LeaseNotFound:
            self._leases.renew(put.lease)
        except DiscordHAError:
            pass
        return False

    def letter(
        self, event: str, payload: str | None, *, attempts: int | None = None, error: str | None = None
    ) -> Put:
        """A dead letter.

        :param attempts: how often the event was begun, by default as often as it may be.
        :param error: why it is not begun again, by default that its leaders ended.
        """
        error = error or f"{self._max_attempts} attempts ended with their leader"
        _log.error("%s is a dead letter: %s", event, error)
        letter: dict[str, Any] = {
            "attempt": self._max_attempts if attempts is None else attempts,
            "payload": payload,
            "shard": self.shard_id,
            "replica": self.replica_id,
            "event": event,
            "error": error,
            "history": [],
        }
        return Put(f"{self._letters_at}{event}", json.dumps(letter).encode())

    @staticmethod
    def smaller(letters: tuple[Op, ...]) -> tuple[Op, ...]:
        """Refused dead letters without their payload; none for those that had none."""
        found: list[Op] = []
        for put in letters:
            assert isinstance(put, Put)
            letter = json.loads(put.value)
            if letter["payload"] is not None:
                found.append(put._replace(value=json.dumps({**letter, "payload": None}).encode()))
        return tuple(found)

    def bury(self, name: str, occurrence: int, record: AttemptRecord, leadership: LeaderTerm) -> None:
        """Makes a dead letter of an event that no replica has.

        :raises StoreUnavailable: etcd does not answer.
        """
        gone = Delete(self._keys.of("ja", f"{name}/{occurrence}"))
        try:
            self._store.txn((leadership.guard(),), (self.letter(record.event, record.payload), gone))
        except RequestRefused as error:
            _log.error("%s is given up without its payload, which etcd refuses: %s", record.event, error)
            self._store.txn((leadership.guard(),), (self.letter(record.event, None), gone))

    def mark(self, entry: JournalEntry, more: tuple[Op, ...], on_done: Callable[[Operation], None]) -> None:
        """Marks an event as handled, in the background, and writes ``more`` with the mark.

        :param on_done: called with the answer; see ``version_instead``.
        """
        leadership = entry.leadership
        assert leadership is not None
        key = self._keys.of("j", entry.name)
        previous = Compare.version(key, entry.occurrence - 1)
        look: Op = Get(key)
        keys = [key, *(op.key for op in more if isinstance(op, Put))]
        done: list[Op] = [Put(key, JournalMark.of(entry, self.replica_id), self._leases.current()), *more]
        if entry.attempt > 1:
            attempt_key = self._keys.of("ja", _at(entry))
            done.append(Delete(attempt_key))
            keys.append(attempt_key)
        carry_key = self._keys.of("jc", _at(entry))
        carried = Txn(
            (Compare.create_revision(carry_key, entry.carry), previous), (*done, Delete(carry_key)), (look,)
        )
        operation = Operation(
            Txn((leadership.guard(), previous), done, (carried,) if entry.carry else (look,)),
            (*keys, carry_key),
            on_done,
            persistent=True,
            order=entry.lane,
        )
        self._commit.submit((operation,))

    def renew_then(self, call: Callable[[], None]) -> None:
        """Calls once there is another retention lease. Never blocks."""
        self._leases.renew_then(call)

    def version_instead(self, operation: Operation) -> int | None:
        """The answer to a mark: ``None`` when it was applied, else the version that its key has.

        :raises LeaseNotFound: the retention lease is gone: see ``renew_then``.
        :raises StoreUnavailable: the replica stops.
        """
        result = operation.value()
        while not result.succeeded:
            answer = result.responses[0]
            if not isinstance(answer, TxnResult):
                assert isinstance(answer, list)
                return answer[0].version if answer else 0
            result = answer
        return None


def _at(entry: JournalEntry) -> str:
    return f"{entry.name}/{entry.occurrence}"


def _found(answer: TxnResult) -> Sequence[KeyValue]:
    keys = answer.responses[0]
    return keys if isinstance(keys, list) else ()
