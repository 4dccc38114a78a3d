"""Inbox: brings what replicas tell each other to its handlers.

Guarantees
- Broadcasts of one sender run one after another, in order. A handler's error is logged, and the next handler
  runs. A replica that drains takes none any more.
- An event of the bot's own goes the way of a message: one replica claims and runs it. It outlives its sender,
  and the whole fleet for as long as its post stays.
- Posts that arrive before ``start`` wait for it.

Where ``queue_size`` items wait for handler threads, further broadcasts and questions are dropped, counted and
logged; events are left to other replicas.

Threads and locks: no thread of its own. ``take`` runs on the watch's thread and does not block. Handler
threads block on the store to answer. ``_lock`` guards ``_early``. At a lost lease or watch nothing is lost:
the claims of events go the way of all claims, and the watch goes on where it stopped.
"""

from __future__ import annotations

import functools
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from discordha.coordination.shared.posts import ASK, BROADCAST, EVENT, Answer, Post, Posts
from discordha.dispatch.dispatcher import Dispatcher
from discordha.dispatch.handlers import Handler
from discordha.dispatch.handlers.callables import callable_name, refuse_result
from discordha.dispatch.items import Item
from discordha.dispatch.lanes import Lanes
from discordha.errors import StoreUnavailable
from discordha.events import Event, Identity, Scope
from discordha.stats import Stats

__all__ = ["Inbox"]

_log = logging.getLogger(__name__)

#: While the store does not answer: the pause between two tries to send an answer, seconds, and their number.
RETRY_PAUSE = 0.25
TRIES = 20


class Inbox:
    """See the module.

    :param broadcasts: the functions of ``ha.on_broadcast``, by name.
    :param asks: those of ``ha.on_ask``.
    :param has_events: whether the bot has declared events of its own.
    :param on_event: takes an event's name and arguments for threads that wait for it; must not block.
    :param shard: gives the key of the shard whose hosts run the bot's own events.
    :param limit: items that may wait for handler threads.
    """

    def __init__(
        self,
        posts: Posts,
        dispatcher: Dispatcher,
        lanes: Lanes,
        stats: Stats,
        *,
        broadcasts: Mapping[str, Sequence[Callable[[Any], Any]]],
        asks: Mapping[str, Callable[[Any], Any]],
        has_events: bool,
        on_event: Callable[[str, tuple[Any, ...]], None],
        shard: Callable[[], int],
        limit: int,
    ) -> None:
        self._posts = posts
        self._dispatcher = dispatcher
        self._lanes = lanes
        self._stats = stats
        self._broadcasts = broadcasts
        self._asks = asks
        self._on_event = on_event
        self._shard = shard
        self._limit = limit
        self._sequence = 0
        self._full = False
        self._pausing = False
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._early: list[Post] | None = []  # what arrived before ``start``
        if broadcasts or asks or has_events:
            posts.listen(self.take)

    def start(self) -> None:
        """Hands over what has arrived, and from now on at once. Does not block."""
        while True:
            with self._lock:
                early = self._early
                if not early:
                    self._early = None
                    return
                self._early = []
            for post in early:
                self._hand_over(post)

    def pause(self) -> None:
        """Takes nothing more: this replica leaves. Does not block."""
        self._pausing = True

    def stop(self) -> None:
        """Ends handlers that wait for the store to answer a question. Does not block."""
        self._stop.set()

    def take(self, post: Post) -> None:
        """Takes a post. Never blocks; the watch's thread."""
        with self._lock:
            if self._early is not None:
                self._early.append(post)
                return
        self._hand_over(post)

    def inject(self, raw: str) -> None:
        """Takes an event again that no replica which received it took over. Does not block.

        :param raw: as ``_raw`` made it.
        """
        try:
            record = json.loads(raw)
            post = Post(record["id"], EVENT, record["name"], record["args"], "", is_old=True)
        except (ValueError, KeyError, TypeError):
            _log.warning("an event of another version is left to others: %.200s", raw)
            return
        self._hand_over(post)

    def _hand_over(self, post: Post) -> None:
        if self._pausing:
            return
        if post.kind == EVENT:
            if not post.is_old:
                self._on_event(post.name, tuple(post.body))
            self._dispatcher.receive_own(
                post.name, tuple(post.body), post.id, _raw(post), self._shard(), is_old=post.is_old
            )
        elif post.is_old:
            return
        elif post.kind == BROADCAST:
            functions = self._broadcasts.get(post.name, ())
            handlers = [
                Handler(function, BROADCAST, Scope.EVERY, None, callable_name(function))
                for function in functions
            ]
            if handlers:
                self._put(post, handlers, f"{BROADCAST}/{post.sender}")
        elif post.kind == ASK:
            answer = functools.partial(self._answer, post)
            name = f"the answer to {post.name}"
            self._put(post, [Handler(answer, ASK, Scope.EVERY, None, name)], f"{ASK}/{post.id}")

    def _put(self, post: Post, handlers: Sequence[Handler], order: str) -> None:
        if self._lanes.sizes()[2] >= self._limit:
            self._stats.add("dropped", "queue_full")
            if not self._full:
                self._full = True
                _log.error(
                    "%d items wait for handlers (queue_size): broadcasts and questions are dropped; their "
                    "handlers are too slow",
                    self._limit,
                )
            return
        self._full = False
        self._sequence += 1
        identity = Identity(Scope.EVERY, post.id, order, None)
        event = Event(post.kind, (post.body,), identity, self._shard(), None, time.monotonic())
        self._stats.add("received", post.kind)
        self._lanes.put(Item(event, handlers, f"every/{order}", self._sequence))

    # -- handler threads -------------------------------------------------------------------------------------

    def _answer(self, question: Post, body: Any) -> None:
        if not self._until_answered(lambda: self._posts.is_open(question)):
            return  # the asker waits no more
        function = self._asks.get(question.name)
        if function is None:
            self._reply(question, Answer(None, f"this replica has no @ha.on_ask({question.name!r})"))
            return
        try:
            value = function(body)
            refuse_result(value, f"the answer to {question.name!r}")
            self._reply(question, Answer(value, None))
        except Exception as error:
            if not isinstance(error, StoreUnavailable):
                self._reply(question, Answer(None, f"{type(error).__name__}: {error}"))
            raise

    def _reply(self, question: Post, answer: Answer) -> None:
        def write() -> bool:
            self._posts.answer(question, answer)
            return True

        self._until_answered(write)

    def _until_answered(self, call: Callable[[], bool]) -> bool:
        """Calls the store again while it does not answer, for some seconds."""
        for _ in range(TRIES):
            try:
                return call()
            except StoreUnavailable:
                if self._stop.wait(RETRY_PAUSE):
                    return False
        return call()


def _raw(post: Post) -> str:
    """The stored form of an event, for a replica that takes it over without having received it."""
    return json.dumps({"discordha": EVENT, "id": post.id, "name": post.name, "args": post.body})
