"""Which calls create a message, and the nonce that makes Discord create it once.
 Promises: the n-th message that a handler sends for an event has the same nonce on every replica and in
every attempt. discord.py sends ``enforce_nonce`` beside it, so Discord answers a repeated send with the
message that is there.
 Does not promise more than Discord does: it remembers nonces for minutes. Webhooks, responses to
interactions and their follow-ups, and a forum post's first message have no nonce. A handler that sends
other messages in another order when it runs again gets, for the n-th, what it sent as the n-th before.
 Concurrency: no state of its own; ordinals are counted by ``CurrentEvent``. A handler that sends from
several threads of its own at once numbers in the order of chance.
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

#: Discord refuses longer ones.
NONCE_LENGTH = 25


def nonce_for(event: CurrentEvent, ordinal: int) -> str:
    """25 characters, a function of the event, its occurrence, its handler and the ordinal of the message.

    Hexadecimal digits of SHA-256: 100 bits, so that two messages never share one by chance.
    """
    parts = (event.name, event.identity, event.occurrence, event.handler, ordinal)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:NONCE_LENGTH]


def creates_message(function: Callable[..., Any]) -> bool:
    """Whether a coroutine method of discord.py takes a nonce, by its signature or one of its overloads.

    ``Message.reply`` takes ``**kwargs`` and shows the nonce in its overloads only. ``Message.forward`` has
    none, and sends through its destination's ``send``.
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
    """Numbers one message create of the current handler. Returns the arguments to call with; changes
    ``kwargs``.

    Nothing happens outside of handlers, for events that each replica handles for itself, and when the caller
    gave a nonce.
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
    return (
        getattr(function, "__name__", "") == "forward"
        and getattr(function, "__module__", "") == "discord.message"
    )


def _through(destination: Any, nonce: str) -> Any:
    """What ``Message.forward`` needs of a destination: a ``send``."""
    return types.SimpleNamespace(send=functools.partial(destination.send, nonce=nonce))
