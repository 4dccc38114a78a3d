"""Deafness by comparison with what peers receive."""

from __future__ import annotations

from discordha.replica.deafness import Comparison


def test_a_peer_that_receives_more_is_believed_after_a_while() -> None:
    now = [0.0]
    comparison = Comparison(5.0, settle=2.0, clock=lambda: now[0])
    assert not comparison.observe(10, {"peer": 100})
    now[0] = 4.9
    assert not comparison.observe(10, {"peer": 200})
    now[0] = 5.0
    assert comparison.observe(10, {"peer": 200})
    assert comparison.deaf
    assert not comparison.observe(10, {"peer": 300})  # the remedy has its time
    assert comparison.deaf
    now[0] = 10.0
    assert comparison.observe(10, {"peer": 400})
    assert comparison.tries == 2
    assert not comparison.observe(11, {"peer": 500})
    assert not comparison.deaf


def test_after_a_remedy_a_quiet_shard_is_not_deaf_any_more() -> None:
    now = [0.0]
    comparison = Comparison(5.0, settle=2.0, clock=lambda: now[0])
    comparison.observe(10, {"peer": 100})
    now[0] = 5.0
    assert comparison.observe(10, {"peer": 200})
    now[0] = 10.0
    assert not comparison.observe(10, {"peer": 200})
    assert not comparison.deaf


def test_when_a_load_ends_the_records_of_peers_catch_up_and_nobody_is_deaf() -> None:
    now = [0.0]
    comparison = Comparison(5.0, settle=2.0, clock=lambda: now[0])
    comparison.observe(1000, {"peer": 950})
    now[0] = 1.5
    assert not comparison.observe(1000, {"peer": 1000})
    now[0] = 60.0
    assert not comparison.observe(1000, {"peer": 1000})
    assert not comparison.deaf


def test_quiet_times_and_new_peers_are_not_deafness() -> None:
    now = [0.0]
    comparison = Comparison(5.0, settle=2.0, clock=lambda: now[0])
    comparison.observe(10, {"peer": 100})
    now[0] = 60.0
    assert not comparison.observe(10, {"peer": 102, "new": 5000})
    assert not comparison.observe(10, {})
    assert comparison.observe(10, {"new": 5003})
