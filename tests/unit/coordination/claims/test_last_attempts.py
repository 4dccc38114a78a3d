"""Events on their last attempt are tried one at a time."""

from __future__ import annotations

from dispatcher_scene import OURS, Scene

from discordha.coordination.claims.last_attempts import EXCLUSIVE_LIMIT, LastAttempts
from discordha.testing import wait_for


class TestLastAttempts:
    def test_only_the_last_of_several_attempts_is_of_concern(self) -> None:
        assert [LastAttempts(3).concerns(attempt) for attempt in (1, 2, 3, 4)] == [False, False, True, False]
        assert not LastAttempts(1).concerns(1)

    def test_one_is_inside_and_what_waits_is_called_once_it_has_left(self) -> None:
        last, called = LastAttempts(3), []
        assert last.enter("a", "a", lambda: called.append("a"))
        assert not last.enter("b", "b", lambda: called.append("b"))
        assert not last.enter("b", "b", lambda: called.append("b"))
        assert not last.enter("c", "c", lambda: called.append("c"))
        last.leave("b")  # it is not inside
        assert called == []
        last.leave("a")
        assert called == ["b", "c"]
        assert last.enter("c", "c", lambda: called.append("c"))
        last.leave("a")  # long gone
        assert not last.enter("b", "b", lambda: called.append("b"))

    def test_who_is_called_may_enter(self) -> None:
        last, entered = LastAttempts(3), []
        assert last.enter("a", "a", entered.clear)
        for name in "bc":
            assert not last.enter(name, name, lambda name=name: entered.append(last.enter(name, name, list)))
        last.leave("a")
        assert entered == [True, False]

    def test_what_takes_too_long_is_not_waited_for(self) -> None:
        now, called = [0.0], []
        last = LastAttempts(3, clock=lambda: now[0])
        assert last.enter("a", "a", called.clear)
        assert not last.enter("b", "b", lambda: called.append("b"))
        now[0] = EXCLUSIVE_LIMIT / 2
        last.tend()
        assert called == []
        now[0] = EXCLUSIVE_LIMIT
        last.tend()
        assert called == ["b"]
        assert last.enter("b", "b", called.clear)
        last.leave("a")
        assert not last.enter("c", "c", called.clear), "the one that was late let another one in"


class TestEventsOfScopeClaim:
    """What was started twice before comes in again, in two channels."""

    def receive(self, scene: Scene) -> None:
        scene.claims.previous_attempts = lambda key: 2  # type: ignore[method-assign]
        scene.receive(1, OURS, slow=True)
        wait_for(lambda: scene.begun == [1], 10, "the first to begin")
        scene.receive(2, OURS + 10, slow=True)
        wait_for(lambda: scene.dispatcher.queue()["parked"] == 1, 10, "the second to wait")

    def test_one_begins_when_the_other_is_marked(self, scene: Scene) -> None:
        scene.members.rank = lambda key, shard: 0  # type: ignore[method-assign]
        self.receive(scene)
        assert scene.begun == [1]
        scene.gates[1].set()
        wait_for(lambda: scene.begun == [1, 2], 10, "the second to begin")

    def test_others_run_meanwhile(self, scene: Scene) -> None:
        scene.members.rank = lambda key, shard: 0  # type: ignore[method-assign]
        self.receive(scene)
        scene.claims.previous_attempts = lambda key: 1  # type: ignore[method-assign]
        scene.receive(3, OURS + 20)
        scene.claims.previous_attempts = lambda key: None  # type: ignore[method-assign]
        scene.receive(4, OURS + 30)
        wait_for(lambda: sorted(scene.begun) == [1, 3, 4], 10, "those on their first and second attempts")

    def test_one_that_hangs_is_not_waited_for(self, scene: Scene) -> None:
        scene.members.rank = lambda key, shard: 0  # type: ignore[method-assign]
        self.receive(scene)
        scene.tick(EXCLUSIVE_LIMIT)
        wait_for(lambda: scene.begun == [1, 2], 10, "the second to begin")
