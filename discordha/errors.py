"""The exception tree. Everything this library raises of its own derives from ``DiscordHAError``.

discord.py's exceptions (``discord.Forbidden``, ``discord.LoginFailure``, ...) pass through unchanged.
"""

from __future__ import annotations

__all__ = [
    "CacheKeyNotExist",
    "ConfigError",
    "DiscordHAError",
    "HandlerTimeout",
    "LockLost",
    "NotLeader",
    "SessionExpired",
    "StoreUnavailable",
    "VoiceCommandExpired",
]


class DiscordHAError(Exception):
    """Base of all errors of discordha."""


class ConfigError(DiscordHAError):
    """A setting is impossible. Says which field, why, and what to write instead; raised before anything
    connects.

    :param field: the ``Config`` field at fault, or ``None`` where no single field is.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class StoreUnavailable(DiscordHAError):
    """etcd did not answer in time or could not be reached.

    ``maybe_applied`` is true when a write was sent and its outcome is not known: whoever sent it must read
    back before it believes either answer.
    """

    def __init__(self, message: str, *, maybe_applied: bool = False) -> None:
        super().__init__(message)
        self.maybe_applied = maybe_applied


class SessionExpired(DiscordHAError):
    """The replica's lease ran out, so everything it owned is gone. A new session starts by itself."""


class LockLost(DiscordHAError):
    """The calling code may no longer own the event, lock or leadership it runs under; its call was not
    made.
    """


class NotLeader(DiscordHAError):
    """The operation needs leadership of the shard, and this replica does not have it."""


class CacheKeyNotExist(DiscordHAError, KeyError):
    """The shared cache holds no value under the key."""

    def __str__(self) -> str:
        return Exception.__str__(self)


class HandlerTimeout(DiscordHAError):
    """A handler runs longer than ``handler_timeout``. Logged with the handler's stack, never thrown into
    it.
    """


class VoiceCommandExpired(DiscordHAError, TimeoutError):
    """No voice worker took the command within its TTL; it will not be played."""
