"""What a fleet said and did ends with it: the first replica of a new one forgets it, a later one does not."""

from __future__ import annotations

from typing import Any

import pytest

from discordha.coordination.election.task_runs import TaskRuns
from discordha.coordination.memory.store import MemoryStore
from discordha.coordination.shared.presence import PresenceWord

ROOT = "/bot/"
WORD = {"activity": None, "status": "idle"}


def presence(store: MemoryStore) -> Any:
    return PresenceWord(store, ROOT)


def runs(store: MemoryStore) -> Any:
    return TaskRuns(store, ROOT, "me")


@pytest.mark.parametrize(("part", "key"), [(presence, f"{ROOT}pr/word"), (runs, f"{ROOT}lc/news")])
def test_only_the_first_replica_forgets(part: Any, key: str) -> None:
    store = MemoryStore()
    part(store).start_life()  # nothing is there
    store.put(key, b"{}")
    store.put(f"{ROOT}m/other", b"{}")
    part(store).start_life()
    assert store.get(key) is not None
    store.delete(f"{ROOT}m/other")
    part(store).start_life()
    assert store.get(key) is None


def test_a_word_for_all_outweighs_those_that_replicas_say_for_themselves() -> None:
    store = MemoryStore()
    words = PresenceWord(store, ROOT)
    assert words.say(WORD, for_itself=True)
    assert words.say(WORD, for_itself=False)
    assert not words.say(WORD, for_itself=True)
    assert words.say(WORD, for_itself=False)
