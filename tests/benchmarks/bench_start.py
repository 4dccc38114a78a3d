"""What a start reads of etcd: the first snapshot of the coordination's watch, with many marks there.

A replica leaves claims and marks out (``quiet``). Beside it stands the same watch that reads them, too. Each
runs in a process of its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from store_helpers import store_of
from table import Row

from discordha.coordination.claims.hints import ClaimHints
from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.endpoints import StoreSettings
from discordha.coordination.etcd.router import WatchRouter
from discordha.coordination.etcd.store import Put
from discordha.testing import LocalEtcd

__all__ = ["start"]

ROOT = "bench/"
CLAIMS = f"{ROOT}e/"
MARKS = 200_000
MARKS_IN_A_WRITE = 100


def start(marks: int = MARKS, rounds: int = 3) -> dict[str, Any]:
    """Fills an etcd with marks, and lets a replica's watch begin, with them and without, in turns."""
    with LocalEtcd() as etcd:
        _fill(etcd, marks)
        found: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
        for _ in range(rounds):
            for kind, measured in found.items():
                measured.append(_begin(etcd.endpoints[0], kind))
    best = {
        kind: {name: min(each[name] for each in measured) for name in measured[0]}
        for kind, measured in found.items()
    }
    rows = []
    for kind, values in best.items():
        what = f"a start {kind} {marks:,} marks"
        rows += [
            Row(f"{what}: time", values["seconds"] * 1e3, "ms"),
            Row(f"{what}: CPU", values["cpu"] * 1e3, "ms"),
            Row(f"{what}: memory", values["bytes"] / 2**20, "MiB"),
        ]
    return {"rows": [row.as_dict() for row in rows], "rounds": found}


def _fill(etcd: LocalEtcd, marks: int) -> None:
    with store_of(etcd) as store:
        lease = store.grant(3600.0).id
        value = b"d r0-abcdef 1 1790000000000"
        for first in range(0, marks, MARKS_IN_A_WRITE):
            numbers = range(first, min(first + MARKS_IN_A_WRITE, marks))
            puts = [
                Put(f"{CLAIMS}message/{1_576_716_233_884_041_219 + 4096 * n}", value, lease) for n in numbers
            ]
            store.txn((), puts)


def _begin(endpoint: str, kind: str) -> dict[str, float]:
    command = [sys.executable, __file__, endpoint, kind]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    found: dict[str, float] = json.loads(said.stdout)
    return found


def _measure(endpoint: str, kind: str) -> None:
    """Prints what a first snapshot takes."""
    router, hints = WatchRouter(ROOT), ClaimHints(ROOT, retention=600.0)
    router.subscribe(hints, "e", "a")
    store = EtcdStore(StoreSettings(endpoints=(endpoint,), timeout=60.0))
    store.range("nothing/")  # is connected
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    watch = store.watch(ROOT, router, silence=60.0, quiet=CLAIMS if kind == "without" else None)
    watch.start()
    if not watch.wait_synced(120.0):
        sys.exit("no snapshot within two minutes")
    seconds, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_SELF)
    watch.stop()
    store.close()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"seconds": seconds, "cpu": cpu, "bytes": (after.ru_maxrss - before.ru_maxrss) * 1024}))


if __name__ == "__main__":
    _measure(*sys.argv[1:])
