"""Deliveries: voice commands as a worker gets them, and what the voice queue works with.

Guarantees: ``VoiceDelivery.lost`` turns true no later than the replica's lease may have run out, and as soon
as the watch shows another owner; the owner's fencing token guards every write. A lost command may be played
elsewhere at the same time.

Threads and locks: any thread except the gateway's may use a delivery. ``OwnedGuild`` is written by its
consumer's thread and by callbacks of the commit; its flags only ever change once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from discordha.coordination.etcd.group_commit import GroupCommit, Operation
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.store import Compare, Store, TxnResult
from discordha.coordination.session import Grant, Session
from discordha.coordination.shared.backoff import Backoff
from discordha.coordination.voice.records import PlayMark, QueuedCommand, VoiceCommand, VoiceKeys
from discordha.coordination.voice.releases import Releases
from discordha.errors import LockLost

__all__ = ["HARMLESS", "OwnedGuild", "VoiceBackend", "VoiceDelivery"]


class VoiceBackend(NamedTuple):
    """What the voice queue of one replica works with.

    :param leases: of commands that are done.
    :param retention: seconds that a taken command outlives its last worker, and a done one is remembered.
    :param timeout: seconds that the store is given to answer.
    :param silence: seconds after which a silent watch is opened again.
    :param grace: seconds that each worker waits for every other one that is preferred to it.
    :param backoff: when writes are made again that etcd did not take.
    :param releases: the owners' keys that this replica gives up.
    """

    store: Store
    session: Session
    commit: GroupCommit
    leases: RetentionLeases
    keys: VoiceKeys
    replica_id: str
    retention: float
    timeout: float
    silence: float
    max_attempts: int
    grace: float
    backoff: Backoff
    releases: Releases

    def write(self, operations: Sequence[Operation]) -> list[TxnResult]:
        """Sends operations and returns their answers; raises the error of the first that has none. Blocks."""
        self.commit.execute(operations)
        return [operation.value() for operation in operations]


class OwnedGuild:
    """One guild's voice, while this replica owns it.

    :param key: the owner's key.
    """

    def __init__(self, guild_id: int, key: str, token: int, grant: Grant, now: float) -> None:
        self.guild_id = guild_id
        self.key = key
        self.token = token
        self.guard = Compare.create_revision(key, token)  # holds in the store while the voice is owned
        self.grant = grant
        self.gone = False
        self.playing: VoiceDelivery | None = None
        self.delivered: set[str] = set()  # handed out, or done, as long as the view shows them
        self.under_way: set[VoiceDelivery] = set()  # a worker has got them, and not acknowledged them
        self.unserved_at: float | None = None  # since when this replica is not connected for the guild
        self.mark: PlayMark | None = None
        self.read_mark = False
        self.held = False
        self.busy_at = now

    @property
    def lost(self) -> bool:
        """Whether another worker may own it by now. No I/O; any thread."""
        return self.gone or not self.grant.alive


class _Consumer(Protocol):
    def finish(self, delivery: VoiceDelivery) -> None: ...
    def give_back(self, delivery: VoiceDelivery) -> None: ...
    def note(self, delivery: VoiceDelivery, mark: PlayMark) -> None: ...


#: A command that one attempt has played for so many seconds is not blamed for the worker's end.
HARMLESS = 10.0


class VoiceDelivery:
    """A command for this worker to carry out. Any thread may use it.

    :ivar id: the same in each attempt.
    :ivar position: seconds that an earlier worker has played already.
    :ivar volume: set by that worker.
    :ivar attempt: 1 at first; more after a worker died on it, unless that had played it for ``HARMLESS``
        seconds.
    """

    def __init__(self, consumer: _Consumer, owned: OwnedGuild, entry: QueuedCommand, mark: PlayMark) -> None:
        self._consumer = consumer
        self.owned = owned
        self.entry = entry
        self.mark = mark
        self.id = entry.id
        self.module_id = entry.module_id
        self.guild_id = entry.guild_id
        self.channel_id = entry.channel_id
        self.file = entry.file
        self.user_id = entry.user_id
        self.action = entry.action
        self.position = mark.seconds
        self.volume = mark.volume
        self.attempt = mark.attempt
        self.acknowledged = False
        self.failed = False

    def __repr__(self) -> str:
        return (
            f"<VoiceDelivery {self.action} {self.file!r} guild={self.guild_id} attempt={self.attempt} "
            f"fencing_token={self.fencing_token}{' lost' if self.lost else ''}>"
        )

    @property
    def command(self) -> VoiceCommand:
        """The command as it was sent. No I/O; any thread."""
        return VoiceCommand(self.module_id, self.guild_id, self.channel_id, self.file, self.user_id)

    @property
    def fencing_token(self) -> int:
        """Grows with each owner of the guild's voice: for systems that can refuse an older one. No I/O."""
        return self.owned.token

    @property
    def lost(self) -> bool:
        """Whether another worker may carry it out by now. No I/O; any thread."""
        return self.owned.lost

    def ack(self) -> None:
        """Marks the command as carried out, so that the guild's next one is delivered. Blocks for a round
        trip; any thread. Idempotent.

        :raises LockLost: another worker may carry it out again.
        :raises StoreUnavailable: etcd does not answer; try again while it is not ``lost``.
        """
        if self.acknowledged:
            return
        if self.lost:
            raise LockLost(f"this replica may have lost the voice of guild {self.guild_id}")
        self._consumer.finish(self)
        self.acknowledged = True

    def release(self, position: float | None = None, *, counts: bool = False) -> None:
        """Gives the guild's voice to another worker, which carries this command out. Blocks for a round trip;
        any thread. A release that etcd does not answer is repeated in the background.

        :param position: seconds to begin at; by default those of the last ``progress``.
        :param counts: whether this attempt failed, and counts; else it is a hand-over.
        """
        if position is not None:
            self.mark = self.mark._replace(seconds=position)
        self.failed = counts
        self._consumer.give_back(self)

    def progress(self, seconds: float, volume: float | None = None) -> None:
        """Notes the position for the next worker. Never blocks; any thread.

        :param seconds: of the sound, played so far.
        :param volume: the factor; ``None``: as before.

        Once the command was played for ``HARMLESS`` seconds, its attempts count from 1 again.
        """
        mark = self.mark
        attempt = 0 if seconds - self.position >= HARMLESS else mark.attempt
        self.mark = mark._replace(
            seconds=seconds, attempt=attempt, volume=mark.volume if volume is None else volume
        )
        if not self.lost:
            self._consumer.note(self, self.mark)
