"""The guilds whose voices this worker owns: taken, lost, given back.

Guarantees: a guild is owned from the write of its owner's key until the session ends, or the key is given
back. Rendezvous hashing spreads guilds over a module's workers: each waits ``grace`` for every other one that
is preferred to it. A busy guild stays where it is until it is idle. A key that is being given back is never
taken for owned again.

Threads and locks: ``_lock`` guards ``_owned`` and ``_avoid``; no I/O under it. ``take``, ``forget_lost`` and
the releases of some guilds belong to the consumer's thread; any thread may call ``release``.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence

from discordha.coordination.etcd.group_commit import Operation
from discordha.coordination.etcd.store import Compare, Delete, Op, Put, Txn
from discordha.coordination.membership import placement
from discordha.coordination.session import Grant
from discordha.coordination.voice.deliveries import OwnedGuild, VoiceBackend
from discordha.coordination.voice.records import PlayMark, QueuedCommand, VoiceOwner
from discordha.coordination.voice.releases import Release
from discordha.coordination.voice.view import VoiceView

__all__ = ["OwnedGuilds"]

Commands = dict[int, list[QueuedCommand]]

#: How long a guild in which this worker failed is left to others, seconds.
AVOID_FOR = 10.0


class OwnedGuilds:
    """See the module.

    :param serves: whether this replica is connected for a guild; others are left to its peers.
    :param hold: returns the lease of positions that are left for others.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        backend: VoiceBackend,
        view: VoiceView,
        module_id: str,
        *,
        serves: Callable[[int], bool],
        hold: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        self._backend = backend
        self._serves = serves
        self._view = view
        self._module_id = module_id
        self._hold = hold
        self._clock = clock
        self._lock = threading.Lock()
        self._owned: dict[int, OwnedGuild] = {}
        self._avoid: dict[int, float] = {}  # guilds that are left to others, and until when
        self._seen_free: dict[int, float] = {}  # the thread's: since when a guild with commands has no owner

    def get(self, guild_id: int) -> OwnedGuild | None:
        """The guild, if it is owned. No I/O; any thread."""
        with self._lock:
            owned = self._owned.get(guild_id)
        return owned if owned is not None and not owned.lost else None

    def all(self) -> list[OwnedGuild]:
        """All owned guilds, and those whose loss was not noticed yet. No I/O; any thread."""
        with self._lock:
            return list(self._owned.values())

    def known_at(self, revision: int) -> list[OwnedGuild]:
        """The owned guilds of which a view at ``revision`` had everything that earlier owners did: commands
        of others may have been carried out since. No I/O; any thread.
        """
        return [owned for owned in self.all() if owned.token <= revision]

    def forget_lost(self) -> None:
        """Drops the guilds that are lost."""
        for owned in self.all():
            seen = self._view.owner(owned.guild_id)
            if seen.token > owned.token if seen is not None else self._view.has_seen(owned.token):
                owned.gone = True
            if owned.lost:
                self._drop(owned)

    def take(self, grant: Grant, commands: Commands, longest: float) -> float:
        """Takes guilds that have commands and no owner. Blocks for a round trip.

        :return: seconds until the next may be taken, ``longest`` at the most.
        :raises StoreUnavailable: etcd did not answer; guilds that were taken nevertheless show in the view.
        """
        now = self._clock()
        wait = longest
        operations: dict[int, Operation] = {}
        value = VoiceOwner.value(self._module_id, self._backend.replica_id)
        mine = {owned.guild_id for owned in self.all()}
        for guild_id in commands:
            if guild_id in mine:
                continue
            owner = self._view.owner(guild_id)
            if owner is not None:
                self._seen_free.pop(guild_id, None)
                ours = owner.module_id == self._module_id and owner.replica_id == self._backend.replica_id
                leaves = self._backend.releases.has(guild_id, owner.token)
                if ours and owner.lease == grant.lease_id and not leaves:
                    self._adopt(guild_id, owner.token, grant)
                continue
            if not self._serves(guild_id):
                self._seen_free.pop(guild_id, None)
                continue
            due = self._seen_free.setdefault(guild_id, now) + self._rank(guild_id) * self._backend.grace
            due = max(due, self._avoid.get(guild_id, due))
            if due > now:
                wait = min(wait, due - now)
                continue
            key = self._backend.keys.owner(guild_id)
            txn = Txn((Compare.version(key, 0),), (Put(key, value, grant.lease_id),))
            operations[guild_id] = Operation(txn, (key,))
        for guild_id, result in zip(operations, self._backend.write([*operations.values()]), strict=True):
            if result.succeeded:
                self._adopt(guild_id, result.revision, grant)
        self._backend.releases.forget(self._view.has_seen)
        self._seen_free = {guild: since for guild, since in self._seen_free.items() if guild in commands}
        with self._lock:
            self._avoid = {guild_id: until for guild_id, until in self._avoid.items() if until > now}
        return wait

    def _rank(self, guild_id: int) -> int:
        me = self._backend.replica_id
        with self._view.changed:
            workers = self._view.workers.get(self._module_id, set()) | {me}
        return placement.order(str(guild_id), workers).index(me)

    def _adopt(self, guild_id: int, token: int, grant: Grant) -> None:
        with self._lock:
            key = self._backend.keys.owner(guild_id)
            self._owned[guild_id] = OwnedGuild(guild_id, key, token, grant, self._clock())
        self._seen_free.pop(guild_id, None)

    def _drop(self, owned: OwnedGuild) -> None:
        with self._lock:
            if self._owned.get(owned.guild_id) is owned:
                del self._owned[owned.guild_id]

    def release(self, guilds: Sequence[OwnedGuild]) -> None:
        """Gives guilds back, and leaves the positions of their commands. Blocks for a round trip; what etcd
        does not answer is left to ``Releases.repeat``. Any thread.
        """
        releases = []
        for owned in guilds:
            mark, playing = None, owned.playing
            if playing is not None and not playing.acknowledged:
                # A hand-over is not a failed attempt.
                attempt = max(playing.mark.attempt - (not playing.failed), 0)
                mark = playing.mark._replace(attempt=attempt)
            make = functools.partial(self._giving_back, owned, mark)
            releases.append(Release(owned.guild_id, owned.token, make))
        self._backend.releases.add(releases)
        for owned in guilds:
            owned.gone = True
            if owned.playing is not None and owned.playing.failed:
                with self._lock:
                    self._avoid[owned.guild_id] = self._clock() + AVOID_FOR
        self._backend.releases.send(releases)
        for owned in guilds:
            self._drop(owned)

    def _giving_back(self, owned: OwnedGuild, mark: PlayMark | None) -> Operation:
        changes: list[Op] = [Delete(owned.key)]
        mark_key = self._backend.keys.mark(owned.guild_id)
        if mark is not None:
            changes.append(Put(mark_key, mark.value(), self._hold()))
        return Operation(Txn((owned.guard,), changes), (owned.key, mark_key))

    def release_unserved(self, patience: float) -> None:
        """Gives back the guilds that this replica is not connected for any more: what plays goes on
        elsewhere. Blocks for a round trip.

        :param patience: seconds that commands under way may take before that.
        """
        now = self._clock()
        away = []
        for owned in self.all():
            if self._serves(owned.guild_id):
                owned.unserved_at = None
                continue
            if owned.unserved_at is None:
                owned.unserved_at = now
            if not owned.lost and (not owned.under_way or now >= owned.unserved_at + patience):
                away.append(owned)
        if away:
            self.release(away)

    def release_quiet(self, locked: Callable[[int], bool]) -> None:
        """Gives back the guilds that no command under way keeps, nor a lock. Blocks for a round trip."""
        quiet = [
            owned
            for owned in self.all()
            if not (owned.lost or owned.held or owned.under_way or locked(owned.guild_id))
        ]
        if quiet:
            self.release(quiet)

    def release_idle(
        self, commands: Commands, locked: Callable[[int], bool], linger: float, longest: float
    ) -> float:
        """Gives back the guilds that had no commands for ``linger`` seconds.

        :return: seconds until the next one is due, else ``longest``.
        """
        now = self._clock()
        free = [
            owned
            for owned in self.all()
            if not (owned.held or commands.get(owned.guild_id) or locked(owned.guild_id))
        ]
        self.release([owned for owned in free if owned.busy_at + linger <= now])
        waits = (owned.busy_at + linger - now for owned in free)
        return min((wait for wait in waits if wait > 0), default=longest)
