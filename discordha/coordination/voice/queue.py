"""The voice queue: commands that wait in etcd for a worker, and who owns a guild's voice.

Promises
- A command that ``send`` has returned for is delivered, to one worker at a time, in the order of sending
  within a guild, until one has acknowledged it; whatever workers die or start meanwhile.
- A command that no worker takes within the TTL is gone, and with ``wait`` its sender is told so for certain.
- Sending the same id again is harmless for ``retention``: what is queued or done stays as it is.
- One owner of a guild's voice at a time, over all modules, known by its fencing token.

Does not promise that a command is delivered once: a worker may die between the sound and the acknowledgement.

Concurrency
- ``_lock`` guards ``_opened``, ``_consumers`` and ``_locked``; it is held while the watch is opened for the
  first time, which is etcd's first answer away, and never taken by the watch's thread.
- ``send``, ``lock`` and ``unlock`` block, on any thread but the gateway's. The threads are those of the watch
  (``discordha-voice-watch``), of the TTL's leases and of each consumer; all end at ``stop``.
- At a lost session everything owned is gone with it, by the grant's own deadline; see ``VoiceConsumer``. At a
  lost watch consumers act late, not wrongly: each write is guarded by a revision.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable

from discordha.coordination.etcd.group_commit import GroupCommit, Operation
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.store import (
    Compare,
    Delete,
    Get,
    LeaseNotFound,
    Put,
    Txn,
    TxnResult,
    Watch,
)
from discordha.coordination.memory.voice import AloneSession, MemoryStore
from discordha.coordination.voice.backend import Means
from discordha.coordination.voice.consumer import VoiceConsumer
from discordha.coordination.voice.records import Entry, Keys, Owner
from discordha.coordination.voice.view import VoiceView
from discordha.errors import DiscordHAError, StoreUnavailable, VoiceCommandExpired

__all__ = ["TTL", "VoiceQueue"]

#: How long a command waits for a worker, seconds.
TTL = 30.0
#: Seconds that the leases of waiting commands are shared for.
BUCKET = 5.0
#: Pause before a write is sent again that etcd did not answer, seconds.
RETRY_PAUSE = 0.1


class VoiceQueue:
    """One replica's part of the voice queue.

    :param ttl: seconds that a command waits for a worker.
    :param clock: monotonic seconds.
    """

    def __init__(
        self, means: Means, *, ttl: float = TTL, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._means = means
        self._ttl = ttl
        self._clock = clock
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._opened = False
        self._owns_parts = False
        self._watch: Watch | None = None
        self._waiting = RetentionLeases(means.store, retention=ttl, bucket=min(BUCKET, ttl))
        self._numbers = itertools.count()
        self._consumers: list[VoiceConsumer] = []
        self._locked: dict[int, str] = {}
        self.view = VoiceView(means.keys.watched)

    @classmethod
    def alone(cls, replica_id: str, *, retention: float, max_attempts: int, ttl: float = TTL) -> VoiceQueue:
        """The queue of a replica without etcd. It owns what it works with."""
        store = MemoryStore()
        keys = Keys("/alone/")

        def watch(view: VoiceView) -> None:
            store.subscribe(keys.watched, view)

        queue = cls(
            Means(
                store,
                AloneSession(),
                GroupCommit(store),
                RetentionLeases(store, retention=retention),
                watch,
                keys,
                replica_id,
                retention,
                5.0,
                max_attempts,
                0.0,
            ),
            ttl=ttl,
        )
        queue._owns_parts = True
        return queue

    # -- life ------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Opens what is needed, the first time that voice is."""
        with self._lock:
            if self._stop.is_set():
                raise DiscordHAError("the bot stops: its voice queue is closed")
            if self._opened:
                return
            means = self._means
            self._waiting.current()
            if self._owns_parts:
                means.commit.start()
                means.done_leases.start()
            self._watch = means.watch(self.view)
            if self._watch is not None:
                self._watch.start()
                if not self._watch.wait_synced(2 * means.timeout):
                    self._watch.stop()
                    raise StoreUnavailable("etcd has not told what is in the voice queue")
            self._waiting.start()
            self._opened = True

    def stop(self) -> None:
        """Ends all consumers and the watch. Blocks for a few round trips. Idempotent; any thread."""
        self._stop.set()
        with self._lock:
            consumers, self._consumers = self._consumers, []
            opened, self._opened = self._opened, False
        for consumer in consumers:
            consumer.close()
        self._waiting.stop()
        if opened and self._watch is not None:
            self._watch.stop()
        if self._owns_parts:
            self._means.commit.stop()
            self._means.done_leases.stop()

    # -- senders ---------------------------------------------------------------------------------------------

    def send(
        self,
        *,
        module_id: str,
        guild_id: int,
        channel_id: int,
        file: str,
        user_id: int,
        action: str = "play",
        wait: bool = False,
        entry_id: str | None = None,
    ) -> str:
        """Queues a command; returns its id. Blocks for a round trip; with ``wait`` until a worker has taken
        it, which may be long before it plays.

        :param entry_id: the same for what may be sent again; by default a new one.
        :raises VoiceCommandExpired: with ``wait``: nobody took it within the TTL, and nobody will.
        :raises StoreUnavailable: etcd does not answer; ``maybe_applied`` says whether it may be queued.
        """
        self._open()
        entry_id = entry_id or f"r{secrets.token_hex(12)}"
        entry = Entry(guild_id, entry_id, module_id, channel_id, file, user_id, action, next(self._numbers))
        taken = self.view.expect(entry_id) if wait else None
        try:
            due, is_taken = self._put(entry)
            if taken is not None and not is_taken and not taken.wait(max(due - self._clock(), 0.0)):
                self._withdraw(entry)
        finally:
            if taken is not None:
                self.view.forget(entry_id)
        return entry_id

    def _put(self, entry: Entry) -> tuple[float, bool]:
        """Writes the command unless it is there; returns when its TTL ends, and whether it was taken."""
        key = self._means.keys.entry(entry.guild_id, entry.id)
        deadline = self._clock() + self._means.timeout
        while True:
            lease = self._waiting.current()
            operation = Operation(
                Txn((Compare.version(key, 0),), (Put(key, entry.value(taken=False), lease),), (Get(key),)),
                (key,),
            )
            sent_at = self._clock()
            self._means.commit.execute((operation,))
            try:
                result = operation.value()
                found = result.responses[0] if not result.succeeded else []
                return sent_at + self._ttl, isinstance(found, list) and any(kv.version > 1 for kv in found)
            except LeaseNotFound:
                self._waiting.renew(lease)
            except StoreUnavailable:
                # Its mark keeps a repeated command from being queued twice.
                if self._clock() >= deadline or self._stop.wait(RETRY_PAUSE):
                    raise

    def _withdraw(self, entry: Entry) -> None:
        """Takes a command back unless it was taken; a command is written once before a worker takes it."""
        key = self._means.keys.entry(entry.guild_id, entry.id)
        deadline = self._clock() + self._means.timeout
        gone = False
        while True:
            operation = Operation(Txn((Compare.version(key, 1),), (Delete(key),), (Get(key),)), (key,))
            self._means.commit.execute((operation,))
            try:
                result = operation.value()
                break
            except StoreUnavailable as error:
                gone = gone or error.maybe_applied
                if self._clock() >= deadline or self._stop.wait(RETRY_PAUSE):
                    raise
        if result.succeeded or result.responses == [[]]:
            raise VoiceCommandExpired(
                f"no worker of {entry.module_id!r} took the command for guild {entry.guild_id} "
                f"within {self._ttl:g} s: does one run, and does another module own the guild's voice?"
            )

    # -- owners ----------------------------------------------------------------------------------------------

    def lock(self, module_id: str, guild_id: int) -> bool:
        """Makes a guild's voice this module's on this replica until ``unlock``, or until the session is lost;
        whether it is now. Blocks for a round trip.

        :raises SessionExpired: the replica has no session.
        :raises StoreUnavailable: etcd does not answer.
        """
        self._open()
        means = self._means
        grant = means.session.require()
        key = means.keys.owner(guild_id)
        value = Owner.value(module_id, means.replica_id)
        result = self._txn(
            key, Txn((Compare.version(key, 0),), (Put(key, value, grant.lease_id),), (Get(key),))
        )
        if not result.succeeded:
            found = result.responses[0]
            assert isinstance(found, list)
            if not found or found[0].value != value or found[0].lease != grant.lease_id:
                return False
        with self._lock:
            self._locked[guild_id] = module_id
        return True

    def unlock(self, module_id: str, guild_id: int) -> bool:
        """Frees what ``lock`` took, at once, or when the consumer that plays there has finished; whether
        there was anything to free. Blocks for a round trip.

        :raises StoreUnavailable: etcd does not answer.
        """
        self._open()
        with self._lock:
            if self._locked.get(guild_id) != module_id:
                return False
            del self._locked[guild_id]
            busy = any(consumer.owns(guild_id) for consumer in self._consumers)
        if busy:
            with self.view.changed:
                self.view.changed.notify_all()
            return True
        grant = self._means.session.current
        if grant is None:
            return False
        key = self._means.keys.owner(guild_id)
        value = Owner.value(module_id, self._means.replica_id)
        return self._txn(key, Txn((Compare.value(key, value),), (Delete(key),))).succeeded

    def locked(self, guild_id: int) -> bool:
        """Whether ``lock`` holds a guild. No I/O; any thread."""
        return guild_id in self._locked

    def _txn(self, key: str, txn: Txn) -> TxnResult:
        operation = Operation(txn, (key,))
        self._means.commit.execute((operation,))
        return operation.value()

    # -- workers ---------------------------------------------------------------------------------------------

    def consume(self, module_id: str, *, linger: float = 1.0) -> VoiceConsumer:
        """Begins to take a module's commands. Blocks until the queue is known. Close it at the end.

        :param linger: seconds that a guild without commands stays owned.
        :raises DiscordHAError: this replica takes the module's commands already.
        """
        self._open()
        with self._lock:
            if any(consumer.module_id == module_id and not consumer.closed for consumer in self._consumers):
                raise DiscordHAError(
                    f"this replica watches the voice commands of {module_id!r} already: hand its deliveries "
                    "to several threads instead"
                )
            self._consumers = [consumer for consumer in self._consumers if not consumer.closed]
            consumer = VoiceConsumer(
                self._means, self.view, module_id, self.locked, linger=linger, clock=self._clock
            )
            self._consumers.append(consumer)
        consumer.start()
        return consumer
