"""A command as a worker gets it: what it says, what is still owned, and the acknowledgement.

Promises: ``lost`` turns true no later than the replica's lease may have run out, and as soon as the watch
shows another owner; every write is guarded by the owner's fencing token. Does not promise that nobody else
plays the command once it is lost.

Concurrency: a delivery may be used from any thread but the gateway's. ``Owned`` is written by its consumer's
thread and by callbacks of the commit; its flags only ever go one way.
"""

from __future__ import annotations

from typing import Protocol

from discordha.coordination.session import Grant
from discordha.coordination.voice.command import VoiceCommand
from discordha.coordination.voice.records import Entry, Mark
from discordha.errors import LockLost

__all__ = ["HARMLESS", "Owned", "VoiceDelivery"]


class Owned:
    """One guild's voice, while this replica owns it."""

    def __init__(self, guild_id: int, token: int, grant: Grant, now: float) -> None:
        self.guild_id = guild_id
        self.token = token
        self.grant = grant
        self.gone = False
        self.playing: VoiceDelivery | None = None
        self.delivered: set[str] = set()
        """Commands that were handed out, or are done, as long as the view shows them."""
        self.mark: Mark | None = None
        self.read_mark = False
        self.held = False
        self.busy_at = now

    @property
    def lost(self) -> bool:
        """Whether another may own it by now. No I/O; any thread."""
        return self.gone or not self.grant.alive


class _Consumer(Protocol):
    def finish(self, delivery: VoiceDelivery) -> None: ...
    def give_back(self, delivery: VoiceDelivery) -> None: ...
    def note(self, delivery: VoiceDelivery, mark: Mark) -> None: ...


#: Seconds that a command is played in one attempt after which a worker's end is not laid to its charge.
HARMLESS = 10.0


class VoiceDelivery:
    """A command that this worker is to carry out.

    :ivar id: the same in each attempt.
    :ivar position: seconds that an earlier worker has played already.
    :ivar volume: that it had set.
    :ivar attempt: 1 for the first time; more when a worker died on it, unless that had played it for
        ``HARMLESS`` seconds.
    """

    def __init__(self, consumer: _Consumer, owned: Owned, entry: Entry, mark: Mark) -> None:
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
        """The command as it was sent."""
        entry = self.entry
        return VoiceCommand(entry.module_id, entry.guild_id, entry.channel_id, entry.file, entry.user_id)

    @property
    def fencing_token(self) -> int:
        """Grows with each owner of the guild's voice."""
        return self.owned.token

    @property
    def lost(self) -> bool:
        """Whether another worker may carry it out by now. No I/O; any thread."""
        return self.owned.lost

    def ack(self) -> None:
        """It has been carried out: it is not delivered again, and the guild's next one is. Blocks for a round
        trip. Idempotent.

        :raises LockLost: another worker may carry it out again.
        :raises StoreUnavailable: etcd does not answer; try again while it is not ``lost``.
        """
        if self.acknowledged:
            return
        if self.lost:
            raise LockLost(f"this replica may not own the voice of guild {self.guild_id} any more")
        self._consumer.finish(self)
        self.acknowledged = True

    def release(self, position: float | None = None, *, counts: bool = False) -> None:
        """Gives the guild's voice to another worker, which carries this command out from ``position`` on.
        Blocks for a round trip.

        :param position: seconds; by default what ``progress`` said last.
        :param counts: whether this attempt failed, and counts; else it was a hand-over.
        :raises StoreUnavailable: etcd does not answer; the session's end gives it away.
        """
        if position is not None:
            self.mark = self.mark._replace(seconds=position)
        self.failed = counts
        self._consumer.give_back(self)

    def progress(self, seconds: float, volume: float | None = None) -> None:
        """Notes how far it is, for the next worker. Never blocks.

        What was played for ``HARMLESS`` seconds is not what ends its workers: its attempts count anew.
        """
        mark = self.mark
        attempt = 0 if seconds - self.position >= HARMLESS else mark.attempt
        self.mark = mark._replace(
            seconds=seconds, attempt=attempt, volume=mark.volume if volume is None else volume
        )
        if not self.lost:
            self._consumer.note(self, self.mark)
