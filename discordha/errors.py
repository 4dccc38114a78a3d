"""The exception tree: every error of this library derives from ``DiscordHAError``.

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
    "reason_of",
]


class DiscordHAError(Exception):
    """Base of all errors of discordha."""


class ConfigError(DiscordHAError):
    """A setting is impossible. The message names the field, the reason and the remedy. Raised before anything
    connects.

    :param field: the ``Config`` field at fault; ``None`` when no single field is.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class StoreUnavailable(DiscordHAError):
    """etcd did not answer in time or could not be reached.

    :param maybe_applied: whether a write was sent whose outcome is unknown: its caller must read back before
        it believes either outcome.
    """

    def __init__(self, message: str, *, maybe_applied: bool = False) -> None:
        super().__init__(message)
        self.maybe_applied = maybe_applied


class SessionExpired(DiscordHAError):
    """The replica's lease ran out, and with it everything that it owned. A new session starts by itself."""


class LockLost(DiscordHAError):
    """The calling code may have lost its event, lock or leadership; its call was not made.

    Let it pass. It is an ``Exception``, since a lost lock is an error that code may handle. A handler that
    catches it for a lost event has not finished all the same: another replica runs the event again.
    """


class NotLeader(DiscordHAError):
    """The operation needs leadership of the shard, which this replica does not have."""


class CacheKeyNotExist(DiscordHAError, KeyError):
    """The shared cache holds no value under the key."""

    def __str__(self) -> str:
        return Exception.__str__(self)


class HandlerTimeout(DiscordHAError):
    """A handler runs longer than ``handler_timeout``. Logged with the handler's stack, never raised in it."""


class VoiceCommandExpired(DiscordHAError, TimeoutError):
    """No voice worker took the command within its TTL; it is not played."""


def reason_of(error: BaseException) -> str:
    """An error's message for a log line; its type's name when the message is empty."""
    return str(error) or type(error).__name__
