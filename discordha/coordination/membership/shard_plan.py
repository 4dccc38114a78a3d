"""The shard plan: generations, who should host which shard, and who does, as etcd holds them.

Promises
- All replicas follow one plan. It is written by comparison with the one before, so two that write at once do
  not undo each other.
- A host is *ready* for a shard from the moment it has announced so until it withdraws, or its session ends.
- The first replica's ``shard_count`` founds the first generation; later ones follow what they find. Only
  ``request_reshard`` begins another.

Does not promise that all replicas see the same plan at the same moment: safety rests on claims and
elections, never on it.

Keys below ``s/``, without a lease unless said otherwise:

- ``s/g/<generation>``: JSON, its number of shards. Written once, so that its version is 1 for as long as the
  generation lives: what must not outlive it compares with that.
- ``s/serving``: the generation whose leaders act.
- ``s/p/<generation>``: JSON, the hosts of each shard.
- ``s/h/<shard key>/<replica>``: the replica is ready for the shard; under its session.

Concurrency: no thread. ``_lock`` guards the view; the watch's thread writes it, and tells ``listeners`` with
no lock held. What writes to etcd blocks, and is called by the owner's thread. At a lost session announcements
are gone, and made again under the next grant; at a lost watch the view grows old.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence

from discordha.coordination.etcd.store import (
    Compare,
    Delete,
    KeyValue,
    Put,
    Snapshot,
    Store,
    WatchEvent,
)
from discordha.coordination.membership.placement import Placement
from discordha.coordination.membership.shard_keys import generation_of, key_of
from discordha.coordination.session import Grant
from discordha.errors import DiscordHAError

__all__ = ["ShardPlan", "request_reshard"]

_log = logging.getLogger(__name__)


class ShardPlan:
    """The plan as one replica sees it. A ``WatchListener`` for the component ``s``.

    :param root: key prefix of the bot, ending in ``/``.
    """

    def __init__(self, store: Store, root: str, replica_id: str) -> None:
        self._store = store
        self._prefix = f"{root}s/"
        self._replica_id = replica_id
        self._lock = threading.Lock()
        self._generations: dict[int, int] = {}
        self._serving: int | None = None
        self._placements: dict[int, tuple[int, Placement]] = {}  # with the revision of the write
        self._ready: dict[int, frozenset[str]] = {}
        #: Told of each change, on the watch's thread. Filled before the watch starts.
        self.listeners: list[Callable[[], None]] = []
        self.version = 0  # grows with each change of who is ready

    # -- what the plan says; no I/O; any thread --------------------------------------------------------------

    @property
    def serving(self) -> int | None:
        """The generation whose leaders act; ``None`` when there is no plan."""
        return self._serving

    @property
    def generations(self) -> dict[int, int]:
        """The living generations and their numbers of shards: one, or two while the bot is resharded."""
        return self._generations

    @property
    def count(self) -> int | None:
        """The number of shards of the generation that serves."""
        return self._generations.get(self._serving) if self._serving is not None else None

    def placement(self, generation: int) -> Placement:
        """Who should host which shard; empty when nobody has said so yet."""
        return self._placements.get(generation, (0, {}))[1]

    def ready(self, key: int) -> frozenset[str]:
        """Who is ready for a shard."""
        return self._ready.get(key, frozenset())

    def guard(self, key: int) -> Compare:
        """A condition that makes etcd refuse a transaction once the shard's generation is over."""
        return Compare.version(f"{self._prefix}g/{generation_of(key)}", 1)

    # -- writing; blocks on etcd -----------------------------------------------------------------------------

    def found(self, count: int) -> bool:
        """Founds the first generation, unless there is one; whether this replica did.

        :raises StoreUnavailable: etcd does not answer.
        """
        serving = f"{self._prefix}serving"
        puts = (Put(serving, b"0"), Put(f"{self._prefix}g/0", json.dumps({"count": count}).encode()))
        return self._store.txn((Compare.version(serving, 0),), puts).succeeded

    def propose(self, generation: int, placement: Placement) -> bool:
        """Writes who should host which shard; false when somebody else has written meanwhile.

        :raises StoreUnavailable: etcd does not answer.
        """
        key = f"{self._prefix}p/{generation}"
        revision = self._placements.get(generation, (0, {}))[0]
        value = json.dumps({str(shard): hosts for shard, hosts in placement.items()}).encode()
        guards = (Compare.mod_revision(key, revision), self.guard(key_of(generation, 0)))
        return self._store.txn(guards, (Put(key, value),)).succeeded

    def announce(self, key: int, grant: Grant) -> None:
        """This replica is ready for a shard.

        :raises LeaseNotFound: the session is lost.
        :raises StoreUnavailable: etcd does not answer.
        """
        self._store.put(f"{self._prefix}h/{key}/{self._replica_id}", b"ready", lease=grant.lease_id)

    def withdraw(self, key: int) -> None:
        """It is not, or not any more.

        :raises StoreUnavailable: etcd does not answer.
        """
        self._store.delete(f"{self._prefix}h/{key}/{self._replica_id}")

    def switch(self, generation: int) -> bool:
        """Makes another generation serve, and ends the one that does; false when somebody else has.

        :raises StoreUnavailable: etcd does not answer.
        """
        old = self._serving
        serving = f"{self._prefix}serving"
        return self._store.txn(
            (Compare.value(serving, str(old).encode()), self.guard(key_of(generation, 0))),
            (
                Put(serving, str(generation).encode()),
                Delete(f"{self._prefix}g/{old}"),
                Delete(f"{self._prefix}p/{old}"),
            ),
        ).succeeded

    # -- the coordination watch ------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Replaces the view."""
        with self._lock:
            self._generations, self._serving, self._placements, self._ready = {}, None, {}, {}
            for kv in snapshot.items:
                self._apply("put", kv)
            self.version += 1
        self._tell()

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        """Follows the watch."""
        with self._lock:
            for kind, kv in events:
                self._apply(kind, kv)
            self.version += 1
        self._tell()

    def _tell(self) -> None:
        for listener in self.listeners:
            listener()

    def on_lost(self) -> None:
        """Nothing moves until the watch is back."""

    def _apply(self, kind: str, kv: KeyValue) -> None:
        what, _, rest = kv.key[len(self._prefix) :].partition("/")
        try:
            if what == "g":
                generations = dict(self._generations)
                generations.pop(int(rest), None)
                if kind == "put":
                    generations[int(rest)] = int(json.loads(kv.value)["count"])
                self._generations = dict(sorted(generations.items()))
            elif what == "serving":
                self._serving = int(kv.value) if kind == "put" else None
            elif what == "p":
                self._placements.pop(int(rest), None)
                if kind == "put":
                    found = {int(shard): tuple(hosts) for shard, hosts in json.loads(kv.value).items()}
                    self._placements[int(rest)] = (kv.mod_revision, found)
            elif what == "h":
                shard, _, replica = rest.partition("/")
                others = self._ready.get(int(shard), frozenset()) - {replica}
                self._ready[int(shard)] = others | {replica} if kind == "put" else others
                if not self._ready[int(shard)]:
                    del self._ready[int(shard)]
        except (ValueError, KeyError, TypeError, AttributeError):
            _log.warning("the key %s can't be read (%.40r): another version?", kv.key, kv.value)


def request_reshard(store: Store, root: str, count: int) -> tuple[int, int]:
    """Begins the next generation, from outside: for operators. Blocks on etcd.

    The replicas start its shards beside the present ones, and switch when all are ready. Asked for the
    present count while one is under way, it calls that one off.

    :return: the present number of shards, and the one to come.
    :raises DiscordHAError: the bot has no shards, or is being resharded already.
    """
    prefix = f"{root}s/"
    serving = store.get(f"{prefix}serving")
    if serving is None:
        raise DiscordHAError("this bot has no shards: start it with shard_count set")
    now = int(serving.value)
    found = store.range(f"{prefix}g/").items
    counts = {int(kv.key.rsplit("/", 1)[1]): int(json.loads(kv.value)["count"]) for kv in found}
    following = next((generation for generation in counts if generation > now), None)
    unchanged = Compare.mod_revision(serving.key, serving.mod_revision)
    if following is not None:
        if counts[following] == count:
            return counts[now], count
        if counts[now] != count:
            raise DiscordHAError(
                f"this bot is being resharded to {counts[following]} already; "
                f"`discordha reshard {counts[now]}` calls that off"
            )
        done = store.txn(
            (unchanged,), (Delete(f"{prefix}g/{following}"), Delete(f"{prefix}p/{following}"))
        ).succeeded
    elif counts[now] == count:
        return count, count
    else:
        key = f"{prefix}g/{now + 1}"
        value = json.dumps({"count": count}).encode()
        done = store.txn((unchanged, Compare.version(key, 0)), (Put(key, value),)).succeeded
    if not done:
        raise DiscordHAError("the shards changed meanwhile; look again")
    return counts[now], count
