"""Elections on a real etcd: one leader, quick moves, and the way back from every loss."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from election_node import Node, wait_leader
from store_helpers import settings_of, store_of

from discordha.coordination.election.candidates import request_resignation
from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.etcd.store import Put
from discordha.testing import FaultProxy, LocalEtcd, wait_for


@pytest.fixture
def nodes(local_etcd: LocalEtcd, root: str) -> Iterator[Any]:
    """Makes and starts nodes; stops them all at the end."""
    with ExitStack() as ends:

        def make(name: str, **options: Any) -> Node:
            return ends.enter_context(Node(settings_of(local_etcd), root, name, **options))

        yield make


def ours() -> list[str]:
    """The names of all threads of this library, of one replica."""
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("discordha-"))


def test_the_first_leads_and_all_know(nodes: Any) -> None:
    a, b, c = nodes("a"), nodes("b"), nodes("c")
    first = a.open()
    wait_leader(first)
    others = [b.open(), c.open(participate=False)]
    wait_for(lambda: all(e.leader == "a" for e in (first, *others)), 15, "all to know")
    assert not any(e.is_leader for e in others)
    assert first.leadership is not None
    assert first.leadership.fencing_token > 0
    assert a.history == [("elected", 0, first.leadership.fencing_token)]


def test_resign_moves_leadership_within_100_ms(nodes: Any) -> None:
    all_nodes = [nodes(name) for name in "abc"]
    elections = [node.open() for node in all_nodes]
    gaps, tokens = [], []
    for _ in range(20):
        leader = wait_leader(*elections)
        leadership = leader.leadership
        assert leadership is not None
        tokens.append(leadership.fencing_token)
        wait_for(lambda: all(e.entered and e.revision for e in elections), 15, "all to stand", interval=0.002)
        begun = time.monotonic()
        leader.resign(True)
        assert not leader.is_leader
        assert not leadership.alive
        assert wait_leader(*elections) is not leader
        gaps.append(time.monotonic() - begun)
    assert tokens == sorted(set(tokens))
    gaps.sort()
    print(f"resign to new leader: median {gaps[10] * 1000:.1f} ms, worst {gaps[-1] * 1000:.1f} ms")
    assert gaps[10] < 0.1
    events = [entry[0] for node in all_nodes for entry in node.history]
    assert events.count("elected") == 21
    for node in all_nodes:  # each hears of its own terms in order
        assert [what for what, _, _ in node.history] == ["elected", "deposed"] * (len(node.history) // 2) + [
            "elected"
        ] * (len(node.history) % 2)


def test_resigning_for_good_and_campaigning_later(nodes: Any) -> None:
    a, b = nodes("a"), nodes("b")
    first = a.open()
    wait_leader(first)
    assert first.resign(False, timeout=15.0)
    second = b.open()
    wait_leader(second, first)
    assert second.is_leader
    assert second.resign(False, timeout=15.0)
    wait_for(lambda: a.elections and first.leader is None, 15, "nobody to lead")
    first.campaign()
    wait_leader(first, second)
    assert first.is_leader


def test_whoever_waits_to_stand_hears_that_nobody_is_left(nodes: Any) -> None:
    first = nodes("a").open()
    wait_leader(first)
    waiting = nodes("b").open(participate=False)
    wait_for(lambda: waiting.leader == "a", 15, "the news")
    vacant = threading.Event()
    waiting.on_vacant = vacant.set
    assert first.resign(False, timeout=15.0)
    assert vacant.wait(15)
    assert waiting.leader is None


def test_an_observer_never_leads(nodes: Any) -> None:
    a = nodes("a")
    election = a.open(participate=False)
    election.campaign()
    other = nodes("b").open()
    wait_for(lambda: election.leader == "b" and other.is_leader, 15, "b to lead")
    assert not election.is_leader


def test_a_key_without_a_lease_is_nobodys_candidature(nodes: Any, root: str, local_etcd: LocalEtcd) -> None:
    with store_of(local_etcd) as store:
        store.put(f"{root}l/0/odd", json.dumps({"replica": "odd"}).encode())
        election = nodes("a").open()
        wait_leader(election)
        assert election.leader == "a"
        assert request_resignation(store, root, 0) == "a"


def test_one_thread_for_sixteen_shards(nodes: Any) -> None:
    a = nodes("a")
    # The watch starts one when its stream is open, which may be after the node is.
    wait_for(lambda: "discordha-watch-pulse" in ours(), 15, "the watch to be open")
    idle = ours()
    elections = [a.open(shard) for shard in range(16)]
    wait_for(lambda: all(e.is_leader for e in elections), 10, "all shards to be led")
    wait_for(lambda: ours() == idle, 15, "no thread but those from before")
    b = nodes("b")
    others = [b.open(shard) for shard in range(16)]
    wait_for(lambda: all(e.revision for e in others), 10, "b to stand everywhere")
    for election in elections[::2]:
        election.resign(False)
    wait_for(lambda: all(e.is_leader for e in others[::2]), 15, "b to lead the even shards")
    assert all(e.is_leader for e in elections[1::2])


def test_a_dead_leader_is_followed_after_the_ttl(nodes: Any, local_etcd: LocalEtcd, root: str) -> None:
    a = Node(settings_of(local_etcd), root, "a", ttl=1.0).start()
    first = a.open()
    wait_leader(first)
    second = nodes("b").open()
    wait_for(lambda: second.revision, 15, "b to stand")
    a.stop(revoke=False)
    begun = time.monotonic()
    wait_leader(second, timeout=15)
    print(f"the next leader {time.monotonic() - begun:.2f} s after the last one's death")
    assert second.leader == "b"


def test_a_revoked_session_campaigns_again(nodes: Any) -> None:
    a, b = nodes("a"), nodes("b")
    first = a.open()
    wait_leader(first)
    second = b.open()
    wait_for(lambda: second.revision, 15, "b to stand")
    old = first.leadership
    assert old is not None
    a.store.revoke(old.lease_id)
    wait_for(lambda: second.is_leader, 15, "b to lead")
    wait_for(lambda: ("deposed", 0, old.fencing_token) in a.history, 15, "a to hear of it")
    wait_for(lambda: first.revision and a.session.current is not None, 15, "a to stand again")
    second.resign(False)
    wait_for(lambda: first.is_leader, 15, "a to lead again")
    assert first.leadership is not None
    assert first.leadership.fencing_token > old.fencing_token


def test_a_deleted_key_ends_the_leadership(nodes: Any) -> None:
    a = nodes("a")
    election = a.open()
    wait_leader(election)
    old = election.leadership
    assert old is not None
    a.store.delete(old.key)
    wait_for(lambda: len(a.history) == 3, 15, "a to be deposed and elected again")
    assert [what for what, _, _ in a.history] == ["elected", "deposed", "elected"]
    assert not old.alive


def test_operators_ask_the_leader_to_resign(nodes: Any, root: str) -> None:
    a, b = nodes("a"), nodes("b")
    assert request_resignation(a.store, root, 0) is None
    first = a.open()
    wait_leader(first)
    second = b.open()
    wait_for(lambda: second.revision, 15, "b to stand")
    assert request_resignation(b.store, root, 0) == "a"
    wait_for(lambda: second.is_leader, 15, "b to lead")
    term = second.leadership
    assert term is not None
    wait_for(lambda: first.revision > term.fencing_token, 15, "a to stand again, behind b")
    assert request_resignation(b.store, root, 0) == "b"
    wait_for(lambda: first.is_leader, 15, "a to lead again")


def test_a_leader_that_does_not_know_yet_that_its_key_is_gone_is_refused(nodes: Any, root: str) -> None:
    a = nodes("a")
    first = a.open()
    wait_leader(first)
    term = first.leadership
    assert term is not None
    put = Put(f"{root}v/x", b"")
    assert a.store.txn((term.guard(),), (put,)).succeeded
    stale = LeaderTerm(0, term.key, term.fencing_token - 1, term.grant)
    assert not a.store.txn((stale.guard(),), (put,)).succeeded


def test_without_a_watch_candidates_ask_by_themselves(nodes: Any) -> None:
    a, b = nodes("a"), nodes("b", watching=False)
    first = a.open()
    wait_leader(first)
    second = b.open()
    wait_for(lambda: second.revision, 15, "b to stand")
    first.resign(False)
    wait_for(lambda: second.is_leader, 10, "b to lead")


def test_a_session_lost_while_waiting_and_two_quick_moves(nodes: Any) -> None:
    a, b, c = nodes("a"), nodes("b"), nodes("c")
    first, second = a.open(), b.open()
    wait_leader(first, second)
    third = c.open()
    wait_for(lambda: second.revision and third.revision, 15, "all to stand")
    leader, waiting = (first, second) if first.is_leader else (second, first)
    lease = waiting.entered
    assert lease is not None
    a.store.revoke(lease.lease_id)
    leader.resign(False)  # the one that was next is gone at the same moment
    wait_for(lambda: third.is_leader, 15, "c to lead")
    wait_for(lambda: waiting.revision and waiting.entered is not lease, 15, "the lost one to stand again")
    third.resign(False)
    wait_for(lambda: waiting.is_leader, 15, "it to lead")


def test_closing_an_election_leaves_nothing(nodes: Any, root: str) -> None:
    a = nodes("a")
    election = a.open(3)
    wait_leader(election)
    a.elections.close(election, timeout=15.0)
    assert a.store.range(f"{root}l/").items == []
    wait_leader(a.open(3))


def test_a_resign_whose_candidature_is_under_way_leaves_no_key(nodes: Any, root: str) -> None:
    a = nodes("a")
    for _ in range(30):
        election = a.open()
        assert election.resign(False, timeout=15.0)
        a.elections.close(election, timeout=15.0)
        assert a.store.range(f"{root}l/").items == []


def test_no_leader_acts_past_its_lease_in_an_outage_and_leadership_returns(root: str) -> None:
    ttl, outage = 2.0, 4.0
    with LocalEtcd() as etcd, ExitStack() as ends:
        names = "abc"
        nodes = [
            ends.enter_context(Node(settings_of(etcd, timeout=1.0), root, name, ttl=ttl)) for name in names
        ]
        elections = [node.open() for node in nodes]
        leader = wait_leader(*elections)
        leadership = leader.leadership
        assert leadership is not None
        node = nodes[elections.index(leader)]
        wait_for(lambda: node.session.renewals, 10, "a renewal, which moves the end")
        etcd.member(0).kill()
        begun = time.monotonic()
        seen_alive = [begun]

        def ended() -> bool:
            asked_at = time.monotonic()  # so that a test that stands still is not taken for a late end
            if leadership.alive:
                seen_alive.append(asked_at)
            return not leadership.alive

        wait_for(ended, 10, "the leadership to end", interval=0.002)
        assert seen_alive[-1] <= begun + ttl
        assert leadership.grant.deadline <= begun + ttl
        wait_for(lambda: node.history[-1][0] == "deposed", 10, "on_deposed", interval=0.002)
        while time.monotonic() - begun < outage:
            assert not any(e.is_leader for e in elections)
            threading.Event().wait(0.05)
        etcd.member(0).restart()
        back = time.monotonic()
        wait_leader(*elections, timeout=15)
        print(f"leadership {time.monotonic() - back:.2f} s after etcd was back")


def test_a_leader_cut_off_from_etcd_is_followed(local_etcd: LocalEtcd, root: str) -> None:
    host, port = local_etcd.endpoints[0].removeprefix("https://").split(":")
    if local_etcd.tls:
        pytest.skip("certificates name the members, not the proxy")
    with ExitStack() as ends:
        proxy = ends.enter_context(FaultProxy(host, int(port)))
        cut = settings_of(local_etcd, endpoints=[f"127.0.0.1:{proxy.port}"], timeout=1.0)
        a = ends.enter_context(Node(cut, root, "a", ttl=2.0))
        first = a.open()
        wait_leader(first)
        b = ends.enter_context(Node(settings_of(local_etcd), root, "b"))
        second = b.open()
        wait_for(lambda: second.revision, 15, "b to stand")
        proxy.black_hole()
        seen: list[tuple[bool, bool]] = []
        wait_for(
            lambda: seen.append((first.is_leader, second.is_leader)) or second.is_leader,
            15,
            "b to lead",
            interval=0.001,
        )
        assert (True, True) not in seen
        proxy.heal()
        wait_for(lambda: first.revision and first.leader == "b", 10, "a to stand again")
        second.resign(False)
        wait_for(lambda: first.is_leader, 15, "a to lead again")
