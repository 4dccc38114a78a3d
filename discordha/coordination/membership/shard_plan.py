"""The shard plan: generations of shards, which replica should host which shard, and which ones do.

Guarantees
- All replicas follow one plan. A write compares with the plan it was made from, so that two writers do not
  undo each other.
- A host is *ready* for a shard from its announcement until it withdraws or its session ends.
- The first replica's ``shard_count`` founds the first generation; later replicas adopt it. Only
  ``request_reshard`` begins another.
- ``partitions`` stay as they are while any replica runs.

Replicas may see different plans for a moment: safety depends on claims and elections, never on the plan.

Threads and locks: no thread. ``_lock`` guards the view, which the watch's thread writes; then it calls
``listeners``, without the lock. Methods that write are called by the owner's thread.
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
    WatchListener,
)
from discordha.coordination.membership.placement import Placement
from discordha.coordination.membership.shard_keys import generation_of, key_of, may_share, number_of
from discordha.coordination.partitions import UNPARTITIONED, Partitions, partitions_for
from discordha.coordination.session import Grant
from discordha.errors import DiscordHAError

__all__ = ["ShardPlan", "request_reshard"]

_log = logging.getLogger(__name__)


class ShardPlan(WatchListener):
    """The plan as one replica sees it. Listens to the component ``s`` below the key prefix ``root``.

    ``serving`` is the generation whose leaders act (``None`` without a plan); ``generations`` has the number
    of shards of each living one: one generation, or two during resharding. ``version`` grows with each
    change. Methods that write block on etcd and raise ``StoreUnavailable`` if it does not answer."""

    def __init__(self, store: Store, root: str, replica_id: str) -> None:
        self._store = store
        self._root = root
        self._prefix = f"{root}s/"
        self._replica_id = replica_id
        self._lock = threading.Lock()
        self.generations: dict[int, int] = {}  # replaced as a whole
        self.serving: int | None = None
        self.partitions = UNPARTITIONED  # of the bot's claims
        self.serving_since = 0  # the revision from which on ``serving`` serves
        self._placements: dict[int, tuple[int, Placement]] = {}  # with the revision of its write
        self._ready: dict[int, frozenset[str]] = {}
        #: Called after each change, on the watch's thread. Filled before the watch starts.
        self.listeners: list[Callable[[], None]] = []
        self.version = 0

    # -- the plan; no I/O; any thread ------------------------------------------------------------------------

    @property
    def count(self) -> int | None:
        """The number of shards of the serving generation."""
        return self.generations.get(self.serving) if self.serving is not None else None

    def placement(self, generation: int) -> Placement:
        """Which replicas should host which shard; empty before the first proposal."""
        return self._placements.get(generation, (0, {}))[1]

    def ready(self, key: int) -> frozenset[str]:
        """The replicas that are ready for a shard."""
        return self._ready.get(key, frozenset())

    def may_share(self, key: int, other: int) -> bool:
        """Whether two shards may have a guild in common."""
        counts = [self.generations.get(generation_of(each), 1) for each in (key, other)]
        return may_share(number_of(key), counts[0], number_of(other), counts[1])

    def sharing(self, key: int) -> list[int]:
        """The shards of other generations that may have a guild in common with one."""
        return [
            other
            for generation, count in self.generations.items()
            if generation != generation_of(key)
            for other in (key_of(generation, number) for number in range(count))
            if self.may_share(key, other)
        ]

    def guard(self, key: int) -> Compare:
        """A condition by which etcd refuses a transaction once the shard's generation is over: the
        generation's key is written once, so its version is 1 while it exists."""
        return Compare.version(f"{self._prefix}g/{generation_of(key)}", 1)

    # -- writing ---------------------------------------------------------------------------------------------

    def start_life(self) -> None:
        """Reads how the bot's claims are partitioned. A bot from before there were partitions gets them when
        its fleet begins anew and no mark is left. Called once at start, before this replica becomes a
        member; blocks on etcd.
        """
        key, serving = f"{self._prefix}partitions", f"{self._prefix}serving"
        known, plan = self._store.get(key), self._store.get(serving)
        if known is None and plan is not None:
            count = max(self._counts().values(), default=1)
            if not self._members() and self._is_unused():
                put = Put(key, str(partitions_for(count)).encode())
                unchanged = Compare.mod_revision(serving, plan.mod_revision)
                self._store.txn((Compare.version(key, 0), unchanged), (put,))
                known = self._store.get(key)
        if known is not None:
            self._apply("put", known)

    def _is_unused(self) -> bool:
        """Whether no key of an event is left, and no replica is about to write any."""
        return all(b'"state": "starting"' in kv.value for kv in self._members()) and not any(
            self._store.range(f"{self._root}{kind}/", keys_only=True, limit=1).items for kind in ("e", "j")
        )

    def _members(self) -> Sequence[KeyValue]:
        return self._store.range(f"{self._root}m/").items

    def _counts(self) -> dict[int, int]:
        found = self._store.range(f"{self._prefix}g/").items
        return {int(kv.key.rsplit("/", 1)[1]): int(json.loads(kv.value)["count"]) for kv in found}

    def found(self, count: int) -> bool:
        """Founds the first generation; false if there is one."""
        serving = f"{self._prefix}serving"
        puts = [Put(serving, b"0"), Put(f"{self._prefix}g/0", json.dumps({"count": count}).encode())]
        if self._is_unused():
            puts.append(Put(f"{self._prefix}partitions", str(partitions_for(count)).encode()))
        return self._store.txn((Compare.version(serving, 0),), puts).succeeded

    def propose(self, generation: int, placement: Placement) -> bool:
        """Writes which replicas should host which shard; false if another replica has written meanwhile."""
        key = f"{self._prefix}p/{generation}"
        revision = self._placements.get(generation, (0, {}))[0]
        value = json.dumps({str(shard): hosts for shard, hosts in placement.items()}).encode()
        guards = (Compare.mod_revision(key, revision), self.guard(key_of(generation, 0)))
        return self._store.txn(guards, (Put(key, value),)).succeeded

    def announce(self, key: int, grant: Grant) -> None:
        """Announces that this replica is ready for a shard."""
        self._store.put(f"{self._prefix}h/{key}/{self._replica_id}", b"ready", lease=grant.lease_id)

    def withdraw(self, key: int) -> None:
        """Withdraws the announcement."""
        self._store.delete(f"{self._prefix}h/{key}/{self._replica_id}")

    def switch(self, generation: int) -> bool:
        """Makes another generation serve, and ends the present one; false if another replica has."""
        old = self.serving
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
        with self._lock:
            self.generations, self.serving, self._placements, self._ready = {}, None, {}, {}
            for kv in snapshot.items:
                self._apply("put", kv)
            self.version += 1
        self._tell()

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        with self._lock:
            for kind, kv in events:
                self._apply(kind, kv)
            self.version += 1
        self._tell()

    def _tell(self) -> None:
        for listener in self.listeners:
            listener()

    def _apply(self, kind: str, kv: KeyValue) -> None:
        what, _, rest = kv.key[len(self._prefix) :].partition("/")
        try:
            if what == "g":
                generations = dict(self.generations)
                generations.pop(int(rest), None)
                if kind == "put":
                    generations[int(rest)] = int(json.loads(kv.value)["count"])
                self.generations = dict(sorted(generations.items()))
            elif what == "serving":
                self.serving_since = kv.mod_revision
                self.serving = int(kv.value) if kind == "put" else None
            elif what == "partitions":
                if kind == "put" and int(kv.value) != self.partitions.count:
                    self.partitions = Partitions(int(kv.value))
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
            _log.warning(
                "the key %s can't be read (%.40r) and is ignored: another version?", kv.key, kv.value
            )


def request_reshard(store: Store, root: str, count: int) -> tuple[int, int]:
    """Begins the next generation, on behalf of an operator. Blocks on etcd.

    The replicas start its shards beside the present ones, and switch when all are ready. Asking for the
    present count during resharding calls it off.

    :return: the present number of shards, and the coming one.
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
