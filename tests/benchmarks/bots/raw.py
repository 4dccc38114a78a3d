"""Raw etcd transactions that a bot makes beside its work, to compare with what a claim adds."""

from __future__ import annotations

import threading
import time
from collections.abc import MutableSequence

import discordha
from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.store import Compare, Put
from discordha.coordination.node import store_settings


def transact(config: discordha.Config, rate: float, took: MutableSequence[float]) -> None:
    """So many a second, on a thread of its own; the seconds of each go to ``took``.

    Each is timed from when it was due, as events are: when etcd stands still for a moment, it concerns all
    that come meanwhile, and not one of them.
    """

    def run() -> None:
        store = EtcdStore(store_settings(config))
        begun = time.monotonic()
        for number in range(1 << 30):
            begun += 1 / rate
            threading.Event().wait(max(begun - time.monotonic(), 0.0))
            key = f"/raw/{number % 100}"
            store.txn((Compare.version("/none", 0),), (Put(key, b"r0 1"),))
            took.append(time.monotonic() - begun)

    threading.Thread(target=run, name="raw", daemon=True).start()
