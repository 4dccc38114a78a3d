"""Which guilds' voices this worker owns: taken, lost, given back.

Promises: a guild is owned from the write of its owner's key under the session until the session's end, or
until the key is given back; nothing else is believed. Guilds are spread over a module's workers by rendezvous
hashing: who is not preferred waits ``grace`` for each rank.

Does not promise an even spread of work: a busy guild stays where it is until it is idle.

Concurrency: ``_lock`` guards ``_owned`` and ``_avoid``; no I/O under it. ``take``, ``forget_lost`` and
``release_idle`` are the consumer's thread's; ``release`` may be called from any thread. At a lost session
what was owned is lost by the grant's deadline; at a lost watch it is found out later, and no write passes its
guard meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from discordha.coordination.etcd.group_commit import Operation
from discordha.coordination.etcd.store import Compare, Delete, Op, Put, Txn
from discordha.coordination.membership import placement
from discordha.coordination.session import Grant
from discordha.coordination.voice.backend import Means
from discordha.coordination.voice.deliveries import Owned
from discordha.coordination.voice.records import Entry, Owner
from discordha.coordination.voice.view import VoiceView

__all__ = ["OwnedGuilds", "execute"]

Commands = dict[int, list[Entry]]

#: How long a guild in which this worker failed is left to others, seconds.
AVOID = 10.0


class OwnedGuilds:
    """See the module.

    :param hold: the lease under which positions are left.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        means: Means,
        view: VoiceView,
        module_id: str,
        hold: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        self._means = means
        self._view = view
        self._module_id = module_id
        self._hold = hold
        self._clock = clock
        self._lock = threading.Lock()
        self._owned: dict[int, Owned] = {}
        self._avoid: dict[int, float] = {}  # guilds that are left to others, and until when
        self._seen_free: dict[int, float] = {}  # the thread's: since when a guild with commands has no owner

    def get(self, guild_id: int) -> Owned | None:
        """What is owned of a guild, unless it is lost. No I/O; any thread."""
        with self._lock:
            owned = self._owned.get(guild_id)
        return owned if owned is not None and not owned.lost else None

    def all(self) -> list[Owned]:
        """All that is owned, as far as is known. No I/O; any thread."""
        with self._lock:
            return list(self._owned.values())

    def forget_lost(self) -> None:
        """Finds out what is lost."""
        for owned in self.all():
            seen = self._view.owner(owned.guild_id)
            if seen.token > owned.token if seen is not None else self._view.has_seen(owned.token):
                owned.gone = True
            if owned.lost:
                self._drop(owned)

    def take(self, grant: Grant, commands: Commands, longest: float) -> float:
        """Takes guilds that have commands and no owner. Blocks for a round trip.

        :return: seconds until the next may be taken, ``longest`` at the most.
        :raises StoreUnavailable: etcd did not answer; what was taken all the same shows in the view.
        """
        now = self._clock()
        wait = longest
        operations: list[tuple[int, Operation]] = []
        value = Owner.value(self._module_id, self._means.replica_id)
        mine = {owned.guild_id for owned in self.all()}
        for guild_id in commands:
            if guild_id in mine:
                continue
            owner = self._view.owner(guild_id)
            if owner is not None:
                self._seen_free.pop(guild_id, None)
                ours = owner.module_id == self._module_id and owner.replica_id == self._means.replica_id
                if ours and owner.lease == grant.lease_id:
                    self._adopt(guild_id, owner.token, grant)
                continue
            due = self._seen_free.setdefault(guild_id, now) + self._rank(guild_id) * self._means.grace
            due = max(due, self._avoid.get(guild_id, due))
            if due > now:
                wait = min(wait, due - now)
                continue
            key = self._means.keys.owner(guild_id)
            txn = Txn((Compare.version(key, 0),), (Put(key, value, grant.lease_id),))
            operations.append((guild_id, Operation(txn, (key,))))
        execute(self._means, [operation for _, operation in operations])
        for guild_id, operation in operations:
            result = operation.value()
            if result.succeeded:
                self._adopt(guild_id, result.revision, grant)
        for guild_id in [guild_id for guild_id in self._seen_free if guild_id not in commands]:
            del self._seen_free[guild_id]
        with self._lock:
            self._avoid = {guild_id: until for guild_id, until in self._avoid.items() if until > now}
        return wait

    def _rank(self, guild_id: int) -> int:
        me = self._means.replica_id
        with self._view.changed:
            workers = self._view.workers.get(self._module_id, set()) | {me}
        return placement.order(str(guild_id), workers).index(me)

    def _adopt(self, guild_id: int, token: int, grant: Grant) -> None:
        with self._lock:
            self._owned[guild_id] = Owned(guild_id, token, grant, self._clock())
        self._seen_free.pop(guild_id, None)

    def _drop(self, owned: Owned) -> None:
        with self._lock:
            if self._owned.get(owned.guild_id) is owned:
                del self._owned[owned.guild_id]

    def release(self, guilds: Sequence[Owned]) -> None:
        """Gives guilds back, and leaves the position of what was played. Blocks for a round trip; where etcd
        does not answer, the session's end gives them back. Any thread.
        """
        operations = []
        for owned in guilds:
            key = self._means.keys.owner(owned.guild_id)
            mark_key = self._means.keys.mark(owned.guild_id)
            changes: list[Op] = [Delete(key)]
            playing = owned.playing
            if playing is not None and not playing.acknowledged:
                # A hand-over is no failed attempt.
                attempt = max(playing.mark.attempt - (not playing.failed), 0)
                mark = playing.mark._replace(attempt=attempt)
                changes.append(Put(mark_key, mark.value(), self._hold()))
            guard = (Compare.create_revision(key, owned.token),)
            operations.append(Operation(Txn(guard, tuple(changes)), (key, mark_key)))
            owned.gone = True
            if playing is not None and playing.failed:
                with self._lock:
                    self._avoid[owned.guild_id] = self._clock() + AVOID
        self._means.commit.execute(operations)
        for owned in guilds:
            self._drop(owned)

    def release_idle(
        self, commands: Commands, locked: Callable[[int], bool], linger: float, longest: float
    ) -> float:
        """Gives back what had no commands for ``linger`` seconds.

        :return: seconds until the next is due, ``longest`` at the most.
        """
        now = self._clock()
        wait = longest
        idle = []
        for owned in self.all():
            if owned.held or commands.get(owned.guild_id) or locked(owned.guild_id):
                continue
            due = owned.busy_at + linger
            if due <= now:
                idle.append(owned)
            else:
                wait = min(wait, due - now)
        if idle:
            self.release(idle)
        return wait


def execute(means: Means, operations: Sequence[Operation]) -> None:
    """Sends operations; what has no answer raises."""
    if operations:
        means.commit.execute(operations)
        for operation in operations:
            operation.value()
