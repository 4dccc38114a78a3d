"""Maps custom ids to the functions that handle them.

A pattern must fit a custom id from its first character to its last:

- ``*`` stands for any characters, or none;
- ``{name}`` stands for one or more characters other than ``:``, and passes them to the function by that name;
- anything else stands for itself;
- a compiled regular expression is used as it is, and passes on its named groups.

Of several patterns that fit, a literal one wins, then one with ``*`` or ``{name}``, then a regular
expression; among equals the one with more literal characters, then the first declared.

Threads and locks: one thread declares before the bot starts. ``find`` runs on the gateway thread, without a
lock.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from discordha.dispatch.handlers.callables import callable_name, own_name, refuse_coroutine
from discordha.errors import ConfigError

__all__ = ["Component", "Components", "values_of"]

_PART = re.compile(r"\*|\{(\w+)\}")


class Component(NamedTuple):
    """One declared function.

    :param rank: lower ranks are tried first.
    :param wants_values: whether the function takes what the user chose or typed, as ``values``.
    """

    pattern: str
    expression: re.Pattern[str]
    rank: tuple[int, int, int]
    function: Callable[..., Any]
    defer: str | None
    wants_values: bool

    @property
    def name(self) -> str:
        """Equal on all replicas that run the same code."""
        return f"{callable_name(self.function)}({self.pattern})"


class Components:
    """All declared functions, in the order in which they are tried."""

    def __init__(self) -> None:
        self._all: list[Component] = []

    def add(self, pattern: str | re.Pattern[str], function: Callable[..., Any], defer: str | None) -> None:
        """Declares a function for a pattern.

        :raises ConfigError: the function is a coroutine function or can't take its arguments, or the pattern
            has a function already.
        """
        if not callable(function):
            raise ConfigError(f"the component {pattern!r} needs a function, not {function!r}")
        refuse_coroutine(function)
        text, expression, kind, own = _compile(pattern)
        if any(known.expression.pattern == expression.pattern for known in self._all):
            raise ConfigError(f"the component {text!r} has a function already")
        wants_values = _check_arguments(text, expression, function)
        rank = (kind, -own, len(self._all))
        component = Component(text, expression, rank, function, defer, wants_values)
        self._all = sorted([*self._all, component], key=lambda each: each.rank)

    @property
    def any(self) -> bool:
        """Whether a function is declared."""
        return bool(self._all)

    def find(self, custom_id: str) -> tuple[Component, Mapping[str, str]] | None:
        """The function for a custom id, and the values of its pattern's names."""
        for component in self._all:
            match = component.expression.fullmatch(custom_id)
            if match is not None:
                return component, match.groupdict()
        return None


def _compile(pattern: str | re.Pattern[str]) -> tuple[str, re.Pattern[str], int, int]:
    if isinstance(pattern, re.Pattern):
        return pattern.pattern, pattern, 2, 0
    if not isinstance(pattern, str) or not pattern:
        raise ConfigError(f"a component's pattern is a text such as 'vote:*', not {pattern!r}")
    source, at, own, kind = "", 0, 0, 0
    for part in _PART.finditer(pattern):
        literal = pattern[at : part.start()]
        own += len(literal)
        source += re.escape(literal)
        source += ".*" if part[0] == "*" else f"(?P<{part[1]}>[^:]+)"
        at, kind = part.end(), 1
    own += len(pattern) - at
    source += re.escape(pattern[at:])
    try:
        return pattern, re.compile(source, re.DOTALL), kind, own
    except re.error as error:
        raise ConfigError(f"the component's pattern {pattern!r} is impossible: {error}") from None


def _check_arguments(text: str, expression: re.Pattern[str], function: Callable[..., Any]) -> bool:
    names = list(expression.groupindex)
    signature = inspect.signature(function)
    wants_values = "values" in signature.parameters and "values" not in names
    arguments = [*names, "values"] if wants_values else names
    try:
        signature.bind("interaction", **dict.fromkeys(arguments))
    except TypeError:
        wanted = ", ".join(["interaction", *names])
        title = own_name(function)
        raise ConfigError(
            f"{title}{signature} can't handle the component {text!r}: it is called with ({wanted}), "
            "and with values if it takes them"
        ) from None
    return wants_values


def values_of(data: Mapping[str, Any]) -> Any:
    """The user's input: a select's values as a list (empty for a button), or a modal's by custom id."""
    if "components" not in data:
        return list(data.get("values", ()))
    values: dict[str, Any] = {}

    def walk(component: Mapping[str, Any]) -> None:
        custom_id = component.get("custom_id")
        if custom_id is not None and ("value" in component or "values" in component):
            values[custom_id] = component.get("value", component.get("values"))
        for inner in component.get("components", ()):
            walk(inner)
        if "component" in component:
            walk(component["component"])

    for component in data["components"]:
        walk(component)
    return values
