"""Broken builds: each takes one guarantee out of the library, in the process that calls it, so that the
checker can show that it would see. For tests only; nothing of this is in the library.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from discordha.blocking import nonces
from discordha.context import Fence
from discordha.coordination.claims.claims import Claims
from discordha.coordination.claims.marks import Marks
from discordha.coordination.claims.records import Claim
from discordha.coordination.claims.writes import MarkAnswer
from discordha.coordination.journal.tally import Tally

__all__ = ["BROKEN"]


def _claim_not_checked() -> None:
    """Every claim is won, whatever etcd answers."""

    def read(self: Claims, request: Any, result: Any, grant: Any) -> Claim:
        return Claim(request.key, request.attempt, result.revision, grant)

    Claims._read_answer = read  # type: ignore[method-assign]


def _mark_skipped() -> None:
    """A finished event is said to be marked, and is not."""

    def make(self: Marks, claims: Sequence[Claim], done: MarkAnswer | None = None) -> None:
        self._hints.note_done(*[claim.key for claim in claims])
        if done is not None:
            done(claims, True)

    Marks.make = make  # type: ignore[method-assign]


def _no_nonce() -> None:
    """Each call that creates a message has a nonce of its own."""
    nonces.nonce_for = lambda event, ordinal: secrets.token_hex(12)


def _no_fence() -> None:
    """A replica that lost its session goes on."""
    Fence.refusal = lambda self: None  # type: ignore[method-assign]


def _no_fence_no_nonce() -> None:
    """The same, and Discord can't recognise what it sends."""
    _no_fence()
    _no_nonce()


def _struck_by_hash() -> None:
    """One mark strikes out all equal events, as if they were one."""
    counted = Tally.acknowledge

    def acknowledge(self: Tally, name: str, mark: Any) -> None:
        counted(self, name, mark)
        for entry in tuple(self.entries.equal(name)):
            self.forget(entry)

    Tally.acknowledge = acknowledge  # type: ignore[method-assign]


#: By the value of ``CHAOS_BROKEN``.
BROKEN: dict[str, Callable[[], None]] = {
    "claim": _claim_not_checked,
    "mark": _mark_skipped,
    "nonce": _no_nonce,
    "fence": _no_fence,
    "fence and nonce": _no_fence_no_nonce,
    "journal": _struck_by_hash,
}
