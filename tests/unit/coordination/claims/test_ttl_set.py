"""What is done is known for its time, and no longer."""

from __future__ import annotations

from discordha.coordination.claims.recent import TTLSet


class Bench:
    def __init__(self, size: int = 100) -> None:
        self.now = 0.0
        self.known = TTLSet(size, 10.0, lambda: self.now)


def test_a_key_is_known_for_its_time_from_when_it_was_added_last() -> None:
    bench = Bench()
    bench.known.add("a")
    bench.now = 9.0
    assert "a" in bench.known
    bench.known.add("a")
    bench.now = 18.0
    assert "a" in bench.known
    bench.now = 19.0
    assert "a" not in bench.known


def test_what_is_too_old_makes_room_when_another_is_added() -> None:
    bench = Bench()
    for number in range(5):
        bench.known.add(f"{number}")
        bench.now += 1.0
    bench.known.add("0")  # the oldest is the newest now
    bench.now = 13.5
    bench.known.add("new")
    assert len(bench.known) == 3
    assert [key for key in "01234" if key in bench.known] == ["0", "4"]


def test_the_oldest_makes_room_where_there_are_too_many() -> None:
    bench = Bench(size=3)
    for key in "abac":
        bench.known.add(key)
    bench.known.add("d")
    assert [key for key in "abcd" if key in bench.known] == ["a", "c", "d"]
    assert len(bench.known) == 3


def test_a_key_can_be_forgotten() -> None:
    bench = Bench()
    bench.known.add("a")
    bench.known.discard("a")
    bench.known.discard("b")
    assert "a" not in bench.known
    assert len(bench.known) == 0
