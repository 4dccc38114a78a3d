"""A bot's replicas on a local Discord and etcd.

Guarantees: leaving the context drains the replicas, and ends all that was started. What the bot does is told
within a fraction of a second. A replica that ends by itself is told with the end of its log.

Threads and locks: one thread calls the methods. ``discordha-local-feed``, started and joined here, reads the
record of the local Discord, and tells. ``_changed`` guards what the two share; nothing is called under it.
"""

from __future__ import annotations

import importlib.util
import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.endpoints import StoreSettings
from discordha.coordination.membership.formats import reading
from discordha.errors import DiscordHAError
from discordha.operations.local.acts import Act, Acts
from discordha.operations.local.environment import LocalFailure, passed_on
from discordha.operations.local.lines import LineError
from discordha.operations.local.user import LocalUser
from discordha.process.threads import unending

if TYPE_CHECKING:
    from discordha.testing.replicas import Replica

__all__ = ["LocalSession"]

READY_WITHIN = 60.0
#: How long ``expect`` and the like wait, seconds: longer than a session, a restart and a slow machine.
PATIENCE = 20.0
QUIET = 1.0
#: Pause between two looks at the record, seconds.
FEED_PAUSE = 0.1
DRAIN_WITHIN = 40.0
_NO_CALL = (
    "It has not called the local Discord. A bot whose settings stand in its code never does: "
    "discordha.DiscordHA.from_env(...) takes them from the environment."
)
_MORE = "discordha local needs more: pip install 'discordha[testing,operations]'"


class LocalSession:
    """One session. A context manager: entering it blocks until all replicas are ready.

    :param tell: prints a line; any thread.
    :raises DiscordHAError: on entering: a package is missing, or a replica does not start; says what to do.
    """

    def __init__(
        self, bot: Path, count: int, environ: Mapping[str, str], tell: Callable[[str], None]
    ) -> None:
        self._bot = bot
        self._count = count
        self._environ = environ
        self._tell = tell
        self._ends = ExitStack()
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._unmatched: list[Act] = []  # what no ``expect`` has met yet
        self._last_act = 0.0
        self._asked_to_end: set[int] = set()  # replicas
        self._told_dead: set[tuple[int, int]] = set()  # replicas, and their runs
        self._next = 0  # the number of the record's next call
        self._calls: dict[int, tuple[str, str]] = {}
        self.user: LocalUser
        """Who talks to the bot, once the session has begun."""
        self.failed = False
        """Whether a replica has ended by itself, or badly."""

    # -- life ------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            from discordha.testing import LocalDiscord, LocalEtcd, Replicas
        except ImportError as error:
            raise DiscordHAError(f"{_MORE} ({error})") from None
        if importlib.util.find_spec("simcord") is None:
            raise DiscordHAError(f"{_MORE} (simcord is missing)")
        with ExitStack() as ends:
            self._tell("starting a local etcd and a local Discord")
            try:
                etcd = ends.enter_context(LocalEtcd())
            except FileNotFoundError as error:
                raise DiscordHAError(f"{_MORE} ({error})") from None
            discord = self._discord = ends.enter_context(LocalDiscord())
            self.user = LocalUser(discord, self._tell, self._stop)
            self._acts = Acts(self.user.channel_name, self._place_of)
            self._tell(f"starting {self._count} replicas of {self._bot.name}")
            fleet = self._fleet = Replicas(
                self._bot, self._count, etcd=etcd, discord=discord, env=passed_on(self._environ)
            )
            ends.enter_context(fleet)
            self._store = EtcdStore(StoreSettings(tuple(etcd.endpoints)))
            ends.callback(self._store.close)
            feed = threading.Thread(
                target=unending(self._feed, self._stop), name="discordha-local-feed", daemon=True
            )
            feed.start()
            ends.callback(feed.join)
            ends.callback(self._stop.set)
            for replica in fleet:
                self._wait_ready(replica)
            self._ends = ends.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._ends:
            if kind is None:
                self._end_replicas()

    def _end_replicas(self) -> None:
        from discordha.testing import WaitTimeout

        alive = [replica for replica in self._fleet if replica.alive]
        for replica in alive:
            self._asked_to_end.add(replica.index)
            replica.drain()
        for replica in alive:
            try:
                status = replica.wait_exit(DRAIN_WITHIN)
            except WaitTimeout:
                status = None
            if status != 0:
                self.failed = True
                said = f"ended with status {status}" if status is not None else "does not end"
                self._tell(f"r{replica.index} {said}; its log ends:\n{replica.tail()}")

    def _wait_ready(self, replica: Replica) -> None:
        from discordha.testing import WaitTimeout

        name = f"r{replica.index}"
        try:
            replica.wait_ready(READY_WITHIN)
        except WaitTimeout:
            what = "is not ready" if replica.alive else f"ended with status {replica.returncode}"
            strange = not any(each["replica"] == name for each in self._discord.identifies())
            strange = strange and not any(each.replica == name for each in self._discord.requests())
            hint = f"\n{_NO_CALL}" if strange else ""
            self._asked_to_end.add(replica.index)
            raise LocalFailure(f"{name} {what}; its log ends:\n{replica.tail().rstrip()}{hint}") from None
        self._tell(f"{name} is ready")

    # -- what the replicas suffer ----------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """Kills a replica with SIGKILL."""
        replica = self._replica(name, alive=True)
        self._asked_to_end.add(replica.index)
        replica.kill()
        self._tell(f"{name} is killed")

    def drain(self, name: str) -> None:
        """Drains a replica, and waits for its end."""
        from discordha.testing import WaitTimeout

        replica = self._replica(name, alive=True)
        self._asked_to_end.add(replica.index)
        replica.drain()
        try:
            status = replica.wait_exit(DRAIN_WITHIN)
        except WaitTimeout:
            raise LineError(f"{name} does not end; `log {name}` may tell why") from None
        self.failed = self.failed or status != 0
        self._tell(f"{name} has drained" if status == 0 else f"{name} ended with status {status}")

    def start(self, name: str | None) -> None:
        """Starts a replica, or all that have ended, and waits until they are ready."""
        chosen = [self._replica(name, alive=False)] if name else [r for r in self._fleet if not r.alive]
        if not chosen:
            raise LineError("all replicas run")
        for replica in chosen:
            self._asked_to_end.discard(replica.index)
            replica.start()
        for replica in chosen:
            self._wait_ready(replica)

    def log(self, name: str) -> None:
        """Tells the end of a replica's log."""
        self._tell(self._replica(name).tail().rstrip())

    def status(self) -> None:
        """Tells of each replica whether it runs, is ready, and leads."""
        records = {}
        for kv in self._store.range("/discordha/v1/").items:
            parts = kv.key.split("/")
            if parts[-2] == "m":
                records[parts[-1]] = reading(json.loads(kv.value))
        for replica in self._fleet:
            record = records.get(replica.replica_id or "", {})
            state = record.get("state", "starting") if replica.alive else "has ended"
            leads = ", leads" if replica.alive and record.get("leads") else ""
            self._tell(f"r{replica.index}: {state}{leads}")

    def _replica(self, name: str, *, alive: bool | None = None) -> Replica:
        known = {f"r{replica.index}": replica for replica in self._fleet}
        replica = known.get(name)
        if replica is None:
            raise LineError(f"there is no replica {name!r}; there are {', '.join(known)}")
        if alive is not None and replica.alive is not alive:
            raise LineError(f"{name} {'has ended' if alive else 'runs'} already")
        return replica

    # -- what the bot does -----------------------------------------------------------------------------------

    def expect(self, text: str) -> None:
        """Waits until the bot does something with a text. Each thing counts for one ``expect``."""
        until = time.monotonic() + PATIENCE
        with self._changed:
            while True:
                for number, act in enumerate(self._unmatched):
                    if text in act.text:
                        del self._unmatched[number]
                        return
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
        raise LineError(f"the bot did nothing with {text!r} within {PATIENCE:g} s")

    def wait(self, seconds: float | None = None) -> None:
        """Waits; by default until the bot has done nothing for a second."""
        if seconds is not None:
            self._stop.wait(seconds)
            return
        begun = time.monotonic()
        while (now := time.monotonic()) < max(begun, self._last_act) + QUIET and now < begun + PATIENCE:
            self._stop.wait(FEED_PAUSE)

    def _place_of(self, interaction: int) -> tuple[str, str] | None:
        known = self._calls.get(interaction)
        if known is None:
            about = self._discord.interaction(interaction)
            known = self._calls[interaction] = (
                self.user.channel_name(about["channel_id"]),
                about["called"],
            )
        return known

    def _feed(self) -> None:
        while True:
            last = self._stop.is_set()
            for request in self._discord.requests(self._next):
                if request.status == 0:
                    break  # its answer is on its way
                self._next = request.number + 1
                act = self._acts.read(request)
                if act is not None:
                    self._tell(str(act))
                    with self._changed:
                        self._unmatched.append(act)
                        self._last_act = time.monotonic()
                        self._changed.notify_all()
            self._look_for_dead()
            if last:
                return
            self._stop.wait(FEED_PAUSE)

    def _look_for_dead(self) -> None:
        for replica in self._fleet:
            run = (replica.index, replica.runs)
            if replica.alive or replica.index in self._asked_to_end or run in self._told_dead:
                continue
            if replica.replica_id is None:
                continue  # the start tells
            self._told_dead.add(run)
            self.failed = True
            self._tell(
                f"r{replica.index} has ended by itself, with status {replica.returncode}; its log ends:\n"
                f"{replica.tail().rstrip()}"
            )
