"""The words of the voice queue: commands as they lie in etcd, who owns a guild's voice, where a sound is.

Keys, below ``/discordha/v1/<name>.data/``:

- ``v/q/<guild>/<id>``: a command. ``w`` and JSON while it waits, under a lease that lives for the TTL;
  ``t`` and JSON once a worker has taken it, under that worker's hold lease; ``d`` when it is done, for
  ``retention``.
- ``v/o/<guild>``: who owns the guild's voice, under the owner's session. Its create revision is the fencing
  token: there is one voice state a guild and bot, so there is one owner, whatever the module.
- ``v/w/<module>/<replica>``: a replica that takes a module's commands, under its session.
- ``vp/<guild>``: which command plays, how far it is, and how often it was begun. Not below ``v/``: it changes
  twice a second, and nobody needs to hear of it before a take-over.

Plain data; no I/O.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from discordha.coordination.etcd.store import KeyValue

__all__ = ["DONE", "Entry", "Keys", "Mark", "Owner", "parse_entry", "parse_owner"]

DONE = b"d"


class Keys:
    """The keys of one bot's voice.

    :param root: of the bot's coordination keys, ending in ``/``.
    """

    def __init__(self, root: str) -> None:
        base = f"{root.rstrip('/')}.data/"
        self.watched = f"{base}v/"
        self._marks = f"{base}vp/"

    def entry(self, guild_id: int, entry_id: str) -> str:
        """A command."""
        return f"{self.watched}q/{guild_id}/{entry_id}"

    def owner(self, guild_id: int) -> str:
        """Who owns a guild's voice."""
        return f"{self.watched}o/{guild_id}"

    def worker(self, module_id: str, replica_id: str) -> str:
        """A replica that takes a module's commands."""
        return f"{self.watched}w/{module_id}/{replica_id}"

    def mark(self, guild_id: int) -> str:
        """How far a guild's sound is."""
        return f"{self._marks}{guild_id}"


class Entry(NamedTuple):
    """A command in the queue.

    :param action: ``play`` is queued; anything else concerns what plays, and overtakes.
    :param number: counts one sender's commands: two that went out in one transaction share a revision.
    """

    guild_id: int
    id: str
    module_id: str
    channel_id: int
    file: str
    user_id: int
    action: str
    number: int
    taken: bool = False
    create_revision: int = 0
    mod_revision: int = 0
    lease: int = 0

    @property
    def order(self) -> tuple[int, int, str]:
        """Sorts a guild's commands as they were sent."""
        return (self.create_revision, self.number, self.id)

    def value(self, *, taken: bool) -> bytes:
        """As it lies in etcd."""
        fields = [self.module_id, self.channel_id, self.file, self.user_id, self.action, self.number]
        return (b"t" if taken else b"w") + json.dumps(fields, ensure_ascii=False).encode()


class Owner(NamedTuple):
    """Who owns a guild's voice."""

    module_id: str
    replica_id: str
    token: int
    lease: int

    @staticmethod
    def value(module_id: str, replica_id: str) -> bytes:
        """As it lies in etcd."""
        return json.dumps([module_id, replica_id], ensure_ascii=False).encode()


class Mark(NamedTuple):
    """How far a guild's sound is.

    :param seconds: that have been played.
    :param attempt: how often it was begun, not counting clean hand-overs.
    :param volume: 1.0 as it is.
    """

    entry_id: str
    seconds: float
    attempt: int
    volume: float = 1.0

    def value(self) -> bytes:
        """As it lies in etcd."""
        return json.dumps([self.entry_id, round(self.seconds, 3), self.attempt, self.volume]).encode()

    @classmethod
    def parse(cls, value: bytes) -> Mark | None:
        """From etcd; ``None`` when it is none."""
        try:
            entry_id, seconds, attempt, volume = json.loads(value)
            return cls(str(entry_id), float(seconds), int(attempt), float(volume))
        except (ValueError, TypeError):
            return None


def parse_entry(path: str, kv: KeyValue) -> Entry | None:
    """A command from what lies below ``q/``; ``None`` when it is done, or is none."""
    guild, _, entry_id = path.partition("/")
    state = kv.value[:1]
    if state not in (b"w", b"t") or not guild.isdigit():
        return None
    try:
        module_id, channel_id, file, user_id, action, number = json.loads(kv.value[1:])
    except (ValueError, TypeError):
        return None
    return Entry(
        int(guild),
        entry_id,
        module_id,
        channel_id,
        file,
        user_id,
        action,
        number,
        state == b"t",
        kv.create_revision,
        kv.mod_revision,
        kv.lease,
    )


def parse_owner(kv: KeyValue) -> Owner | None:
    """An owner; ``None`` when it is none."""
    try:
        module_id, replica_id = json.loads(kv.value)
    except (ValueError, TypeError):
        return None
    return Owner(module_id, replica_id, kv.create_revision, kv.lease)
