"""Claims without etcd: for ``ha=False``, where one replica handles everything.

Promises: the same calls as ``Claims``, answered at once; an event delivered twice to this process is still
handled once. Does not promise anything across processes or restarts.

Concurrency: ``_lock`` guards ``_done``; nothing blocks.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence

from discordha.coordination.claims.hints import TTLSet
from discordha.coordination.claims.records import Claim, ClaimRequest, Done, Held, Hint

__all__ = ["AloneMembers", "Forever", "UnguardedClaims"]


class Forever:
    """A grant that nobody can take away."""

    alive = True
    lease_id = 0


class AloneMembers:
    """The membership of a replica that has no peers."""

    version: object = 0  # ranks never change

    def __init__(self, replica_id: str) -> None:
        self.live = (replica_id,)

    def has_received(self, shard: int, moment: float) -> bool:
        """Nobody else has received anything."""
        return False

    def rank(self, ordering_key: str, shard: int = 0) -> int:
        """Always first."""
        return 0


class UnguardedClaims:
    """Every claim is won, unless the event is done already."""

    def __init__(
        self, *, retention: float, hints: int = 100_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lock = threading.Lock()
        self._done = TTLSet(hints, retention, clock)
        self._tokens = itertools.count(1)
        self._grant = Forever()

    def hint(self, key: str) -> Hint:
        """Done or unknown."""
        with self._lock:
            return Hint.DONE if key in self._done else Hint.UNKNOWN

    def previous_attempts(self, key: str) -> int | None:
        """Nothing outlives the process."""
        return None

    def claim(self, requests: Sequence[ClaimRequest]) -> list[Claim | Held | Done | None]:
        """Wins whatever is not done. Does not block."""
        answers: list[Claim | Held | Done | None] = []
        with self._lock:
            for request in requests:
                if request.key in self._done:
                    answers.append(Done())
                else:
                    answers.append(Claim(request.key, request.attempt, next(self._tokens), self._grant))
        return answers

    def claim_later(
        self, requests: Sequence[ClaimRequest], answer: Callable[[ClaimRequest, Claim | None], None]
    ) -> None:
        """Claims at once."""
        for request, won in zip(requests, self.claim(requests), strict=True):
            answer(request, won if isinstance(won, Claim) else None)

    def mark(self, claim: Claim, done: Callable[[Claim, bool], None] | None = None) -> None:
        """Marks at once."""
        with self._lock:
            self._done.add(claim.key)
        if done is not None:
            done(claim, True)

    def release(self, claim: Claim) -> None:
        """There is nobody to give it to."""
