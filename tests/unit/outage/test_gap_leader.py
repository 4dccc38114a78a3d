"""What a shard's leader makes of the reaches of members that live, and of those that are gone."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import pytest

from discordha.coordination.gaps.points import Point, Reach
from discordha.coordination.gaps.stream import GapState
from discordha.coordination.membership.departures import Departure
from discordha.outage import leading
from discordha.outage.leading import GapLeader
from discordha.outage.reaches import Reaches

SHARD = 0


class Bench:
    """A leader whose own session is young. ``point``: the shard's; ``gaps``: those that it noticed."""

    def __init__(self, point: float, mine: Reach) -> None:
        self.points = [Point(point)]
        self.mine = mine
        self.records: dict[str, dict[str, Any]] = {}
        self.ends: list[Departure] = []
        self.gaps: list[tuple[float, float]] = []
        self.told: list[int] = []
        nothing: Any = None
        node: Any = SimpleNamespace(
            gaps=SimpleNamespace(state=lambda shard: None, write=self.write_gap),
            points=SimpleNamespace(
                get=lambda shard: self.points[-1] if self.points else None,
                has=lambda shard: True,
                advance=self.advance,
                knows_before=lambda generation: False,
            ),
            watch=SimpleNamespace(wait_revision=lambda revision, timeout: True),
            plan=SimpleNamespace(serving=None, count=None),
        )
        gateway: Any = SimpleNamespace(
            loop=None,
            clients={SHARD: SimpleNamespace(state=lambda: SimpleNamespace(silent=0.0))},
            dates=SimpleNamespace(earliest=lambda now: 100.0, latest=lambda when: None),
        )
        leaders: Any = SimpleNamespace(
            knows_gap=lambda shard: True, note_gap=lambda shard, gap, term: self.told.append(gap)
        )
        members: Any = SimpleNamespace(
            records=lambda: self.records, departures=SimpleNamespace(latest=lambda: self.ends)
        )
        reaches = Reaches(members, gateway, leaders, nothing, "me", is_deaf=lambda shard: False)
        reaches.reach = lambda shard: self.mine  # type: ignore[method-assign]
        reaches.founded = self.founded  # type: ignore[method-assign]
        config: Any = SimpleNamespace(catch_up=600.0, catch_up_limit=1000)
        self.leader = GapLeader(
            config,
            node,
            gateway,
            leaders,
            nothing,
            SimpleNamespace(add=lambda *arguments: None),  # type: ignore[arg-type]
            "me",
            reaches=reaches,
            undone=nothing,
            tell=nothing,
            is_shut=lambda shard: True,
            open=nothing,
            wake=lambda: None,
        )

    def write_gap(self, shard: int, state: Any, guard: Any) -> int:
        self.gaps.append((state.since, round(state.until, 1)))
        return 1

    def advance(self, shard: int, point: Point, *, guard: Any) -> int:
        self.points.append(point)
        return 1

    @property
    def point(self) -> Point:
        return self.points[-1]

    def founded(self, shard: int) -> float:
        """The leader's own session had its READY two seconds before its reach."""
        self.mine = self.mine._replace(since=self.mine.since - 2.0)
        return self.mine.since

    def gone(self, name: str, since: float, until: float) -> None:
        record = {"reach": {str(SHARD): [since, until, True]}}
        self.ends.append(Departure(len(self.ends) + 1, name, False, record))

    def lead(self) -> None:
        client: Any = None
        term: Any = SimpleNamespace(guard=lambda: None)
        self.leader.lead(SHARD, client, term)

    def again(self) -> None:
        """Later, when the next point is due."""
        self.leader._next_point.clear()
        self.lead()


def test_what_a_member_said_before_it_was_gone_is_no_gap() -> None:
    """It had finished what it received up to a moment at which this replica received events, too."""
    bench = Bench(80.0, Reach(90.0, 95.0))
    bench.gone("old", 70.0, 92.0)
    bench.lead()
    bench.lead()
    assert bench.gaps == []
    assert bench.point.moment == pytest.approx(95.0)
    assert bench.told, "it knows that no gap is there"


def test_a_gap_begins_where_that_ends() -> None:
    bench = Bench(80.0, Reach(90.0, 95.0))
    bench.gone("old", 70.0, 82.0)
    bench.gone("older", 60.0, 75.0)
    bench.gone("later", 85.0, 95.0)
    bench.lead()
    assert bench.told == [], "it does not know yet"
    bench.lead()
    assert bench.gaps == [(82.0, 90.0)]


def test_a_bots_first_point_is_the_ready_of_its_first_leader_though_nothing_is_done_yet() -> None:
    bench = Bench(80.0, Reach(90.0, 85.0))
    bench.points.clear()
    bench.lead()
    assert bench.point.moment == pytest.approx(88.0, abs=0.01)
    assert bench.told, "there is no gap"
    first = bench.point
    bench.again()
    assert bench.point == first, "what came first is not done"
    bench.mine = Reach(90.0, 95.0)  # all replicas died, and this session is a new one
    bench.again()
    assert bench.gaps == [(first.moment, 90.0)]


def test_without_it_the_gap_is_a_whole_one() -> None:
    bench = Bench(80.0, Reach(90.0, 95.0))
    bench.lead()
    assert bench.gaps == [(80.0, 90.0)]


@pytest.mark.parametrize(
    ("until", "said"),
    [(88.0, "was received by replicas that are gone"), (82.0, "no replica received, or only some")],
)
def test_the_log_says_whether_a_replica_is_known_to_have_received_it(
    until: float, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(80.0, Reach(90.0, 95.0))
    bench.points = [Point(until)]  # all of it that was finished
    bench.gone("old", 70.0, until)
    bench.lead()
    assert len(bench.gaps) == 1
    assert said in caplog.text


class Run:
    """In place of ``GapRun``: its work is not what is tested."""

    def __init__(self, host: Any, shard: int, term: Any, client: Any) -> None:
        self.term = term

    def turn(self, state: GapState) -> bool:
        return False

    def stop(self) -> None:
        """Nothing is fetched."""


def test_marks_live_on_from_the_first_run_of_all_shards_to_the_end_of_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leading, "GapRun", Run)
    bench, calls = Bench(80.0, Reach(90.0, 95.0)), list[str]()
    node: Any = bench.leader._node
    node.gaps.state = lambda shard: GapState(1, 80.0, 90.0, 80.0)
    node.mark_leases = SimpleNamespace(
        **{name: functools.partial(calls.append, name) for name in ("hold", "renew", "let_go")}
    )
    term: Any = SimpleNamespace(guard=lambda: None)
    client: Any = None
    for shard in (0, 1, 0):
        bench.leader.lead(shard, client, term)
    assert calls == ["hold", "renew", "hold", "renew", "renew"]
    bench.leader.end_run(0)
    assert calls[5:] == []
    bench.leader.end_run(1)
    assert calls[5:] == ["let_go"]
