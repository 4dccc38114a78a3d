"""Runs seeds, shrinks what fails, and says how to repeat it."""

from __future__ import annotations

import gc
import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from simulation import broken
from simulation.cluster import Cluster
from simulation.plan import Plan
from simulation.script import Fault, draw, shrink
from simulation.verdict import Verdict, judge

__all__ = ["Result", "report", "shrunk", "simulate"]


class Result(NamedTuple):
    """One run. ``digest`` is equal for equal histories, switches included."""

    seed: int
    faults: list[Fault]
    verdict: Verdict
    lines: list[str]
    digest: str
    switches: int
    points: int
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether a promise was broken."""
        return bool(self.verdict.violations)


def simulate(
    seed: int, *, faults: Sequence[Fault] | None = None, plan: Plan | None = None, breaking: str | None = None
) -> Result:
    """Runs a seed.

    :param faults: instead of the seed's.
    :param breaking: the name of a broken build.
    """
    plan = plan or Plan()
    if faults is None:
        faults = draw(
            seed,
            replicas=plan.replicas,
            seconds=plan.seconds,
            pause=plan.pause,
            lasts=plan.lasts,
            only=plan.only,
            outages=plan.catch_up,
        )
    cluster = Cluster(seed, faults, plan)
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    gc.disable()
    try:
        with broken.built(breaking):
            record = cluster.run()
    finally:
        gc.enable()
        logging.disable(disabled)
    scheduler = cluster.scheduler
    discord = cluster.discord
    verdict = judge(record, discord.messages, discord.identified, discord.limits)
    digest = hashlib.blake2b(
        "\n".join([*record.lines, scheduler.trace, repr(verdict.counted)]).encode(), digest_size=16
    ).hexdigest()
    result = Result(
        seed,
        list(faults),
        verdict,
        record.lines,
        digest,
        scheduler.switches,
        scheduler.points,
        scheduler.now - 1000.0,
    )
    gc.collect()
    return result


def shrunk(result: Result, plan: Plan, *, breaking: str | None = None, tries: int = 60) -> Result:
    """The run with the fewest faults that breaks one of the same promises."""
    kinds = {kind for _, kind, _ in result.verdict.violations}
    last = result

    def fails(faults: Sequence[Fault]) -> bool:
        nonlocal last
        found = simulate(result.seed, faults=faults, plan=plan, breaking=breaking)
        same = any(kind in kinds for _, kind, _ in found.verdict.violations)
        if same:
            last = found
        return same

    shrink(result.faults, fails, tries=tries)
    return last


def report(result: Result, plan: Plan, *, breaking: str | None = None) -> str:
    """A failed run as text: the promises, the faults, the history around the first violation, how to repeat
    it.
    """
    _, kind, text = result.verdict.violations[0]
    lines = [f"seed {result.seed}: {len(result.verdict.violations)} violations"]
    lines += [f"  {when:11.3f} {what}: {why}" for when, what, why in result.verdict.violations[:5]]
    lines += [f"faults ({len(result.faults)}):", *(f"  {fault}" for fault in result.faults)]
    words = [word.strip(":,") for word in text.split()]
    names = [word for word in words if len(word) > 6 and (word.isdigit() or word.count("/") == 2)]
    about = [line for line in result.lines if any(name in line for name in names) or " fault " in line]
    lines += [f"history of {names[0] if names else kind}:", *(f"  {line}" for line in about[:60])]
    broke = f" --broken {breaking}" if breaking else ""
    script = f" --script {','.join(map(str, result.faults))}" if result.faults else " --script none"
    sizes = f"--replicas {plan.replicas} --seconds {plan.seconds:g} --calm {plan.calm:g} --rate {plan.rate:g}"
    sizes += " --short" if plan.short else " --no-short"
    sizes += " --catch-up" if plan.catch_up else ""
    sizes += f" --shards {plan.shards}" + (f" --reshard {plan.reshard}" if plan.reshard else "")
    lines.append(f"repeat: make simulate ARGS='--seed {result.seed} {sizes}{broke}{script}'")
    return "\n".join(lines)


def many(
    seeds: Sequence[int],
    plan: Plan,
    *,
    breaking: str | None = None,
    note: Callable[[Result], Any] = lambda result: None,
    stop_at: int = 1,
) -> list[Result]:
    """Runs seeds until ``stop_at`` of them failed; returns the failed ones."""
    failed: list[Result] = []
    for seed in seeds:
        result = simulate(seed, plan=plan, breaking=breaking)
        note(result)
        if result.failed:
            failed.append(result)
            if len(failed) >= stop_at:
                break
    return failed
