"""The nonces that make Discord create a handler's message once.

Guarantees: the n-th message that a handler sends for an event has the same nonce on every replica and in
every attempt. discord.py adds ``enforce_nonce``, so Discord answers a repeated send with the message that it
has already.
Not guaranteed: more than Discord does, which remembers nonces for minutes. Webhooks, answers to interactions,
follow-ups and a forum post's first message take no nonce. A handler that sends other messages, or in another
order, when it runs again gets back the n-th message of its first run for its n-th send.

Threads and locks: none; ``CurrentEvent`` counts. A handler that sends from several threads at once numbers
its messages in random order.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

from discordha.context import CurrentEvent, current_event

__all__ = ["add_nonce", "creates_message", "nonce_for"]

#: Characters; Discord refuses longer nonces.
NONCE_LENGTH = 25


def nonce_for(event: CurrentEvent, ordinal: int) -> str:
    """The nonce of a handler's message: 100 bits of a SHA-256, so that no two messages share one by chance.

    :param ordinal: the message's number among those that the handler sends for the event.
    """
    parts: tuple[object, ...] = (event.name, event.identity, event.occurrence, event.handler, ordinal)
    if event.epoch:
        parts += (event.epoch,)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:NONCE_LENGTH]


def creates_message(function: Callable[..., Any]) -> bool:
    """Whether a coroutine method of discord.py creates a message that can have a nonce.

    The signature tells, or an overload: ``Message.reply`` takes ``**kwargs``. ``Message.forward`` shows no
    nonce, but calls its destination's ``send``, which takes one.
    """
    for candidate in (function, *typing.get_overloads(function)):
        try:
            parameters = inspect.signature(candidate).parameters
        except (TypeError, ValueError):
            continue
        if "nonce" in parameters:
            return True
    return _forwards(function)


def add_nonce(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """Gives a call that creates a message the handler's next nonce. Returns the positional arguments to call
    with; changes ``kwargs``.

    Does nothing outside of handlers, for events that every replica handles, and when the caller gave a nonce.
    """
    event = current_event()
    if event is None or event.for_itself or kwargs.get("nonce") is not None:
        return args
    nonce = nonce_for(event, event.next_ordinal())
    if not _forwards(function):
        kwargs["nonce"] = nonce
    elif "destination" in kwargs:
        kwargs["destination"] = _through(kwargs["destination"], nonce)
    elif args:
        args = (_through(args[0], nonce), *args[1:])
    return args


def _forwards(function: Callable[..., Any]) -> bool:
    home = getattr(function, "__module__", "")
    return home == "discord.message" and getattr(function, "__name__", "") == "forward"


def _through(destination: Any, nonce: str) -> Any:
    """A destination with the one method that ``Message.forward`` needs of it."""
    return types.SimpleNamespace(send=functools.partial(destination.send, nonce=nonce))
