"""One replica's coordination without Discord: a session, a watch, elections. Also a program: see ``main``."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from store_helpers import watch_components

from discordha.coordination.election.election import Election, LeaderTerm
from discordha.coordination.election.elections import Elections
from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.endpoints import StoreSettings
from discordha.coordination.etcd.store import Compare, Get, Put
from discordha.coordination.membership.members import Members
from discordha.coordination.session import Session
from discordha.errors import DiscordHAError
from discordha.testing import wait_for


class Node:
    """A replica. ``subscribe`` adds listeners before it starts."""

    def __init__(
        self,
        settings: StoreSettings,
        root: str,
        name: str,
        *,
        ttl: float = 6.0,
        silence: float | None = None,
        subscribe: Callable[[Node], None] | None = None,
        watching: bool = True,
    ) -> None:
        self.root, self.name, self.watching = root, name, watching
        self.store = EtcdStore(settings)
        self.session = Session(self.store, ttl=ttl)
        self.members = Members(self.store, self.session, root, name, dict, interval=ttl / 3)
        self.elections = Elections(self.store, self.session, root, name)
        listeners = {"m": self.members, "l": self.elections}
        silence = silence if silence is not None else ttl
        self.hub = watch_components(self.store, root, listeners, silence=silence)
        self.history: list[tuple[str, int, int]] = []  # what, shard, token
        self.times: list[float] = []
        if subscribe is not None:
            subscribe(self)

    def start(self) -> Self:
        self.session.start(20.0)
        self.members.start()
        if self.watching:
            self.hub.start()
            assert self.hub.wait_synced(20.0)
        self.elections.start()
        return self

    def stop(self, *, revoke: bool = True) -> None:
        self.elections.stop()
        self.hub.stop()
        self.members.stop()
        self.session.stop(revoke=revoke)
        self.store.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def open(self, shard_id: int = 0, *, participate: bool = True) -> Election:
        """Opens an election that notes what happens, and campaigns."""
        election = self.elections.open(
            shard_id, self._note("elected"), self._note("deposed"), participate=participate
        )
        election.campaign()
        return election

    def _note(self, what: str) -> Callable[[LeaderTerm], None]:
        def note(leadership: LeaderTerm) -> None:
            self.times.append(time.monotonic())
            self.history.append((what, leadership.shard_id, leadership.fencing_token))

        return note


def wait_leader(*elections: Election, timeout: float = 10.0) -> Election:
    """The one that leads, once exactly one does."""

    def leaders() -> list[Election]:
        return [election for election in elections if election.is_leader]

    wait_for(lambda: len(leaders()) == 1, timeout, lambda: f"one leader, not {leaders()}", interval=0.002)
    return leaders()[0]


def main() -> None:
    """``python election_node.py``: campaigns, and while it leads writes to a register with its token, as fast
    as it can, saying each answer on standard output. Settings come as JSON on standard input; ends when that
    closes."""
    given: dict[str, Any] = json.loads(sys.stdin.readline())
    settings = StoreSettings(**{**given["settings"], "endpoints": tuple(given["settings"]["endpoints"])})
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    register = f"{given['root']}v/register"
    with Node(settings, given["root"], given["name"], ttl=given["ttl"]) as node:
        election = node.open()
        while not over.is_set():
            leadership = election.leadership
            if leadership is None:
                over.wait(0.002)
                continue
            token = leadership.fencing_token
            try:
                guarded = given["guarded"]
                compare: tuple[Compare, ...] = (leadership.guard(),) if guarded else ()
                value = f"{token} {node.name}".encode()
                result = node.store.txn(compare, (Put(register, value),), (Get(register),))
            except DiscordHAError as error:
                answer: dict[str, Any] = {"error": type(error).__name__}
            else:
                answer = {"written": result.succeeded, "revision": result.revision}
            late = not leadership.alive
            print(json.dumps({"name": node.name, "token": token, "late": late, **answer}), flush=True)


def settings_line(settings: StoreSettings, **more: Any) -> str:
    """What ``main`` reads."""
    return json.dumps({"settings": dataclasses.asdict(settings), **more}) + "\n"


if __name__ == "__main__":
    main()
