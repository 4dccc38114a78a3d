"""Deafness by comparison with what peers receive."""

from __future__ import annotations

from discordha.deafness import Comparison


def test_a_peer_that_receives_more_is_believed_after_a_while() -> None:
    now = [0.0]
    comparison = Comparison(5.0, clock=lambda: now[0])
    assert not comparison.observe(10, {"peer": 100})
    now[0] = 4.9
    assert not comparison.observe(10, {"peer": 200})
    now[0] = 5.0
    assert comparison.observe(10, {"peer": 200})
    assert comparison.deaf
    assert not comparison.observe(10, {"peer": 200})  # the remedy has its time
    now[0] = 10.0
    assert comparison.observe(10, {"peer": 200})
    assert comparison.tries == 2
    assert not comparison.observe(11, {"peer": 300})
    assert not comparison.deaf


def test_quiet_times_and_new_peers_are_not_deafness() -> None:
    now = [0.0]
    comparison = Comparison(5.0, clock=lambda: now[0])
    comparison.observe(10, {"peer": 100})
    now[0] = 60.0
    assert not comparison.observe(10, {"peer": 102, "new": 5000})
    assert not comparison.observe(10, {})
    assert comparison.observe(10, {"new": 5003})
