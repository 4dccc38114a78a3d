"""``python -m simulation.fleet``: a large fleet in virtual time. A rolling deploy, a reshard to twice as many
shards, the failure of a zone, and quiet hours; how long each takes, and what it costs a replica.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

#: So long is the longest wait for a phase's end, virtual seconds.
PATIENCE = 900.0
#: A drained replica comes back after so many seconds, one of a failed zone after so many.
BACK, ZONE_BACK = 2.0, 60.0
#: One replica in so many is in the zone that fails.
ZONE = 4


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="simulation.fleet", description=__doc__)
    parser.add_argument("--replicas", type=int, default=32)
    parser.add_argument("--shards", type=int, default=256)
    parser.add_argument("--rate", type=float, default=6.0, help="events a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60.0, help="the whole, virtual minutes at the least")
    parser.add_argument("--quiet", type=float, default=30.0, help="seconds of the phase that measures costs")
    args = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "simulation.fleet", *sys.argv[1:]])

    from simulation import loading

    loading.install()
    from simulation.plan import Plan

    plan = Plan(replicas=args.replicas, shards=args.shards, reshard=2 * args.shards, rate=args.rate)
    fleet = _fleet(args.seed, plan)
    violations = fleet.live(args.minutes * 60.0, args.quiet)
    for violation in violations[:20]:
        print(*violation)
    print(f"{len(violations)} violations")
    return 1 if violations else 0


def _fleet(seed: int, plan: Any) -> Any:
    import gc
    import logging

    from simulation.cluster import Cluster
    from simulation.leading import WATCHED_EVERY
    from simulation.record import Trouble
    from simulation.script import Fault
    from simulation.verdict import judge

    class Fleet(Cluster):
        """A cluster that goes through phases."""

        def live(self, seconds: float, quiet: float) -> list[Any]:
            """Runs everything; returns what is wrong."""
            logging.disable(logging.CRITICAL)
            gc.disable()
            scheduler, ends = self.scheduler, self.scheduler.now + seconds
            self.wanted = self.plan.shards
            try:
                for replica in self.replicas:
                    scheduler.after(0.05 * replica.number, functools.partial(self._start, replica))
                scheduler.after(WATCHED_EVERY, self._watch_leaders)
                self.phase("start", self._is_whole)
                self.record.began = scheduler.now
                self._emit()
                self.phase("quiet", until=scheduler.now + quiet)
                for replica in self.replicas:
                    self._strike(Fault(0.0, "drain", replica.number, BACK))
                    self.phase(f"deploy of r{replica.number}", self._is_whole, quiet=True)
                self.report("rolling deploy")
                self.wanted = self.plan.reshard
                self._reshard()
                self.phase("reshard", self._is_whole)
                zone = self.replicas[::ZONE]
                self.record.troubles.append(Trouble("zone", scheduler.now, scheduler.now + ZONE_BACK + 30.0))
                for replica in zone:
                    self._strike(Fault(0.0, "kill", replica.number, ZONE_BACK))
                self.phase(f"a zone of {len(zone)} fails: all shards have hosts", self._is_hosted)
                self.phase("it comes back", self._is_whole)
                self.phase("quiet again", until=max(ends, scheduler.now + quiet))
                self._emitting = False
                self._ends = self.record.calm_since = scheduler.now
                scheduler.run(scheduler.now + 20.0)
                self.record.over = scheduler.now
                self._look_into_journals()
                verdict = judge(
                    self.record, self.discord.messages, self.discord.identified, self.discord.limits
                )
                print(json.dumps({"counted": verdict.counted, "excused": verdict.excused}))
                return verdict.violations
            finally:
                scheduler.close()

        # -- phases -----------------------------------------------------------------------------------------

        _marks: tuple[float, int, int, float] = (0.0, 0, 0, 0.0)

        def phase(
            self,
            name: str,
            over: Callable[[], bool] = lambda: False,
            *,
            until: float | None = None,
            quiet: bool = False,
        ) -> None:
            """Goes on until a phase is over."""
            scheduler = self.scheduler
            if not self._marks[0]:
                self._marks = (scheduler.now, 0, 0, time.process_time())
            last = until if until is not None else scheduler.now + PATIENCE
            scheduler.run(min(scheduler.now + 0.5, last))
            while scheduler.now < last and not over():
                scheduler.run(min(scheduler.now + 0.5, last))
            if until is None and not over():
                self.record.violation(scheduler.now, "not over", f"{name}, after {PATIENCE:.0f} s")
            if not quiet:
                self.report(name)

        def report(self, name: str) -> None:
            """Prints what has come since the last report."""
            began, switches, calls, cpu = self._marks
            scheduler, living = self.scheduler, max(len(self._living()), 1)
            took = max(scheduler.now - began, 1e-9)
            self._marks = (scheduler.now, scheduler.switches, self.etcd.calls, time.process_time())
            line = {
                "phase": name,
                "virtual seconds": round(took, 1),
                "switches a replica and second": round((scheduler.switches - switches) / took / living, 1),
                "etcd requests a replica and second": round((self.etcd.calls - calls) / took / living, 2),
                "keys": len(self.etcd.keys._keys),
                "CPU ms a replica and second": round((time.process_time() - cpu) / took / living * 1000.0, 2),
            }
            print(json.dumps(line), flush=True)
            gc.collect()

        def _is_hosted(self) -> bool:
            return not self._missing_hosts()

        def _is_whole(self) -> bool:
            return all(map(self._is_ready, self.replicas)) and self._is_hosted()

        def _missing_hosts(self) -> list[tuple[str, str]]:
            reshard, self.plan.reshard = self.plan.reshard, self.wanted
            try:
                return self._look_for_shards()
            finally:
                self.plan.reshard = reshard

    return Fleet(seed, [], plan)


if __name__ == "__main__":
    sys.exit(main())
