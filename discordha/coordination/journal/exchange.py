"""Question exchange: carries questions of replicas with young gateway sessions, and their leaders' answers.

Protocol
- greeting and question: ``jq/<shard>/<replica>``, under the asker's session lease: a number, and names of
  entries, each with a revision that is older than all its entries. A greeting, written when a gateway session
  has begun, has no names.
- answer: ``leadership key stands -> put jr/<shard>/<asker>`` under the leader's session lease: the question's
  number, and of each name that the leader can tell of how many entries it has not seen the marks of.

Guarantees: the journals hear of marks that were written before an answer before the answer is told. A replica
that gets no answer asks again, or stays in doubt.

Threads and locks: no thread. It follows the coordination watch, on its thread, after the journals; listeners
are called there and must not block. ``_lock`` guards both tables; no call to another part under it. Questions
and answers go with their sessions' leases; a watch that is back brings those that still stand.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.etcd.store import KeyValue, Put, Snapshot, Store, WatchEvent
from discordha.coordination.membership.shard_keys import is_number

__all__ = ["Question", "QuestionExchange"]

_log = logging.getLogger(__name__)


class Question(NamedTuple):
    """A replica's question to its shard's leader. ``seen_at``: when it was seen here, monotonic."""

    replica: str
    number: int
    names: Mapping[str, int]
    seen_at: float


class _Listener(NamedTuple):
    on_question: Callable[[int], None]
    on_answer: Callable[[int, Mapping[str, int]], None]


class QuestionExchange:
    """See the module. A ``WatchListener`` for the components ``jq`` and ``jr``.

    :param root: key prefix of the bot, ending in ``/``.
    """

    def __init__(
        self, store: Store, root: str, replica_id: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._questions_at = f"{root}jq/"
        self._answers_at = f"{root}jr/"
        self._replica_id = replica_id
        self._clock = clock
        self._lock = threading.Lock()
        self._questions: dict[int, dict[str, Question]] = {}  # by shard, then by replica
        self._listeners: dict[int, _Listener] = {}

    def listen(
        self,
        shard_id: int,
        *,
        on_question: Callable[[int], None],
        on_answer: Callable[[int, Mapping[str, int]], None],
    ) -> None:
        """Listens to a shard's exchange.

        :param on_question: called with the revision of each greeting and question, this replica's own
            included.
        :param on_answer: called with the number of this replica's question, and what is left of each name.
        """
        with self._lock:
            self._listeners[shard_id] = _Listener(on_question, on_answer)

    def close(self, shard_id: int) -> None:
        """Ends ``listen``."""
        with self._lock:
            self._listeners.pop(shard_id, None)

    def questions(self, shard_id: int) -> Sequence[Question]:
        """The questions of other replicas to a shard's leader. No I/O; any thread."""
        with self._lock:
            return tuple(self._questions.get(shard_id, {}).values())

    def greet(self, shard_id: int, *, lease: int) -> int:
        """Tells that a gateway session has begun; returns the greeting's revision. Blocks on etcd.

        :raises StoreUnavailable: etcd does not answer.
        :raises LeaseNotFound: the session is gone.
        """
        return self.ask(shard_id, 0, {}, lease=lease)

    def ask(self, shard_id: int, number: int, names: Mapping[str, int], *, lease: int) -> int:
        """Asks, and ends the question before; returns the question's revision. Blocks and raises as
        ``greet``.
        """
        value = json.dumps({"number": number, "names": dict(names)})
        key = f"{self._questions_at}{shard_id}/{self._replica_id}"
        return self._store.put(key, value.encode(), lease=lease)

    def answer(self, question: Question, left: Mapping[str, int], leadership: LeaderTerm) -> bool:
        """Answers; false when the leadership is over. Blocks and raises as ``greet``."""
        key = f"{self._answers_at}{leadership.shard_id}/{question.replica}"
        value = json.dumps({"number": question.number, "left": left}).encode()
        return self._store.txn((leadership.guard(),), (Put(key, value, leadership.lease_id),)).succeeded

    # -- the coordination watch ------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Begins anew."""
        with self._lock:
            self._questions.clear()
        self.on_events(snapshot.revision, [WatchEvent("put", kv) for kv in snapshot.items])

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        """Notes questions, and tells answers."""
        for kind, kv in events:
            at = self._questions_at if kv.key.startswith(self._questions_at) else self._answers_at
            shard, _, replica = kv.key[len(at) :].partition("/")
            if not is_number(shard):
                continue
            with self._lock:
                listener = self._listeners.get(int(shard))
            if at == self._questions_at:
                if replica != self._replica_id:
                    self._note(int(shard), replica, kv if kind == "put" else None)
                if kind == "put" and listener is not None:
                    listener.on_question(kv.mod_revision)
            elif kind == "put" and replica == self._replica_id:
                answer = self._read(kv, "left")
                if answer is not None and listener is not None:
                    listener.on_answer(*answer)

    def on_lost(self) -> None:
        """No action needed: the snapshot brings what still stands."""

    def _note(self, shard_id: int, replica: str, kv: KeyValue | None) -> None:
        read = self._read(kv, "names") if kv is not None else None
        with self._lock:
            questions = self._questions.setdefault(shard_id, {})
            questions.pop(replica, None)
            if read is not None:
                questions[replica] = Question(replica, *read, self._clock())

    @staticmethod
    def _read(kv: KeyValue, field: str) -> tuple[int, dict[str, int]] | None:
        """Number and counts of a question or an answer; ``None`` when something else wrote the key."""
        try:
            data = json.loads(kv.value)
            number, counts = data["number"], data[field]
            numbers = (number, *counts.values())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            numbers = (None,)
        if all(type(each) is int and each >= 0 for each in numbers):  # ``True`` is no number
            return number, counts
        _log.warning("the key %s can't be read (%.40r): ignored", kv.key, kv.value)
        return None
