"""What is to be played where: the original's ``VoiceCommand``, checked.

Plain data; no I/O, any thread.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from discordha.errors import ConfigError

__all__ = ["ACTIONS", "VoiceCommand", "check_module"]

#: What a command may ask for. ``play`` is queued; the others concern what plays, and overtake the queue.
ACTIONS = ("play", "overlay", "skip", "stop", "pause", "resume", "volume")
#: Longest ``file``: an address, or a path.
MAX_FILE = 4096
_MODULE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def check_module(module_id: object) -> str:
    """A module's name.

    :raises ConfigError: it can't be part of a key.
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

    :param module_id: whose workers play it.
    :param guild_id: the guild.
    :param channel_id: the voice channel to join.
    :param file: what the worker makes a sound of: by default a path in its folder, or an http(s) address.
    :param user_id: on whose behalf; 0: nobody's.
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
