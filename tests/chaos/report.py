"""A chaos run as text and JSON, for people and machines."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from evidence import Evidence
from faults import FAULTS
from observer import LogLine
from verdict import Judgement, quantile
from world import Hit

__all__ = ["Report"]

_SHOWN = 5


@dataclass
class Report:
    """What came of a run. ``begun`` is the machine's monotonic time from which the texts count."""

    seed: int
    seconds: float
    begun: float
    judgement: Judgement
    evidence: Evidence
    leaders: Sequence[LogLine]
    broken: str | None = None

    @property
    def ok(self) -> bool:
        """Nothing lost, repeated, started again, out of order or late."""
        return not self.judgement.violations

    def kinds_of_violations(self) -> set[str]:
        """``lost``, ``repeated``, ..."""
        return {
            violation.what.partition(":")[0].partition(" in ")[0] for violation in self.judgement.violations
        }

    def faults(self) -> dict[str, list[Hit]]:
        """By name."""
        found: dict[str, list[Hit]] = defaultdict(list)
        for hit in self.evidence.hits:
            found[hit.name].append(hit)
        return dict(sorted(found.items()))

    def unexplained_losses(self) -> int:
        """Sessions that were lost while nothing was broken: the machine stood still."""
        return sum(
            not any(hit.begun <= loss.at <= hit.overcome + 1.0 for hit in self.evidence.hits)
            for loss in self.evidence.losses
        )

    def table(self) -> str:
        """Two tables and the verdict."""
        lines = [
            f"{'event':9} {'sent':>6} {'handled':>7} {'lost':>4} {'excused':>7} {'repeated':>8} {'again':>5} "
            f"{'order':>5} {'retried':>7} {'p50 s':>7} {'p99 s':>7} {'max s':>7}"
        ]
        for name, t in self.judgement.events.items():
            lines.append(
                f"{name:9} {t.sent:6} {t.handled:7} {t.lost:4} {t.excused:7} {t.repeated:8} {t.again:5} "
                f"{t.out_of_order:5} {t.retried:7} {t.p50:7.3f} {t.p99:7.3f} {t.max:7.3f}"
            )
        bounds = {fault.name: f"{fault.bound:.1f}" for fault in FAULTS}
        overlap = self.evidence.overlap
        if overlap > 1:
            bounds = dict.fromkeys(bounds, "-")
        lines += [
            "",
            f"{'fault':28} {'count':>5} {'recovery p50':>12} {'p99':>6} {'max':>6} {'bound':>6} {'noise':>6}",
        ]
        for name, hits in self.faults().items():
            times = sorted(hit.recovery for hit in hits)
            lines.append(
                f"{name:28} {len(hits):5} {quantile(times, 0.5):12.2f} {quantile(times, 0.99):6.2f} "
                f"{times[-1]:6.2f} {bounds[name]:>6} {max(hit.noise for hit in hits):6.2f}"
            )
        lines += [
            "",
            f"sessions lost: {len(self.evidence.losses)}, of these while nothing was broken: "
            f"{self.unexplained_losses()}; requests that left after a loss: {self.judgement.acted}",
            f"p99 in quiet times: {self.judgement.quiet:.3f} s",
            f"CHAOS_SEED={self.seed}{f' CHAOS_OVERLAP={overlap}' if overlap > 1 else ''}, "
            f"{len(self.evidence.hits)} faults in {self.seconds:.0f} s: {'OK' if self.ok else 'VIOLATIONS'}",
        ]
        for violation in self.judgement.violations[:_SHOWN]:
            lines += [
                f"at {violation.at - self.begun:.2f} s: {violation.what}",
                *self.relative(violation.history),
            ]
        if len(self.judgement.violations) > _SHOWN:
            lines.append(f"... and {len(self.judgement.violations) - _SHOWN} more violations")
        return "\n".join(lines)

    def relative(self, history: Sequence[tuple[float, str]]) -> list[str]:
        """A history in seconds of the run."""
        return [f"    {at - self.begun:8.3f}  {text}" for at, text in history]

    def json(self) -> str:
        """Everything but single events."""
        return json.dumps(
            {
                "ok": self.ok,
                "seed": self.seed,
                "seconds": self.seconds,
                "overlap": self.evidence.overlap,
                "events": {name: asdict(tally) for name, tally in self.judgement.events.items()},
                "faults": [asdict(hit) for hit in self.evidence.hits],
                "violations": [asdict(violation) for violation in self.judgement.violations],
            },
            indent=1,
        )
