"""Named locks while etcd is away, and of real processes that die, stand still or are cut off."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from shared_node import Holder, Node, Program, Programs, in_line
from store_helpers import Recorder, running, settings_of, store_of

from discordha.coordination.shared.values import Record
from discordha.errors import LockLost, StoreUnavailable
from discordha.testing import FaultProxy, LocalEtcd, wait_for


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
