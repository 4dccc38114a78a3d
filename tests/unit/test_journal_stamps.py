"""What an entry says of when it came in: its mark tells others which events they did not receive."""

from __future__ import annotations

from typing import Any, cast

from discordha.coordination.journal import Journal
from discordha.coordination.journal_entries import Entry


class Bench:
    """A journal without a leader: it asks etcd nothing."""

    def __init__(self) -> None:
        self.revision = 5
        nothing = cast(Any, None)
        self.journal = Journal(
            nothing,
            nothing,
            nothing,
            "/",
            0,
            replica_id="me",
            ready=lambda entries: None,
            size=100,
            retention=600.0,
            max_attempts=3,
            dropped=lambda reason: None,
            buried=lambda event: None,
            revision=lambda: self.revision,
        )

    def receive(self, key: str) -> int:
        """How far the watch had come when it was received."""
        self.journal.received(key, "lane", key, None)
        last: Entry = list(self.journal._tally)[-1]
        return last.revision


def test_an_event_is_received_when_it_happens() -> None:
    bench = Bench()
    assert bench.receive("one") == 5
    bench.revision = 7
    assert bench.receive("two") == 7


def test_what_resume_brings_happened_before_it_came() -> None:
    """Found by the model: a peer's new session had begun in between, and took the mark for one of its own
    events, which nobody had handled.
    """
    bench = Bench()
    bench.receive("one")
    bench.journal.on_connection(False)
    bench.revision = 9
    assert bench.receive("two") == 5
    assert bench.receive("three") == 5
    bench.journal.on_connection(True)
    assert bench.receive("four") == 9


def test_a_frame_tells_that_what_comes_later_happened_later() -> None:
    """Where events are rare, the last one says little."""
    bench = Bench()
    bench.receive("one")
    for frames, revision in ((10, 6), (10, 7), (10, 8), (11, 9), (11, 10)):
        bench.revision = revision
        bench.journal.on_heard(frames)
    bench.journal.on_connection(False)
    bench.revision = 20
    # The eleventh came after ten were counted, and that was after 7 was seen.
    assert bench.receive("two") == 7
