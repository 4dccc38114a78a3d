"""Broken builds are broken in what they say, and in nothing else: who changes a signature changes them."""

from __future__ import annotations

import pytest
from broken import BROKEN

from discordha.coordination.etcd.store import KeyValue, WatchEvent
from discordha.coordination.journal.entries import JournalEntry
from discordha.coordination.journal.tally import Tally


def test_one_mark_strikes_out_all_equal_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tally, "acknowledge", Tally.acknowledge)  # put back at the end
    BROKEN["journal"]()
    tally = Tally("/j/", "/jc/", "/ja/", replica_id="me")
    tally.snapshot([])
    tally.sessions.note(1)
    for number in range(3):
        tally.add(JournalEntry("add", "lane", sequence=number, received_at=0.0))
    tally.add(JournalEntry("remove", "other lane", sequence=3, received_at=0.0))
    name = next(iter(tally)).name
    tally.apply([WatchEvent("put", KeyValue(f"/j/{name}", b"leader 2", 1, 1, 1, 0))])
    assert [entry.key for entry in tally] == ["remove"]
