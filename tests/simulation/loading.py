"""Imports the library with the simulation's stand-ins in place of threads, queues, clocks and chance.

``install`` belongs to a process of its own: the library that it imports blocks only inside a simulation.
Other packages keep the real modules.
"""

from __future__ import annotations

import concurrent.futures
import functools
import importlib
import importlib.util
import queue
import random
import secrets
import sys
import threading
import time
from types import ModuleType
from typing import Any

from simulation import primitives, threads
from simulation.scheduler import running

__all__ = ["install"]

#: So many orders of members are remembered.
ORDERS = 50_000
_chance = random.Random(0)


def chance() -> random.Random:
    """The source of the library's random numbers: the simulation's."""
    scheduler = running()
    return scheduler.random if scheduler is not None else _chance


def _module(name: str, real: ModuleType, **names: Any) -> ModuleType:
    made = ModuleType(name)
    made.__dict__.update({key: value for key, value in vars(real).items() if not key.startswith("__")})
    made.__dict__.update(names)
    return made


def _randoms() -> tuple[ModuleType, ModuleType]:
    names = (
        "random",
        "uniform",
        "randrange",
        "randint",
        "choice",
        "shuffle",
        "sample",
        "expovariate",
        "getrandbits",
    )

    def forwarded(name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(chance(), name)(*args, **kwargs)

        return call

    made = _module("random", random, **{name: forwarded(name) for name in names})
    secret = _module(
        "secrets",
        secrets,
        randbits=forwarded("getrandbits"),
        randbelow=lambda below: chance().randrange(below),
        choice=lambda items: chance().choice(items),
        token_bytes=lambda size=32: chance().randbytes(size),
        token_hex=lambda size=32: chance().randbytes(size).hex(),
        token_urlsafe=lambda size=32: chance().randbytes(size).hex(),
    )
    return made, secret


def stand_ins() -> dict[str, ModuleType]:
    """The modules that the library gets, by name; ``concurrent.futures`` is imported with the others in
    place.
    """
    rand, secret = _randoms()
    return {
        "threading": _module(
            "threading",
            threading,
            Lock=primitives.Lock,
            RLock=primitives.RLock,
            Condition=primitives.Condition,
            Event=primitives.Event,
            Semaphore=primitives.Semaphore,
            BoundedSemaphore=primitives.BoundedSemaphore,
            Thread=threads.Thread,
            local=threads.local,
            current_thread=threads.current_thread,
            main_thread=threads.main_thread,
            get_ident=threads.get_ident,
            get_native_id=threads.get_ident,
            enumerate=threads.enumerate_threads,
        ),
        "queue": _module(
            "queue",
            queue,
            SimpleQueue=primitives.SimpleQueue,
            Queue=primitives.SimpleQueue,
            Empty=primitives.Empty,
        ),
        "time": _module(
            "time",
            time,
            monotonic=primitives.monotonic,
            perf_counter=primitives.monotonic,
            time=primitives.wall,
            sleep=primitives.sleep,
            monotonic_ns=lambda: int(primitives.monotonic() * 1e9),
            time_ns=lambda: int(primitives.wall() * 1e9),
            process_time=lambda: 0.0,
            thread_time=lambda: 0.0,
        ),
        "random": rand,
        "secrets": secret,
    }


def _futures() -> ModuleType:
    path = concurrent.futures._base.__file__
    spec = importlib.util.spec_from_file_location("simulation._futures", path)
    assert spec is not None
    assert spec.loader is not None
    base = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(base)
    for error in ("CancelledError", "InvalidStateError"):  # asyncio raises the real ones
        setattr(base, error, getattr(concurrent.futures, error))
    names = {name: getattr(base, name) for name in concurrent.futures._base.__dict__ if hasattr(base, name)}
    return _module("concurrent.futures", concurrent.futures, **names)


def install() -> None:
    """Imports the library anew, with the stand-ins."""
    importlib.import_module("discordha")  # and with it, on real threads, all that it needs
    importlib.import_module("discordha.bot")
    kept = {
        name: sys.modules[name]
        for name in ("threading", "queue", "time", "random", "secrets", "concurrent.futures")
    }
    for name in [name for name in sys.modules if name.split(".")[0] == "discordha"]:
        del sys.modules[name]
    try:
        sys.modules.update(stand_ins())
        sys.modules["concurrent.futures"] = _futures()
        for name in (
            "discordha.bot",
            "discordha.coordination.memory.store",
            "discordha.coordination.etcd.watch",
        ):
            importlib.import_module(name)
    finally:
        sys.modules.update(kept)
    _remember_orders()


def _remember_orders() -> None:
    """The replicas of a fleet rank the same members for the same shards: here it is worked out once."""
    placement = importlib.import_module("discordha.coordination.membership.placement")
    ranked = functools.lru_cache(ORDERS)(placement.order)
    placement.order = lambda key, members: list(ranked(key, tuple(members)))
