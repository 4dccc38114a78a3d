"""Questions of replicas with young gateway sessions, and their leaders' answers. docs/design.md has the
protocol.

Guarantees: the journals hear of marks that were written before an answer before the answer is told. Only the
answer to a replica's last question counts, while it does not lead. A leader answers only for entries that it
must have received: its gateway session is older, and it dropped nothing. It tells no number that it counted
before it had seen the question.

Threads and locks: no thread. ``JournalQuestions`` has the journal's lock; ``new_session`` and ``dropped`` are
called under it; ``passes`` runs on the gateway's thread. ``QuestionExchange._lock`` guards its tables;
listeners are called on the watch's thread, without it, and must not block; ``greet``, ``ask`` and ``answer``
block on etcd.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.etcd.store import KeyValue, Put, Snapshot, Store, WatchEvent
from discordha.coordination.journal.entries import UNSTARTED, JournalKeys
from discordha.coordination.journal.tally import Tally
from discordha.coordination.membership.shard_keys import is_number, number_of

__all__ = ["JournalQuestions", "Question", "QuestionExchange"]

_log = logging.getLogger(__name__)


class JournalQuestions:
    """One journal's: ``SessionCatchUp`` asks and answers by them."""

    def __init__(
        self,
        shard_id: int,
        tally: Tally,
        lock: threading.Lock,
        leadership: Callable[[], LeaderTerm | None],
        release: Callable[[], None],
    ) -> None:
        self._shard_id = shard_id
        self._tally = tally
        self._lock = lock
        self._leadership = leadership
        self._release = release
        self._complete = True  # no event of the gateway session was dropped
        self._open = 0  # the number of the last question; 0 while none is open
        self._wanted: dict[str, set[str]] = {}  # names that a leader is asked about, by guild
        self._answering: set[tuple[str, int]] = set()  # replicas and numbers of their questions
        self._landmarks: dict[str, tuple[str, dict[str, int]]] = {}  # the last message since then, by guild
        # An answer to another life of this replica's, or to another journal of the shard's, must not fit.
        self._last = secrets.randbelow(2**48)

    def identifies(self) -> None:
        """An IDENTIFY leaves. Takes the lock."""
        with self._lock:
            self._tally.identifies()

    def new_session(self) -> None:
        """A gateway session began."""
        self._complete = True
        self._open = 0
        self._landmarks.clear()

    def dropped(self) -> None:
        """An event was dropped."""
        self._complete = False

    def leave_to_claims(self, names: Iterable[str]) -> None:
        """Events of these names are caught up, and run by whoever claims them: forgets those that have not
        begun here. Any thread; never blocks.
        """
        with self._lock:
            for name in names:
                for entry in [each for each in self._tally.entries.equal(name) if each.state in UNSTARTED]:
                    self._tally.forget(entry)
            self._release()

    @property
    def greeting(self) -> int | None:
        """The revision of the gateway session's greeting; ``None`` until it is noted."""
        return self._tally.sessions.revision

    @property
    def may_ask(self) -> bool:
        """Whether there is something to ask the leader."""
        with self._lock:
            return self._leadership() is None and self._tally.may_ask

    @property
    def in_doubt(self) -> bool:
        """Whether a leader may not know of the gateway session, or may have handled events before it did."""
        with self._lock:
            return self._leadership() is None and self._tally.in_doubt

    def is_missed(self, leader: str, after: float, before: float) -> bool:
        """Whether the leader has missed an event that came in between two moments. See ``Tally``."""
        with self._lock:
            return self._leadership() is None and self._tally.is_missed(leader, after, before)

    def ask(self) -> tuple[int, dict[str, int]] | None:
        """A new question: its number, and names, each with a revision that is older than all its entries."""
        with self._lock:
            names = self._tally.ask() if self._leadership() is None else {}
            if not names:
                return None
            self._last += 1
            self._open = self._last
            return self._open, names

    @property
    def guilds(self) -> dict[str, dict[str, int]]:
        """The names of the last question by guild, as far as their events belong to one."""
        with self._lock:
            return {guild: {**names} for guild, names in self._tally.landmarks.guilds.items()}

    def passes(self, guild: str, message: str) -> None:
        """A message came in, in its place among the events of its guild. Gateway thread."""
        if not self._tally.positions.wanted:
            return
        with self._lock:
            self._tally.passes(guild, message)
            names = self._wanted.get(guild)
            if names is not None and self._can_tell():
                told = {name: self._tally.last(name) for name in names}
                self._landmarks[guild] = (
                    message,
                    {name: last for name, last in told.items() if last is not None},
                )

    def want(self, questions: Sequence[Question]) -> None:
        """The questions that this leader is going to answer; none, while it does not lead."""
        asked = {(question.replica, question.number) for question in questions}
        wanted: dict[str, set[str]] = {}
        for question in questions:
            for guild, names in question.guilds.items():
                wanted.setdefault(guild, set()).update(names)
        with self._lock:
            self._wanted = wanted
            if not asked <= self._answering:  # what is told was counted after the question had been seen
                self._landmarks.clear()
            self._answering = asked

    def on_answer(
        self, number: int, left: Mapping[str, int], landmarks: Mapping[str, Mapping[str, int]]
    ) -> None:
        """Takes the leader's answer, after all marks that were written before it."""
        with self._lock:
            if number != self._open or self._leadership() is not None:
                return
            self._open = 0
            before = len(self._tally)
            self._tally.settle(left)
            for message, last in landmarks.items():
                self._tally.told(message, last)
            self._tally.landmarks.answered()
            handled, ambiguous = before - len(self._tally), self._tally.ambiguous.held
        if handled:
            _log.info(
                "shard %d: its leader has handled %d events that were in doubt; %d are left",
                number_of(self._shard_id),
                handled,
                ambiguous,
            )

    @property
    def unplaced(self) -> int:
        """The revision of the last mark that waits until everything older has arrived; 0 without any."""
        with self._lock:
            return self._tally.unplaced.last

    def reached(self, revision: int) -> None:
        """Every event has arrived that is older than a revision: places marks, and frees their lanes."""
        with self._lock:
            self._tally.reached(revision)
            self._release()

    def may_answer(self, names: Mapping[str, int]) -> bool:
        """Whether this leader has received all entries of one of the names, at the least."""
        with self._lock:
            return self._can_tell() and any(map(self._tally.sessions.covers, names.values()))

    def answer(self, names: Mapping[str, int]) -> dict[str, int] | None:
        """A leader's answer, by the names that it can tell of: how many entries it has not seen marked."""
        with self._lock:
            return (self._tally.left(names) or None) if self._can_tell() else None

    def landmarks(self, names: Container[str]) -> dict[str, dict[str, int]]:
        """The last message of each guild that this leader is asked about, with the number of the last equal
        event before it, by name.
        """
        with self._lock:
            told = {
                message: {name: number for name, number in last.items() if name in names}
                for message, last in self._landmarks.values()
            }
            return {message: last for message, last in told.items() if last}

    def _can_tell(self) -> bool:
        leadership = self._leadership()
        return leadership is not None and leadership.alive and self._complete


#: Called with the revision of a greeting or question, this replica's own included.
OnQuestion = Callable[[int], None]
#: Called with the number of this replica's question, what is left of each name, and landmarks.
OnAnswer = Callable[[int, Mapping[str, int], Mapping[str, Mapping[str, int]]], None]


class Question(NamedTuple):
    """A replica's question to its shard's leader. ``seen_at``: when it was seen here, monotonic."""

    replica: str
    number: int
    names: Mapping[str, int]
    guilds: Mapping[str, Mapping[str, int]]
    seen_at: float


class QuestionExchange:
    """Carries them through etcd. A ``WatchListener`` for the components ``jq`` and ``jr``."""

    def __init__(
        self, store: Store, keys: JournalKeys, replica_id: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._keys = keys
        self._questions_at = f"{keys.root}jq/"
        self._answers_at = f"{keys.root}jr/"
        self._replica_id = replica_id
        self._clock = clock
        self._lock = threading.Lock()
        self._questions: dict[int, dict[str, Question]] = {}  # by shard, then by replica
        self._listeners: dict[int, tuple[OnQuestion, OnAnswer]] = {}

    def listen(self, shard_id: int, *, on_question: OnQuestion, on_answer: OnAnswer) -> None:
        """Listens to a shard's questions and answers."""
        with self._lock:
            self._listeners[shard_id] = on_question, on_answer

    def close(self, shard_id: int) -> None:
        """Ends ``listen``."""
        with self._lock:
            self._listeners.pop(shard_id, None)

    def questions(self, shard_id: int) -> Sequence[Question]:
        """The questions of other replicas to a shard's leader. No I/O; any thread."""
        with self._lock:
            return tuple(self._questions.get(shard_id, {}).values())

    def greet(self, shard_id: int, others: Iterable[int] = (), *, lease: int) -> int:
        """Tells that a gateway session has begun; returns the greeting's revision.

        :param others: shards of other generations that may have the same guilds. Their leaders mark the same
            events, and watch other keys.
        :raises StoreUnavailable: etcd does not answer.
        :raises LeaseNotFound: the session is gone.
        """
        revision = self.ask(shard_id, 0, {}, lease=lease)
        for other in others:  # later: what their heartbeats prove must not be older than the revision
            self._put(f"{self.question_key(other)}/other", 0, {}, {}, lease)
        return revision

    def ask(
        self,
        shard_id: int,
        number: int,
        names: Mapping[str, int],
        guilds: Mapping[str, Mapping[str, int]] | None = None,
        *,
        lease: int,
    ) -> int:
        """Asks, and ends the question before; returns the question's revision. Blocks and raises as
        ``greet``.
        """
        return self._put(self.question_key(shard_id), number, names, guilds or {}, lease)

    def _put(
        self,
        key: str,
        number: int,
        names: Mapping[str, int],
        guilds: Mapping[str, Mapping[str, int]],
        lease: int,
    ) -> int:
        value = json.dumps({"number": number, "names": dict(names), "guilds": guilds})
        return self._store.put(key, value.encode(), lease=lease)

    def question_key(self, shard_id: int) -> str:
        """The key of this replica's greetings and questions to a shard."""
        return f"{self._keys.of_shard('jq', shard_id)}{self._replica_id}"

    def answer(
        self,
        question: Question,
        left: Mapping[str, int],
        leadership: LeaderTerm,
        landmarks: Mapping[str, Mapping[str, int]],
    ) -> bool:
        """Answers; false when the leadership is over. Raises as ``greet``."""
        key = f"{self._keys.of_shard('jr', leadership.shard_id)}{question.replica}"
        value = json.dumps({"number": question.number, "left": left, "landmarks": landmarks}).encode()
        return self._store.txn((leadership.guard(),), (Put(key, value, leadership.lease_id),)).succeeded

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Begins anew."""
        with self._lock:
            self._questions.clear()
        self.on_events(snapshot.revision, [WatchEvent("put", kv) for kv in snapshot.items])

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        """Notes questions, and tells answers."""
        for kind, real in events:
            kv = self._keys.plain(real)
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
                    listener[0](kv.mod_revision)
            elif kind == "put" and replica == self._replica_id:
                answer = self._read(kv, "left", "landmarks")
                if answer is not None and listener is not None:
                    listener[1](*answer)

    def on_part(self, part: tuple[str, str], items: Sequence[KeyValue]) -> None:
        """Notes the questions of shards that lie there."""
        first, end = part
        with self._lock:
            gone = [shard for shard in self._questions if first <= self._keys.of_shard("jq", shard) < end]
            for shard in gone:
                del self._questions[shard]
        self.on_events(0, [WatchEvent("put", kv) for kv in items])

    def on_lost(self) -> None:
        """No action needed: the snapshot brings what still stands."""

    def _note(self, shard_id: int, replica: str, kv: KeyValue | None) -> None:
        read = self._read(kv, "names", "guilds") if kv is not None else None
        with self._lock:
            questions = self._questions.setdefault(shard_id, {})
            questions.pop(replica, None)
            if read is not None:
                questions[replica] = Question(replica, *read, self._clock())

    @staticmethod
    def _read(
        kv: KeyValue, field: str, more: str
    ) -> tuple[int, dict[str, int], dict[str, dict[str, int]]] | None:
        """Number, counts, and counts by guild or message; ``None`` when something else wrote the key."""
        with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
            data = json.loads(kv.value)
            number, counts, parts = data["number"], data[field], data.get(more, {})
            told = [number, *counts.values(), *(each for part in parts.values() for each in part.values())]
            if all(type(each) is int and each >= 0 for each in told):  # not ``True``
                return number, counts, parts
        _log.warning("the key %s can't be read (%.40r): ignored", kv.key, kv.value)
        return None
