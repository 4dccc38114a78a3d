"""``python -m simulation``: runs seeds, or repeats one. See docs/simulation.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="virtual seconds with faults")
    parser.add_argument("--calm", type=float, default=40.0, help="virtual seconds without faults at the end")
    parser.add_argument("--rate", type=float, default=6.0, help="events a second")
    parser.add_argument("--shards", type=int, help="0: the bot has none")
    parser.add_argument("--reshard", type=int, default=0, help="the number of shards later on")
    parser.add_argument(
        "--mix", action="store_true", help="shards for a third of the seeds, outages for another"
    )
    parser.add_argument("--catch-up", action="store_true", help="catch up, and let all replicas die")
    parser.add_argument("--only", default="", help="these kinds of faults, with commas between")
    parser.add_argument("--script", help="the faults instead of the seed's, as a failure prints them")
    parser.add_argument("--broken", help="a broken build, or 'all'")
    parser.add_argument("--tries", type=int, default=60, help="runs that cut down the faults of a failure")
    parser.add_argument("--history", action="store_true", help="print the whole history")
    parser.add_argument("--keep-going", action="store_true", help="do not end at the first seed that fails")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each seed")
    args = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets of text have the same order in every run
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "simulation", *sys.argv[1:]])

    from simulation import loading

    loading.install()
    from simulation import running
    from simulation.broken import BROKEN, CATCHES_UP, SHARDED
    from simulation.cluster import Plan
    from simulation.script import Fault

    plan = Plan(
        replicas=args.replicas,
        seconds=args.seconds,
        calm=args.calm,
        rate=args.rate,
        shards=args.shards or 0,
        catch_up=args.catch_up,
        reshard=args.reshard,
        only=[kind for kind in args.only.split(",") if kind],
    )
    seeds = [args.seed] if args.seed is not None else range(args.first, args.first + args.seeds)
    if args.broken == "all":
        plans = {
            name: plan.sharded() if name in SHARDED else plan.with_outages() if name in CATCHES_UP else plan
            for name in BROKEN
        }
        return _all_broken(running, plans, seeds)
    script = None
    if args.script:
        script = [Fault.read(each) for each in args.script.split(",") if each != "none"]
    begun, failed, totals = time.monotonic(), [], {}
    for seed in seeds:
        here = plan.mixed(seed) if args.mix and args.shards is None and not args.catch_up else plan
        result = running.simulate(seed, faults=script, plan=here, breaking=args.broken)
        if args.history:
            print("\n".join(result.lines))
        if args.json:
            line = {
                "seed": seed,
                "digest": result.digest,
                "switches": result.switches,
                **result.verdict.counted,
            }
            print(
                json.dumps(
                    {**line, "excused": result.verdict.excused, "violations": result.verdict.violations}
                )
            )
        for name, count in {
            "seeds": 1,
            "switches": result.switches,
            "marked points": result.points,
            "simulated seconds": result.seconds,
            **result.verdict.counted,
            **{f"excused: {why}": number for why, number in result.verdict.excused.items()},
        }.items():
            totals[name] = totals.get(name, 0) + count
        if result.failed:
            failed.append(seed)
            if script is None:
                result = running.shrunk(result, here, breaking=args.broken, tries=args.tries)
            print(running.report(result, here, breaking=args.broken), flush=True)
            if not args.keep_going:
                break
    if not args.json:
        for name, count in totals.items():
            print(f"{name:45} {count:15,.0f}")
        print(f"{'real seconds':45} {time.monotonic() - begun:15,.0f}")
        print(f"seeds with a violation: {failed or 'none'}")
    return 1 if failed else 0


def _all_broken(running, plans, seeds) -> int:  # type: ignore[no-untyped-def]
    missed = 0
    for name, plan in plans.items():
        failed = running.many(seeds, plan, breaking=name)
        if failed:
            kinds = sorted({kind for _, kind, _ in failed[0].verdict.violations})
            found = f"found by seed {failed[0].seed}: {', '.join(kinds)}"
        else:
            found, missed = f"not found by {len(seeds)} seeds", missed + 1
        print(f"{name:25} {found}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
