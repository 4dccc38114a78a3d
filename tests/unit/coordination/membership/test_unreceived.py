"""Who is silent, and which channels are owed by members whose sessions are older."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discordha.coordination.membership.rhythm import Rhythm
from discordha.coordination.membership.shard_keys import key_of
from discordha.coordination.membership.unreceived import LISTED_AFTER, MOST, SAME_AGE, Unreceived, listed

INTERVAL = 2.0
#: A shard of the next generation.
NEXT = key_of(1, 0)


class View:
    """What the replica ``me`` sees; the test moves its clock on."""

    def __init__(self) -> None:
        self.now = 100.0
        self.rhythm = Rhythm("me", INTERVAL, lambda: self.now)
        self.unreceived = Unreceived("me", self.rhythm, skew=1.0)
        self.records: dict[str, dict[str, Any]] = {}

    def writes(self, member: str, began: float, **unfinished: float) -> None:
        """A member writes its record: its session began then, and its oldest events came then."""
        self.hears(member, {0: began}, {0: unfinished})

    def hears(
        self, member: str, began: dict[int, float], unfinished: dict[int, dict[str, float]] | None = None
    ) -> None:
        """The same with several shards."""
        self.records[member] = {
            "hears": {str(shard): self.now - moment for shard, moment in began.items()},
            "unfinished": {
                str(shard): {order: self.now - received for order, received in keys.items()}
                for shard, keys in (unfinished or {}).items()
            },
        }
        self.rhythm.arrived(member)
        self.unreceived.update(self.records)


class TestRhythm:
    def test_a_member_that_stops_to_write_is_silent_before_its_record_goes(self) -> None:
        view = View()
        for _ in range(3):
            view.writes("me", 1.0)
            view.writes("peer", 1.0)
            view.now += INTERVAL
        assert not view.rhythm.is_silent("peer")
        view.writes("me", 1.0)
        view.now += INTERVAL * 0.6
        assert view.rhythm.is_silent("peer")
        assert view.rhythm.any_silent
        view.writes("peer", 1.0)
        assert not view.rhythm.is_silent("peer")

    def test_a_member_without_a_record_is_silent(self) -> None:
        view = View()
        view.writes("me", 1.0)
        assert view.rhythm.is_silent("peer")
        assert not view.rhythm.any_silent

    def test_nobody_is_silent_while_own_records_do_not_arrive(self) -> None:
        """Nor at once when they arrive again: the others' may be on their way."""
        view = View()
        view.writes("me", 1.0)
        view.writes("peer", 1.0)
        view.now += 10 * INTERVAL
        assert not view.rhythm.is_silent("peer")
        assert not view.rhythm.is_silent("gone")
        view.writes("me", 1.0)
        assert not view.rhythm.is_silent("peer")
        view.now += INTERVAL
        view.writes("me", 1.0)
        assert not view.rhythm.is_silent("peer")
        view.now += INTERVAL
        view.writes("me", 1.0)
        assert view.rhythm.is_silent("peer")


class TestUnreceived:
    def test_what_an_older_member_has_from_before_is_owed_until_it_is_not_listed(self) -> None:
        view = View()
        view.writes("me", 99.0)
        view.writes("old", 50.0, a=98.0, b=99.9, c=100.5)
        view.now = 110.0
        view.writes("me", 99.0)
        view.writes("old", 50.0, a=98.5, b=105.0)
        assert view.unreceived.owes("a", 0)
        assert not view.unreceived.owes("b", 0)
        assert not view.unreceived.owes("c", 0)
        assert not view.unreceived.owes("a", 1)
        view.writes("old", 50.0, a=109.0)
        assert not view.unreceived.any_owed

    def test_every_channel_is_owed_until_an_older_member_has_written(self) -> None:
        view = View()
        view.writes("old", 50.0)
        view.writes("me", 100.0)
        assert view.unreceived.owes("any", 0)
        view.now += 2 * LISTED_AFTER + 0.01
        view.writes("old", 50.0)
        assert not view.unreceived.any_owed

    def test_what_arrived_within_the_skew_is_owed(self) -> None:
        view = View()
        view.now = 105.0
        view.writes("me", 100.0)
        view.writes("old", 50.0, a=100.9, b=101.1)
        assert view.unreceived.owes("a", 0)
        assert not view.unreceived.owes("b", 0)

    def test_a_silent_member_owes_nothing(self) -> None:
        view = View()
        for _ in range(3):
            view.writes("me", 99.0)
            view.writes("old", 50.0, a=98.0)
            view.now += INTERVAL
        assert view.unreceived.owes("a", 0)
        view.writes("me", 99.0)
        view.now += INTERVAL
        view.unreceived.update(view.records)
        assert not view.unreceived.any_owed

    def test_more_channels_than_a_record_holds_are_all_owed(self) -> None:
        view = View()
        view.now = 110.0
        view.writes("me", 99.0)
        oldest = [(n % 2, str(n), 50.0 + n / 10) for n in range(MOST + 1)]
        assert len(listed(oldest[:-1], view.now)["0"]) == MOST / 2
        view.records["old"] = {"hears": {"0": 100.0}, "unfinished": listed(oldest, view.now)}
        view.rhythm.arrived("old")
        view.unreceived.update(view.records)
        assert view.records["old"]["unfinished"] == {"0": {"*": 60.0}, "1": {"*": 59.9}}
        assert view.unreceived.owes("any", 0)

    @pytest.mark.parametrize("record", [{}, {"hears": 7, "unfinished": 7}, {"unfinished": {"0": {"a": "x"}}}])
    def test_another_versions_record_owes_nothing(self, record: dict[str, Any]) -> None:
        view = View()
        view.now = 110.0
        view.writes("me", 99.0)
        view.records["old"] = record
        view.rhythm.arrived("old")
        view.unreceived.update(view.records)
        assert not view.unreceived.any_owed

    def test_what_came_on_shards_of_another_generation_is_owed(self) -> None:
        view = View()
        view.now = 110.0
        view.hears("me", {NEXT: 105.0})
        view.hears("old", {0: 50.0, 1: 50.0, NEXT: 105.1}, {1: {"a": 104.0, "b": 107.0}})
        assert view.unreceived.owes("a", NEXT)
        assert not view.unreceived.owes("b", NEXT)
        view.hears("old", {0: 50.0, NEXT: 105.1}, {1: {"a": 104.0}})
        assert view.unreceived.owes("a", NEXT), "it has left the shard, and has still to finish that"
        view.hears("old", {0: 50.0, NEXT: 105.1})
        assert not view.unreceived.any_owed

    def test_what_this_replica_received_on_such_a_shard_too_is_not_owed(self) -> None:
        view = View()
        view.now = 110.0
        view.hears("me", {1: 100.0, NEXT: 105.0})
        view.hears("old", {0: 50.0, 1: 50.0, NEXT: 105.1}, {1: {"a": 104.0, "b": 99.0}})
        assert not view.unreceived.owes("a", NEXT)
        assert view.unreceived.owes("b", NEXT)
        assert view.unreceived.owes("b", 1)

    @given(
        st.floats(-3, 3),
        st.tuples(*[st.floats(0, 0.4)] * 4),
        st.floats(0.5, 5),
        st.tuples(*[st.sampled_from([0, NEXT])] * 2),
    )
    def test_no_two_members_wait_for_each_other(
        self, apart: float, ways: tuple[float, ...], wait: float, on: tuple[int, int]
    ) -> None:
        """Whatever the ways of their records take: up to 0.4 s, less than ``SAME_AGE``."""
        assert SAME_AGE > 0.4
        began, shards = {"a": 100.0, "b": 100.0 + apart}, dict(zip("ab", on, strict=True))
        delays = dict(zip([(writer, viewer) for writer in "ab" for viewer in "ab"], ways, strict=True))
        written = max(began.values()) + wait
        owed = []
        for viewer in "ab":
            view = View()
            view.rhythm = Rhythm(viewer, INTERVAL, lambda view=view: view.now)
            view.unreceived = Unreceived(viewer, view.rhythm, skew=1.0)
            for writer in sorted("ab", key=lambda writer: delays[writer, viewer]):
                view.now = written + delays[writer, viewer]
                view.records[writer] = {
                    "hears": {str(shards[writer]): written - began[writer]},
                    "unfinished": {str(shards[writer]): {"c": written - 90.0}},
                }
                view.rhythm.arrived(writer)
            view.unreceived.update(view.records)
            owed.append(view.unreceived.owes("c", shards[viewer]))
        assert not all(owed)
