"""Who owns a guild's voice when releases arrive late, and when a replica's view is behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from voice_node import GUILD, Node, send

from discordha.coordination.etcd.store import Delete, Txn, TxnResult, WatchEvent
from discordha.coordination.memory.store import MemoryStore
from discordha.coordination.voice.records import VoiceKeys
from discordha.coordination.voice.view import VoiceView
from discordha.errors import StoreUnavailable
from discordha.testing import wait_for

ROOT = "/discordha/v1/bot/"
OWNER = VoiceKeys(ROOT).owner(GUILD)


def deletes_owner(ops: Sequence[Any]) -> bool:
    nested = [each for op in ops if isinstance(op, Txn) for each in op.success]
    return any(isinstance(op, Delete) and op.key == OWNER for op in (*ops, *nested))


class Late(MemoryStore):
    """Once ``armed``, the next deletion of the owner's key is on its way until ``arrive``."""

    armed = False
    late: tuple[Any, Any] | None = None

    def txn(self, compare: Any, success: Any, failure: Any = (), *, timeout: Any = None) -> TxnResult:
        if self.armed and deletes_owner(success):
            self.armed, self.late = False, (compare, success)
            raise StoreUnavailable("etcd did not answer in time", maybe_applied=True)
        return super().txn(compare, success, failure, timeout=timeout)

    def arrive(self) -> None:
        assert self.late is not None
        super().txn(*self.late)


class Lagging:
    """Keeps a view as it was when it last showed that the guild's owner was gone."""

    def __init__(self, view: VoiceView) -> None:
        self.view = view
        self.tell = view.on_events
        self.is_open = threading.Event()
        view.on_events = self.on_events  # type: ignore[method-assign]

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        had_owner = GUILD in self.view.owners
        self.tell(revision, events)
        if had_owner and GUILD not in self.view.owners:
            assert self.is_open.wait(20)


@pytest.fixture
def node() -> Iterator[Callable[..., Node]]:
    with ExitStack() as ends:

        def make(store: MemoryStore, name: str) -> Node:
            made = Node(store, ROOT, name)
            ends.callback(made.stop)
            return made

        yield make


def token_of(store: MemoryStore) -> int | None:
    found = store.get(OWNER)
    return found.create_revision if found is not None else None


def test_a_release_that_arrives_late_takes_nothing_away(node: Callable[..., Node]) -> None:
    store = Late()
    voice = node(store, "one").voice
    consumer = voice.consume("music")
    send(voice, "song")
    first = consumer.get(10)
    assert first is not None
    store.armed = True
    first.release(0.5)
    again = consumer.get(10)
    assert again is not None
    store.arrive()
    assert token_of(store) == again.fencing_token, "the guild is free, and its owner plays"
    assert (again.position, again.attempt) == (0.5, 1)
    again.ack()


def test_a_guild_without_commands_is_given_back_though_etcd_did_not_answer(
    node: Callable[..., Node],
) -> None:
    store = Late()
    voice = node(store, "one").voice
    consumer = voice.consume("music", linger=0.05)
    send(voice, "song")
    delivery = consumer.get(10)
    assert delivery is not None
    store.armed = True
    delivery.ack()
    wait_for(lambda: store.late is not None, 5, "the release")
    wait_for(lambda: token_of(store) is None, 5, "the release that was made again")


def test_an_unlock_that_arrives_late_takes_nothing_away(node: Callable[..., Node]) -> None:
    store = Late()
    voice = node(store, "one").voice
    assert voice.lock("music", GUILD)
    store.armed = True
    with pytest.raises(StoreUnavailable):
        voice.unlock("music", GUILD)
    assert voice.lock("music", GUILD)
    store.arrive()
    assert token_of(store) is not None, "the guild is free, and locked"
    assert voice.unlock("music", GUILD)
    assert token_of(store) is None


def test_a_view_that_is_behind_hands_out_nothing_that_another_has_played(node: Callable[..., Node]) -> None:
    store = MemoryStore()
    one, two = node(store.clone(), "one"), node(store.clone(), "two")
    serves = [True]
    one.voice.serves = lambda guild_id: serves[0]
    lagging = Lagging(one.voice.view)
    behind = one.voice.consume("music", patience=0.0)
    send(two.voice, "song")
    assert behind.get(10) is not None
    serves[0] = False
    with two.voice.consume("music") as other:
        song = other.get(10)
        assert song is not None
        song.ack()
    serves[0] = True
    wait_for(lambda: b"one" in getattr(store.get(OWNER), "value", b""), 5, "the guild's next owner")
    assert behind.get(0.3) is None, "played again, though acknowledged"
    lagging.is_open.set()
    send(two.voice, "next")
    delivery = behind.get(10)
    assert delivery is not None
    assert delivery.file == "next"
    delivery.ack()
