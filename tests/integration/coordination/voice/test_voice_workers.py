"""Several workers of the voice queue on a real etcd: take-over, hand-over, poison, spread."""

from __future__ import annotations

import threading

import pytest
from voice_node import GUILD, Node, NodeFactory, send

from discordha.coordination.voice.deliveries import HARMLESS, VoiceDelivery
from discordha.coordination.voice.records import PlayMark, VoiceKeys
from discordha.errors import LockLost
from discordha.testing import wait_for


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
