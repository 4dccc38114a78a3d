"""Voice commands, and the keys and values of the voice queue in the store.

Keys, below ``/discordha/v1/<name>.data/``:

- ``v/q/<guild>/<id>``: a command. ``w`` and JSON while it waits, under a lease that lives for the TTL; ``t``
  and JSON once a worker has taken it, under that worker's hold lease; ``d`` once it is done, for
  ``retention``.
- ``v/o/<guild>``: the owner of the guild's voice, under its session. The create revision is the fencing
  token. Discord has one voice state for a guild and bot, so there is one owner over all modules.
- ``v/w/<module>/<replica>``: a replica that takes a module's commands, under its session.
- ``vp/<guild>``: the command that plays, its position, and how often it was begun. Not below ``v/``: it
  changes twice a second, and nobody needs it before a takeover.

Plain data; no I/O, any thread.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import NamedTuple

from discordha.coordination.etcd.store import KeyValue
from discordha.errors import ConfigError

__all__ = [
    "ACTIONS",
    "DONE",
    "PlayMark",
    "QueuedCommand",
    "VoiceCommand",
    "VoiceKeys",
    "VoiceOwner",
    "check_module",
]

#: What a command may ask for. ``play`` is queued; the others concern what plays, and overtake the queue.
ACTIONS = ("play", "overlay", "skip", "stop", "pause", "resume", "volume")
#: The value of a command that is done.
DONE = b"d"
#: Longest ``file``: an address, or a path.
MAX_FILE = 4096
_MODULE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def check_module(module_id: object) -> str:
    """A module's name.

    :raises ConfigError: the name cannot be part of a key.
    """
    if not isinstance(module_id, str) or not _MODULE.fullmatch(module_id):
        raise ConfigError(
            f"module_id must be 1 to 64 letters, digits, '_', '.' or '-', not {module_id!r}",
            field="module_id",
        )
    return module_id


@dataclass(frozen=True)
class VoiceCommand:
    """A sound for a voice channel. Ids may be given as numbers or strings of digits; they are numbers here.

    :param module_id: the module whose workers play it.
    :param guild_id: the guild.
    :param channel_id: the voice channel to join.
    :param file: what the worker makes a sound of: by default a path in its folder, or an http(s) address.
    :param user_id: the user on whose behalf it is played; 0: nobody.
    :raises ConfigError: a field is impossible; names it.
    """

    module_id: str
    guild_id: int
    channel_id: int
    file: str
    user_id: int = 0

    def __post_init__(self) -> None:
        """Checks the fields."""
        check_module(self.module_id)
        for name, least in (("guild_id", 1), ("channel_id", 1), ("user_id", 0)):
            object.__setattr__(self, name, _id(name, getattr(self, name), least))
        if not isinstance(self.file, str) or len(self.file) > MAX_FILE or "\0" in self.file:
            raise ConfigError(
                f"file must be a string of at most {MAX_FILE} characters, not {self.file!r:.80}", field="file"
            )


def _id(name: str, value: object, least: int) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**64:
        raise ConfigError(f"{name} must be one of Discord's ids, not {value!r}", field=name)
    return value


class VoiceKeys:
    """The keys of one bot's voice.

    :param root: of the bot's coordination keys, ending in ``/``.
    """

    def __init__(self, root: str) -> None:
        base = f"{root.rstrip('/')}.data/"
        self.watched = f"{base}v/"
        self._marks = f"{base}vp/"

    def command(self, guild_id: int, command_id: str) -> str:
        """A command."""
        return f"{self.watched}q/{guild_id}/{command_id}"

    def owner(self, guild_id: int) -> str:
        """The owner of a guild's voice."""
        return f"{self.watched}o/{guild_id}"

    def worker(self, module_id: str, replica_id: str) -> str:
        """A replica that takes a module's commands."""
        return f"{self.watched}w/{module_id}/{replica_id}"

    def mark(self, guild_id: int) -> str:
        """The position of what a guild plays."""
        return f"{self._marks}{guild_id}"


class QueuedCommand(NamedTuple):
    """A command in the queue.

    :param action: one of ``ACTIONS``.
    :param number: counts one sender's commands: two of one transaction share a revision.
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
        """Sorts a guild's commands in the order of sending."""
        return (self.create_revision, self.number, self.id)

    def value(self, *, taken: bool) -> bytes:
        """The stored form."""
        fields = [self.module_id, self.channel_id, self.file, self.user_id, self.action, self.number]
        return (b"t" if taken else b"w") + json.dumps(fields, ensure_ascii=False).encode()

    @classmethod
    def parse(cls, path: str, kv: KeyValue) -> QueuedCommand | None:
        """Reads the stored form; ``None`` for a command that is done, and for anything else.

        :param path: the part of the key behind ``q/``.
        """
        guild, _, command_id = path.partition("/")
        state = kv.value[:1]
        if state not in (b"w", b"t") or not guild.isdigit():
            return None
        try:
            module_id, channel_id, file, user_id, action, number = json.loads(kv.value[1:])
        except (ValueError, TypeError):
            return None
        revisions = (kv.create_revision, kv.mod_revision, kv.lease)
        fields = (module_id, channel_id, file, user_id, action, number)
        return cls(int(guild), command_id, *fields, state == b"t", *revisions)


class VoiceOwner(NamedTuple):
    """The owner of a guild's voice."""

    module_id: str
    replica_id: str
    token: int
    lease: int

    @staticmethod
    def value(module_id: str, replica_id: str) -> bytes:
        """The stored form."""
        return json.dumps([module_id, replica_id], ensure_ascii=False).encode()

    @classmethod
    def parse(cls, kv: KeyValue) -> VoiceOwner | None:
        """Reads the stored form; ``None`` for anything else."""
        try:
            module_id, replica_id = json.loads(kv.value)
        except (ValueError, TypeError):
            return None
        return cls(module_id, replica_id, kv.create_revision, kv.lease)


class PlayMark(NamedTuple):
    """The position of what a guild plays.

    :param seconds: that have been played.
    :param attempt: how often it was begun, without clean hand-overs.
    :param volume: 1.0 leaves the sound as it is.
    """

    command_id: str
    seconds: float
    attempt: int
    volume: float = 1.0

    def value(self) -> bytes:
        """The stored form."""
        return json.dumps([self.command_id, round(self.seconds, 3), self.attempt, self.volume]).encode()

    @classmethod
    def parse(cls, value: bytes) -> PlayMark | None:
        """Reads the stored form; ``None`` for anything else."""
        try:
            command_id, seconds, attempt, volume = json.loads(value)
            return cls(str(command_id), float(seconds), int(attempt), float(volume))
        except (ValueError, TypeError):
            return None
