"""What replicas tell each other: posts in the store, which every replica that listens gets in one order.

Guarantees
- A replica that listens gets each post that is written from ``start`` on, once, in the order of revisions,
  whatever happens to its watch: a post stays for half of the retention, and where the watch's history is
  gone, the next snapshot still has it. A replica that is cut off for longer may miss some, and says so.
- What was written before, and is still there, comes first, marked as old.
- A post that is written twice under one token within that time is written once.
- A post ends before the mark of an event that came with it: see ``KEPT``.
- Answers to a question lie under the question's own lease, and go with it.

Threads and locks: ``discordha-posts`` is the watch's thread, started by ``start`` and joined by ``stop``; it
calls ``deliver``, which must not block. ``_lock`` guards the lease. Other methods block on the store; any
thread but the gateway's. A lost lease of the replica changes nothing here; the sender learns of etcd's
refusals.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from discordha.coordination.etcd.group_commit import GroupCommit, Operation
from discordha.coordination.etcd.store import (
    Compare,
    KeyValue,
    LeaseNotFound,
    Put,
    Snapshot,
    Store,
    Txn,
    Watch,
    WatchEvent,
    WatchListener,
)
from discordha.coordination.shared.backoff import Backoff
from discordha.coordination.shared.values import encode_value
from discordha.errors import DiscordHAError, StoreUnavailable

__all__ = ["ASK", "BROADCAST", "EVENT", "LARGEST_POST", "Answer", "Post", "Posts", "posts_prefix"]

_log = logging.getLogger(__name__)

#: The kinds of posts.
BROADCAST, EVENT, ASK = "broadcast", "event", "ask"
#: The largest body of a post, bytes of JSON: every replica gets it.
LARGEST_POST = 64 * 1024
#: The share of the retention that a post stays at least. Marks stay for all of it, so that none ends before
#: the post of its event does.
KEPT = 0.5
#: The share of the retention for which one lease is handed out.
BUCKET = 0.1
#: Pauses between two looks for answers, seconds: doubled from the first to the last.
FIRST_LOOK, LAST_LOOK = 0.01, 0.05
#: A question's lease outlives its time by so many seconds, should the asker die.
ASK_MARGIN = 10.0


class Post(NamedTuple):
    """A post.

    :param body: a broadcast's payload, an event's arguments, a question.
    :param sender: the replica's id.
    :param lease: of a question.
    :param is_old: it was written before this replica listened.
    """

    id: str
    kind: str
    name: str
    body: Any
    sender: str
    lease: int = 0
    is_old: bool = False


class Answer(NamedTuple):
    """A replica's answer. ``error``: why it has none."""

    value: Any
    error: str | None


def posts_prefix(root: str) -> str:
    """Where the posts of a bot lie."""
    return f"{root.removesuffix('/')}.data/b/"


class Posts(WatchListener):
    """The posts of a bot, as one replica writes and gets them.

    :param root: key prefix of the bot, ending in ``/``.
    :param retention: seconds that marks stay.
    :param retry_for: seconds for which a write waits for a store that does not answer.
    :param silence: seconds after which a silent watch is opened again.
    """

    def __init__(
        self,
        store: Store,
        commit: GroupCommit,
        root: str,
        replica_id: str,
        *,
        retention: float,
        retry_for: float,
        silence: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._commit = commit
        self._replica_id = replica_id
        self._prefix = posts_prefix(root)
        self._answers = f"{root.removesuffix('/')}.data/ba/"
        self._kept = retention * KEPT
        self._bucket = retention * BUCKET
        self._retry_for = retry_for
        self._silence = silence
        self._clock = clock
        self._deliver: Callable[[Post], None] | None = None
        self._watch: Watch | None = None
        self._revision: int | None = None  # everything up to it was delivered
        self._lost_at: float | None = None
        self._stop = threading.Event()
        self._backoff = Backoff(clock=clock)
        self._lock = threading.Lock()  # guards the next two
        self._lease = 0
        self._lease_until = 0.0
        self.missed = 0
        """How often this replica was cut off for so long that it may have missed posts."""

    # -- life ------------------------------------------------------------------------------------------------

    def listen(self, deliver: Callable[[Post], None]) -> None:
        """Has every post given to ``deliver``, on the watch's thread. Before ``start``."""
        self._deliver = deliver

    def start(self, timeout: float) -> None:
        """Starts to listen, if anybody wants the posts. Blocks until nothing more can be missed.

        :raises StoreUnavailable: the store does not answer within ``timeout`` seconds.
        """
        if self._deliver is None or self._stop.is_set():
            return
        watch = self._watch = self._store.watch(
            self._prefix, self, silence=self._silence, name="discordha-posts"
        )
        watch.start()
        if not watch.wait_synced(timeout):
            raise StoreUnavailable(
                f"etcd has not reported what replicas tell each other within {timeout:g} s"
            )

    def stop(self) -> None:
        """Ends the watch, and all calls that wait. Blocks for the watch's last call. Idempotent."""
        self._stop.set()
        self._backoff.stop()
        watch = self._watch
        if watch is not None:
            watch.stop()

    # -- writing ---------------------------------------------------------------------------------------------

    def send(self, kind: str, name: str, body: Any, token: str | None = None) -> str:
        """Writes a post, and returns its id. Blocks for a round trip, and for ``retry_for`` seconds while the
        store does not answer.

        :param token: equal where the same code runs again; ``None``: it never does.
        :raises TypeError: JSON cannot hold the body; names the place.
        :raises ValueError: the body is too large.
        :raises StoreUnavailable: the store does not answer; the post may have been written.
        """
        id = token or secrets.token_hex(12)
        value = self._value(kind, name, body)
        deadline = self._clock() + self._retry_for
        while True:
            try:
                with self._backoff.attempt(deadline):
                    self._put(id, value, self._current_lease())
                return id
            except LeaseNotFound:
                with self._lock:
                    self._lease_until = 0.0
            except StoreUnavailable:
                # The same key keeps a repeated post from being written twice.
                if self._clock() >= deadline or self._stop.is_set():
                    raise

    def _value(self, kind: str, name: str, body: Any, lease: int = 0) -> bytes:
        data = encode_value(body)
        if len(data) > LARGEST_POST:
            raise ValueError(
                f"{name!r} has {len(data):,} bytes of JSON, and every replica gets them: {LARGEST_POST:,} "
                "are the most; keep large things in ha.cache, and send their key"
            )
        record = json.dumps({"v": 1, "kind": kind, "name": name, "from": self._replica_id, "lease": lease})
        return b'%b,"body":%b}' % (record.removesuffix("}").encode(), data)

    def _put(self, id: str, value: bytes, lease: int) -> None:
        key = self._prefix + id
        operation = Operation(Txn((Compare.version(key, 0),), (Put(key, value, lease),)), (key,))
        self._commit.execute((operation,))
        operation.value()

    def _current_lease(self) -> int:
        with self._lock:
            if self._clock() < self._lease_until:
                return self._lease
        until = self._clock() + self._bucket
        lease = self._store.grant(self._kept + self._bucket)
        with self._lock:
            self._lease, self._lease_until = lease.id, until
        return lease.id

    # -- questions -------------------------------------------------------------------------------------------

    def ask(
        self, name: str, body: Any, timeout: float, live: Callable[[], Collection[str]]
    ) -> tuple[dict[str, Answer], list[str]]:
        """Asks every replica; returns the answers by replica, and the replicas that did not answer.

        Blocks until all have answered or died, or for ``timeout`` seconds.

        :param live: the replicas that live.
        :raises TypeError: JSON cannot hold the question.
        :raises ValueError: the question is too large.
        :raises StoreUnavailable: the store does not answer.
        """
        deadline = self._clock() + timeout
        lease = self._store.grant(timeout + ASK_MARGIN).id
        id = secrets.token_hex(12)
        try:
            asked = set(live())
            self._put(id, self._value(ASK, name, body, lease), lease)
            answers = self._await_answers(f"{self._answers}{id}/", asked, deadline, live)
        finally:
            with suppress(DiscordHAError):  # else it runs out by itself
                self._store.revoke(lease)
        return answers, sorted(asked - answers.keys())

    def _await_answers(
        self, prefix: str, asked: set[str], deadline: float, live: Callable[[], Collection[str]]
    ) -> dict[str, Answer]:
        pause = FIRST_LOOK
        answers: dict[str, Answer] = {}
        while True:
            over = self._clock() >= deadline or self._stop.is_set()
            try:
                found = self._store.range(prefix).items
                answers = {kv.key.removeprefix(prefix): _answer(kv) for kv in found}
            except StoreUnavailable:
                if over:
                    raise
            if over or not (asked & set(live())) - answers.keys():
                return answers
            self._stop.wait(min(pause, max(deadline - self._clock(), 0.0)))
            pause = min(2 * pause, LAST_LOOK)

    def is_open(self, question: Post) -> bool:
        """Whether somebody waits for an answer."""
        return self._store.get(self._prefix + question.id) is not None

    def answer(self, question: Post, answer: Answer) -> None:
        """Writes this replica's answer, unless nobody waits for it any more.

        :raises TypeError: JSON cannot hold the answer.
        :raises ValueError: the answer is too large.
        :raises StoreUnavailable: the store does not answer.
        """
        data = encode_value(answer.value)
        if len(data) > LARGEST_POST:
            raise ValueError(
                f"an answer of {len(data):,} bytes of JSON is too large: {LARGEST_POST:,} at most"
            )
        value = b'{"error":%b,"value":%b}' % (json.dumps(answer.error).encode(), data)
        key = f"{self._answers}{question.id}/{self._replica_id}"
        with suppress(LeaseNotFound):
            self._store.put(key, value, lease=question.lease)

    # -- the watch -------------------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        before, self._revision = self._revision, snapshot.revision
        lost_at, self._lost_at = self._lost_at, None
        if before is not None and lost_at is not None and self._clock() > lost_at + self._kept:
            self.missed += 1
            _log.error(
                "this replica was cut off from what replicas tell each other for %.0f s, and etcd keeps it "
                "for %.0f s: it may have missed broadcasts",
                self._clock() - lost_at,
                self._kept,
            )
        for kv in sorted(snapshot.items, key=lambda kv: kv.mod_revision):
            if before is None:
                self._hand_over(kv, is_old=True)
            elif kv.mod_revision > before:
                self._hand_over(kv)

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        self._revision, self._lost_at = revision, None
        for kind, kv in events:
            if kind == "put":
                self._hand_over(kv)

    def on_lost(self) -> None:
        self._lost_at = self._clock()

    def _hand_over(self, kv: KeyValue, *, is_old: bool = False) -> None:
        try:
            record = json.loads(kv.value)
            post = Post(
                kv.key.removeprefix(self._prefix),
                str(record["kind"]),
                str(record["name"]),
                record["body"],
                str(record["from"]),
                int(record["lease"]),
                is_old,
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            _log.warning("%s is not read: a later version may have written it", kv.key)
            return
        assert self._deliver is not None
        self._deliver(post)


def _answer(kv: KeyValue) -> Answer:
    try:
        record = json.loads(kv.value)
        return Answer(record["value"], record["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return Answer(None, "its answer can't be read: another version wrote it")
