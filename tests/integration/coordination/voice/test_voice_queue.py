"""The voice queue on a real etcd, and the same in memory: order, one at a time, take-over, TTL, poison."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from store_helpers import settings_of

from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.group_commit import GroupCommit
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.store import Store
from discordha.coordination.memory.store import MemoryStore
from discordha.coordination.session import Session
from discordha.coordination.shared.backoff import Backoff
from discordha.coordination.voice.deliveries import HARMLESS, VoiceBackend, VoiceDelivery
from discordha.coordination.voice.queue import VoiceQueue
from discordha.coordination.voice.records import PlayMark, VoiceKeys
from discordha.errors import DiscordHAError, LockLost, VoiceCommandExpired
from discordha.testing import LocalEtcd, wait_for

GUILD = 11


class Node:
    """The coordination parts of one replica that voice uses."""

    def __init__(
        self, store: Store, root: str, name: str, *, ttl: float = 30.0, session_ttl: float = 30.0
    ) -> None:
        self.store = store
        self.session = Session(self.store, ttl=session_ttl)
        self.commit = GroupCommit(self.store)
        self.leases = RetentionLeases(self.store, retention=60)
        self.voice = VoiceQueue(
            VoiceBackend(
                self.store,
                self.session,
                self.commit,
                self.leases,
                VoiceKeys(root),
                name,
                retention=60.0,
                timeout=5.0,
                silence=5.0,
                max_attempts=3,
                grace=0.05,
                backoff=Backoff(),
            ),
            ttl=ttl,
        )
        self.session.start(10)
        self.commit.start()
        self.leases.start()
        self.dead = False

    def die(self) -> None:
        """As kill -9, but for the lease, which ends at once: nothing is given back."""
        grant = self.session.require()
        self.session.stop(revoke=False)
        self.store.revoke(grant.lease_id)

    def stop(self) -> None:
        self.voice.stop()
        self.commit.stop()
        self.leases.stop()
        self.session.stop()
        self.store.close()


NodeFactory = Callable[..., Node]


@pytest.fixture
def node(local_etcd: LocalEtcd, root: str) -> Iterator[NodeFactory]:
    with ExitStack() as ends:

        def make(name: str, **options: float) -> Node:
            made = Node(EtcdStore(settings_of(local_etcd)), root, name, **options)
            ends.callback(made.stop)
            return made

        yield make


@pytest.fixture(params=["etcd", "memory"])
def queue(request: pytest.FixtureRequest) -> Iterator[Callable[..., VoiceQueue]]:
    if request.param == "etcd":
        node = request.getfixturevalue("node")
        yield lambda **options: node("one", **options).voice
        return
    with ExitStack() as ends:

        def make(**options: float) -> VoiceQueue:
            made = Node(MemoryStore(), "/", "one", session_ttl=math.inf, **options)
            ends.callback(made.stop)
            return made.voice

        yield make


def send(voice: VoiceQueue, file: str, guild_id: int = GUILD, **options: object) -> str:
    defaults = {"module_id": "music", "channel_id": 12, "user_id": 13}
    return voice.send(guild_id=guild_id, file=file, **{**defaults, **options})  # type: ignore[arg-type]


def test_a_stop_ends_the_wait_for_a_worker(queue: Callable[..., VoiceQueue]) -> None:
    voice = queue()
    errors: list[DiscordHAError] = []

    def wait() -> None:
        try:
            send(voice, "one.ogg", wait=True)
        except DiscordHAError as error:
            errors.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    wait_for(lambda: voice.view.entries, 5, "the command")
    voice.stop()
    thread.join(5)
    assert not thread.is_alive(), "it waits for a worker until the command's time is over"
    assert "the bot stops" in str(errors[0])


def be_patient(voice: VoiceQueue) -> None:
    """From here on a command waits for its worker, however late that is."""
    voice._waiting.stop()
    voice._ttl, voice._waiting = 30.0, RetentionLeases(voice._backend.store, retention=30)
    voice._waiting.start()


def test_in_order_one_at_a_time(queue: Callable[..., VoiceQueue]) -> None:
    voice = queue()
    for number in range(5):
        send(voice, f"{number}")
    with voice.consume("music") as consumer:
        files = []
        for number in range(5):
            delivery = consumer.get(10)
            assert delivery is not None
            assert consumer.get(0.05) is None, "the next came before the acknowledgement"
            assert [entry.file for entry in consumer.waiting(GUILD)] == [str(n) for n in range(number + 1, 5)]
            files.append(delivery.file)
            assert (delivery.channel_id, delivery.user_id, delivery.attempt, delivery.position) == (
                12,
                13,
                1,
                0,
            )
            delivery.ack()
            delivery.ack()
        assert files == ["0", "1", "2", "3", "4"]
        assert consumer.get(0.1) is None


def test_other_actions_overtake(queue: Callable[..., VoiceQueue]) -> None:
    voice = queue()
    send(voice, "song")
    send(voice, "next")
    with voice.consume("music") as consumer:
        song = consumer.get(10)
        assert song is not None
        assert song.file == "song"
        send(voice, "", action="skip")
        skip = consumer.get(10)
        assert skip is not None
        assert skip.action == "skip"
        skip.ack()
        song.ack()
        following = consumer.get(10)
        assert following is not None
        assert following.file == "next"


def test_sent_again_is_not_queued_again(queue: Callable[..., VoiceQueue]) -> None:
    voice = queue()
    for _ in range(3):
        send(voice, "once", command_id="same")
    with voice.consume("music") as consumer:
        delivery = consumer.get(10)
        assert delivery is not None
        send(voice, "once", command_id="same")
        delivery.ack()
        begun = time.monotonic()
        send(voice, "once", command_id="same", wait=True)
        assert time.monotonic() - begun < 10, "it waited for what has been done"
        assert consumer.get(0.3) is None


def test_nobody_takes_it(queue: Callable[..., VoiceQueue]) -> None:
    voice = queue(ttl=1.0)
    with pytest.raises(VoiceCommandExpired, match=r"no worker of 'music' .* within 1 s"):
        send(voice, "song", wait=True)
    be_patient(voice)
    with voice.consume("music") as consumer:
        assert consumer.get(0.2) is None, "a command that was reported as expired is delivered"
        send(voice, "song", wait=True)
        delivery = consumer.get(10)
        assert delivery is not None
        # Taken, and behind one that plays: that is no reason to report it.
        send(voice, "another", wait=True)
        delivery.ack()


def test_a_module_at_a_time(queue: Callable[..., VoiceQueue]) -> None:
    voice = queue(ttl=1.0)
    assert voice.lock("music", GUILD)
    assert voice.lock("music", GUILD), "it is this replica's already"
    assert not voice.lock("tts", GUILD)
    assert not voice.unlock("tts", GUILD)
    with voice.consume("tts", linger=0.0) as consumer:
        with pytest.raises(VoiceCommandExpired):
            send(voice, "hello", module_id="tts", wait=True)
        be_patient(voice)
        with voice.consume("music", linger=0.0) as music:
            send(voice, "song")
            song = music.get(10)
            assert song is not None, "the holder of the lock may not play itself"
            assert voice.unlock("music", GUILD)
            assert not voice.unlock("music", GUILD)
            song.ack()
            wait_for(lambda: voice.view.owner(GUILD) is None, 5, "the release")
        send(voice, "hello", module_id="tts")
        delivery = consumer.get(10)
        assert delivery is not None
        delivery.ack()
        wait_for(lambda: voice.lock("music", GUILD), 5, "the release")
        assert voice.unlock("music", GUILD)


def test_a_second_consumer_of_a_module_is_refused(queue: Callable[..., VoiceQueue]) -> None:
    voice = queue()
    with voice.consume("music"), pytest.raises(DiscordHAError, match="already"):
        voice.consume("music")
    voice.consume("music").close()
    voice.stop()
    with pytest.raises(DiscordHAError, match="stops"):
        send(voice, "late")


def test_stop_ends_the_iteration(queue: Callable[..., VoiceQueue]) -> None:
    voice = queue()
    consumer = voice.consume("music")
    ended = threading.Event()

    def consume() -> None:
        for delivery in consumer:
            delivery.ack()
        ended.set()

    thread = threading.Thread(target=consume)
    thread.start()
    send(voice, "song", wait=True)
    voice.stop()
    assert ended.wait(10)
    thread.join()


def test_the_next_worker_goes_on(node: NodeFactory) -> None:
    one, two = node("one"), node("two")
    first = one.voice.consume("music")
    for number in range(3):
        send(two.voice, str(number), wait=number == 0)
    song = first.get(10)
    assert song is not None
    song.progress(3.5, volume=0.5)
    second = two.voice.consume("music")
    assert second.get(0.5) is None, "two workers in one guild"
    wait_for(lambda: two.store.get(VoiceKeys(_root(one)).mark(GUILD)) is not None, 5, "the mark")
    wait_for(lambda: b"3.5" in _mark(two, one), 5, "the position")
    one.die()
    taken = second.get(10)
    assert taken is not None
    assert (taken.file, taken.position, taken.volume, taken.attempt) == ("0", 3.5, 0.5, 2)
    assert taken.fencing_token > song.fencing_token
    assert song.lost
    with pytest.raises(LockLost):
        song.ack()
    song.progress(9.0)
    taken.ack()
    files = []
    for _ in range(2):
        delivery = second.get(10)
        assert delivery is not None
        assert delivery.attempt == 1
        files.append(delivery.file)
        delivery.ack()
    assert files == ["1", "2"]


def test_handed_over_it_does_not_count(node: NodeFactory) -> None:
    one, two = node("one"), node("two")
    first = one.voice.consume("music")
    send(one.voice, "song", wait=True)
    song = first.get(10)
    assert song is not None
    second = two.voice.consume("music")
    first.drain()
    song.release(2.25)
    taken = second.get(10)
    assert taken is not None
    assert (taken.position, taken.attempt) == (2.25, 1)
    assert song.lost


def test_where_one_fails_another_tries(node: NodeFactory) -> None:
    """Also when the one that failed is preferred."""
    for guild in (1, 2, 3):
        namesakes = {name: node(f"{name}{guild}").voice.consume("music") for name in ("one", "two")}
        send(node(f"sender{guild}").voice, "song", guild)
        got: list[tuple[str, VoiceDelivery]] = []

        def look(namesakes: object = namesakes, got: list[tuple[str, VoiceDelivery]] = got) -> bool:
            for name, consumer in namesakes.items():  # type: ignore[attr-defined]
                delivery = consumer.get(0.01)
                if delivery is not None:
                    got.append((name, delivery))
            return bool(got)

        wait_for(look, 10, "the first attempt")
        ((failed, first),) = got
        first.release(1.5, counts=True)
        got.clear()
        wait_for(look, 10, "the second attempt")
        ((name, second),) = got
        assert name != failed
        assert (second.attempt, second.position) == (2, 1.5)
        second.ack()
        for consumer in namesakes.values():
            consumer.close()


def test_poison_is_given_up(node: NodeFactory, caplog: pytest.LogCaptureFixture) -> None:
    for attempt in range(1, 4):
        worker = node(f"worker{attempt}")
        consumer = worker.voice.consume("music")
        if attempt == 1:
            send(worker.voice, "poison")
            send(worker.voice, "song")
        poison = consumer.get(10)
        assert poison is not None
        assert (poison.file, poison.attempt) == ("poison", attempt)
        worker.die()
    last = node("last").voice.consume("music")
    song = last.get(10)
    assert song is not None
    assert song.file == "song"
    assert "is given up: 3 workers ended" in caplog.text


def test_what_was_played_for_long_is_no_poison(node: NodeFactory) -> None:
    """Four workers end within one long track, and then two soon after they have begun."""
    sender = node("sender")
    send(sender.voice, "mix")
    position = 0.0
    for number, (played, attempt) in enumerate([(HARMLESS, 1)] * 4 + [(HARMLESS / 2, 1), (HARMLESS / 2, 2)]):
        worker = node(f"worker{number}")
        delivery = worker.voice.consume("music").get(10)
        assert delivery is not None
        assert (delivery.file, delivery.position, delivery.attempt) == ("mix", position, attempt)
        position += played
        delivery.progress(position)
        noted = (position, attempt if played < HARMLESS else 0)

        def is_noted(noted: tuple[float, int] = noted) -> bool:
            mark = PlayMark.parse(_mark(sender, sender))
            return mark is not None and (mark.seconds, mark.attempt) == noted

        wait_for(is_noted, 10, "the position")
        worker.die()


def test_each_once_and_in_order_over_twenty_guilds(node: NodeFactory) -> None:
    """1,000 commands from three replicas, which are workers, too."""
    nodes = [node(f"node{number}") for number in range(3)]
    got: list[VoiceDelivery] = []
    lock = threading.Lock()

    def consume(consumer: object) -> None:
        for delivery in consumer:  # type: ignore[attr-defined]
            with lock:
                got.append(delivery)
            delivery.ack()

    consumers = [each.voice.consume("music") for each in nodes]
    for each in nodes:
        wait_for(lambda each=each: len(each.voice.view.workers.get("music", ())) == 3, 10, "the others")
    threads = [threading.Thread(target=consume, args=(each,)) for each in consumers for _ in range(4)]
    sent: dict[tuple[int, int], list[str]] = {}

    def produce(index: int) -> None:
        for number in range(334 if index == 0 else 333):
            guild = number % 20 + 1
            file = f"{index}-{number}"
            send(nodes[index].voice, file, guild)
            sent.setdefault((index, guild), []).append(file)

    threads += [threading.Thread(target=produce, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(got) >= 1000, 60, "all commands")
    for each in consumers:
        each.close()
    for thread in threads:
        thread.join()
    assert len(got) == 1000
    assert len({delivery.id for delivery in got}) == 1000
    for (index, guild), files in sent.items():
        of_sender = [
            delivery.file
            for delivery in got
            if delivery.guild_id == guild and delivery.file.startswith(f"{index}-")
        ]
        assert of_sender == files
    owners = {delivery.owned.grant.lease_id for delivery in got}
    assert len(owners) >= 2, "one worker did everything"


def _root(node: Node) -> str:
    return node.voice._backend.keys.watched.removesuffix(".data/v/") + "/"


def _mark(reader: Node, of: Node) -> bytes:
    kv = reader.store.get(VoiceKeys(_root(of)).mark(GUILD))
    return kv.value if kv is not None else b""
