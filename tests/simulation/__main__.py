"""``python -m simulation``: runs seeds, or repeats one. See docs/simulation.md."""

from __future__ import annotations

import argparse
import functools
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulation.plan import Plan
    from simulation.script import Fault


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--seconds", type=float, help="virtual seconds with faults")
    parser.add_argument("--calm", type=float, default=40.0, help="virtual seconds without faults at the end")
    parser.add_argument("--rate", type=float, default=6.0, help="events a second")
    parser.add_argument("--shards", type=int, help="0: the bot has none")
    parser.add_argument("--reshard", type=int, default=0, help="the number of shards later on")
    parser.add_argument(
        "--short", action=argparse.BooleanOptionalAction, help="as many faults in a fraction of the time"
    )
    parser.add_argument(
        "--mix", action="store_true", help="shards for a part of the seeds, outages for another"
    )
    parser.add_argument("--catch-up", action="store_true", help="catch up, and let all replicas die")
    parser.add_argument("--only", default="", help="these kinds of faults, with commas between")
    parser.add_argument("--script", help="the faults instead of the seed's, as a failure prints them")
    parser.add_argument("--broken", help="a broken build, or 'all', or some with commas between")
    parser.add_argument("--tries", type=int, default=60, help="runs that cut down the faults of a failure")
    parser.add_argument("--history", action="store_true", help="print the whole history")
    parser.add_argument("--keep-going", action="store_true", help="do not end at the first seed that fails")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each seed")
    parser.add_argument("--workers", type=int, help="seeds at a time; one for each core, unless given")
    parser.add_argument("--record", type=Path, help="keep the results here, and run only what it lacks")
    parser.add_argument("--held", type=Path, help="begin no seed while this file exists")
    parser.add_argument("--progress", type=Path, help="write the sums so far here")
    return parser.parse_args()


def main() -> int:
    """The command line."""
    args = _arguments()
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets of text have the same order in every run
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "simulation", *sys.argv[1:]])

    from simulation import loading

    loading.install()
    gc.freeze()  # each seed collects its own garbage, and what was imported is none
    from simulation.broken import BROKEN, CATCHES_UP, SHARDED
    from simulation.campaign import Campaign
    from simulation.plan import Plan
    from simulation.script import Fault

    plan = Plan(
        replicas=args.replicas,
        calm=args.calm,
        rate=args.rate,
        shards=args.shards or 0,
        catch_up=args.catch_up,
        reshard=args.reshard,
        only=[kind for kind in args.only.split(",") if kind],
    )
    plan = plan.shortened() if args.short else plan
    plan.seconds = args.seconds or plan.seconds
    seeds = [args.seed] if args.seed is not None else range(args.first, args.first + args.seeds)
    if args.broken:
        names = list(BROKEN) if args.broken == "all" else args.broken.split(",")
        plans = {
            name: plan.sharded() if name in SHARDED else plan.with_outages() if name in CATCHES_UP else plan
            for name in names
        }
        if len(names) > 1 or args.seed is None:
            return _all_broken(plans, seeds, args.workers)
        plan = plans[names[0]] if not args.script else plan
    script = None
    if args.script:
        script = [Fault.read(each) for each in args.script.split(",") if each != "none"]
    mixed = args.mix and args.shards is None and not args.catch_up
    run = functools.partial(_run, args, plan, script, mixed=mixed)
    workers = 1 if args.history or len(seeds) == 1 else args.workers
    campaign = Campaign(run, workers=workers, record=args.record, held=args.held)
    return _report(args, campaign.lines(seeds), len(seeds))


def _run(
    args: argparse.Namespace, plan: Plan, script: Sequence[Fault] | None, seed: int, *, mixed: bool
) -> dict[str, Any]:
    """Runs a seed, in a worker."""
    from simulation import running

    here, begun = plan.mixed(seed) if mixed else plan, time.process_time()
    result = running.simulate(seed, faults=script, plan=here, breaking=args.broken)
    line: dict[str, Any] = {
        "seed": seed,
        "digest": result.digest,
        "switches": result.switches,
        "marked points": result.points,
        "simulated seconds": result.seconds,
        "CPU seconds": round(time.process_time() - begun, 3),
        "counted": result.verdict.counted,
        "excused": result.verdict.excused,
        "violations": result.verdict.violations,
    }
    if args.history:
        print("\n".join(result.lines), flush=True)
    if result.failed:
        if script is None:
            result = running.shrunk(result, here, breaking=args.broken, tries=args.tries)
        line["report"] = running.report(result, here, breaking=args.broken)
    return line


def _report(args: argparse.Namespace, lines: Any, wanted: int) -> int:
    begun, failed, totals = time.monotonic(), [], dict[str, float]()
    for line in lines:
        if args.json:
            shown = {key: line[key] for key in ("seed", "digest", "switches") if key in line}
            ends = {"excused": line.get("excused"), "violations": line["violations"]}
            print(json.dumps({**shown, **line.get("counted", {}), **ends}), flush=True)
        sums = ("switches", "marked points", "simulated seconds", "CPU seconds")
        for name, count in {
            "seeds": 1,
            **{name: line.get(name, 0) for name in sums},
            **line.get("counted", {}),
            **{f"excused: {why}": number for why, number in line.get("excused", {}).items()},
        }.items():
            totals[name] = totals.get(name, 0) + count
        if line["violations"]:
            failed.append(line["seed"])
            print(line["report"], flush=True)
        if args.progress is not None and totals["seeds"] % 20 == 0:
            args.progress.write_text(_sums(totals, begun, failed, wanted))
        if failed and not args.keep_going:
            break
    if not args.json:
        print(_sums(totals, begun, failed, wanted))
    if args.progress is not None:
        args.progress.write_text(_sums(totals, begun, failed, wanted))
    return 1 if failed else 0


def _sums(totals: dict[str, float], begun: float, failed: list[int], wanted: int) -> str:
    lines = [f"{name:45} {count:15,.0f}" for name, count in totals.items()]
    lines.append(f"{'real seconds':45} {time.monotonic() - begun:15,.0f}")
    seeds, hours = totals.get("seeds", 0), totals.get("simulated seconds", 0) / 3600
    switches, points = totals.get("switches", 0), totals.get("marked points", 0)
    lines.append(
        f"{seeds:,.0f} of {wanted:,} seeds: {switches:,.0f} switches between threads at {points:,.0f} marked "
        f"points, {totals.get('faults', 0):,.0f} faults, {hours:,.1f} simulated hours"
    )
    lines.append(f"seeds with a violation: {failed or 'none'}")
    return "\n".join(lines)


def _all_broken(plans: dict[str, Plan], seeds: Sequence[int], workers: int | None) -> int:
    from simulation.campaign import Campaign

    missed = 0
    for name, plan in plans.items():
        begun, tried = time.monotonic(), 0
        found = ""
        for line in Campaign(_broken_run(name, plan), workers=workers).lines(seeds):
            tried += 1
            if line["violations"]:
                kinds = sorted({kind for _, kind, _ in line["violations"]})
                found = f"found by seed {line['seed']}: {', '.join(kinds)}"
                break
        missed += not found
        found = found or f"not found by {len(seeds)} seeds"
        print(f"{name:25} {found} ({tried} seeds, {time.monotonic() - begun:.0f} s)", flush=True)
    return 1 if missed else 0


def _broken_run(name: str, plan: Plan) -> Callable[[int], dict[str, Any]]:
    from simulation import running

    def run(seed: int) -> dict[str, Any]:
        result = running.simulate(seed, plan=plan, breaking=name)
        return {"seed": seed, "violations": result.verdict.violations}

    return run


if __name__ == "__main__":
    sys.exit(main())
