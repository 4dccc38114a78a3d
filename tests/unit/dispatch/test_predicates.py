"""A handler's ``where`` guards it: an error in it keeps the event from this handler, and from no other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from discordha.dispatch.handlers import HandlerRegistry


def is_admin(message: Any) -> bool:
    return bool(message.author.guild_permissions.administrator)  # a webhook's author has no permissions


def asks_too_much(message: Any) -> bool:
    return bool(is_admin(message, "rights"))  # type: ignore[call-arg] - a mistake


def fails(message: Any) -> bool:
    raise KeyError(message.content)


@pytest.mark.parametrize("where", [is_admin, asks_too_much, fails])
def test_a_predicate_that_raises_keeps_the_handler_from_running(
    where: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    registry = HandlerRegistry()
    message = SimpleNamespace(author=SimpleNamespace(name="webhook"), content="!ban")

    def ban(message: Any) -> None:
        """Guarded."""

    def count(message: Any) -> None:
        """Not guarded."""

    registry.add(ban, "message", where=where)
    registry.add(count, "message")
    with caplog.at_level(logging.ERROR):
        assert [handler.function for handler in registry.select("message", [message])] == [count]
    assert "ban failed; the handler does not run for this event" in caplog.text
