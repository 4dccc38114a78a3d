"""Epochs of marks: equal events get other nonces where their count began anew, and only there."""

from __future__ import annotations

from typing import Any

import pytest
from loop_fleet import run_alone

from discordha.blocking.nonces import nonce_for
from discordha.context import CurrentEvent, current_event
from discordha.coordination.journal import epochs as module
from discordha.coordination.journal.epochs import NONCE_MEMORY, MarkEpochs
from discordha.leader.single import SingleLeader


class Scene:
    def __init__(self) -> None:
        self.now = 1000.0
        self.epochs = MarkEpochs(lambda: self.now)


def test_a_mark_that_goes_early_begins_an_epoch() -> None:
    scene = Scene()
    assert scene.epochs.of("x") == 0
    scene.epochs.written("x")
    assert scene.epochs.of("x") == 0
    scene.now += 20.0
    scene.epochs.gone("x", 77)
    assert (scene.epochs.of("x"), scene.epochs.of("y")) == (77, 0)
    scene.epochs.written("x")  # it lasts while the next mark is there, and for every occurrence of that
    scene.now += 2 * NONCE_MEMORY
    scene.epochs.expire()
    assert scene.epochs.of("x") == 77
    scene.epochs.gone("x", 99)  # in its time: Discord has forgotten both
    assert scene.epochs.of("x") == 0


def test_an_epoch_ends_once_discord_has_forgotten() -> None:
    scene = Scene()
    scene.epochs.written("x")
    scene.epochs.gone("x", 77)
    scene.now += NONCE_MEMORY - 1
    scene.epochs.expire()
    assert scene.epochs.of("x") == 77
    scene.now += 2
    assert scene.epochs.of("x") == 0
    scene.epochs.expire()
    assert not scene.epochs._gone


def test_marks_of_unknown_age_begin_none() -> None:
    scene = Scene()
    scene.epochs.gone("x", 77)  # known from a snapshot
    scene.epochs.written("y")
    scene.epochs.keep(set())
    scene.epochs.gone("y", 78)
    assert (scene.epochs.of("x"), scene.epochs.of("y")) == (0, 0)


def test_their_number_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EPOCHS", 3)
    scene = Scene()
    for number in range(5):
        scene.epochs.written(str(number))
        scene.epochs.gone(str(number), number + 1)
    assert [scene.epochs.of(str(number)) for number in range(5)] == [0, 0, 3, 4, 5]


def event(**changes: Any) -> CurrentEvent:
    return CurrentEvent("1", "reaction", 1, 0, 7, 1, lambda: False, "bot.on_reaction", **changes)


def test_an_epoch_changes_the_nonce_in_every_attempt_alike() -> None:
    assert nonce_for(event(epoch=5), 0) == nonce_for(event(epoch=5).for_handler("bot.on_reaction"), 0)
    assert len({nonce_for(event(epoch=epoch), 0) for epoch in (0, 5, 6)}) == 3
    assert nonce_for(event(), 0) == nonce_for(event(epoch=0), 0)


def test_without_etcd_no_two_processes_and_no_two_events_share_a_nonce() -> None:
    nonces = []

    def run() -> None:
        current = current_event()
        assert current is not None
        nonces.append(nonce_for(current, 0))

    for _ in range(2):
        run_alone(run)
    assert len(set(nonces)) == 2
    epochs = set()
    for _ in range(2):
        leader = SingleLeader(lambda entry: None)
        item: Any = type("Item", (), {"event": _Event, "occurrence": 1})
        for _ in range(2):  # also when it has forgotten how many equal ones there were
            begun = leader.begin(item)
            assert begun is not None
            epochs.add(begun.epoch)
    assert len(epochs) == 4


class _Event:
    name = "reaction"
    shard_id = 0

    class identity:
        key = "1"
