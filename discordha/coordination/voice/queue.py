"""The voice queue: commands that wait in the store for a worker, and the owners of guilds' voices.

Guarantees
- Once ``send`` has returned, a command is delivered until a worker has acknowledged it, to one worker at a
  time and in the order of sending within a guild, whatever workers die or start meanwhile. It may be
  delivered twice: a worker may die between the sound and the acknowledgement.
- A command that no worker takes within the TTL is gone; with ``wait`` its sender learns that for certain.
- Sending one id again is harmless for ``retention``.
- A guild's voice has one owner at a time, over all modules, known by its fencing token.

Threads and locks: ``_lock`` guards ``_opened``, ``_consumers`` and ``_locked``. It is held while the watch is
opened, which waits for the store's first answer; the watch's thread never takes it. The threads of the watch
(``discordha-voice-watch``), of the TTL's leases and of each consumer end at ``stop``.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable

from discordha.coordination.etcd.group_commit import Operation
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.store import Compare, Delete, Get, LeaseNotFound, Put, Txn, Watch
from discordha.coordination.voice.consumer import VoiceConsumer
from discordha.coordination.voice.deliveries import VoiceBackend
from discordha.coordination.voice.records import QueuedCommand, VoiceOwner
from discordha.coordination.voice.releases import Release
from discordha.coordination.voice.view import VoiceView
from discordha.errors import DiscordHAError, StoreUnavailable, VoiceCommandExpired

__all__ = ["PATIENCE", "VoiceQueue"]

#: How long a command waits for a worker, seconds.
VOICE_COMMAND_TTL = 30.0
#: The commands of so many seconds share a lease.
LEASE_BUCKET = 5.0
#: How long a guild that has to be given back is kept for commands that a bot's thread has not acknowledged,
#: seconds. A thread that acknowledges nothing holds up a drain for so long.
PATIENCE = 2.0
#: Pause before a write is repeated that the store did not answer, seconds.
WRITE_PAUSE = 0.1


class VoiceQueue:
    """One replica's part of the voice queue.

    :param ttl: seconds that a command waits for a worker.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        backend: VoiceBackend,
        *,
        ttl: float = VOICE_COMMAND_TTL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._ttl = ttl
        self._clock = clock
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._draining = False
        self._opened = False
        self._watch: Watch | None = None
        self._waiting = RetentionLeases(backend.store, retention=ttl, bucket=min(LEASE_BUCKET, ttl))
        self._numbers = itertools.count()
        self._consumers: list[VoiceConsumer] = []
        self._locked: dict[int, tuple[str, int]] = {}  # module and token, by guild
        #: Whether this replica is connected for a guild: only then its consumers take the guild's commands.
        #: Must not block; asked on their threads. Set before the first ``consume``.
        self.serves: Callable[[int], bool] = lambda guild_id: True
        self.view = VoiceView(backend.keys.watched)

    # -- life ------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Opens the watch and the leases at the first use of voice."""
        with self._lock:
            if self._stop.is_set():
                raise DiscordHAError("the bot stops: its voice queue is closed")
            if self._opened:
                return
            backend = self._backend
            self._waiting.current()
            watch = self._watch = backend.store.watch(
                backend.keys.watched, self.view, silence=backend.silence, name="discordha-voice-watch"
            )
            watch.start()
            if not watch.wait_synced(2 * backend.timeout):
                watch.stop()
                raise StoreUnavailable("etcd has not told what is in the voice queue")
            self._waiting.start()
            self._opened = True

    def drain(self) -> None:
        """Takes no more commands: those that nobody has begun go to other replicas. Does not block; any
        thread.
        """
        with self._lock:
            self._draining = True
            consumers = list(self._consumers)
        for consumer in consumers:
            consumer.drain()

    @property
    def idle(self) -> bool:
        """Whether a drain need not wait for commands under way. No I/O; any thread."""
        return all(consumer.idle for consumer in self._consumers)

    def stop(self) -> None:
        """Ends all consumers and the watch; what is not acknowledged goes to other replicas. Blocks for a few
        round trips. Idempotent; any thread.
        """
        self._stop.set()
        self._backend.backoff.stop()
        self.view.close()
        with self._lock:
            consumers, self._consumers = self._consumers, []
            opened, self._opened = self._opened, False
        for consumer in consumers:
            consumer.close()
        self._waiting.stop()
        if opened and self._watch is not None:
            self._watch.stop()

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
        command_id: str | None = None,
    ) -> str:
        """Queues a command and returns its id. Blocks for a round trip; with ``wait`` until a worker has
        taken it, which may be long before it plays.

        :param command_id: equal ids make repetition harmless; by default a new one.
        :raises DiscordHAError: the bot stops; a command that was written stays queued.
        :raises VoiceCommandExpired: with ``wait``: no worker took it within the TTL, and none will.
        :raises StoreUnavailable: etcd does not answer; ``maybe_applied`` says whether it may be queued.
        """
        self._open()
        command_id = command_id or f"r{secrets.token_hex(12)}"
        number = next(self._numbers)
        command = QueuedCommand(guild_id, command_id, module_id, channel_id, file, user_id, action, number)
        taken = self.view.expect(command_id) if wait else None
        try:
            due, is_taken = self._put(command)
            if taken is not None and not is_taken and not taken.wait(max(due - self._clock(), 0.0)):
                self._withdraw(command)
            elif taken is not None and not is_taken and self._stop.is_set():
                raise DiscordHAError("the bot stops; the voice command stays queued until its time is over")
        finally:
            if taken is not None:
                self.view.forget(command_id)
        return command_id

    def _put(self, command: QueuedCommand) -> tuple[float, bool]:
        """Writes the command unless it exists; returns the end of its TTL, and whether it was taken."""
        key = self._backend.keys.command(command.guild_id, command.id)
        deadline = self._clock() + self._backend.timeout
        while True:
            lease = self._waiting.current()
            put = Put(key, command.value(taken=False), lease)
            sent_at = self._clock()
            try:
                txn = Txn((Compare.version(key, 0),), (put,), (Get(key),))
                with self._backend.backoff.attempt(deadline):
                    (result,) = self._backend.write((Operation(txn, (key,)),))
                found = result.responses[0] if not result.succeeded else []
                return sent_at + self._ttl, isinstance(found, list) and any(kv.version > 1 for kv in found)
            except LeaseNotFound:
                renewed = self._waiting.renew(lease)
                if not renewed and (self._clock() >= deadline or self._stop.wait(WRITE_PAUSE)):
                    raise
            except StoreUnavailable:
                # The same key keeps a repeated command from being queued twice.
                if self._clock() >= deadline or self._stop.is_set():
                    raise

    def _withdraw(self, command: QueuedCommand) -> None:
        """Deletes a command unless it was taken, which would have been its second write."""
        key = self._backend.keys.command(command.guild_id, command.id)
        deadline = self._clock() + self._backend.timeout
        txn = Txn((Compare.version(key, 1),), (Delete(key),), (Get(key),))
        while True:
            try:
                with self._backend.backoff.attempt(deadline):
                    (result,) = self._backend.write((Operation(txn, (key,)),))
                break
            except StoreUnavailable:
                if self._clock() >= deadline or self._stop.is_set():
                    raise
        if result.succeeded or result.responses == [[]]:
            raise VoiceCommandExpired(
                f"no worker of {command.module_id!r} took the command for guild {command.guild_id} "
                f"within {self._ttl:g} s: does one run, and does another module own the guild's voice?"
            )

    # -- owners ----------------------------------------------------------------------------------------------

    def lock(self, module_id: str, guild_id: int) -> bool:
        """Takes a guild's voice for a module on this replica, until ``unlock`` or the end of the session;
        returns whether the module has it now. Blocks for a round trip.

        :raises SessionExpired: the replica has no session.
        :raises StoreUnavailable: etcd does not answer.
        """
        self._open()
        backend = self._backend
        grant = backend.session.require()
        key = backend.keys.owner(guild_id)
        value = VoiceOwner.value(module_id, backend.replica_id)
        txn = Txn((Compare.version(key, 0),), (Put(key, value, grant.lease_id),), (Get(key),))
        for _ in range(2):
            (result,) = backend.write((Operation(txn, (key,)),))
            token = result.revision
            if not result.succeeded:
                found = result.responses[0]
                assert isinstance(found, list)
                if not found or found[0].value != value or found[0].lease != grant.lease_id:
                    return False
                token = found[0].create_revision
            if not backend.releases.has(guild_id, token):
                with self._lock:
                    self._locked[guild_id] = (module_id, token)
                return True
            backend.releases.repeat()  # what was given up may go at any time
        return False

    def unlock(self, module_id: str, guild_id: int) -> bool:
        """Frees what ``lock`` took, at once or when the consumer that plays there has finished; returns
        whether the module had it. Blocks for a round trip.

        :raises StoreUnavailable: etcd does not answer.
        """
        self._open()
        with self._lock:
            owner, token = self._locked.get(guild_id, ("", 0))
            if owner != module_id:
                return False
            del self._locked[guild_id]
            busy = any(consumer.owns(guild_id) for consumer in self._consumers)
        if busy:
            with self.view.changed:
                self.view.changed.notify_all()
            return True
        if self._backend.session.current is None:
            return False
        key = self._backend.keys.owner(guild_id)
        txn = Txn((Compare.create_revision(key, token),), (Delete(key),))
        release = Release(guild_id, token, lambda: Operation(txn, (key,)))
        self._backend.releases.add([release])
        return self._backend.releases.send([release])[0].value().succeeded

    def locked(self, guild_id: int) -> bool:
        """Whether ``lock`` has a guild's voice. No I/O; any thread."""
        return guild_id in self._locked

    # -- workers ---------------------------------------------------------------------------------------------

    def consume(self, module_id: str, *, linger: float = 1.0, patience: float = PATIENCE) -> VoiceConsumer:
        """Starts a consumer of a module's commands, to be closed at the end. Blocks until the queue is known.

        :param linger: seconds that a guild without commands stays owned.
        :param patience: seconds that a guild which has to be given back is kept for what its worker has not
            acknowledged.
        :raises DiscordHAError: this replica takes the module's commands already, or stops.
        """
        self._open()
        with self._lock:
            if self._draining:
                raise DiscordHAError("the bot stops: it takes no more voice commands")
            if any(consumer.module_id == module_id and not consumer.closed for consumer in self._consumers):
                raise DiscordHAError(
                    f"this replica watches the voice commands of {module_id!r} already: hand its deliveries "
                    "to several threads instead"
                )
            self._consumers = [consumer for consumer in self._consumers if not consumer.closed]
            consumer = VoiceConsumer(
                self._backend,
                self.view,
                module_id,
                locked=self.locked,
                serves=self.serves,
                linger=linger,
                patience=patience,
                clock=self._clock,
            )
            self._consumers.append(consumer)
        consumer.start()
        return consumer
