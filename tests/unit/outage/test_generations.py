"""While a bot is resharded: new events of a shard go on once those of the other generation that may have its
guilds are known to have missed nothing, also where this replica does not host them.
"""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from discordha.coordination.gaps.points import Point, Points
from discordha.coordination.gaps.stream import GapState
from discordha.coordination.membership.shard_keys import key_of, may_share, number_for
from discordha.coordination.membership.shard_plan import ShardPlan
from discordha.outage.reaches import Reaches
from discordha.outage.service import CatchUp

#: A shard of eight, where four serve: its guilds are those of shard 1.
YOUNG, OLD = key_of(1, 5), key_of(0, 1)
#: Where this replica has told of its session of the young shard.
GREETING = 7
PEER = "peer"


@pytest.mark.parametrize("count", [1, 2, 4, 6])
@pytest.mark.parametrize("other", [1, 3, 4, 8, 9])
def test_shards_that_may_share_a_guild_are_those_that_some_guild_belongs_to(count: int, other: int) -> None:
    guilds = [number << 22 for number in range(count * other)]
    shared = {(number_for(guild, count), number_for(guild, other)) for guild in guilds}
    for pair in itertools.product(range(count), range(other)):
        assert may_share(pair[0], count, pair[1], other) is (pair in shared), pair


class Scene:
    """A replica whose session of the young shard has begun, beside a peer with shards of four.

    :param old: the replica's own client of the old shard.
    """

    def __init__(self, serving: int, old: Any = None) -> None:
        self.now = 100.0
        self.said: list[Any] = []
        self.state: GapState | None = None
        since = {str(shard): [50.0, 90.0, True] for shard in range(4)}
        self.peer: dict[str, Any] = {"reach": since, "acknowledged": dict.fromkeys(since, GREETING - 1)}
        session = SimpleNamespace(ready=True, silent=0.0)
        client: Any = SimpleNamespace(state=lambda: session)
        plan = ShardPlan(None, "/", "me")  # type: ignore[arg-type]
        plan.generations, plan.serving = {0: 4, 1: 8}, serving
        points = Points(None, "/")  # type: ignore[arg-type]
        points._points = dict.fromkeys(range(4), Point(60.0))
        node: Any = SimpleNamespace(
            members=SimpleNamespace(
                records=lambda: {"me": {}, PEER: self.peer},
                is_heard=lambda member: True,
                silence=lambda member: 0.0,
                session_began=lambda shard: 100.0 if shard == YOUNG else None,
            ),
            gaps=SimpleNamespace(
                frames=lambda shard, after: ([], None),
                state=lambda shard: self.state if shard == OLD else None,
            ),
            points=points,
            plan=plan,
            watch=SimpleNamespace(alive=True),
            session=SimpleNamespace(current=SimpleNamespace(lease_id=1)),
        )
        gateway: Any = SimpleNamespace(
            soon=lambda call: call(),
            clients={YOUNG: client, **({OLD: old} if old is not None else {})},
            loop=None,
            dates=SimpleNamespace(latest=lambda at: at, earliest=lambda at: at),
        )
        leaders: Any = SimpleNamespace(
            greeting=lambda shard: GREETING if shard == YOUNG else None,
            oldest=lambda shard: None,
            note_gap=lambda *a, **k: None,
            session=lambda shard: 1,
            acting=lambda shard: None,
        )
        barrier = SimpleNamespace(
            set=lambda shard, closed: self.said.append(closed), is_closed=lambda shard: self.said[-1] != ()
        )
        dispatcher: Any = SimpleNamespace(barrier=barrier, oldest=lambda shard: None)
        config: Any = SimpleNamespace(catch_up=600.0, ordering="channel", catch_up_limit=1)
        nothing: Any = SimpleNamespace()
        self.service = CatchUp(
            config, node, gateway, leaders, dispatcher, nothing, nothing, "me", is_deaf=lambda shard: False
        )
        self.service._clock = lambda: self.now
        self.service._reaches = Reaches(
            node.members,
            gateway,
            leaders,
            dispatcher,
            "me",
            is_deaf=lambda shard: False,
            clock=lambda: self.now,
        )
        self.client = client
        self.service.on_new_session(YOUNG)
        self.now = 101.0

    @property
    def is_open(self) -> bool:
        """Whether new events go on, after a look."""
        self.service._tend(YOUNG, self.client)
        return not self.service._dispatcher.barrier.is_closed(YOUNG)


@pytest.mark.parametrize("serving", [0, 1])
def test_new_events_go_on_once_an_older_session_has_outlived_the_beginning_of_the_new_one(
    serving: int,
) -> None:
    """Also once the new generation serves, before it has points of its own."""
    scene = Scene(serving)
    assert not scene.is_open
    assert not scene.is_open
    scene.peer["acknowledged"][str(OLD)] = GREETING
    assert scene.is_open


@pytest.mark.parametrize("serving", [0, 1])
def test_new_events_wait_while_what_was_missed_on_the_old_shard_is_caught_up(serving: int) -> None:
    scene = Scene(serving)
    scene.peer["acknowledged"][str(OLD)] = GREETING
    scene.state = GapState(1, 60.0, 70.0, 60.0)
    assert not scene.is_open
    scene.state = None
    scene.peer["reach"][str(OLD)] = [65.0, 90.0, True]
    assert not scene.is_open, "nobody has received everything since the point"


def test_new_events_wait_for_an_old_shard_of_the_same_replica_whose_session_is_yet_to_begin() -> None:
    session = SimpleNamespace(ready=False, silent=0.0)
    scene = Scene(0, SimpleNamespace(state=lambda: session))
    assert not scene.is_open
    session.ready = True
    scene.service._shut_since[OLD] = 100.5
    assert not scene.is_open
    del scene.service._shut_since[OLD]
    assert scene.is_open
