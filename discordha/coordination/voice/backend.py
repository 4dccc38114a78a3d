"""What the voice queue works with: etcd's session, commit and leases, or their likes in memory.

Plain data and protocols; no I/O, no state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from discordha.coordination.etcd.group_commit import GroupCommit
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.store import Compare, KeyValue, Lease, Op, TxnResult, Watch
from discordha.coordination.session import Grant
from discordha.coordination.voice.records import Keys
from discordha.coordination.voice.view import VoiceView

__all__ = ["Means"]


class _Session(Protocol):
    @property
    def current(self) -> Grant | None: ...
    def require(self) -> Grant: ...


class _Store(Protocol):
    def grant(self, ttl: float, *, timeout: float | None = None) -> Lease: ...
    def keep_alive(self, lease_id: int, *, timeout: float | None = None) -> float: ...
    def get(self, key: str, *, timeout: float | None = None) -> KeyValue | None: ...
    def txn(
        self,
        compare: Sequence[Compare],
        success: Sequence[Op],
        failure: Sequence[Op] = ...,
        *,
        timeout: float | None = None,
    ) -> TxnResult: ...


class Means(NamedTuple):
    """What the queue works with: etcd's, or their likes in memory.

    :param retention: seconds that a taken command outlives its last worker, and a done one is remembered.
    :param timeout: seconds that etcd is given to answer.
    """

    store: _Store
    session: _Session
    commit: GroupCommit
    done_leases: RetentionLeases
    watch: Callable[[VoiceView], Watch | None]
    keys: Keys
    replica_id: str
    retention: float
    timeout: float
    max_attempts: int
    grace: float
