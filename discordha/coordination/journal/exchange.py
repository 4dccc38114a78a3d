"""Reconciliation: questions of replicas with young gateway sessions, and their leaders' answers.

What a leader ran before it knew of a peer's new session, the peer can't tell from what it has not run
(``Doubts``). So it asks.

Protocol
- greeting, and question: ``jq/<shard>/<replica>``, under the asker's session lease: a number of the asker's;
  names of entries, each with a revision that is older than all that it stands for; none in a greeting, which
  is written when a gateway session has begun.
- answer: ``leadership key stands -> put jr/<shard>/<asker>`` under the leader's session lease: the number,
  and of each name that the leader can tell of how many entries it has not seen the marks of.

A leader answers when it has received all that the asker had when it asked, and only of names all of whose
entries are younger than its own gateway session (``Journal.answer``).

Promises: marks that were written before an answer are told to the journals before the answer is.

Does not promise an answer: who gets none asks again, or stays in doubt.

Concurrency
- No thread. A listener of the coordination watch, on its thread, where it hears after the journals.
  ``on_question`` (hears of every greeting and question, also its own, with the shard and the revision) and
  whoever listens are called there, and must not block.
- ``_lock`` guards both tables; nothing is called under it. ``ask`` and ``answer`` block on etcd.
- At a lost lease questions and answers are gone, and asked for again. At a lost watch nothing is heard until
  it is back; then the snapshot has what still stands.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.etcd.store import KeyValue, Put, Snapshot, Store, WatchEvent
from discordha.coordination.membership.shard_keys import is_number

__all__ = ["Question", "Reconciliation"]

_log = logging.getLogger(__name__)


class Question(NamedTuple):
    """What a replica asks its shard's leader. ``seen_at``: when it was seen here."""

    replica: str
    number: int
    names: Mapping[str, int]
    seen_at: float


class Reconciliation:
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
        self._listeners: dict[int, Callable[[int, Mapping[str, int]], None]] = {}
        self.on_question: Callable[[int, int], None] = lambda shard_id, revision: None
        self.unreadable = 0

    def listen(self, shard_id: int, on_answer: Callable[[int, Mapping[str, int]], None]) -> None:
        """Tells answers to this replica's questions: their number, and how many are left of each name."""
        with self._lock:
            self._listeners[shard_id] = on_answer

    def close(self, shard_id: int) -> None:
        """Tells no answers any more."""
        with self._lock:
            self._listeners.pop(shard_id, None)

    def questions(self, shard_id: int) -> Sequence[Question]:
        """What other replicas ask a shard's leader. No I/O; any thread."""
        with self._lock:
            return tuple(self._questions.get(shard_id, {}).values())

    def greet(self, shard_id: int, *, lease: int) -> int:
        """Tells that a gateway session has begun; the revision at which that was written. Blocks on etcd.

        :raises StoreUnavailable: etcd does not answer.
        :raises LeaseNotFound: the session is gone.
        """
        return self._put(shard_id, 0, {}, lease)

    def ask(self, shard_id: int, number: int, names: Mapping[str, int], *, lease: int) -> None:
        """Asks; the last question is over. Blocks on etcd.

        :raises StoreUnavailable: etcd does not answer.
        :raises LeaseNotFound: the session is gone.
        """
        self._put(shard_id, number, names, lease)

    def _put(self, shard_id: int, number: int, names: Mapping[str, int], lease: int) -> int:
        value = json.dumps({"number": number, "names": dict(names)})
        key = f"{self._questions_at}{shard_id}/{self._replica_id}"
        return self._store.put(key, value.encode(), lease=lease)

    def answer(self, question: Question, left: Mapping[str, int], leadership: LeaderTerm) -> bool:
        """Answers, unless the leadership is over. Blocks on etcd.

        :raises StoreUnavailable: etcd does not answer.
        :raises LeaseNotFound: the session is gone.
        """
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
            if at == self._answers_at:
                if kind == "put" and replica == self._replica_id:
                    self._answered(int(shard), kv)
                continue
            if replica != self._replica_id:
                question = self._read(replica, kv) if kind == "put" else None
                with self._lock:
                    self._questions.setdefault(int(shard), {}).pop(replica, None)
                    if question is not None:
                        self._questions[int(shard)][replica] = question
            if kind == "put":
                self.on_question(int(shard), kv.mod_revision)

    def on_lost(self) -> None:
        """Nothing: what is asked meanwhile comes with the snapshot, or again."""

    def _answered(self, shard_id: int, kv: KeyValue) -> None:
        with self._lock:
            on_answer = self._listeners.get(shard_id)
        data = self._parse(kv)
        if data is None or on_answer is None:
            return
        number, left = data.get("number"), data.get("left")
        if not _is_count(number) or not isinstance(left, dict) or not all(map(_is_count, left.values())):
            self._refuse(kv)
        else:
            on_answer(number, left)

    def _read(self, replica: str, kv: KeyValue) -> Question | None:
        data = self._parse(kv)
        if data is None:
            return None
        number, names = data.get("number"), data.get("names")
        if not _is_count(number) or not isinstance(names, dict) or not all(map(_is_count, names.values())):
            self._refuse(kv)
            return None
        return Question(replica, number, names, self._clock())

    def _parse(self, kv: KeyValue) -> dict[str, Any] | None:
        try:
            data = json.loads(kv.value)
        except (ValueError, RecursionError):
            data = None
        if isinstance(data, dict):
            return data
        self._refuse(kv)
        return None

    def _refuse(self, kv: KeyValue) -> None:
        self.unreadable += 1
        _log.warning("the key %s can't be read (%.40r): left out", kv.key, kv.value)


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 0  # ``True`` is none
