"""What a replica claims of a shard: never more than it has received and finished."""

from __future__ import annotations

import email.utils

from discordha.gateway.clock import DiscordClock
from discordha.outage.coverage import LAG, SETTLE, Coverage

#: Discord's time when this machine's monotonic clock says 0.
ZERO = 1_700_000_000.0
#: A date has whole seconds, and clocks drift.
GRAIN = 1.1


def dates(at: float = 100.0) -> DiscordClock:
    """A clock that an answer has told at a moment."""
    clock = DiscordClock(lambda: at)
    clock.note(email.utils.formatdate(ZERO + at, usegmt=True), at - 0.01)
    return clock


def test_nothing_is_claimed_before_a_session_or_without_discords_time() -> None:
    assert Coverage(dates()).reach(1.0, None) is None
    coverage = Coverage(DiscordClock(lambda: 0.0))
    coverage.began(100.0)
    assert coverage.reach(1.0, None) is None


def test_a_reach_begins_with_the_session_and_ends_at_the_oldest_event() -> None:
    coverage = Coverage(dates())
    coverage.began(100.0)
    reach = coverage.reach(200.0, None)
    assert reach is not None
    assert ZERO + 100.0 + SETTLE <= reach.since <= ZERO + 100.0 + SETTLE + GRAIN
    assert ZERO + 200.0 - LAG - GRAIN <= reach.until <= ZERO + 200.0 - LAG
    held = coverage.reach(200.0, 150.0)
    assert held is not None
    assert held.until <= ZERO + 150.0 - LAG


def test_a_broken_connection_claims_nothing_new_until_what_resume_brought_is_done() -> None:
    coverage = Coverage(dates())
    coverage.began(100.0)
    coverage.set_connected(False, 210.0, 200.0, 190.0)
    for heard_at, oldest in ((210.0, None), (250.0, 190.0)):
        reach = coverage.reach(heard_at, oldest)
        assert reach is not None
        assert reach.until <= ZERO + 190.0 - LAG
    coverage.set_connected(True, 260.0, 260.0, 255.0)
    reach = coverage.reach(270.0, 255.0)  # RESUME brought it late: it may have happened at 200
    assert reach is not None
    assert reach.until <= ZERO + 190.0 - LAG
    reach = coverage.reach(280.0, 265.0)
    assert reach is not None
    assert ZERO + 265.0 - LAG - GRAIN <= reach.until <= ZERO + 265.0 - LAG
    assert reach.since <= ZERO + 100.0 + SETTLE + GRAIN, "RESUME goes on with the session"


def test_a_new_session_claims_nothing_of_the_old_one() -> None:
    coverage = Coverage(dates())
    coverage.began(100.0)
    coverage.began(300.0)
    reach = coverage.reach(310.0, 250.0)
    assert reach is not None
    assert reach.since >= ZERO + 300.0
    assert reach.until <= ZERO + 250.0 - LAG


def test_who_was_there_before_a_clean_end_goes_on_from_that() -> None:
    coverage = Coverage(dates())
    coverage.began(300.0)
    coverage.joined(ZERO + 296.0, 300.2)
    reach = coverage.reach(310.0, None)
    assert reach is not None
    assert reach.since >= ZERO + 300.0, "it may have missed something"
    coverage.joined(ZERO + 296.0, 301.0)
    reach = coverage.reach(310.0, None)
    assert reach is not None
    assert reach.since == ZERO + 296.0


def test_discords_clock_is_read_with_bounds() -> None:
    now = 100.0
    clock = DiscordClock(lambda: now)
    assert clock.earliest(5.0) is None
    assert clock.latest(5.0) is None
    clock.note("no date", 99.0)
    assert clock.earliest(5.0) is None
    for at, waited in ((100.0, 2.0), (107.3, 0.1), (120.9, 0.5)):
        now = at
        clock.note(email.utils.formatdate(ZERO + int(at), usegmt=True), at - waited)
        low, high = clock.earliest(at), clock.latest(at)
        assert low is not None
        assert high is not None
        assert low <= ZERO + at <= high
    assert high - low < 1.3
    now = 1000.0
    clock.note(email.utils.formatdate(ZERO + 4600.0, usegmt=True), 999.9)  # somebody set it
    low = clock.earliest(1000.0)
    assert low is not None
    assert abs(low - ZERO - 4600.0) < GRAIN


def test_a_reach_does_not_begin_later_as_clocks_drift() -> None:
    now = 100.0
    clock = DiscordClock(lambda: now)
    clock.note(email.utils.formatdate(ZERO + now, usegmt=True), now - 0.01)
    coverage = Coverage(clock)
    coverage.began(100.0)
    first = coverage.reach(101.0, None)
    now = 90_000.0
    clock.note(email.utils.formatdate(ZERO + now, usegmt=True), now - 0.01)
    later = coverage.reach(now, None)
    assert first is not None
    assert later is not None
    assert later.since <= first.since


def test_the_first_leaders_session_counts_from_its_ready_on() -> None:
    coverage = Coverage(dates())
    assert coverage.founded() is None
    coverage.began(100.0)
    before = coverage.reach(101.0, 100.1)
    assert before is not None
    ready = coverage.founded()
    assert ready is not None
    assert ready <= ZERO + 100.0 < before.since
    after = coverage.reach(101.0, 100.1)
    assert after is not None
    assert after.since == ready
    assert after.until < ready, "what came first is not done"
    coverage.began(100.2)
    renewed = coverage.reach(101.0, None)
    assert renewed is not None
    assert renewed.since > ZERO + 100.2, "another session has received nothing of that"
