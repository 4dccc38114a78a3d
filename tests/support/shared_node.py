"""What one replica shares, without Discord: caches, counters and locks. Also a program: see ``main``."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import discord
from store_helpers import watch_components

from discordha.api.cache import SharedState
from discordha.config import Config
from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.endpoints import StoreSettings
from discordha.coordination.etcd.group_commit import GroupCommit
from discordha.coordination.etcd.store import Get, Put
from discordha.coordination.membership.members import Members
from discordha.coordination.node import CoordinationNode
from discordha.coordination.session import Session
from discordha.coordination.shared.facade import Shared
from discordha.errors import DiscordHAError, LockLost, StoreUnavailable


class LoneNode(SharedState):
    """A replica with ``ha=False``."""

    def __init__(self) -> None:
        super().__init__()
        config = Config(token="x" * 60, intents=discord.Intents.none(), ha=False)
        self.node = CoordinationNode(config, "", "alone", dict)
        self.root, self.store, self.shared = self.node.root, self.node.store, self.node.shared

    def _running(self) -> Any:
        return self

    def __enter__(self) -> Self:
        self.node.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.node.stop()


class Node(SharedState):
    """A replica in the manner of ``Coordination``."""

    def __init__(
        self, settings: StoreSettings, root: str, name: str, *, ttl: float = 6.0, session_store: Any = None
    ) -> None:
        super().__init__()
        self.root, self.name = root, name
        self.store = EtcdStore(settings)
        self.session = Session(session_store or self.store, ttl=ttl)
        self.commit = GroupCommit(self.store)
        self.members = Members(self.store, self.session, root, name, dict, interval=ttl / 3)
        self.shared = Shared(
            self.store, self.session, self.commit, root, name, retry_for=settings.timeout, silence=ttl
        )
        listeners = {"m": self.members, "k": self.shared.locks}
        self.hub = watch_components(self.store, root, listeners, silence=ttl)

    def _running(self) -> Any:
        return self

    def __enter__(self) -> Self:
        self.session.start(20.0)
        self.commit.start()
        self.members.start()
        self.hub.start()
        assert self.hub.wait_synced(20.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self, *, revoke: bool = True) -> None:
        """Ends it; without ``revoke`` as a death would, with the lease left behind."""
        self.shared.stop()
        self.commit.stop()
        self.members.stop()
        self.hub.stop()
        self.session.stop(revoke=revoke)
        self.store.close()


# -- the program ---------------------------------------------------------------------------------------------

Say = Callable[..., None]


def count(node: Node, say: Say, *, cache: str, key: str, threads: int, each: int) -> None:
    """Increments one counter from many threads."""
    numbers: list[int] = []
    unknown = [0]

    def work() -> None:
        counter = node.cache(cache)
        for _ in range(each):
            while True:
                try:
                    numbers.append(counter.increment(key))
                    break
                except StoreUnavailable as error:
                    if error.maybe_applied:
                        unknown[0] += 1
                        break

    begun = time.monotonic()
    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    counters = node.shared.counters
    say(
        numbers=numbers,
        unknown=unknown[0],
        seconds=time.monotonic() - begun,
        transactions=counters.transactions,
        conflicts=counters.conflicts,
    )


def compute(node: Node, say: Say, *, cache: str, key: str, callers: int, seconds: float) -> None:
    """Many callers of ``get_or_set``, whose computation takes a while."""
    values: list[Any] = []

    def work() -> None:
        def slow() -> dict[str, str]:
            say(computing=node.name)
            threading.Event().wait(seconds)
            return {"by": node.name}

        values.append(node.cache(cache).get_or_set(key, slow))

    workers = [threading.Thread(target=work) for _ in range(callers)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    say(values=values)


def hold(node: Node, say: Say, *, name: str, times: int, pause: float, over: threading.Event) -> None:
    """Takes a lock again and again, and under it writes two registers with its token: one guarded by the
    token in a transaction of its own, one through a shared cache."""
    register = f"{node.root}v/register"
    while not over.is_set() and times:
        times -= 1
        lock = node.lock(name, 20.0)
        try:
            with lock:
                token = lock.fencing_token
                say(held=token, at=time.monotonic())
                until = time.monotonic() + pause
                while True:
                    answer: dict[str, Any] = {"token": token}
                    try:
                        put = Put(register, str(token).encode())
                        result = node.store.txn(lock._held.guards(), (put,), (Get(register),))
                        answer |= {"written": result.succeeded, "revision": result.revision}
                        node.cache("register").set("token", token)
                        answer["cached"] = True
                    except LockLost:
                        answer["refused"] = True
                    except StoreUnavailable as error:
                        answer["unknown"] = error.maybe_applied
                    say(**answer)
                    if time.monotonic() >= until or lock.lost:
                        break
        except (TimeoutError, DiscordHAError) as error:
            say(failed=type(error).__name__)
            over.wait(0.05)


def wait_in_line(node: Node, say: Say, *, name: str) -> None:
    """Takes a lock once, and says when it has it."""
    with node.lock(name, 60.0) as lock:
        say(held=lock.fencing_token, at=time.monotonic())
    say(released=True)


def main() -> None:
    """``python shared_node.py``: one task; settings as JSON on standard input, answers as JSON on standard
    output. Ends when it is done or the input closes."""
    given: dict[str, Any] = json.loads(sys.stdin.readline())
    settings = StoreSettings(**{**given["settings"], "endpoints": tuple(given["settings"]["endpoints"])})
    speaking = threading.Lock()

    def say(**answer: Any) -> None:
        with speaking:
            print(json.dumps({"name": given["name"], **answer}), flush=True)

    over = threading.Event()
    with Node(settings, given["root"], given["name"], ttl=given["ttl"]) as node:
        say(ready=True)
        sys.stdin.readline()  # the word to begin
        threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
        task, options = given["task"], given["options"]
        if task == "hold":
            hold(node, say, over=over, **options)
        else:
            {"count": count, "compute": compute, "wait": wait_in_line}[task](node, say, **options)


class Holder(threading.Thread):
    """Holds a lock in a thread of its own until it is told to let go."""

    def __init__(self, ha: Any, name: str, timeout: float | None = None) -> None:
        super().__init__(daemon=True)
        self.lock = ha.lock(name, timeout)
        self.has, self.go = threading.Event(), threading.Event()
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            with self.lock:
                self.has.set()
                self.go.wait(30)
        except BaseException as error:  # noqa: BLE001
            self.error = error

    def end(self) -> None:
        self.go.set()
        self.join(30)
        assert not self.is_alive()


def in_line(ha: Any, name: str) -> int:
    """How many hold or wait."""
    return len(ha.store.range(f"{ha.root}k/{name}/").items)


class Program:
    """A process of ``main``, and what it says."""

    def __init__(
        self,
        settings: StoreSettings,
        root: str,
        name: str,
        task: str,
        *,
        options: dict[str, Any],
        ttl: float = 6.0,
    ) -> None:
        self.name = name
        self.answers: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid
        given = {"settings": dataclasses.asdict(settings), "root": root, "name": name, "ttl": ttl}
        self._write(json.dumps({**given, "task": task, "options": options}))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.answers.append(json.loads(line))

    def said(self, key: str) -> list[Any]:
        """All that it said under a key."""
        return [answer[key] for answer in list(self.answers) if key in answer]

    def begin(self) -> None:
        """The word to begin."""
        self._write("")

    def wait(self, timeout: float = 60.0) -> None:
        """Until it has ended by itself."""
        assert self._process.wait(timeout) == 0, self.name
        self._reader.join(10)

    def end(self) -> None:
        """Asks it to end, and waits."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self.wait()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Whatever it does. Idempotent."""
        self.kill()
        self._reader.join(10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                with suppress(BrokenPipeError):
                    pipe.close()


class Programs:
    """Makes programs, and ends them all."""

    def __init__(self, settings: StoreSettings, root: str) -> None:
        self._settings, self._root = settings, root
        self._ends = ExitStack()
        self.all: list[Program] = []

    def __call__(
        self, name: str, task: str, *, settings: StoreSettings | None = None, **options: Any
    ) -> Program:
        program = Program(settings or self._settings, self._root, name, task, **options)
        self._ends.callback(program.close)
        self.all.append(program)
        return program

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()


if __name__ == "__main__":
    main()
