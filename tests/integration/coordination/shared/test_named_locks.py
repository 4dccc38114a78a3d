"""Named locks: in memory and on a real etcd."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import pytest
from shared_node import Holder, in_line

from discordha.context import CurrentEvent, current_fence, handler_scope
from discordha.errors import DiscordHAError, LockLost
from discordha.testing import wait_for


class TestEitherKind:
    def test_one_at_a_time(self, ha: Any) -> None:
        inside, most, tokens = [0], [0], []

        def work() -> None:
            for _ in range(10):
                with ha.lock("l") as lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    tokens.append(lock.fencing_token)
                    assert not lock.lost
                    inside[0] -= 1

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(tokens) == 80
        assert most == [1]
        assert tokens == sorted(set(tokens))

    def test_first_come_first_served(self, ha: Any) -> None:
        first = Holder(ha, "l")
        assert first.has.wait(10)
        order: list[int] = []
        waiters = []
        for number in range(5):

            def work(number: int = number) -> None:
                with ha.lock("l"):
                    order.append(number)

            waiters.append(threading.Thread(target=work))
            waiters[-1].start()
            wait_for(lambda number=number: in_line(ha, "l") == number + 2, 10, "it to stand in line")
        first.end()
        for waiter in waiters:
            waiter.join()
        assert order == [0, 1, 2, 3, 4]

    def test_waiting_ends(self, ha: Any) -> None:
        holder = Holder(ha, "l")
        assert holder.has.wait(10)
        for timeout in (0.0, 0.2):
            begun = time.monotonic()
            with (
                pytest.raises(TimeoutError, match="the lock 'l' was not free in time"),
                ha.lock("l", timeout),
            ):
                pass
            assert time.monotonic() - begun >= timeout
        with ha.lock("m", 0.0) as other:  # another one is free
            assert other.fencing_token > 0
        holder.end()
        with ha.lock("l", 5.0):
            pass

    def test_reentrant_use_is_refused(self, ha: Any) -> None:
        lock = ha.lock("l")
        with lock:
            for again in (lock, ha.lock("l"), ha.lock("l", 0)):
                with pytest.raises(DiscordHAError, match="not re-entrant"), again:
                    pass
            with ha.lock("m"):
                assert [held.name for held in current_fence().locks] == ["l", "m"]
                with pytest.raises(DiscordHAError, match="not re-entrant"), ha.lock("l"):
                    pass
        assert lock.lost
        with pytest.raises(DiscordHAError, match="not held"):
            lock.fencing_token  # noqa: B018
        with lock:  # one after the other
            pass
        assert current_fence().locks == ()

    def test_it_is_released_when_its_code_fails(self, ha: Any) -> None:
        with pytest.raises(OSError, match="x"), ha.lock("l"):
            raise OSError("x")
        with ha.lock("l", 5.0):
            pass

    def test_a_lost_event_gets_no_lock(self, ha: Any) -> None:
        lost = [False]
        event = CurrentEvent("1", "message", 1, 0, 5, 1, lambda: lost[0])
        holder = Holder(ha, "l")
        assert holder.has.wait(10)
        with handler_scope(event, "h"):
            lost[0] = True
            with pytest.raises(LockLost), ha.lock("m"):
                pass
            lost[0] = False
            threading.Timer(0.1, lambda: (lost.__setitem__(0, True), holder.go.set())).start()
            with pytest.raises(LockLost), ha.lock("l"):  # lost while it waited
                pass
        holder.end()
        with ha.lock("l", 5.0):
            pass

    @pytest.mark.parametrize("name", ["a/b", "~", ":x", "☃", " ", "%2F", ".."])
    def test_odd_names(self, ha: Any, name: str) -> None:
        with ha.lock(name, 5.0), pytest.raises(DiscordHAError), ha.lock(name):
            pass

    def test_bad_names_and_times(self, ha: Any) -> None:
        for name in ("", None, 5):
            with pytest.raises(ValueError, match="name"):
                ha.lock(name)
        with pytest.raises(ValueError, match="timeout"):
            ha.lock("l", -1)

    def test_whoever_waits_at_the_end_is_told(self, ha: Any) -> None:
        holder = Holder(ha, "l")
        assert holder.has.wait(10)
        waiter = Holder(ha, "l")
        wait_for(lambda: in_line(ha, "l") == 2, 10, "it to stand in line")
        ha.shared.locks.stop()
        waiter.join(10)
        assert isinstance(waiter.error, DiscordHAError)
        assert "the bot stops" in str(waiter.error)
        holder.end()


def test_a_lock_among_replicas_moves_in_order(nodes: Any) -> None:
    a, b, c = nodes("a"), nodes("b"), nodes("c")
    first = Holder(a, "l")
    assert first.has.wait(10)
    second = Holder(b, "l")
    wait_for(lambda: in_line(a, "l") == 2, 10, "b to stand in line")
    third = Holder(c, "l")
    wait_for(lambda: in_line(a, "l") == 3, 10, "c to stand in line")
    gaps = []
    for before, after in itertools.pairwise([first, second, third]):
        assert not after.has.is_set()
        token = before.lock.fencing_token
        begun = time.monotonic()
        before.go.set()
        assert after.has.wait(10)
        gaps.append(time.monotonic() - begun)
        assert after.lock.fencing_token > token
    print(f"hand-over: {[f'{gap * 1000:.1f} ms' for gap in gaps]}")
    third.end()
    wait_for(lambda: in_line(a, "l") == 0, 10, "no key to be left")
    assert [node.shared.locks.under_way for node in (a, b, c)] == [0, 0, 0]


def test_a_waiter_that_gives_up_leaves_no_trace(nodes: Any) -> None:
    a, b, c = nodes("a"), nodes("b"), nodes("c")
    holder = Holder(a, "l")
    assert holder.has.wait(10)
    with pytest.raises(TimeoutError), b.lock("l", 0.05):
        pass
    waiter = Holder(c, "l")
    wait_for(lambda: in_line(a, "l") == 2, 10, "the one to be gone and the other to stand in line")
    holder.go.set()
    assert waiter.has.wait(10)
    waiter.end()


def test_a_lost_session_loses_the_lock_and_its_writes(nodes: Any) -> None:
    a, b = nodes("a"), nodes("b")
    cache = a.cache("c")
    with a.lock("l") as lock:
        cache.set("k", 1)
        cache.increment("n")
        grant = a.session.current
        assert grant is not None
        waiter = Holder(b, "l")
        wait_for(lambda: in_line(b, "l") == 2, 10, "b to stand in line")
        a.store.revoke(grant.lease_id)
        assert waiter.has.wait(10)
        wait_for(lambda: lock.lost, 10, "a to know")
        for write in (lambda: cache.set("k", 2), lambda: cache.increment("n"), lambda: cache.delete("k")):
            with pytest.raises(LockLost, match="the lock 'l'"):
                write()
        with pytest.raises(LockLost), a.lock("m"):
            pass
    assert (cache.get("k"), cache.get("n")) == (1, 1)
    cache.set("k", 3)
    waiter.end()
    wait_for(lambda: a.session.current not in (None, grant), 15, "a new session")
    with a.lock("l", 15.0):
        cache.set("k", 4)


def test_writes_under_a_lock_are_guarded_in_etcd_itself(nodes: Any) -> None:
    """The holder does not know yet that its lock is gone: what it writes is refused all the same."""
    a = nodes("a")
    cache = a.cache("c")
    with a.lock("l") as lock:
        cache.set("k", 1)
        held = lock._held
        assert [held] == [each for each in a.shared.locks._mine.values() if each is not None]
        a.shared.locks._mine.clear()  # so that the watch does not tell
        a.store.delete(held.key)
        for write in (
            lambda: cache.set("k", 2),
            lambda: cache.set("k", "x" * 100_000),
            lambda: cache.delete("k"),
            lambda: cache.increment("n"),
            lambda: cache.get_or_set("new", lambda: 1),
        ):
            assert not lock.lost
            with pytest.raises(LockLost, match="nothing was written"):
                write()
    assert cache.items() == [("k", 1)]


def test_a_lock_that_an_operator_takes_away_is_lost(nodes: Any) -> None:
    a, b = nodes("a"), nodes("b")
    with a.lock("l") as lock:
        waiter = Holder(b, "l")
        wait_for(lambda: in_line(a, "l") == 2, 10, "b to stand in line")
        a.store.delete(lock._held.key)
        wait_for(lambda: lock.lost, 15, "a to hear of it")
        assert waiter.has.wait(15)
        queued = Holder(a, "l")
        wait_for(lambda: in_line(a, "l") == 2, 10, "a to stand in line again")
        ours = [key for key, held in a.shared.locks._mine.items() if held is None]
        a.store.delete(ours[0])  # a waiter's place, too: it queues again
        wait_for(lambda: in_line(a, "l") == 2 and ours[0] not in a.shared.locks._mine, 10, "another place")
    waiter.end()
    assert queued.has.wait(15)
    queued.end()


def test_a_request_that_was_given_up_does_not_stay(nodes: Any) -> None:
    a = nodes("a")
    grant = a.session.current
    assert grant is not None
    key = f"{a.root}k/l/{a.shared.locks._owner}999"
    a.store.put(key, b"a", lease=grant.lease_id)  # arrives late
    with a.lock("l", 5.0):
        pass
