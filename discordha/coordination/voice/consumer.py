"""A worker's side of the voice queue: takes the commands of the guilds that it owns, and hands them out.

Guarantees
- A command is handed out only while this replica owns its guild's voice: of a guild's queue (``play``) one at
  a time, each after the acknowledgement of the last; other actions at once.
- When an owner's session ends, another worker has the guild a round trip after etcd says so, and gets the
  command that was played with the position reached. A command that ended the process of ``max_attempts``
  workers is given up, with an error in the log.
- A guild is given back once all commands that ``get`` has returned are acknowledged, or after ``patience``
  seconds. Commands that ``get`` has not returned yet go to another worker at once.

Threads and locks
- The thread ``discordha-voice-<module>``, started by ``start`` and joined by ``close``, alone takes guilds
  and commands, in one combined write a turn. ``finish`` and ``give_back`` block, on the worker's threads.
- ``_lock`` guards the delivered commands of each guild; no I/O under it, and it is never held together with
  the view's ``changed``. ``_ready`` has a lock of its own.
- When the session is lost, everything owned is lost by the grant's deadline, and the thread begins again with
  the next grant. While the watch is lost, new commands come later.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

from discordha.coordination.etcd.group_commit import Operation
from discordha.coordination.etcd.store import Compare, Delete, LeaseNotFound, Put, Txn
from discordha.coordination.session import Grant
from discordha.coordination.voice.deliveries import OwnedGuild, VoiceBackend, VoiceDelivery
from discordha.coordination.voice.guilds import OwnedGuilds
from discordha.coordination.voice.records import DONE, PlayMark, QueuedCommand
from discordha.coordination.voice.view import VoiceView
from discordha.errors import DiscordHAError, LockLost, StoreUnavailable
from discordha.process.threads import note_failure, unending

__all__ = ["VoiceConsumer"]

_log = logging.getLogger(__name__)

#: How many commands of a guild are taken ahead. The rest waits, and expires when it waits too long.
TAKEN_AHEAD = 500
#: How many commands are taken, or marked as done, in one write.
COMMANDS_PER_WRITE = 100
#: The longest wait for a change, seconds.
LONGEST_WAIT = 0.5
#: The first pause after the store did not answer, seconds. It doubles up to ``LONGEST_WAIT``.
TURN_PAUSE = 0.1


class VoiceConsumer:
    """Takes a module's commands; iterate for deliveries. Made by ``VoiceQueue.consume``; a context manager.

    :param locked: tells whether ``lock_voice`` has a guild's voice.
    :param serves: tells whether this replica is connected for a guild.
    :param linger: seconds that a guild without commands stays owned.
    :param patience: seconds that a guild is kept for commands under way when it has to be given back.
    """

    def __init__(
        self,
        backend: VoiceBackend,
        view: VoiceView,
        module_id: str,
        *,
        locked: Callable[[int], bool],
        serves: Callable[[int], bool],
        linger: float,
        patience: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.module_id = module_id
        self.max_attempts = backend.max_attempts
        self._backend = backend
        self._view = view
        self._locked = locked
        self._serves = serves
        self._linger = linger
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._guilds = OwnedGuilds(
            backend, view, module_id, serves=serves, hold=lambda: self._hold, clock=clock
        )
        self._ended = threading.Event()
        self._drained_at: float | None = None  # when it stopped to take commands
        self._ready: queue.SimpleQueue[VoiceDelivery | None] = queue.SimpleQueue()
        self._registered: Grant | None = None
        self._key = backend.keys.worker(module_id, backend.replica_id)
        self._hold = 0
        self._hold_due = 0.0
        self._nudged = False
        self._thread = threading.Thread(
            target=unending(self._run, self._ended), name=f"discordha-voice-{module_id}", daemon=True
        )

    # -- life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the thread. Does not block."""
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether it takes no more commands."""
        return self._ended.is_set()

    def drain(self) -> None:
        """Takes and hands out nothing more; peers are preferred from now on. Does not block; idempotent."""
        with self._lock:
            if self._drained_at is not None:
                return
            self._drained_at = self._clock()
        # If etcd does not answer, the session's end deletes it.
        self._backend.commit.submit((Operation(Txn((), (Delete(self._key),)), (self._key,)),))
        self._ready.put(None)
        self._nudge()

    @property
    def idle(self) -> bool:
        """Whether a drain need not wait for it (any longer). No I/O; any thread."""
        drained_at = self._drained_at
        if drained_at is not None and self._clock() >= drained_at + self._patience:
            return True
        return not any(owned.under_way for owned in self._guilds.all() if not owned.lost)

    def close(self) -> None:
        """Gives everything back, acknowledged or not, and ends the iteration. Blocks for a few round trips.
        Idempotent; any thread but its own.
        """
        self.drain()
        self._ended.set()
        self._nudge()
        if self._thread.is_alive():
            self._thread.join()
        left = [owned for owned in self._guilds.all() if not owned.lost]
        for delivery in (each for owned in left for each in owned.under_way if self._patience):
            _log.warning("%r was not acknowledged in time: another replica carries it out again", delivery)
        self._guilds.release(left)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Closes it."""
        self.close()

    # -- the worker ------------------------------------------------------------------------------------------

    def get(self, timeout: float | None = None) -> VoiceDelivery | None:
        """The next command to carry out; ``None`` if none comes within ``timeout`` seconds, or at the end.
        Blocks; any thread.
        """
        deadline = None if timeout is None else self._clock() + timeout
        while True:
            try:
                left = None if deadline is None else max(deadline - self._clock(), 0.0)
                delivery = self._ready.get(timeout=left)
            except queue.Empty:
                return None
            if delivery is None:
                self._ready.put(None)  # for other waiting threads
                return None
            if not self._serves(delivery.guild_id):
                self._nudge()  # the thread gives the guild back
            elif self._begin(delivery):
                return delivery

    def _begin(self, delivery: VoiceDelivery) -> bool:
        """Notes that a command is under way; false if none may begin here any more."""
        with self._lock:
            if self._drained_at is not None or delivery.lost:
                return False
            delivery.owned.under_way.add(delivery)
            return True

    def __iter__(self) -> Iterator[VoiceDelivery]:
        """Deliveries, until the bot stops or the consumer is closed."""
        while (delivery := self.get()) is not None:
            yield delivery

    def owns(self, guild_id: int) -> bool:
        """Whether it owns a guild's voice. No I/O; any thread."""
        return self._guilds.get(guild_id) is not None

    def waiting(self, guild_id: int) -> list[QueuedCommand]:
        """A guild's known queue, without the command that plays. No I/O; any thread."""
        owned = self._guilds.get(guild_id)
        with self._lock:
            done = set(owned.delivered) if owned is not None else set()
        entries = self._view.of_module(self.module_id).get(guild_id, [])
        return [entry for entry in entries if entry.action == "play" and entry.id not in done]

    def hold(self, guild_id: int, held: bool) -> None:
        """Keeps a guild owned while it has no commands, or no longer. Never blocks."""
        owned = self._guilds.get(guild_id)
        if owned is not None:
            owned.held = held
            owned.busy_at = self._clock()
        if not held:
            self._nudge()

    def discard(self, guild_id: int, entries: list[QueuedCommand]) -> None:
        """Marks commands as done without carrying them out. Blocks for a round trip.

        :raises LockLost: the guild's voice is lost.
        :raises StoreUnavailable: etcd does not answer.
        """
        owned = self._guilds.get(guild_id)
        if owned is None:
            raise LockLost(f"this replica may have lost the voice of guild {guild_id}")
        for start in range(0, len(entries), COMMANDS_PER_WRITE):
            self._finish(owned, entries[start : start + COMMANDS_PER_WRITE])

    # -- deliveries ------------------------------------------------------------------------------------------

    def finish(self, delivery: VoiceDelivery) -> None:
        """See ``VoiceDelivery.ack``."""
        self._finish(delivery.owned, [delivery.entry])
        if delivery.owned.playing is delivery:
            delivery.owned.playing = None
        with self._lock:
            delivery.owned.under_way.discard(delivery)
        delivery.owned.busy_at = self._clock()
        self._nudge()

    def _finish(self, owned: OwnedGuild, entries: list[QueuedCommand]) -> None:
        keys, leases = self._backend.keys, self._backend.leases
        deadline = self._clock() + self._backend.timeout
        paths = [keys.command(entry.guild_id, entry.id) for entry in entries]
        while True:
            lease = leases.current()
            puts = [Operation(Txn((owned.guard,), (Put(path, DONE, lease),)), (path,)) for path in paths]
            try:
                with self._backend.backoff.attempt(deadline):
                    done = all(result.succeeded for result in self._backend.write(puts))
                if not done:
                    owned.gone = True
                    raise LockLost(f"this replica has lost the voice of guild {owned.guild_id}")
                break
            except LeaseNotFound:
                renewed = leases.renew(lease)
                if not renewed and (self._clock() >= deadline or self._ended.wait(TURN_PAUSE)):
                    raise
            except StoreUnavailable:
                if owned.lost or self._clock() >= deadline or self._ended.is_set():
                    raise
        with self._lock:
            owned.delivered.update(entry.id for entry in entries)

    def give_back(self, delivery: VoiceDelivery) -> None:
        """See ``VoiceDelivery.release``."""
        if not delivery.lost:
            self._guilds.release([delivery.owned])

    def note(self, delivery: VoiceDelivery, mark: PlayMark) -> None:
        """See ``VoiceDelivery.progress``."""
        owned = delivery.owned

        def noted(operation: Operation) -> None:
            if operation.result is not None and not operation.result.succeeded:
                owned.gone = True

        if owned.playing is delivery:
            owned.mark = mark
            self._backend.commit.submit((self._marking(owned, mark, noted),))

    def _marking(
        self, owned: OwnedGuild, mark: PlayMark, callback: Callable[[Operation], None] | None = None
    ) -> Operation:
        key = self._backend.keys.mark(owned.guild_id)
        return Operation(Txn((owned.guard,), (Put(key, mark.value(), self._hold),)), (key,), callback)

    # -- the thread ------------------------------------------------------------------------------------------

    def _nudge(self) -> None:
        with self._view.changed:
            self._nudged = True
            self._view.changed.notify_all()

    def _run(self) -> None:
        after_failure = TURN_PAUSE
        while not self._ended.is_set():
            with self._view.changed:
                version, self._nudged = self._view.version, False
            try:
                pause = self._turn()
                after_failure = TURN_PAUSE
            except (DiscordHAError, LeaseNotFound) as error:
                if after_failure == TURN_PAUSE:
                    _log.warning("the voice queue of %s waits for etcd: %s", self.module_id, error)
                pause, version = after_failure, -1
                after_failure = min(2 * after_failure, LONGEST_WAIT)
                self._hold_due = 0.0  # the lost lease may be this one
            except Exception as error:  # noqa: BLE001 - a fault of this program must not end the thread
                _log.exception("the voice queue of %s failed; it tries again", self.module_id)
                note_failure(error)
                pause, version = LONGEST_WAIT, -1
            with self._view.changed:
                if not self._ended.is_set() and not self._nudged and version in (-1, self._view.version):
                    self._view.changed.wait(pause)

    def _turn(self) -> float:
        """One turn of the thread; returns the seconds until the next is due."""
        grant = self._backend.session.current
        self._guilds.forget_lost()
        self._guilds.release_unserved(self._patience)
        if self._drained_at is not None:
            self._guilds.release_quiet(self._locked)
        if grant is None or self._drained_at is not None:
            return LONGEST_WAIT
        self._register(grant)
        self._keep_hold()
        self._backend.releases.repeat()  # under the lease that was renewed
        revision = self._view.revision  # of the commands, or an earlier one
        commands = self._view.of_module(self.module_id)
        wait = self._guilds.take(grant, commands, LONGEST_WAIT)
        self._take_commands(commands)
        self._hand_out(commands, revision)
        idle = self._guilds.release_idle(commands, self._locked, self._linger, LONGEST_WAIT)
        return max(min(wait, idle), 0.001)

    def _register(self, grant: Grant) -> None:
        if self._registered is not grant:
            put = Put(self._key, b"", grant.lease_id)
            self._backend.write([Operation(Txn((), (put,)), (self._key,))])
            self._registered = grant

    def _keep_hold(self) -> None:
        """Renews the lease of this worker's commands, which outlives the worker by ``retention``."""
        if (now := self._clock()) < self._hold_due:
            return
        store, retention = self._backend.store, self._backend.retention
        if not self._hold or store.keep_alive(self._hold) <= 0.0:
            self._hold = store.grant(retention).id
        self._hold_due = now + retention / 4

    def _take_commands(self, commands: dict[int, list[QueuedCommand]]) -> None:
        operations = []
        for owned in self._guilds.all():
            for entry in commands.get(owned.guild_id, [])[:TAKEN_AHEAD]:
                if not self._has_taken(entry) and entry.id not in owned.delivered:
                    key = self._backend.keys.command(entry.guild_id, entry.id)
                    unchanged = Compare.mod_revision(key, entry.mod_revision)
                    put = Put(key, entry.value(taken=True), self._hold)
                    operations.append(Operation(Txn((owned.guard, unchanged), (put,)), (key,)))
        self._backend.write(operations[:COMMANDS_PER_WRITE])

    def _has_taken(self, entry: QueuedCommand) -> bool:
        return entry.taken and entry.lease == self._hold

    def _hand_out(self, commands: dict[int, list[QueuedCommand]], revision: int) -> None:
        """Hands out taken commands; the first play of each guild once its attempt is stored."""
        begun: list[tuple[OwnedGuild, QueuedCommand, PlayMark]] = []
        for owned in self._guilds.known_at(revision):
            entries = commands.get(owned.guild_id, [])
            with self._lock:
                owned.delivered.intersection_update(entry.id for entry in entries)
            ready = [e for e in entries if self._has_taken(e) and e.id not in owned.delivered]
            for entry in ready:
                if entry.action != "play":
                    self._deliver(owned, entry, PlayMark(entry.id, 0.0, 1))
            plays = (entry for entry in entries if entry.action == "play")
            first = next((entry for entry in plays if entry.id not in owned.delivered), None)
            if owned.playing is None and first is not None and first in ready:
                begun.append((owned, first, self._begin_mark(owned, first)))
        noted = self._backend.write([self._marking(owned, mark) for owned, _, mark in begun])
        for (owned, entry, mark), result in zip(begun, noted, strict=True):
            if not result.succeeded:
                owned.gone = True
                continue
            owned.mark = mark
            if mark.attempt > self._backend.max_attempts:
                text = "the voice command %s (%r, guild %d) is given up: %d workers ended playing it"
                _log.error(text, entry.id, entry.file, entry.guild_id, self._backend.max_attempts)
                self._finish(owned, [entry])
            else:
                self._deliver(owned, entry, mark)

    def _begin_mark(self, owned: OwnedGuild, entry: QueuedCommand) -> PlayMark:
        if not owned.read_mark:
            found = self._backend.store.get(self._backend.keys.mark(owned.guild_id))
            owned.mark = PlayMark.parse(found.value) if found is not None else None
            owned.read_mark = True
        old = owned.mark
        if old is not None and old.command_id == entry.id:
            return old._replace(attempt=old.attempt + 1)
        return PlayMark(entry.id, 0.0, 1, old.volume if old is not None else 1.0)

    def _deliver(self, owned: OwnedGuild, entry: QueuedCommand, mark: PlayMark) -> None:
        delivery = VoiceDelivery(self, owned, entry, mark)
        with self._lock:
            owned.delivered.add(entry.id)
            if entry.action == "play":
                owned.playing = delivery
            owned.busy_at = self._clock()
        self._ready.put(delivery)
