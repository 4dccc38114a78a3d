"""Named locks: in memory and on a real etcd; with real processes that die, stand still or are cut off."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from shared_node import AloneNode, Node, Program, Programs
from store_helpers import Recorder, running, settings_of, store_of

from discordha.context import CurrentEvent, current_fence, handler_scope
from discordha.coordination.cache_values import Record
from discordha.errors import DiscordHAError, LockLost, StoreUnavailable
from discordha.testing import FaultProxy, LocalEtcd, wait_for


@pytest.fixture
def nodes(local_etcd: LocalEtcd, root: str) -> Iterator[Any]:
    """Makes nodes; stops them all at the end."""
    with ExitStack() as ends:
        yield lambda name, **options: ends.enter_context(Node(settings_of(local_etcd), root, name, **options))


@pytest.fixture(params=["etcd", "memory"])
def ha(request: pytest.FixtureRequest) -> Iterator[Any]:
    """One replica, of each kind."""
    if request.param == "etcd":
        yield request.getfixturevalue("nodes")("a")
    else:
        with AloneNode() as node:
            yield node


class Holder(threading.Thread):
    """Holds a lock in a thread of its own until it is told to let go."""

    def __init__(self, ha: Any, name: str, timeout: float | None = None) -> None:
        super().__init__(daemon=True)
        self.lock = ha.lock(name, timeout)
        self.has, self.go = threading.Event(), threading.Event()
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            with self.lock:
                self.has.set()
                self.go.wait(30)
        except BaseException as error:  # noqa: BLE001
            self.error = error

    def end(self) -> None:
        self.go.set()
        self.join(30)
        assert not self.is_alive()


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


def in_line(ha: Any, name: str) -> int:
    """How many hold or wait."""
    if isinstance(ha, AloneNode):
        return len(ha.shared.locks._queues.get(name, ()))
    return len(ha.store.range(f"{ha.root}k/{name}/").items)


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


def test_while_etcd_is_away_calls_end_in_time(root: str) -> None:
    with LocalEtcd() as etcd, Node(settings_of(etcd, timeout=1.0), root, "a", ttl=2.0) as a:
        holder = Holder(a, "held")
        assert holder.has.wait(10)
        a.cache("c").set("k", 1)
        local = a.cache("c", local=True)
        wait_for(lambda: local.get("k") == 1 and a.shared.caches._layers["c"].fresh, 10, "the layer")
        for fault in (etcd.member(0).pause, etcd.member(0).kill):
            fault()
            calls: tuple[Callable[[], Any], ...] = (
                lambda: a.cache("c").get("k"),
                lambda: a.cache("c").set("k", 2),
                lambda: a.cache("c", ttl=7.0).set("k", 2),
                lambda: a.cache("c").set("k", "x" * 100_000),
                lambda: a.cache("c").delete("k"),
                lambda: a.cache("c").increment("n"),
                lambda: a.cache("c").items(),
                lambda: a.cache("c").get_or_set("new", lambda: 1),
                lambda: a.lock("l").__enter__(),
                lambda: a.lock("l", 30.0).__enter__(),
                lambda: a.lock("held").__enter__(),
            )
            with ThreadPoolExecutor(len(calls)) as pool:
                for error, took in pool.map(ending, calls):
                    assert isinstance(error, StoreUnavailable), error
                    assert took < 3 * 1.0 + 4.0
            wait_for(lambda: holder.lock.lost, 10, "the lock to be lost")
            wait_for(lambda: not a.shared.caches._layers["c"].fresh, 10, "the layer to know")
        etcd.member(0).restart()
        wait_for(lambda: a.session.current, 15, "a new session")

        def write_under_both() -> None:
            with a.lock("l", 10.0), a.lock("held", 10.0):
                a.cache("c").set("k", 4)

        # For a moment more a connection that has failed is not tried again.
        wait_for(lambda: works(lambda: a.cache("c").set("k", 3)), 15, "a write to go through")
        wait_for(lambda: works(write_under_both), 15, "both locks")
        wait_for(lambda: local.get("k") == 4 and a.shared.caches._layers["c"].fresh, 15, "the layer again")
        holder.end()


def ending(call: Callable[[], Any]) -> tuple[BaseException | None, float]:
    """How a call ends, and after how many seconds."""
    begun = time.monotonic()
    try:
        call()
    except Exception as error:  # noqa: BLE001
        return error, time.monotonic() - begun
    return None, time.monotonic() - begun


def works(call: Callable[[], Any]) -> bool:
    """Whether a call goes through by now."""
    try:
        call()
    except (StoreUnavailable, LockLost):
        return False
    return True


# -- processes that die, stand still or are cut off ----------------------------------------------------------


def holds(programs: list[Program]) -> list[tuple[float, int, str]]:
    """Every time that somebody had the lock, by time."""
    found = [
        (answer["at"], answer["held"], program.name)
        for program in programs
        for answer in list(program.answers)
        if "held" in answer
    ]
    return sorted(found)


def holder_now(programs: list[Program], alive: set[str]) -> Program | None:
    """The program that had the lock last."""
    found = holds(programs)
    return next(
        (each for each in programs if found and each.name == found[-1][2] and each.name in alive), None
    )


def never_back(values: list[int]) -> int:
    """That a register only ever grew; how often it was written."""
    assert values == sorted(values)
    return len(values)


def test_never_two_holders_whatever_happens_to_them(local_etcd: LocalEtcd, root: str) -> None:
    """kill -9, a pause beyond the TTL, a partition: what etcd accepted is in the order of the tokens."""
    if local_etcd.tls:
        pytest.skip("certificates name the members, not the proxy")
    settings = settings_of(local_etcd, timeout=1.0)
    host, port = local_etcd.endpoints[0].split(":")
    options: dict[str, Any] = {"name": "l", "times": 10_000, "pause": 0.02}
    guarded, cached = Recorder(), Recorder()
    with (
        FaultProxy(host, int(port)) as proxy,
        Programs(settings, root) as program,
        store_of(local_etcd) as store,
        running(store.watch(f"{root}v/register", guarded, silence=60.0)),
        running(store.watch(f"{root.removesuffix('/')}.data/c/register/", cached, silence=60.0)),
    ):
        cut = settings_of(local_etcd, endpoints=[f"127.0.0.1:{proxy.port}"], timeout=1.0)
        behind = {"settings": cut}
        programs = [
            _hold(program, name, options, **(behind if name == "d" else {})) for name in ("a", "b", "c", "d")
        ]
        for each in programs:
            wait_for(lambda each=each: each.said("ready"), 30, "it to be ready")
        for each in programs:
            each.begin()
        wait_for(lambda: len(holds(programs)) > 20, 20, "the lock to go round")

        def others_have_it(name: str) -> None:
            count = len([1 for _, _, who in holds(programs) if who != name])
            wait_for(
                lambda: len([1 for _, _, who in holds(programs) if who != name]) > count + 5, 15, "the others"
            )

        # Killed while it holds the lock.
        victim = wait_for(lambda: holder_now(programs, {"a", "b"}), 10, "a holder", interval=0.0005)
        victim.kill()
        others_have_it(victim.name)
        # Stopped for longer than its TTL while it holds the lock.
        left = {"a", "b", "c"} - {victim.name}
        for _ in range(2):
            paused = wait_for(lambda: holder_now(programs, left), 10, "a holder", interval=0.0005)
            os.kill(paused.pid, signal.SIGSTOP)
            others_have_it(paused.name)
            os.kill(paused.pid, signal.SIGCONT)
            count = len(paused.said("held"))
            wait_for(
                lambda paused=paused, count=count: len(paused.said("held")) > count + 2, 15, "it to return"
            )
        # Cut off from etcd while it holds the lock, and without a sign.
        wait_for(lambda: holder_now(programs, {"d"}), 10, "the one behind the proxy", interval=0.0005)
        proxy.black_hole()
        others_have_it("d")
        proxy.heal()
        count = len(programs[3].said("held"))
        wait_for(lambda: len(programs[3].said("held")) > count + 2, 20, "it to return")
        for each in programs:
            if each is not victim:
                each.end()
        tokens = [token for _, token, _ in holds(programs)]
        assert len(set(tokens)) == len(tokens)
        last = max(
            answer["revision"] for each in programs for answer in each.answers if answer.get("written")
        )
        wait_for(lambda: guarded.revision >= last, 10, "the whole history")
        # As etcd saw it.
        writes = never_back([int(kv.value) for _, batch in guarded.batches for _, kv in batch])
        assert (
            writes >= len([1 for each in programs for answer in each.answers if answer.get("written")]) > 50
        )
        never_back([Record.read(kv.value)[0] for _, batch in cached.batches for _, kv in batch])
        answers = [answer for each in programs for answer in each.answers]
        refused = [sum(1 for answer in answers if key in answer) for key in ("refused", "unknown")]
        guarded_off = sum(1 for answer in answers if answer.get("written") is False)
        print(
            f"{len(tokens)} holders, {writes} writes; refused by LockLost and unknown {refused}; "
            f"by the guard {guarded_off}"
        )


def _hold(program: Programs, name: str, options: dict[str, Any], *, settings: Any = None) -> Program:
    return program(name, "hold", settings=settings, ttl=1.0, options=options)


def test_waiters_of_several_processes_get_it_in_order_when_the_holder_dies(
    local_etcd: LocalEtcd, root: str
) -> None:
    settings, ttl = settings_of(local_etcd), 2.0
    with Programs(settings, root) as program, Node(settings, root, "x") as x:
        hold = {"name": "l", "times": 1, "pause": 60.0}
        holder = program("h", "hold", ttl=ttl, options=hold)
        programs = [program(name, "wait", ttl=10.0, options={"name": "l"}) for name in "abcd"]
        for number, each in enumerate([holder, *programs], 1):
            wait_for(lambda each=each: each.said("ready"), 30, "it to be ready")
            each.begin()
            wait_for(lambda number=number: in_line(x, "l") == number, 10, "it to stand in line")
        wait_for(lambda: holder.said("held"), 10, "the holder to hold it")
        begun = time.monotonic()
        holder.kill()
        for each in programs:
            each.wait(20)
        order = holds(programs)
        assert [name for _, _, name in order] == ["a", "b", "c", "d"]
        took = order[0][0] - begun
        print(f"the first waiter had it {took:.2f} s after the kill, the last {order[-1][0] - begun:.2f} s")
        assert took < ttl + 3.0
