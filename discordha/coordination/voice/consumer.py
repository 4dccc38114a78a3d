"""A worker's side of the voice queue: it owns guilds, takes their commands, and hands them out.

Promises
- A command is handed out only while this replica owns its guild's voice; of a guild's queue (``play``) one
  at a time, the next after the acknowledgement. Other actions are handed out at once.
- When an owner's session ends, another worker has the guild a round trip after etcd says so, and gets the
  command that was played with the position reached. A command that ends the process of ``max_attempts``
  workers is given up and said so in the log.

Does not promise that a command is handed out once: a worker may die before it acknowledges. Which guilds it
owns, and how they are spread, is ``OwnedGuilds``' part.

Concurrency
- The thread ``discordha-voice-<module>`` is owned here: started by ``start``, joined by ``close``. It alone
  takes guilds and commands, in one combined write a turn.
- ``_lock`` guards what was delivered of each guild; no I/O under it, and it is never held together with the
  view's ``changed``. ``_ready`` has a lock of its own; it holds at most one play a guild, and other actions.
- ``finish`` and ``give_back`` block, on the worker's threads; ``note`` never does.
- At a lost session all that is owned is lost by the grant's deadline; the thread forgets it and begins again
  with the next grant. At a lost watch it sees new commands later. At ``close`` what is owned is given back.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from discordha.coordination.etcd.group_commit import Operation
from discordha.coordination.etcd.store import Compare, Delete, LeaseNotFound, Put, Txn
from discordha.coordination.session import Grant
from discordha.coordination.voice.backend import Means
from discordha.coordination.voice.deliveries import Owned, VoiceDelivery
from discordha.coordination.voice.guilds import OwnedGuilds, execute
from discordha.coordination.voice.records import DONE, Entry, Mark
from discordha.coordination.voice.view import VoiceView
from discordha.errors import DiscordHAError, LockLost, StoreUnavailable

__all__ = ["VoiceConsumer"]

_log = logging.getLogger(__name__)

#: A guild's commands that are taken ahead; the rest waits, and runs out when it waits too long.
AHEAD = 500
#: Commands taken in one turn.
BATCH = 100
#: How long the thread waits for a change at the most, and after etcd did not answer, seconds.
LOOK = 0.5
PAUSE = 0.1


class VoiceConsumer:
    """Takes a module's commands; iterate for deliveries. Made by ``VoiceQueue.consume``; a context manager.

    :param locked: whether ``lock_voice`` holds a guild.
    :param linger: seconds that a guild without commands stays owned.
    """

    def __init__(
        self,
        means: Means,
        view: VoiceView,
        module_id: str,
        locked: Callable[[int], bool],
        *,
        linger: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.module_id = module_id
        self.max_attempts = means.max_attempts
        self._means = means
        self._view = view
        self._locked = locked
        self._linger = linger
        self._clock = clock
        self._lock = threading.Lock()
        self._guilds = OwnedGuilds(means, view, module_id, lambda: self._hold, clock)
        self._ended = threading.Event()
        self._draining = False
        self._ready: queue.SimpleQueue[VoiceDelivery | None] = queue.SimpleQueue()
        self._registered: Grant | None = None
        self._hold = 0
        self._hold_due = 0.0
        self._nudged = False
        self._thread = threading.Thread(target=self._run, name=f"discordha-voice-{module_id}", daemon=True)

    # -- life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the thread. Does not block."""
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether it takes commands no more."""
        return self._ended.is_set()

    def drain(self) -> None:
        """Takes no guild and hands out nothing any more; peers are preferred from now on. Blocks for a round
        trip.
        """
        self._draining = True
        self._nudge()
        key = self._means.keys.worker(self.module_id, self._means.replica_id)
        operation = Operation(Txn((), (Delete(key),)), (key,))
        self._means.commit.execute((operation,))  # without an answer the session's end does it

    def close(self) -> None:
        """Gives everything back and ends the iteration. Blocks for a few round trips. Idempotent; any thread
        but its own.
        """
        if not self._draining:
            self.drain()
        self._ended.set()
        self._nudge()
        if self._thread.is_alive():
            self._thread.join()
        self._guilds.release([owned for owned in self._guilds.all() if not owned.lost])
        self._ready.put(None)

    def __enter__(self) -> Self:
        """Nothing: it has begun already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes it."""
        self.close()

    # -- the worker ------------------------------------------------------------------------------------------

    def get(self, timeout: float | None = None) -> VoiceDelivery | None:
        """The next command to carry out; ``None`` when none comes within ``timeout`` seconds, or at the end.
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
                self._ready.put(None)  # for the other threads that wait
                return None
            if not delivery.lost:
                return delivery

    def __iter__(self) -> Iterator[VoiceDelivery]:
        """Deliveries, until the bot stops or the consumer is closed."""
        while (delivery := self.get()) is not None:
            yield delivery

    def owns(self, guild_id: int) -> bool:
        """Whether it owns a guild's voice. No I/O; any thread."""
        return self._guilds.get(guild_id) is not None

    def waiting(self, guild_id: int) -> list[Entry]:
        """A guild's queue as far as it is known, without what plays. No I/O; any thread."""
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

    def discard(self, guild_id: int, entries: list[Entry]) -> None:
        """Marks commands as done that nobody will carry out. Blocks for a round trip.

        :raises LockLost: the guild is not owned any more.
        :raises StoreUnavailable: etcd does not answer.
        """
        owned = self._guilds.get(guild_id)
        if owned is None:
            raise LockLost(f"this replica may not own the voice of guild {guild_id} any more")
        for start in range(0, len(entries), BATCH):
            self._finish(owned, entries[start : start + BATCH])

    # -- deliveries ------------------------------------------------------------------------------------------

    def finish(self, delivery: VoiceDelivery) -> None:
        """See ``VoiceDelivery.ack``."""
        self._finish(delivery.owned, [delivery.entry])
        if delivery.owned.playing is delivery:
            delivery.owned.playing = None
        delivery.owned.busy_at = self._clock()
        self._nudge()

    def _finish(self, owned: Owned, entries: list[Entry]) -> None:
        keys, leases = self._means.keys, self._means.done_leases
        deadline = self._clock() + self._means.timeout
        guard = (Compare.create_revision(keys.owner(owned.guild_id), owned.token),)
        while True:
            lease = leases.current()
            operations = [
                Operation(Txn(guard, (Put(key, DONE, lease),)), (key,))
                for key in (keys.entry(entry.guild_id, entry.id) for entry in entries)
            ]
            self._means.commit.execute(operations)
            try:
                if not all(operation.value().succeeded for operation in operations):
                    owned.gone = True
                    raise LockLost(f"this replica does not own the voice of guild {owned.guild_id} any more")
                break
            except LeaseNotFound:
                leases.renew(lease)
            except StoreUnavailable:
                if owned.lost or self._clock() >= deadline or self._ended.wait(PAUSE):
                    raise
        with self._lock:
            owned.delivered.update(entry.id for entry in entries)

    def give_back(self, delivery: VoiceDelivery) -> None:
        """See ``VoiceDelivery.release``."""
        if not delivery.lost:
            self._guilds.release([delivery.owned])

    def note(self, delivery: VoiceDelivery, mark: Mark) -> None:
        """See ``VoiceDelivery.progress``."""
        owned = delivery.owned

        def noted(operation: Operation) -> None:
            if operation.result is not None and not operation.result.succeeded:
                owned.gone = True

        if owned.playing is delivery:
            owned.mark = mark
            self._means.commit.submit((self._marking(owned, mark, noted),))

    def _marking(
        self, owned: Owned, mark: Mark, callback: Callable[[Operation], None] | None = None
    ) -> Operation:
        key = self._means.keys.mark(owned.guild_id)
        guard = (Compare.create_revision(self._means.keys.owner(owned.guild_id), owned.token),)
        return Operation(Txn(guard, (Put(key, mark.value(), self._hold),)), (key,), callback)

    # -- the thread ------------------------------------------------------------------------------------------

    def _nudge(self) -> None:
        with self._view.changed:
            self._nudged = True
            self._view.changed.notify_all()

    def _run(self) -> None:
        while not self._ended.is_set():
            with self._view.changed:
                version, self._nudged = self._view.version, False
            try:
                pause = self._turn()
            except (DiscordHAError, LeaseNotFound) as error:
                _log.warning("the voice queue of %s waits for etcd: %s", self.module_id, error)
                pause, version = PAUSE, -1
                self._hold_due = 0.0  # its lease may be the one that is gone
            except Exception:  # noqa: BLE001 - a fault of this program must not make the worker deaf
                _log.exception("the voice queue of %s failed; it tries again", self.module_id)
                pause, version = LOOK, -1
            with self._view.changed:
                if not self._ended.is_set() and not self._nudged and version in (-1, self._view.version):
                    self._view.changed.wait(pause)

    def _turn(self) -> float:
        """Does what can be done now; returns how long nothing can be, seconds."""
        grant = self._means.session.current
        self._guilds.forget_lost()
        if grant is None or self._draining:
            return LOOK
        self._register(grant)
        self._keep_hold()
        commands = self._view.of_module(self.module_id)
        wait = self._guilds.take(grant, commands, LOOK)
        self._take_commands(commands)
        self._hand_out(commands)
        idle = self._guilds.release_idle(commands, self._locked, self._linger, LOOK)
        return max(min(wait, idle), 0.001)

    def _register(self, grant: Grant) -> None:
        if self._registered is not grant:
            key = self._means.keys.worker(self.module_id, self._means.replica_id)
            execute(self._means, [Operation(Txn((), (Put(key, b"", grant.lease_id),)), (key,))])
            self._registered = grant

    def _keep_hold(self) -> None:
        """The lease of what this worker has taken: outlives it by ``retention``."""
        now = self._clock()
        if now < self._hold_due:
            return
        store, retention = self._means.store, self._means.retention
        if not self._hold or store.keep_alive(self._hold) <= 0.0:
            self._hold = store.grant(retention).id
        self._hold_due = now + retention / 4

    def _take_commands(self, commands: dict[int, list[Entry]]) -> None:
        operations = []
        keys = self._means.keys
        for owned in self._guilds.all():
            guard = Compare.create_revision(keys.owner(owned.guild_id), owned.token)
            for entry in commands.get(owned.guild_id, [])[:AHEAD]:
                if (entry.taken and entry.lease == self._hold) or entry.id in owned.delivered:
                    continue
                key = keys.entry(entry.guild_id, entry.id)
                txn = Txn(
                    (guard, Compare.mod_revision(key, entry.mod_revision)),
                    (Put(key, entry.value(taken=True), self._hold),),
                )
                operations.append(Operation(txn, (key,)))
        execute(self._means, operations[:BATCH])

    def _hand_out(self, commands: dict[int, list[Entry]]) -> None:
        """Hands out what is taken, each guild's first play once its beginning is noted."""
        begun: list[tuple[Owned, Entry, Mark]] = []
        for owned in self._guilds.all():
            entries = commands.get(owned.guild_id, [])
            with self._lock:
                owned.delivered.intersection_update(entry.id for entry in entries)
            ready = [
                entry
                for entry in entries
                if entry.taken and entry.lease == self._hold and entry.id not in owned.delivered
            ]
            for entry in ready:
                if entry.action != "play":
                    self._deliver(owned, entry, Mark(entry.id, 0.0, 1))
            plays = (entry for entry in entries if entry.action == "play")
            first = next((entry for entry in plays if entry.id not in owned.delivered), None)
            if owned.playing is None and first is not None and first in ready:
                begun.append((owned, first, self._begin_mark(owned, first)))
        notes = [self._marking(owned, mark) for owned, _, mark in begun]
        execute(self._means, notes)
        for (owned, entry, mark), note in zip(begun, notes, strict=True):
            if not note.value().succeeded:
                owned.gone = True
                continue
            owned.mark = mark
            if mark.attempt > self._means.max_attempts:
                _log.error(
                    "the voice command %s (%r, guild %d) is given up: %d workers ended while they played it",
                    entry.id,
                    entry.file,
                    entry.guild_id,
                    self._means.max_attempts,
                )
                self._finish(owned, [entry])
            else:
                self._deliver(owned, entry, mark)

    def _begin_mark(self, owned: Owned, entry: Entry) -> Mark:
        if not owned.read_mark:
            found = self._means.store.get(self._means.keys.mark(owned.guild_id))
            owned.mark = Mark.parse(found.value) if found is not None else None
            owned.read_mark = True
        old = owned.mark
        if old is not None and old.entry_id == entry.id:
            return old._replace(attempt=old.attempt + 1)
        return Mark(entry.id, 0.0, 1, old.volume if old is not None else 1.0)

    def _deliver(self, owned: Owned, entry: Entry, mark: Mark) -> None:
        delivery = VoiceDelivery(self, owned, entry, mark)
        with self._lock:
            owned.delivered.add(entry.id)
            if entry.action == "play":
                owned.playing = delivery
            owned.busy_at = self._clock()
        self._ready.put(delivery)
