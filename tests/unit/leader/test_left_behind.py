"""What a leader that drains leaves behind, as far as it knows at the end."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from discordha.leader.service import LeaderService


class Shard:
    """One that this replica leads. ``unstarted``: when each event was received that waits."""

    key = number = 0

    def __init__(self, *unstarted: float) -> None:
        self.waiting = list(unstarted)
        self.election = SimpleNamespace(is_leader=True)
        self.journal = SimpleNamespace(unstarted=lambda: self.waiting)

    def leave(self) -> None: ...

    def hand_over(self, *, again: bool, timeout: float) -> bool:
        self.election.is_leader = False
        return True


def test_what_others_have_handled_or_received_by_the_end_is_not_left_undone() -> None:
    nothing: Any = None
    peers_since = float("inf")  # nobody's record is there yet
    service = LeaderService(
        nothing,
        nothing,
        "me",
        nothing,
        put=nothing,
        probe=nothing,
        has_received=lambda shard, moment: peers_since <= moment,
    )
    now = time.monotonic()
    shard = Shard(now - 4, now - 3, now - 2, now - 1)
    shards: Any = {0: shard}
    service._shards = shards
    assert service.undone() == 0
    service.hand_over(1.0)
    assert service.undone() == 4
    shard.waiting.append(time.monotonic() + 1)  # it came after that: others lead
    assert service.undone() == 4
    del shard.waiting[0]  # its mark is seen
    assert service.undone() == 3
    peers_since = now - 2
    assert service.undone() == 1
