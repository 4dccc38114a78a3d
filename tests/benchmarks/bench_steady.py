"""A load that lasts: 1,000 events a second on three replicas for five minutes. Is anything lost or repeated,
what does a claim add, and do etcd's keys and its database stay as they are once the first retention window is
over?

Retention is 20 s here, so that the marks of a dozen windows come and go; etcd forgets old revisions after as
long: both a thirtieth of the default and of what docs/operating.md advises. etcd waits for its disk (fsync).
Every event has a number of its own: each handler that begins puts it on record, and what was sent is known
from the local Discord, so that nothing rests on the library's own word.

*Added latency* is what it is in ``latency``: from when the replica's gateway thread saw the event to when its
handler began, on the replica that handled it.
"""

from __future__ import annotations

import base64
import os
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rig import Rig, median, quantile, ratio
from table import Row

from discordha.testing import LocalEtcd, wait_for
from discordha.testing.discord.records import Sent

__all__ = ["steady"]

ROOT = "/discordha/v1/bench/"
#: What docs/operating.md advises, but for the length of the compaction.
ETCD = ("--quota-backend-bytes=2147483648", "--auto-compaction-mode=periodic")
#: First components of keys, as docs/design.md lists them.
PREFIXES = ("e", "a", "dead", "m", "l", "j", "k", "ac", "al", "q", "iq", "ib", "ml")
DEFAULT_RETENTION = 600.0
MB = 1e6


class Sample(NamedTuple):
    """What could grow. ``at``: seconds since the load began; sizes in bytes; memory: the largest bot's."""

    at: float
    keys: int
    prefixes: dict[str, int]
    in_use: int
    size: int
    leases: int
    memory: int


class Handled(NamedTuple):
    """One handler that began: of which event, on which replica, when it was seen and when it began."""

    number: int
    replica: int
    arrived: float
    begun: float


class Run(NamedTuple):
    """What came of the load."""

    sent: list[Sent]
    handled: list[Handled]
    raw: Sequence[float]
    """Seconds of each raw etcd transaction."""
    samples: list[Sample]
    cores: dict[str, float]
    """How many each kind of process kept busy, by ``Rig.cpu``'s names."""
    proposals: int
    load_after: float


def steady(
    seconds: float | None = None, rate: float = 1_000.0, replicas: int = 3, retention: float = 20.0
) -> dict[str, Any]:
    """Blocks for the load, and until its marks have ended.

    :param seconds: how long the load lasts; ``STEADY_SECONDS``, 300 by default.
    """
    seconds = float(os.environ.get("STEADY_SECONDS", "300")) if seconds is None else seconds
    flags = (*ETCD, f"--auto-compaction-retention={max(int(retention), 1)}s")
    settings = {
        "DISCORDHA_RETENTION": retention,
        "DISCORDHA_CATCH_UP": 0,  # marks would live for ten minutes, whatever the retention
        "DISCORDHA_SESSION_TTL": min(5.0, retention / 2),
        "RAW": 10,
    }
    with Rig(["steady"] * replicas, warm_up=0, etcd_flags=flags, fsync=True, links=False, **settings) as rig:
        run = _run(rig, seconds, rate, retention)
    rows = [
        Row(f"events sent at {rate:,g}/s to {replicas} replicas, {seconds:g} s", len(run.sent)),
        *_counts(run, replicas),
        *_times(run, rate),
        Row("consensus writes an event", run.proposals / len(run.sent)),
        *_cores(run),
        *_growth(run.samples, seconds, rate, retention),
    ]
    return {
        "rows": [row.as_dict() for row in rows],
        "retention": retention,
        "seconds": seconds,
        "load_after": run.load_after,
        "samples": [sample._asdict() for sample in run.samples],
    }


def _run(rig: Rig, seconds: float, rate: float, retention: float) -> Run:
    etcd, count = rig.etcd, int(seconds * rate)
    assert etcd is not None
    rig.discord.load(rate=200, count=min(400, count // 4), template="warm").wait(60)
    proposals, cpu, begun = etcd.metrics().proposals, rig.cpu(), time.monotonic()
    load = rig.discord.load(rate=rate, count=count, template="{n}")
    samples = [_sample(rig, etcd, 0.0)]
    while samples[-1].at < seconds:
        time.sleep(max(seconds / 150, 0.2))
        samples.append(_sample(rig, etcd, time.monotonic() - begun))
    sent = load.wait(seconds + 60)
    took = time.monotonic() - begun
    cores = {name: (value - cpu[name]) / took for name, value in rig.cpu().items()}
    proposals = etcd.metrics().proposals - proposals
    load_after = os.getloadavg()[0]
    # A repetition may come for as long as there are marks: they are waited for, and so is what is late.
    wait_for(
        lambda: _below(etcd, "e") == 0,
        3 * retention + 60,
        lambda: f"the marks to end, not {_below(etcd, 'e')}",
        interval=0.5,
    )
    handled = [each for index in range(len(rig.bots)) for each in _handled(rig.directory, index)]
    raw = _floats(rig.directory / "r0.raw")
    return Run(sent, handled, raw, samples, cores, proposals, load_after)


def _sample(rig: Rig, etcd: LocalEtcd, at: float) -> Sample:
    metrics = etcd.metrics()
    prefixes = {prefix: _below(etcd, prefix) for prefix in PREFIXES}
    # All that is not below e/, whose number changes while the others are counted.
    rest = _count(etcd, ROOT, f"{ROOT}e/") + _count(etcd, f"{ROOT}e0", f"{ROOT}\x7f")
    prefixes["others"] = rest - sum(prefixes.values()) + prefixes["e"]
    return Sample(
        at, metrics.keys, prefixes, metrics.db_in_use, metrics.db_size, metrics.leases, max(rig.memory())
    )


def _below(etcd: LocalEtcd, component: str) -> int:
    """How many keys of the bot begin with a component."""
    return _count(etcd, f"{ROOT}{component}/", f"{ROOT}{component}0")  # 0 follows the slash


def _count(etcd: LocalEtcd, start: str, end: str) -> int:
    """How many keys lie from ``start`` to before ``end``; none of them travels."""
    key, range_end = (base64.b64encode(each.encode()).decode() for each in (start, end))
    body = {"key": key, "range_end": range_end, "count_only": True}
    return int(etcd.api.call(etcd.url(), "kv/range", body).get("count", 0))


def _floats(path: Path) -> array[float]:
    """What the bot has written; the end of a number that it is writing is left out."""
    data = path.read_bytes()
    return array("d", data[: len(data) // 8 * 8])


def _handled(directory: Path, replica: int) -> Iterator[Handled]:
    found = _floats(directory / f"r{replica}.record")
    for number, arrived, begun in zip(found[::3], found[1::3], found[2::3], strict=False):
        yield Handled(int(number), replica, arrived, begun)


def _counts(run: Run, replicas: int) -> list[Row]:
    times = Counter(each.number for each in run.handled)
    shares = Counter(each.replica for each in run.handled)
    lost = sum(not times[int(each.key)] for each in run.sent)
    of = f"of {len(run.sent):,} events"
    return [
        Row(f"lost, {of}", lost, at_most=0),
        Row(f"handled again, {of}", len(run.handled) - len(times), at_most=0),
        *(Row(f"handled by r{index}", shares[index]) for index in range(replicas)),
    ]


def _times(run: Run, rate: float) -> list[Row]:
    sent_at = {int(each.key): each.at for each in run.sent}
    first = run.sent[0].at
    added = [each.begun - each.arrived for each in run.handled]
    return [
        *_latencies("added latency", added),
        *_latencies("one raw etcd transaction (10/s beside it)", run.raw),
        Row("added latency against it, p99", ratio(quantile(added, 0.99), quantile(run.raw, 0.99)), "x"),
        *_latencies(
            "from sent to handler begun", [each.begun - sent_at[each.number] for each in run.handled]
        ),
        *_latencies("sent later than due", [each.at - first - each.number / rate for each in run.sent]),
    ]


def _cores(run: Run) -> list[Row]:
    cores = run.cores
    others = cores["machine"] - cores["bots"] - cores["etcd"] - cores["discord"]
    return [
        Row(f"busy cores, of {os.cpu_count()}: the whole machine", cores["machine"]),
        Row("busy cores: all replicas together", cores["bots"]),
        Row("busy cores: etcd", cores["etcd"]),
        Row("busy cores: the local Discord, which makes the load", cores["discord"]),
        Row("busy cores: everything else, other programs too", others),
    ]


def _latencies(name: str, values: Sequence[float]) -> list[Row]:
    return [
        Row(f"{name}, p50", quantile(values, 0.5) * 1000, "ms"),
        Row(f"{name}, p99", quantile(values, 0.99) * 1000, "ms"),
        Row(f"{name}, most", max(values, default=0.0) * 1000, "ms"),
    ]


def _growth(samples: Sequence[Sample], seconds: float, rate: float, retention: float) -> list[Row]:
    """Whether it stays as it is: the mean of the last third of the run against that of the middle one."""
    # A machine that stands still may leave a third of a short run without a sample.
    last = [each for each in samples if seconds * 2 / 3 <= each.at <= seconds] or [samples[-1]]
    middle = [each for each in samples if seconds / 3 <= each.at < seconds * 2 / 3] or last

    def grown(field: str) -> float:
        one, other = ([getattr(each, field) for each in part] for part in (middle, last))
        return ratio(sum(other) / len(other), sum(one) / len(one))

    # docs/operating.md; and etcd takes up to a second until it has seen that a lease is over.
    window = retention + max(retention / 10, 1.0) + 1.0
    marks = max(each.prefixes["e"] for each in samples)
    others = max(sum(each.prefixes.values()) - each.prefixes["e"] for each in samples)
    bytes_a_key = ratio(sum(each.in_use for each in last), sum(each.keys for each in last))
    by_default = rate * DEFAULT_RETENTION * 1.1  # retention and one bucket
    return [
        Row("claims and marks in etcd, most", marks, at_most=rate * window),
        Row("all other keys of the bot, most", others),
        Row("keys: last third of the run against the middle one", grown("keys"), "x", at_most=1.05),
        Row("database in use, most", max(each.in_use for each in samples) / MB, "MB"),
        Row("database in use: last third against the middle one", grown("in_use"), "x", at_most=1.05),
        Row("database file, at the end", samples[-1].size / MB, "MB"),
        Row("database file: last third against the middle one", grown("size"), "x", at_most=1.05),
        Row("leases, most", max(each.leases for each in samples)),
        Row("memory of a replica, last third (median)", median(each.memory for each in last) / MB, "MB"),
        Row("memory of a replica: last third against the middle one", grown("memory"), "x", at_most=1.05),
        Row("database in use a key, old revisions included", bytes_a_key, "bytes"),
        Row(f"computed for retention={DEFAULT_RETENTION:g} (the default): claims and marks", by_default),
        Row("computed for the same: database in use", by_default * bytes_a_key / MB, "MB"),
    ]
