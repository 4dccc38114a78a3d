"""Cooldowns and ``max_concurrency`` over all replicas.

Guarantees
- A cooldown lets as many uses pass over all replicas as it does in one process. A command that runs again
  after a crash passes as it did before.
- A place of ``max_concurrency`` is a lock under its replica's session: it is free again when its holder dies.
- Only commands that have one of them ask etcd. ``per_replica=True`` counts in memory, as discord.py does.

Not guaranteed: that a use at the very moment at which a place becomes free gets it.

Threads and locks: everything blocks on the handler thread, except ``release``, which waits on the loop. The
loop alone changes ``_holds``.
"""

from __future__ import annotations

import json
import random
from typing import Any

from discord.ext import commands as theirs

from discordha.commands.checks import use_of
from discordha.commands.trampoline import adapt, current_trampoline
from discordha.context import unfenced

__all__ = ["MaxConcurrency", "cool_down", "cooldown", "cooldown_key", "dynamic_cooldown", "max_concurrency"]

#: Begins the names of the locks; no name of an author's does.
SPACE = "="
#: Pause between two rounds over all places, seconds.
ROUND = 1.0


class LocalCooldown(theirs.CooldownMapping[Any]):
    """A cooldown that each replica counts for itself."""

    def copy(self) -> Any:
        """The same cooldown, for another command."""
        return type(self)(self._cooldown, self._type)


class LocalDynamicCooldown(theirs.DynamicCooldownMapping[Any]):
    """A cooldown that a function makes, and that each replica counts for itself."""

    def copy(self) -> Any:
        """The same cooldown, for another command."""
        return type(self)(self._factory, self._type)


def _key(command: str, bucket: Any) -> str:
    """A name over processes for a command's bucket."""
    try:
        return f"{command}/{json.dumps(bucket, sort_keys=True)}"
    except TypeError:
        raise TypeError(
            f"the key {bucket!r} of {command} has no name over processes: return numbers, texts, or tuples "
            "of them, or count with per_replica=True"
        ) from None


def cooldown_key(command: Any, context: Any) -> str:
    """The name of the bucket that a use of a command counts for."""
    return _key(command.qualified_name, command._buckets._bucket_key(context))


def _take(bot: Any, key: str, rate: int, per: float, now: float) -> float | None:
    found: float | None = bot._running().shared.cooldowns.take(key, rate, per, now, use_of(now))
    return found


_take_on_thread = adapt(_take, "Cooldowns")


async def cool_down(command: Any, context: Any) -> None:
    """Counts a use of a command, if it has a cooldown over all replicas. On the loop.

    :raises CommandOnCooldown: no use is left.
    """
    buckets = command._buckets
    if not buckets.valid or isinstance(buckets, (LocalCooldown, LocalDynamicCooldown)):
        return
    moment = context.message.edited_at or context.message.created_at
    now = moment.timestamp()
    bucket = buckets.get_bucket(context, now)
    if bucket is None:
        return
    key = cooldown_key(command, context)
    wait = await _take_on_thread(context.bot, key, bucket.rate, bucket.per, now)
    if wait is not None:
        raise theirs.CommandOnCooldown(bucket, wait, buckets.type)


class MaxConcurrency(theirs.MaxConcurrency):
    """``discord.ext.commands.MaxConcurrency`` over all replicas."""

    def __init__(self, number: int, *, per: theirs.BucketType, wait: bool) -> None:
        super().__init__(number, per=per, wait=wait)
        self._holds: dict[int, Any] = {}

    async def acquire(self, message: Any) -> None:
        """Takes a place for a context's message."""
        key = _key(message.command.qualified_name, self.get_key(message))
        held = await _acquire_on_thread(message.bot, key, self.number, self.wait)
        if held is None:
            raise theirs.MaxConcurrencyReached(self.number, self.per)
        self._holds[message.message.id] = held

    async def release(self, message: Any) -> None:
        """Gives the place of a context, or of its message, back."""
        held = self._holds.pop(getattr(message, "message", message).id, None)
        trampoline = current_trampoline()
        if held is not None and trampoline is not None and not trampoline.ended:
            await _release_on_thread(held)


class _Place:
    """A held lock, which the end of its handler frees at the latest."""

    def __init__(self, locks: Any, held: Any) -> None:
        self._locks = locks
        self._held = held

    def free(self) -> None:
        """Blocks for a round trip. Idempotent."""
        held, self._held = self._held, None
        if held is not None:
            with unfenced():
                self._locks.release(held)


def _acquire(bot: Any, key: str, number: int, wait: bool) -> _Place | None:
    locks = bot._running().shared.locks
    while True:
        first = random.randrange(number)
        for place in range(number):
            try:
                held = locks.acquire(f"{key}/{(first + place) % number}", 0.0, space=SPACE)
            except TimeoutError:
                continue
            return _kept(_Place(locks, held))
        if not wait:
            return None
        try:
            return _kept(_Place(locks, locks.acquire(f"{key}/{first}", ROUND, space=SPACE)))
        except TimeoutError:
            continue


def _kept(place: _Place) -> _Place:
    """The end of the handler frees the place, if the command did not."""
    trampoline = current_trampoline()
    if trampoline is not None:
        trampoline.at_end(place.free)
    return place


_acquire_on_thread = adapt(_acquire, "Limits")
_release_on_thread = adapt(_Place.free, "Limits")


def cooldown(
    rate: int, per: float, type: Any = theirs.BucketType.default, *, per_replica: bool = False
) -> Any:
    """Decorator: a command's cooldown over all replicas; see ``discord.ext.commands.cooldown``.

    :param per_replica: whether each replica counts for itself, without etcd.
    """
    if not per_replica:
        return theirs.cooldown(rate, per, type)
    return _registering(lambda: LocalCooldown(theirs.Cooldown(rate, per), type))


def dynamic_cooldown(cooldown: Any, type: Any, *, per_replica: bool = False) -> Any:
    """Decorator: a cooldown that a plain function makes, which runs on the loop and must not block; see
    ``cooldown``.
    """
    register = theirs.dynamic_cooldown(cooldown, type)
    return _registering(lambda: LocalDynamicCooldown(cooldown, type)) if per_replica else register


def _registering(make: Any) -> Any:
    def decorator(function: Any) -> Any:
        name = "_buckets" if isinstance(function, theirs.Command) else "__commands_cooldown__"
        setattr(function, name, make())
        return function

    return decorator


def max_concurrency(
    number: int, per: Any = theirs.BucketType.default, *, wait: bool = False, per_replica: bool = False
) -> Any:
    """Decorator: how many uses of a command run at once over all replicas; see
    ``discord.ext.commands.max_concurrency``.

    :param per_replica: whether each replica counts for itself, without etcd.
    """
    kind = theirs.MaxConcurrency if per_replica else MaxConcurrency

    def decorator(function: Any) -> Any:
        value = kind(number, per=per, wait=wait)
        if isinstance(function, theirs.Command):
            function._max_concurrency = value
        else:
            function.__commands_max_concurrency__ = value
        return function

    return decorator
