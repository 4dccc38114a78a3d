"""Deafness, told by comparison with peers."""

from __future__ import annotations

from discordha.replica.monitor import DeafnessDetector


def test_a_peer_that_receives_more_is_believed_after_a_while() -> None:
    now = [0.0]
    detector = DeafnessDetector(5.0, settle=2.0, clock=lambda: now[0])
    assert not detector.observe(10, {"peer": 100})
    now[0] = 4.9
    assert not detector.observe(10, {"peer": 200})
    now[0] = 5.0
    assert detector.observe(10, {"peer": 200})
    assert detector.deaf
    assert not detector.observe(10, {"peer": 300})  # the remedy has its time
    assert detector.deaf
    now[0] = 10.0
    assert detector.observe(10, {"peer": 400})
    assert detector.tries == 2
    assert not detector.observe(11, {"peer": 500})
    assert not detector.deaf


def test_after_a_remedy_a_quiet_shard_is_not_deaf_any_more() -> None:
    now = [0.0]
    detector = DeafnessDetector(5.0, settle=2.0, clock=lambda: now[0])
    detector.observe(10, {"peer": 100})
    now[0] = 5.0
    assert detector.observe(10, {"peer": 200})
    now[0] = 10.0
    assert not detector.observe(10, {"peer": 200})
    assert not detector.deaf


def test_when_a_load_ends_the_records_of_peers_catch_up_and_nobody_is_deaf() -> None:
    now = [0.0]
    detector = DeafnessDetector(5.0, settle=2.0, clock=lambda: now[0])
    detector.observe(1000, {"peer": 950})
    now[0] = 1.5
    assert not detector.observe(1000, {"peer": 1000})
    now[0] = 60.0
    assert not detector.observe(1000, {"peer": 1000})
    assert not detector.deaf


def test_quiet_times_and_new_peers_are_no_deafness() -> None:
    now = [0.0]
    detector = DeafnessDetector(5.0, settle=2.0, clock=lambda: now[0])
    detector.observe(10, {"peer": 100})
    now[0] = 60.0
    assert not detector.observe(10, {"peer": 102, "new": 5000})
    assert not detector.observe(10, {})
    assert detector.observe(10, {"new": 5003})
