"""The stand-in for ``discordha.gateway.Gateway`` that is connected to the simulated Discord.

It does what the tap, the client and the heartbeats do: it hands events on with their frame, and tells up to
which revision of etcd everything has arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from discordha.blocking.nonces import nonce_for
from discordha.context import check_fence, current_event, mark_loop_thread
from discordha.errors import DiscordHAError
from discordha.gateway.clock import DiscordClock
from discordha.gateway.state import GatewayState
from simulation.client import SimulatedClient, drive
from simulation.discord_side import WAY, WAY_MEAN, SimulatedDiscord
from simulation.futures import Future
from simulation.primitives import SimpleQueue, monotonic, sleep
from simulation.rest import VirtualLoop, date_of
from simulation.scheduler import Machine, current
from simulation.threads import Thread

__all__ = ["SimulatedGateway", "send"]

HEARTBEAT = 20.0
RESEND_PAUSE = 0.2
NEXT_EVENT_TIMEOUT = 30.0
LEAVE_TIMEOUT = 5.0


class SimulatedGateway:
    """Stands for ``Gateway``: the connections of one replica, and its gateway thread."""

    discord: SimulatedDiscord  # set for each run
    on_client: Callable[[Machine, SimulatedGateway], None]
    received: Callable[[str, str, Any, float], None]

    def __init__(self, config: Any, listener: Any, limits: Any = None) -> None:
        self.listener = listener
        self.machine = current().current.machine  # type: ignore[union-attr]
        self.lag = 0.0
        self.bridge = _Bridge()
        self.dates = DiscordClock()
        self.loop = VirtualLoop() if config.catch_up else None
        self._clients: dict[int, SimulatedClient] = {}
        self._left: dict[int, SimulatedClient] = {}
        self._inbox: SimpleQueue = SimpleQueue()
        self._stopping = self._refusing = False
        self._thread = Thread(target=self._run, name="discordha-gateway", daemon=True)
        type(self).on_client(self.machine, self)

    def start(self) -> None:
        self._thread.start()
        if self.loop is not None:
            Thread(target=self.loop.main, name="discordha-loop", daemon=True).start()

    def session_limits(self) -> Any:
        began = monotonic()
        sleep(0.02)
        self.dates.note(date_of(current().now - 0.01), began)
        return self.discord.limits

    def refuse_shards(self) -> None:
        self._refusing = True

    def interrupt(self) -> None:
        self._refusing = True

    def stop(self, timeout: float) -> None:
        if self._stopping:
            return
        self._stopping = True
        for client in self._clients.values():
            client.end()
        if self._thread.is_alive():
            self._inbox.put(None)
            self._thread.join(timeout)

    def open_shard(self, key: int, number: int = 0, shard_count: int | None = None) -> None:
        if self._refusing:
            raise DiscordHAError("the bot stops")
        client = SimulatedClient(self, key, number, shard_count)
        self._clients = {**self._clients, key: client}
        client.begin()

    def leave_shard(self, key: int) -> None:
        client = self._take(key)
        if client is not None:
            self._left[key] = client
            answer: Any = Future()
            self.soon(client.leave, answer)
            answer.result(LEAVE_TIMEOUT)

    def close_shard(self, key: int) -> None:
        client = self._take(key) or self._left.pop(key, None)
        if client is not None:
            client.end()

    def _take(self, key: int) -> SimulatedClient | None:
        client = self._clients.get(key)
        self._clients = {known: other for known, other in self._clients.items() if known != key}
        return client

    def inject(self, raw: str, shard_id: int) -> bool:
        client = self._clients.get(shard_id) or next(iter(self._clients.values()), None)
        if client is None or not client.state().ready:
            return False
        self.soon(client.replay, raw)
        return True

    def call(self, awaitable: Any, timeout: float | None = None) -> Any:
        return drive(awaitable)

    @property
    def clients(self) -> Mapping[int, SimulatedClient]:
        return self._clients

    @property
    def client(self) -> SimulatedClient:
        if not self._clients:
            raise DiscordHAError("there is no connection to Discord")
        return self._clients[min(self._clients)]

    def state(self, shard_id: int) -> GatewayState:
        return self._clients[shard_id].state()

    def reconnect(self, shard_id: int, *, resume: bool) -> None:
        client = self._clients.get(shard_id)
        if client is not None:
            self.soon(client.drop, resume)

    def caught_up(self, shard_id: int) -> Any:
        answer: Any = Future()
        client = self._clients.get(shard_id)
        if client is not None and not self._stopping:
            self.soon(client.caught_up, answer)
        else:
            answer.set_result(False)
        return answer

    def acknowledged_revision(self, shard_id: int) -> int:
        client = self._clients.get(shard_id)
        return client.acknowledged_revision if client is not None else 0

    def beat(self, shard_id: int, seen: int = 0) -> None:
        client = self._clients.get(shard_id)
        if client is not None:
            self.soon(client.beat, seen)

    def set_presence(self, word: Any) -> None:
        """Nobody looks."""

    def soon(self, call: Callable[..., None], *args: Any) -> None:
        if not self._stopping:
            self._inbox.put((call, args))

    # -- from the network, between two threads ---------------------------------------------------------------

    def inbox_put(self, call: Callable[..., None], *args: Any) -> None:
        """Has the gateway's thread call something. Called by the scheduler."""
        if not self._stopping:
            self._inbox._items.append((call, args))
            self._inbox._changed.notify()

    def on_received(self, kind: str, data: Any) -> None:
        """Notes that an event has reached the replica."""
        type(self).received(self.machine.name, kind, data, current().now)

    def _run(self) -> None:
        mark_loop_thread()
        while True:
            item = self._inbox.get()
            if item is None or self._stopping:
                return
            call, args = item
            call(*args)


class _Bridge:
    """No view of discord.py's objects is called in a simulation."""

    pending = 0

    def call(self, awaitable: Any, timeout: float | None = None) -> Any:
        raise AssertionError("no handler here calls discord.py")

    begin = call

    def close(self, reason: str = "") -> None:
        """Nothing is open."""


def send(discord: SimulatedDiscord, channel: int, content: str) -> None:
    """Sends a message as a blocking view does: fenced, with the event's next nonce, until Discord answers."""
    scheduler = current()
    task = scheduler.current
    assert task is not None
    event = current_event()
    check_fence("send")
    assert event is not None
    nonce = nonce_for(event, event.next_ordinal())
    who = task.machine.name
    while True:
        check_fence("send")
        way = WAY + scheduler.random.expovariate(1 / WAY_MEAN)
        scheduler.after(way, lambda: discord.post(who, channel, content, nonce))  # it arrives whatever comes
        sleep(2 * way)
        if scheduler.random.random() >= discord.loses:
            return
        sleep(RESEND_PAUSE)
