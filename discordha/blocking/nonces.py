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

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

import discord
from discord.ui.view import BaseView

from discordha.context import CurrentEvent, current_event

__all__ = ["creates_message", "nonce_for", "numbered_message", "with_nonce", "with_token"]

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


@contextlib.contextmanager
def with_token(*call: object) -> Iterator[str | None]:
    """What names a call of a handler, around the call: equal in every attempt, and for an equal call after
    one that failed. ``None`` outside of handlers, and for events that every replica handles.
    """
    event = current_event()
    if event is None or event.for_itself:
        yield None
        return
    with event.numbered(call, _as_it_is) as ordinal:
        yield nonce_for(event, ordinal)


def _as_it_is(value: Any) -> Any:
    """What a value says now: whoever changes it later makes another call. Objects that have no equals stay in
    it, beside what can be changed about them.
    """
    if isinstance(value, dict):
        return {key: _as_it_is(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        found = [_as_it_is(each) for each in value]
        return found if isinstance(value, list) else tuple(found)
    if isinstance(value, set | bytearray):
        return value.copy()
    if isinstance(value, discord.Embed):
        return discord.Embed, _as_it_is(value.to_dict())
    if isinstance(value, BaseView):
        return value, _as_it_is(value.to_components())
    if isinstance(value, discord.AllowedMentions):
        return value, _as_it_is(value.to_dict())
    if isinstance(value, discord.File):
        return value, value.filename, value.spoiler, value.description
    if isinstance(value, discord.Poll):
        answers = [(answer.text, str(answer.emoji)) for answer in value.answers]
        return value, value.question, value.duration, value.multiple, answers
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [each.name for each in dataclasses.fields(value)]
        return type(value), [_as_it_is(getattr(value, name)) for name in names]
    return value


@contextlib.contextmanager
def numbered_message(
    function: Callable[..., Any], method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[tuple[Any, ...]]:
    """Gives a call that creates a message the handler's next nonce, or, if it is made again after it failed,
    the one that it had. Around the call; yields its positional arguments; changes ``kwargs``.

    :param method: ``function`` of an object.

    Does nothing outside of handlers, for events that every replica handles, and when the caller gave a nonce.
    """
    if kwargs.get("nonce") is not None:
        yield args
        return
    with with_token(function, getattr(method, "__self__", None), args, dict(kwargs)) as nonce:
        yield args if nonce is None else _put(function, nonce, args, kwargs)


def with_nonce(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, ...]:
    """The same for a call that nobody makes again: returns the positional arguments; changes ``kwargs``."""
    event = current_event()
    if event is None or event.for_itself or kwargs.get("nonce") is not None:
        return args
    return _put(function, nonce_for(event, event.next_ordinal()), args, kwargs)


def _put(
    function: Callable[..., Any], nonce: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, ...]:
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
