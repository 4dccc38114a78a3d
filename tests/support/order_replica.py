"""One replica of ``order_world``: the library's dispatcher, queue and lanes above claims and members that the
world steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

import discord

from discordha.config import Config
from discordha.coordination.claims.last_attempts import LastAttempts
from discordha.coordination.claims.records import Claim, ClaimRequest, Done, Held, Hint
from discordha.dispatch import Dispatcher, Lanes
from discordha.dispatch.handlers import HandlerRegistry
from discordha.dispatch.runner import Outcome
from discordha.stats import Stats

if TYPE_CHECKING:
    from order_world import World

__all__ = ["GRACE", "Replica", "Value"]

GRACE = 0.05
#: What etcd holds of an event: state, replica, attempt, and ``"aside"`` if its handler waits.
Value = tuple[Any, ...]
CONFIG = Config(
    token="x" * 60, intents=discord.Intents.none(), ha=False, grace=GRACE, workers=4, max_attempts=1000
)


class StepLanes(Lanes):
    """Lanes without threads: ``step`` takes one turn."""

    def _spawn(self) -> None:
        """The test is the thread."""

    def step(self, work: Callable[[Any], None]) -> bool:
        if not any(lane.items for lane in self._ready):
            return False
        lane = self._next_lane()
        assert lane is not None
        self._turn(lane, work)
        return True


class SteppedClaims:
    """The claims of one replica: etcd answers at once, its watch and its looks when the world says so.

    A look may be *stale*: what etcd had when it was asked. One that is *lost* is asked again.
    """

    previous_attempts = staticmethod(lambda key: None)
    is_open = is_alone = False
    can_look = True

    def __init__(self, world: World, replica: Replica) -> None:
        self._world = world
        self._replica = replica
        self._seen: dict[str, Value] = {}  # as far as it knows
        self._gone: dict[str, int] = {}  # keys whose delete the watch has shown, and its revision
        self._known: dict[str, int] = {}  # revisions of what is seen
        self._snapshot = 0  # the revision of the last one
        self._unsure: set[str] = set()  # claims that were seen before it, and may be gone since
        self.queue: deque[tuple[str, Value, int]] = deque()  # claims that are gone
        self.looks: deque[tuple[list[str], dict[str, Value], dict[str, int], int]] = deque()
        self.listener: Dispatcher

    def listen(self, listener: Dispatcher) -> None:
        self.listener = listener

    def hint(self, key: str) -> Hint:
        found = self._seen.get(key)
        if found is None or (found[0] == "r" and found[1] == self._replica.name):
            return Hint.UNKNOWN
        return Hint.DONE if found[0] == "d" else Hint.RUNNING

    def owner(self, key: str) -> str | None:
        found = self._seen.get(key)
        return found[1] if found is not None and found[0] == "r" else None

    def is_aside(self, key: str) -> bool:
        found = self._seen.get(key)
        return found is not None and found[-1] == "aside"

    def set_aside(self, claim: Claim, traceparent: str | None = None) -> None:
        mine = ("r", self._replica.name, claim.attempt)
        if self._world.etcd.get(claim.key) == mine:
            self._world.put(claim.key, (*mine, "aside"))

    def begin(self, claim: Claim) -> bool:
        return not claim.lost

    def runs_before(self, key: str, attempt: int) -> int:
        return attempt - 1

    def claim(self, requests: Sequence[ClaimRequest]) -> list[Any]:
        return [self._claim(request) for request in requests]

    def _claim(self, request: ClaimRequest) -> Claim | Held | Done:
        found = self._world.etcd.get(request.key)
        if found is None:
            self._world.put(request.key, ("r", self._replica.name, request.attempt))
        elif found[0] == "d" or found[1] != self._replica.name:
            self._note(request.key, found, self._world.revisions[request.key])
            return Done() if found[0] == "d" else Held(found[1], found[2], 1)
        return Claim(request.key, request.attempt, 1, self._replica)

    def claim_later(self, requests: Sequence[ClaimRequest], answer: Callable[..., None]) -> None:
        for request in requests:
            found = self._claim(request)
            answer(request, found if isinstance(found, Claim) else None)

    def release(self, claim: Claim) -> None:
        self._world.put(claim.key, ("r", self._replica.name, claim.attempt - 1))
        self._world.put(claim.key, None)

    def mark(self, claims: Sequence[Claim], done: Callable[[Sequence[Claim], bool], None]) -> None:
        for claim in claims:
            self._world.put(claim.key, ("d", self._replica.name, claim.attempt))
        done(claims, True)

    def watch(self) -> None:
        """The watch shows the next claim that is gone."""
        key, was, revision = self.queue.popleft()
        self._gone[key] = revision
        if self._known.get(key, 0) < revision:
            self._seen.pop(key, None)
            self.listener.on_free([(key, was[2])])

    def look(self, keys: Iterable[str]) -> None:
        world = self._world
        self.looks.append((list(keys), dict(world.etcd), dict(world.revisions), world.revision))

    def answer(self, *, stale: bool = False, lost: bool = False) -> None:
        """The next look has its answer."""
        world = self._world
        keys, found, revisions, revision = self.looks.popleft()
        if lost:
            self.look(keys)
            return
        if not stale:
            found, revisions, revision = world.etcd, world.revisions, world.revision
        freed: list[tuple[str, int]] = []
        for key in keys:
            if key in found:
                if found[key][0] == "d" or revision >= self._snapshot or key in self._seen:
                    self._note(key, found[key], revisions[key])
                self._unsure.discard(key)
            elif key in self._unsure and revision >= self._snapshot:
                self._unsure.discard(key)
                was = self._seen.pop(key, None)
                freed += [] if was is None else [(key, was[2])]
        self.listener.on_free(freed)
        self.listener.on_looked(keys)

    def _note(self, key: str, value: Value, revision: int) -> None:
        if self._gone.get(key, 0) < revision and self._known.get(key, 0) <= revision:
            self._seen[key], self._known[key] = value, revision

    def view(self) -> dict[str, Value]:
        """What it knows, and what looks will tell it at the earliest."""
        coming = {key: value for _, found, _, _ in reversed(self.looks) for key, value in found.items()}
        return {**coming, **self._seen}

    def resync(self) -> None:
        """The watch is lost, and begins anew from a snapshot."""
        self.queue.clear()
        self._snapshot = self._world.revision
        self._unsure = {key for key, value in self._seen.items() if value[0] == "r"}
        self.listener.on_resync([])


class SteppedMembers:
    """The members as one replica sees them: at once, but their records only when they write."""

    def __init__(self, world: World, replica: Replica) -> None:
        self._world = world
        self._replica = replica

    def listen(self, changed: Callable[[], None]) -> None:
        """The world calls ``on_ranks``."""

    def review(self) -> None:
        """What is owed is asked anew each time."""

    @property
    def version(self) -> object:
        return self._world.version

    @property
    def any_silent(self) -> bool:
        return any(each.silent for each in self._world.replicas)

    def is_silent(self, member: str) -> bool:
        return all(each.silent for each in self._world.replicas if each.name == member)

    def rank(self, order: str, shard: int = 0) -> int:
        ranked = sorted(
            self._world.replicas, key=lambda each: (each.draining, crc32(f"{order} {each.name}".encode()))
        )
        return ranked.index(self._replica) if self._replica in ranked else len(ranked)

    def has_received(self, shard: int, moment: float) -> bool:
        return any(
            each.joined_at <= moment
            for each in self._world.replicas
            if each is not self._replica and not each.draining and not each.dead
        )

    def owes(self, order: str, shard: int) -> bool:
        return any(each.owes(order, self._replica) for each in self._world.replicas if not each.silent)


class Replica:
    """One process. It is the ``Ownership`` of its claims, too."""

    lease_id = 1

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.name = f"r{number}"
        self.dead = False
        self.silent = False
        self.draining = False
        self.joined_at = world.now
        self.received = len(world.stream)  # how much of the stream has arrived, or was before
        self.joined = self.received
        self.record: tuple[float, dict[str, int]] = (-1.0, {})
        self.claims = SteppedClaims(world, self)
        self.lanes = StepLanes(workers=4, max_workers=4, clock=lambda: world.now)
        registry = HandlerRegistry()
        registry.add(lambda message: None, "message")
        self.dispatcher = Dispatcher(
            CONFIG,
            registry,
            self,  # type: ignore[arg-type]
            Stats(),
            claims=self.claims,  # type: ignore[arg-type]
            members=SteppedMembers(world, self),  # type: ignore[arg-type]
            to_leader=lambda *arguments: None,
            lanes=self.lanes,
            inject=lambda text, shard: True,
            last_attempts=LastAttempts(1000),
            clock=lambda: world.now,
        )
        self.claims.resync()
        self.lanes.start(self.dispatcher.work)

    @property
    def alive(self) -> bool:
        return not self.dead

    @property
    def is_up(self) -> bool:
        """Whether it takes steps."""
        return not self.dead and not self.silent

    def has(self, message: Any) -> bool:
        """Whether it has received a message."""
        return self.joined <= message.place < self.received

    def owes(self, order: str, younger: Replica) -> bool:
        """Whether a younger replica counts a channel as owed, by this one's last record."""
        written, unfinished = self.record
        if self is younger or self.joined_at >= younger.joined_at:
            return False
        return written < younger.joined_at or unfinished.get(order, younger.joined) < younger.joined

    def write(self) -> None:
        oldest = {item.order: item.event.args[0].place for item in self.dispatcher._pending.unfinished()}
        self.record = (self.world.now, oldest)

    def receive(self) -> bool:
        if self.received >= len(self.world.stream):
            return False
        message = self.world.stream[self.received]
        self.received += 1
        self.dispatcher.receive("message", (message,), None, 0, 0)
        return True

    # The runner's part

    def run(self, context: Any, handlers: Any, args: Sequence[Any], trace: None, **more: Any) -> Outcome:
        self.world.set_aside = context.set_aside
        return self.world.handle(self, args[0])

    def warn_of_slow_handlers(self) -> None:
        """Nothing is slow here."""
