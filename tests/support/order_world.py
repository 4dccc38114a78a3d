"""A world of replicas whose dispatchers take single steps, with one etcd and one Discord between them.

The dispatchers, their queues and their lanes are the library's own; etcd, its watches, the members and the
handlers are the world's. ``choose`` decides every step: what is delivered where, which watch moves on, who
drains, dies, is silent, joins, and what happens while a handler runs. The world checks each beginning of a
handler against the promise of order, and at the end that nothing is stuck.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from order_replica import GRACE, Replica, Value

from discordha.dispatch.runner import Outcome

__all__ = ["World"]

CHANNELS = 2
#: Handlers that run at once, one within the other.
DEPTH = 3


class World:
    """See the module."""

    def __init__(self, choose: Callable[[int], int]) -> None:
        self.choose = choose
        self.now = 1000.0
        self.version = 0
        self.etcd: dict[str, Value] = {}
        self.revisions: dict[str, int] = {}  # of the last change of each key
        self.revision = 0
        self.stream: list[Any] = []
        self.replicas: list[Replica] = []
        self.number = 0
        self.running: list[tuple[Replica, Any]] = []
        self.set_aside: Callable[[], None] = lambda: None  # of the handler that begins
        self.excused: set[int] = set()  # events that a dead or silent replica owned
        self.lapsed: set[int] = set()  # or had received, for those that had not
        self.begun: list[tuple[str, int]] = []  # replica and event
        self.steps: list[Callable[[Replica], Any]] = [
            self._work,
            self._work,
            self._work,
            self._receive,
            self._receive,
            self._watch,
            self._look,
            self._look,
            self._tick,
            self._send,
            self._send,
            lambda replica: replica.write(),
            lambda replica: replica.claims.resync(),
            self._drain,
            self._kill,
            self._pause,
            self._join,
        ]
        for _ in range(3):
            self._join(None)

    def send(self, channel: int = 1) -> Any:
        """A message in a channel."""
        number = len(self.stream)
        message = SimpleNamespace(
            id=10_000 + number, place=number, channel=SimpleNamespace(id=channel), guild=None
        )
        self.stream.append(message)
        return message

    # -- etcd ------------------------------------------------------------------------------------------------

    def put(self, key: str, value: Value | None) -> None:
        self.revision += 1
        if value is not None:
            self.etcd[key], self.revisions[key] = value, self.revision
            return
        was = self.etcd.pop(key, None)
        if was is not None:
            del self.revisions[key]
            for replica in self.replicas:
                replica.claims.queue.append((key, was, self.revision))

    def state(self, message: Any) -> Value | None:
        return self.etcd.get(f"message/{message.id}")

    # -- steps -----------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Anything that may happen."""
        up = [replica for replica in self.replicas if replica.is_up]
        self.steps[self.choose(len(self.steps))](up[self.choose(len(up))])
        for replica in list(self.replicas):
            if replica.dead and not self.choose(8):
                self.expire(replica)
            elif replica.silent and not self.choose(4):
                replica.silent = replica.dead

    def _work(self, replica: Replica) -> None:
        if len(self.running) < DEPTH:
            replica.lanes.step(replica.dispatcher.work)

    def _receive(self, replica: Replica) -> None:
        replica.receive()

    def _watch(self, replica: Replica) -> None:
        if replica.claims.queue:
            replica.claims.watch()

    def _look(self, replica: Replica) -> None:
        if replica.claims.looks:
            kind = self.choose(6)
            replica.claims.answer(stale=kind == 1, lost=kind == 2)

    def _tick(self, replica: Replica) -> None:
        self.now += GRACE
        replica.dispatcher.tick()

    def _send(self, replica: Replica) -> None:
        self.send(1 + self.choose(CHANNELS))

    def _may_go(self, replica: Replica) -> bool:
        others = [each for each in self.replicas if each.is_up and not each.draining and each is not replica]
        return len(others) >= 1 and replica.is_up

    def _drain(self, replica: Replica) -> None:
        if self._may_go(replica) and not replica.draining:
            replica.draining = True
            self.version += 1
            replica.dispatcher.begin_drain()

    def _kill(self, replica: Replica) -> None:
        if self._may_go(replica) and not self.choose(2):
            replica.dead = replica.silent = True
            self._excuse(replica)

    def _pause(self, replica: Replica) -> None:
        if self._may_go(replica) and all(owner is not replica for owner, _ in self.running):
            replica.silent = True
            self._excuse(replica)

    def _excuse(self, replica: Replica) -> None:
        views = [self.etcd, *(each.claims.view() for each in self.replicas)]  # some are late
        self.excused.update(
            message.place
            for message in self.stream
            if any(view.get(f"message/{message.id}", ("", ""))[1] == replica.name for view in views)
        )
        self.lapsed.update(range(replica.joined, replica.received))

    def expire(self, replica: Replica) -> None:
        """A dead replica's session ends."""
        self.replicas.remove(replica)
        self.version += 1
        for key, value in list(self.etcd.items()):
            if value[0] == "r" and value[1] == replica.name:
                self.put(key, None)

    def _join(self, replica: Replica | None) -> None:
        if len(self.replicas) < 4:
            for each in self.replicas:  # a session begins later than what others have received: the skew
                while not each.dead and each.receive():
                    pass
            self.now += 0.01
            self.replicas.append(Replica(self, self.number))
            self.number += 1
            self.version += 1

    # -- the promise -----------------------------------------------------------------------------------------

    def handle(self, replica: Replica, message: Any) -> Outcome:
        """A handler: other things happen while it runs, and while it waits for another event."""
        set_aside = self.set_aside
        self.begun.append((replica.name, message.place))
        self._check(replica, message)
        self.running.append((replica, message))
        for _ in range(self.choose(6)):
            self.step()
            if self.choose(4) == 1 and not replica.dead:
                self.excused.add(message.place)
                set_aside()
        self.running.remove((replica, message))
        return Outcome.LOST if replica.dead else Outcome.HANDLED

    def _check(self, replica: Replica, message: Any) -> None:
        """Each older event of the channel is done, excepted, or received by nobody that lives; none runs."""
        for older in self.stream[: message.place]:
            state = self.state(older)
            if older.channel.id != message.channel.id or (state is not None and state[0] == "d"):
                continue
            had_it = [each.name for each in self.replicas if each.alive and each.has(older)]
            assert self._is_excepted(replica, older) or not had_it, (
                f"{message.place} begins on {replica.name}; {older.place} is {state}, received by {had_it}"
            )
        for owner, other in self.running:
            if owner.is_up and other.channel.id == message.channel.id:
                assert self._is_excepted(replica, other) or self._is_excepted(owner, message), (
                    f"{message.place} begins on {replica.name} while {other.place} runs on {owner.name}"
                )

    def _is_excepted(self, replica: Replica, older: Any) -> bool:
        """Whether a dead or silent replica owned an event, or had an event that this one never received."""
        return older.place in self.excused or (older.place < replica.joined and older.place in self.lapsed)

    def settle(self) -> None:
        """No more faults: all that a replica received that is still there is done, and soon."""
        for replica in list(self.replicas):
            if replica.dead:
                self.expire(replica)
            replica.silent = False
        self.choose = lambda bound: 0
        left: list[int] = []
        for _ in range(30 + 3 * len(self.stream)):
            for replica in self.replicas:
                replica.write()
                while replica.receive() or replica.lanes.step(replica.dispatcher.work):
                    pass
                while replica.claims.queue:
                    replica.claims.watch()
                for _ in range(len(replica.claims.looks)):
                    replica.claims.answer()
                self.now += 10 * GRACE
                replica.dispatcher.tick()
            left = [
                message.place
                for message in self.stream
                if (self.state(message) or "?")[0] != "d" and any(each.has(message) for each in self.replicas)
            ]
            if not left and all(replica.received == len(self.stream) for replica in self.replicas):
                return
        states = {
            replica.name: {item.key: item.state.value for item in replica.dispatcher._pending._known.values()}
            for replica in self.replicas
        }
        raise AssertionError(f"{left} are never handled: {states}")
