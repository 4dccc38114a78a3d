"""Events that a shard's leader handles, on their way to the journal and back into a lane."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from dispatcher_scene import Scene

from discordha.context import CurrentEvent
from discordha.dispatch.items import LeaderItem
from discordha.dispatch.runner import Outcome
from discordha.events import Event, Identity, Scope
from discordha.testing import wait_for


class Leader:
    """Stands for a ``LeaderShard``: refuses what it is told to."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses
        self.begun: list[LeaderItem] = []
        self.ended: list[Outcome] = []

    def begin(self, item: LeaderItem) -> CurrentEvent | None:
        self.begun.append(item)
        if self.refuses:
            return None
        return CurrentEvent(item.key, item.event_name, 1, 0, 7, 1, lambda: False)

    def finished(self, item: LeaderItem, outcome: Outcome) -> None:
        self.ended.append(outcome)


def react(scene: Scene, revision: int, channel: int = 5) -> None:
    payload: Any = SimpleNamespace(user_id=1, channel_id=channel, message_id=2, emoji="x", guild_id=None)
    raw = (
        f'{{"d": {{"user_id": "1", "channel_id": "{channel}", "message_id": "2", "emoji": {{"name": "x"}}}}}}'
    )
    scene.dispatcher.receive("raw_reaction_add", (payload,), raw, 0, revision)


def test_an_event_carries_the_revision_that_is_acknowledged_older_than_it(scene: Scene) -> None:
    for revision in (3, 3, 7):
        react(scene, revision)
    assert [event.acknowledged_revision for event, _, _ in scene.led] == [3, 3, 7]
    assert [sequence for _, _, sequence in scene.led] == [1, 2, 3]
    event, handlers, sequence = scene.led[-1]
    item = LeaderItem(event, handlers, sequence, Leader())
    assert (item.revision, item.sequence, item.received_at) == (7, 3, event.received_at)
    assert item.key.startswith("raw_reaction_add/")
    assert item.lane == "leader/5"


def test_equal_events_have_one_name_and_their_guild_tells_them_apart(scene: Scene) -> None:
    for channel in (5, 5):
        react(scene, 1, channel)
    names = {
        LeaderItem(event, handlers, sequence, Leader(), guild).name
        for event, handlers, sequence in scene.led
        for guild in ("0", "77")
    }
    assert sorted(name.split("/")[0] for name in names) == ["0", "77"]
    assert len({name.split("/")[1] for name in names}) == 1


@pytest.mark.parametrize(
    ("raw", "guild"),
    [
        ('{"d": {"guild_id": "77"}}', "77"),
        ('{"d": {"guild_id": 77}}', None),
        ('{"d": {"guild_id": null}}', None),
        ('{"d": {}}', None),
        (None, None),
    ],
)
def test_an_event_tells_the_guild_in_which_it_happened(raw: str | None, guild: str | None) -> None:
    event = Event("raw_reaction_add", (), Identity(Scope.LEADER, "1", "5", None), 0, raw, 1.0)
    assert LeaderItem(event, (), 1, Leader()).guild == guild


@pytest.mark.parametrize(("raw", "guild"), [("not read", "77"), (None, None)])
def test_discord_py_has_read_it_already(raw: str | None, guild: str | None) -> None:
    """An event without a frame came in no order that sessions share."""
    payload = SimpleNamespace(guild_id=77)
    event = Event("raw_reaction_add", (payload,), Identity(Scope.LEADER, "1", "5", None), 0, raw, 1.0)
    assert LeaderItem(event, (), 1, Leader()).guild == guild


def test_the_leader_is_asked_before_a_run_and_told_of_its_end(scene: Scene) -> None:
    willing, unwilling = Leader(), Leader(refuses=True)
    react(scene, 1)
    event, handlers, sequence = scene.led[0]
    for leader in (willing, unwilling):
        scene.lanes.put(LeaderItem(event, handlers, sequence, leader))
    wait_for(lambda: willing.ended and unwilling.begun, 10, "both to be looked at")
    assert willing.ended == [Outcome.HANDLED]
    assert unwilling.ended == []
    assert scene.stats.count("handled") == 1


def test_the_timer_ticks_while_a_journal_fills_lanes(scene: Scene) -> None:
    """A new leader has entries of old, and nothing comes in."""
    assert scene.dispatcher.pause(scene.now) is None
    react(scene, 1)
    assert scene.dispatcher.pause(scene.now) is None, "a standby's journal is not the timer's business"
    leader = Leader()
    event, handlers, sequence = scene.led[0]
    scene.lanes.put(LeaderItem(event, handlers, sequence, leader))
    assert scene.dispatcher.pause(scene.now) is not None
    wait_for(lambda: leader.ended, 10, "it to be run")
