"""Whether a connection has delivered everything that Discord had sent, and how old its events may be."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack
from typing import Any

import pytest
from gateway_line import Line

from discordha.gateway import heartbeats as heartbeats_module
from discordha.testing import FaultProxy, LocalDiscord, wait_for

Lines = Callable[..., Line]


@pytest.fixture
def line(local_discord: LocalDiscord) -> Iterator[Lines]:
    """Makes lines; ``opened``: connected."""
    with ExitStack() as ends:

        def make(*, opened: bool = True, discord_: LocalDiscord = local_discord, **settings: Any) -> Line:
            new = Line(discord_, **settings)
            ends.callback(new.gateway.stop, 5.0)
            if opened:
                new.open()
            else:
                new.gateway.start()
            return new

        yield make


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who hears nothing gives up soon."""
    monkeypatch.setattr(heartbeats_module, "NEXT_EVENT_TIMEOUT", 1.0)


def test_catching_up_takes_an_acknowledgement_and_a_later_event(line: Lines) -> None:
    one = line()
    one.send("before")
    wait_for(lambda: "before" in one.messages, 20, "the message")
    future = one.asked()
    # Nothing happens: it might be deaf. No event came since, whatever came before.
    heard = one.gateway.state(0).heard
    assert not wait([future], 0.3).done
    assert one.gateway.state(0).heard == heard
    one.send("after")
    assert future.result(20) is True
    assert "after" in one.messages
    assert one.told(one.gateway.caught_up(0)) is True


def test_late_events_are_dispatched_before_the_answer(line: Lines, local_discord: LocalDiscord) -> None:
    one = line()
    local_discord.fault(delay=1.0)
    one.send("late")
    future = one.gateway.caught_up(0)
    had: list[list[str]] = []
    future.add_done_callback(lambda _: had.append(list(one.messages)))
    wait_for(lambda: "late" in one.messages, 20, "the late one")
    # It came before the answer: it tells nothing.
    one.quiet()
    assert not wait([future], 0.3).done
    one.send("later")
    assert future.result(20) is True
    assert had == [["late", "later"]]


def test_a_deaf_connection_has_not_caught_up(line: Lines, local_discord: LocalDiscord, soon: None) -> None:
    one = line()
    local_discord.fault(deaf=True)
    future = one.gateway.caught_up(0)
    assert one.told(future) is False
    assert one.messages == []


@pytest.mark.parametrize("fault", [{"drop": 1.0}, {"deaf": True}])
def test_a_connection_with_a_gap_has_not_caught_up(
    line: Lines, local_discord: LocalDiscord, fault: dict[str, Any]
) -> None:
    """The next event tells; RESUME brings both."""
    one = line()
    local_discord.fault(**fault)
    one.send("lost")
    future = one.asked()
    assert not future.done()
    local_discord.clear_faults()
    one.send("next")
    assert future.result(60) is False
    wait_for(lambda: one.messages == ["lost", "next"], 20, lambda: f"both, not {one.messages}")
    assert one.gateway.state(0).gaps == 1
    wait_for(lambda: one.gateway.state(0).connected, 20, "the connection to stand again")
    assert one.told(one.gateway.caught_up(0)) is True


def test_a_silent_connection_has_not_caught_up(line: Lines, local_discord: LocalDiscord) -> None:
    one = line(deaf_after=3.0)
    one.quiet()
    local_discord.fault(silent=True)
    assert one.gateway.caught_up(0).result(60) is False
    local_discord.clear_faults()
    wait_for(lambda: one.gateway.state(0).resumes > 0 and one.gateway.state(0).connected, 60, "RESUME")
    # A machine that is slow may lose the connection again.
    assert any(one.told(one.gateway.caught_up(0)) for _ in range(10))


def test_a_black_holed_connection_has_not_caught_up(line: Lines, local_discord: LocalDiscord) -> None:
    """The heartbeat gets there, its answer does not come back; then all comes at once, too late."""
    with FaultProxy("127.0.0.1", local_discord.port) as proxy:
        one = line(deaf_after=3.0, endpoint=proxy.endpoint)
        one.quiet()
        proxy.black_hole("to_client")
        one.send("held up")
        future = one.gateway.caught_up(0)
        assert future.result(60) is False
        assert one.messages == []
        proxy.heal()
        wait_for(lambda: one.messages == ["held up"], 60, "what was held up")
        one.gateway.stop(5.0)


def test_without_a_connection_the_answer_is_no_at_once(line: Lines, local_discord: LocalDiscord) -> None:
    one = line(opened=False)
    assert one.gateway.caught_up(0).result(0) is False  # there is no such shard
    local_discord.fault(refuse=True)
    one.gateway.open_shard(0)
    assert one.gateway.caught_up(0).result(20) is False
    local_discord.clear_faults()
    wait_for(lambda: one.gateway.state(0).ready, 60, "the shard to be ready")
    local_discord.fault(refuse=True)
    assert local_discord.disconnect() == 1
    wait_for(lambda: not one.gateway.state(0).connected, 20, "the end of the connection")
    assert one.gateway.caught_up(0).result(20) is False


@pytest.mark.parametrize("resume", [True, False])
def test_a_replaced_connection_has_not_caught_up(line: Lines, resume: bool) -> None:
    one = line()
    future = one.asked()
    before = one.gateway.state(0)
    one.gateway.reconnect(0, resume=resume)

    def again() -> bool:
        state = one.gateway.state(0)
        begun = state.resumes - before.resumes if resume else state.identifies - before.identifies
        return begun == 1 and state.ready

    wait_for(again, 60, "the next connection")
    assert one.told(future) is False
    assert one.told(one.gateway.caught_up(0)) is True


def test_leaving_a_shard_ends_its_questions(line: Lines, soon: None) -> None:
    one = line()
    left, closed = one.asked(), one.gateway.caught_up(0)
    one.gateway.leave_shard(0)
    one.gateway.close_shard(0)
    assert left.result(20) is False
    assert closed.result(20) is False
    assert one.gateway.caught_up(0).result(0) is False


@pytest.mark.parametrize("silent", [False, True])
def test_stopping_the_gateway_ends_all_questions(
    line: Lines, local_discord: LocalDiscord, silent: bool
) -> None:
    """Neither for the heartbeat's answer nor for an event; and no task or thread is left."""
    one = line(deaf_after=60.0)
    if silent:
        local_discord.fault(silent=True)
        sent = one.ws.sent
        futures = [one.gateway.caught_up(0) for _ in range(3)]
        wait_for(lambda: one.ws.sent >= sent + 3, 20, "the heartbeats")
    else:
        futures = [one.asked() for _ in range(3)]
    assert not any(future.done() for future in futures)
    told: list[Future[bool]] = []
    for future in futures:
        future.add_done_callback(told.append)
    loop = one.gateway.loop
    one.gateway.stop(5.0)
    assert not wait(futures, 20).not_done
    assert len(told) == 3
    for future in futures:
        assert future.cancelled() or future.result(0) is False
    assert "discordha-gateway" not in [thread.name for thread in threading.enumerate()]
    assert loop.is_closed()
    assert asyncio.all_tasks(loop) == set()
    wait_for(
        lambda: not [t for t in threading.enumerate() if t.name.startswith("keep-alive-handler")],
        20,
        "the keep-alive thread to end",
    )
    assert one.gateway.caught_up(0).result(0) is False


@pytest.mark.parametrize(
    ("interval", "deaf_after"),
    [
        pytest.param(0.5, 30.0, id="the keep-alive thread's"),
        pytest.param(41.25, 5.0, id="those that ask for a sign of life", marks=pytest.mark.long),
    ],
)
def test_acknowledgements_of_other_heartbeats_do_not_count(
    line: Lines, interval: float, deaf_after: float
) -> None:
    """Several are on their way, and what was sent before this one's comes behind their answers."""
    with LocalDiscord(heartbeat_interval=interval) as other:
        one = line(discord_=other, deaf_after=deaf_after)
        other.fault(delay=1.2)
        proven = 0
        for number in range(20):
            ws, before = one.ws, one.ws.sent
            wait_for(
                lambda ws=ws, before=before: one.ws is not ws or ws.acknowledged <= before < ws.sent,
                30,
                "heartbeats on their way",
            )
            one.send(f"early {number}")
            time.sleep(0.2)  # so much sooner than what is due
            one.send(f"due {number}")
            had: list[list[str]] = []
            future = one.gateway.caught_up(0)
            future.add_done_callback(lambda _, had=had: had.append(list(one.messages)))
            # A machine that is slow may have lost the connection.
            if one.told(future):
                proven += 1
                assert f"due {number}" in had[0]
            if proven == 2:
                break
        assert proven == 2
        one.gateway.stop(5.0)


# -- how old what comes may be -------------------------------------------------------------------------------


def test_a_late_event_keeps_the_older_revision(line: Lines, local_discord: LocalDiscord) -> None:
    one = line()
    one.prove(10)
    local_discord.fault(delay=1.0)
    one.send("late")
    one.prove(20)  # its answer comes behind the late one
    assert one.heard("late") == (10, 20)
    local_discord.clear_faults()
    assert one.hear("next") == (20, 20)


def test_a_new_revision_counts_from_the_next_heartbeat_on(line: Lines) -> None:
    one = line()
    one.prove(10)
    one.quiet()
    one.seen = 20
    assert one.hear("before") == (10, 20)
    one.prove(20)
    assert one.hear("after") == (20, 20)
    # Whoever asks may have seen more than what follows etcd says.
    one.gateway.beat(0, 30)
    one.proven(30)
    assert one.hear("more") == (30, 20)


def test_a_revision_seen_during_a_heartbeat_takes_another(line: Lines, local_discord: LocalDiscord) -> None:
    """The one that is on its way has noted less."""
    one = line()
    one.prove(10)
    one.quiet()
    local_discord.fault(delay=0.5)
    sent = one.ws.sent
    one.gateway.beat(0)
    wait_for(lambda: one.ws.sent > sent, 20, "a heartbeat on its way")
    one.prove(20)
    assert one.ws.sent == sent + 2
    assert one.hear("next") == (20, 20)


def test_a_gap_sets_the_acknowledged_revision_back(line: Lines, local_discord: LocalDiscord) -> None:
    """To that of the last frame in order: what RESUME brings may be older than a heartbeat whose answer came
    before it.
    """
    one = line()
    one.prove(10)
    assert one.hear("first") == (10, 10)
    local_discord.fault(drop=1.0)
    one.send("lost")
    one.prove(20)
    local_discord.clear_faults()
    one.send("next")
    assert one.heard("lost") == (10, 20)
    assert one.heard("next") == (10, 20)
    assert one.gateway.state(0).gaps == 1
    # Once the session stands again it follows by itself.
    one.proven(20)
    assert one.hear("then") == (20, 20)


@pytest.mark.parametrize("fault", [{"drop": 1.0}, {"deaf": True}])
def test_a_connection_that_ends_before_its_gap_shows_sets_it_back(
    line: Lines, local_discord: LocalDiscord, fault: dict[str, Any]
) -> None:
    one = line()
    one.prove(10)
    assert one.hear("first") == (10, 10)
    local_discord.fault(**fault)
    one.send("lost")
    one.prove(20)
    local_discord.clear_faults()
    assert local_discord.disconnect() == 1
    assert one.heard("lost") == (10, 20)
    one.proven(20)
    assert one.hear("then") == (20, 20)


def test_events_missed_without_a_connection_keep_the_older_revision(
    line: Lines, local_discord: LocalDiscord
) -> None:
    """However many heartbeats are sent before RESUME has brought it."""
    one = line()
    one.prove(10)
    assert one.hear("first") == (10, 10)
    local_discord.fault(refuse=True)
    assert local_discord.disconnect() == 1
    wait_for(lambda: not one.gateway.state(0).connected, 20, "the end of the connection")
    one.send("missed")
    one.seen = 20
    one.gateway.beat(0)
    local_discord.fault(delay=0.5)
    local_discord.fault(refuse=False)
    assert one.heard("missed") == (10, 20)
    assert one.gateway.state(0).resumes == 1
    local_discord.clear_faults()
    one.proven(20)
    assert one.hear("then") == (20, 20)
