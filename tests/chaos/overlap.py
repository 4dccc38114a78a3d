"""Faults on top of one another, without a pause, in rounds.

Each round spares one replica: nothing kills, pauses or drains it, or touches its connection to Discord. Its
links to etcd and to the REST API may break, and so may etcd. So a replica that survives receives all that is
sent in the round, which is what P2 asks for. The next round spares another. It begins when all replicas are
connected again and all that was sent before is answered.

Two faults never break the same thing at once (a replica's process, its link to etcd, its gateway or REST
connection; etcd): one would mend what the other has broken. All else may coincide.

Concurrency: ``overlap`` threads, ``discordha-test-faults-<n>``, are joined at the end of each round. The lock
guards the hits and what is broken.
"""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections.abc import Callable, Sequence
from itertools import cycle

from faults import Fault
from world import Hit, World

__all__ = ["Rounds"]

#: Of a round, seconds: drawn from between.
ROUND = (5.0, 12.0)


class Rounds:
    """Injects up to ``overlap`` faults at once.

    :param faults: drawn in this order, by each thread from another place on.
    :param settle: blocks until the fleet is well again and all is answered.
    """

    def __init__(
        self, world: World, faults: Sequence[Fault], overlap: int, settle: Callable[[str], None]
    ) -> None:
        self._world = world
        self._faults = faults
        self._overlap = overlap
        self._settle = settle
        self._lock = threading.Lock()
        self._broken: set[tuple[str, int | None]] = set()
        self._hits: list[Hit] = []
        self._error: BaseException | None = None

    def run(self, until: float) -> list[Hit]:
        """Rounds until a moment of the monotonic clock. Blocks.

        :raises BaseException: a fault could not be injected or mended.
        """
        draws = [
            (random.Random(self._world.random.random()), cycle(self._turned(number)))
            for number in range(self._overlap)
        ]
        while time.monotonic() < until:
            begun = len(self._hits)
            spared = self._world.random.randrange(len(self._world.fleet))
            ends = time.monotonic() + self._world.random.uniform(*ROUND)
            threads = [
                threading.Thread(
                    target=self._inject,
                    args=(chance, faults, spared, ends),
                    name=f"discordha-test-faults-{number}",
                )
                for number, (chance, faults) in enumerate(draws)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if self._error is not None:
                raise self._error
            hits = self._hits[begun:]
            self._settle(", ".join(hit.name for hit in hits))
            for hit in hits:
                hit.overcome = time.monotonic()
        return self._hits

    def _turned(self, number: int) -> list[Fault]:
        at = len(self._faults) * number // self._overlap
        return [*self._faults[at:], *self._faults[:at]]

    def _inject(self, chance: random.Random, faults: cycle[Fault], spared: int, ends: float) -> None:
        while time.monotonic() < ends and self._error is None:
            fault = next(faults)
            target = self._target(fault, chance, spared)
            things = {(fault.place, None if fault.place == "etcd" else target)}
            if fault.kills_too:
                things.add(("process", target))
            with self._lock:
                is_free = not things & self._broken
                if is_free:
                    self._broken |= things
            if not is_free:
                self._world.rest(0.01, 0.05)
                continue
            try:
                targets = (0, 1, 2) if target is None else (target,)
                hit = fault.inject(dataclasses.replace(self._world, targets=targets, random=chance))
                with self._lock:
                    self._hits.append(hit)
            except BaseException as error:  # noqa: BLE001 - told to ``run``
                self._error = error
            finally:
                with self._lock:
                    self._broken -= things

    def _target(self, fault: Fault, chance: random.Random, spared: int) -> int | None:
        """The leader as often as not."""
        if fault.place == "etcd" and not fault.kills_too:
            return None
        may = [
            each
            for each in range(len(self._world.fleet))
            if (fault.place not in {"process", "gateway"} and not fault.kills_too) or each != spared
        ]
        leader = self._world.leader() if chance.random() < 0.5 else None
        return leader if leader in may else chance.choice(may)
