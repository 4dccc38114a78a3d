"""What a journal writes in etcd: marks, carries, attempts, dead letters. The protocol is told in ``journal``.

Promises
- Each is one transaction that may be sent again after its answer got lost: it is applied once, and the answer
  to a later try tells so.
- Nothing of it is applied once the leadership has ended that it is written under, but for the marks of events
  that were handed over, while their carries stand.

- A lane's marks arrive in the order in which they were made; those of one transaction are told apart by their
  numbers.

Does not promise an order of anything else; nor, should the retention lease be gone, that one.

Concurrency: no state, no I/O, no lock: it makes operations and reads answers; any thread. An entry is read
when the operation is made: what changes in it later (a carry, say) needs another one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.etcd.group_commit import Operation
from discordha.coordination.etcd.store import Compare, Delete, Get, Op, Put, Txn, TxnResult
from discordha.coordination.journal.entries import Entry, Mark

__all__ = ["JournalWrites"]

#: A payload larger than this is not kept for a dead letter.
MAX_PAYLOAD = 256 * 1024


class JournalWrites:
    """See the module.

    :param root: key prefix of the bot, ending in ``/``.
    """

    def __init__(self, root: str, shard_id: int, replica_id: str, max_attempts: int) -> None:
        self.marks_at = f"{root}j/"
        self.carries_at = f"{root}jc/"
        self.attempts_at = f"{root}ja/"
        self._letters_at = f"{root}dead/"
        self._shard_id = shard_id
        self._replica_id = replica_id
        self._max_attempts = max_attempts

    def carry(self, entry: Entry, lease: int) -> Txn:
        """Its mark may be there already: then a carry would stand in the way of later ones."""
        put = Put(self._carry_key(entry), self._replica_id.encode(), lease)
        return Txn((Compare.version_below(self.marks_at + entry.name, entry.occurrence),), (put,))

    def _carry_key(self, entry: Entry) -> str:
        return f"{self.carries_at}{entry.name}/{entry.occurrence}"

    def _attempt_key(self, entry: Entry) -> str:
        return f"{self.attempts_at}{entry.name}/{entry.occurrence}"

    def attempt(self, entry: Entry, leadership: LeaderTerm, lease: int) -> Operation:
        """Notes that an event is run again."""
        key = self._attempt_key(entry)
        record = {"attempt": entry.attempt, "replica": self._replica_id, "event": entry.key}
        if entry.payload is not None and len(entry.payload) <= MAX_PAYLOAD:
            record["payload"] = entry.payload
        put = Put(key, json.dumps(record).encode(), lease)
        return Operation(Txn((leadership.guard(),), (put,)), (key,))

    def letter(self, event: str, payload: str | None, error: str) -> Put:
        """A dead letter."""
        letter: dict[str, Any] = {
            "attempt": self._max_attempts,
            "payload": payload,
            "shard": self._shard_id,
            "replica": self._replica_id,
            "event": event,
            "error": error,
            "history": [],
        }
        return Put(f"{self._letters_at}{event}", json.dumps(letter).encode())

    def forget_attempt(self, name: str, occurrence: int) -> Delete:
        """An attempt's record is of no use any more."""
        return Delete(f"{self.attempts_at}{name}/{occurrence}")

    def mark(
        self,
        entry: Entry,
        leadership: LeaderTerm,
        lease: int,
        more: tuple[Op, ...],
        on_done: Callable[[Operation], None],
    ) -> Operation:
        """Says that an event is done; by the leadership that it was run under, or by its carry.

        :param more: is written with it.
        """
        key = self.marks_at + entry.name
        previous = Compare.version(key, entry.occurrence - 1)
        put = Put(key, Mark.of(entry, self._replica_id), lease)
        look: Op = Get(key)
        keys = [key, *(op.key for op in more if isinstance(op, Put))]
        done: list[Op] = [put, *more]
        if entry.attempt > 1:
            attempt = self.forget_attempt(entry.name, entry.occurrence)
            done.append(attempt)
            keys.append(attempt.key)
        carry_key = self._carry_key(entry)
        carried = Txn(
            (Compare.create_revision(carry_key, entry.carry), previous), (*done, Delete(carry_key)), (look,)
        )
        return Operation(
            Txn((leadership.guard(), previous), done, (carried,) if entry.carry else (look,)),
            (*keys, carry_key),
            on_done,
            persistent=True,
            order=entry.lane,
        )

    @staticmethod
    def version_instead(result: TxnResult) -> int | None:
        """What the answer to a mark says: ``None`` when it was applied, else the version that its key has."""
        while not result.succeeded:
            answer = result.responses[0]
            if not isinstance(answer, TxnResult):
                assert isinstance(answer, list)
                return answer[0].version if answer else 0
            result = answer
        return None
