"""Decides whether a history of operations is linearizable: whether each operation can have happened at one
moment between its invocation and its return, so that a sequential object would have given the same results.

The search is Wing and Gong's (1993) with Lowe's cache (2017), as Porcupine has it: it tries the operations
that may come next, remembers each pair of *which operations are done* and *the object's state*, and gives up
a branch that it has seen. A history is split by key first: objects are independent. An operation whose
return nobody saw may have happened at any later moment, or never.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple

__all__ = ["MODELS", "Call", "Model", "check", "check_all"]

#: How many states one search looks at before it gives up.
LIMIT = 400_000


class Call(NamedTuple):
    """One operation. ``returned``: infinite if its result is not known."""

    what: str
    argument: Any
    invoked: float
    returned: float
    result: Any = None
    who: str = ""


class Model(NamedTuple):
    """A sequential object.

    :param initial: its first state.
    :param step: gives the next state, or ``None`` if the result is impossible: (state, call, whether the
        result is known).
    """

    initial: Hashable
    step: Callable[[Any, Call, bool], tuple[Hashable] | None]


class TooManyStates(Exception):
    """The search was given up."""


def _register(state: Any, call: Call, known: bool) -> tuple[Hashable] | None:
    if call.what == "get":
        return (state,) if not known or call.result == state else None
    if call.what == "set":
        return (call.argument,)
    if call.what == "delete":
        return (None,) if not known or call.result == (state is not None) else None
    raise ValueError(call.what)


def _counter(state: Any, call: Call, known: bool) -> tuple[Hashable] | None:
    after = state + call.argument
    return (after,) if not known or call.result == after else None


def _once(state: Any, call: Call, known: bool) -> tuple[Hashable] | None:
    after = call.argument if state is None else state
    return (after,) if not known or call.result == after else None


def _lock(state: Any, call: Call, known: bool) -> tuple[Hashable] | None:
    """``acquire`` gives a token, which rises; ``release`` names its token."""
    holder, last = state
    if call.what == "acquire":
        if holder is not None or (known and call.result <= last):
            return None
        token = call.result if known else last
        return ((token, token),)
    return ((None, last),) if holder == call.argument else None


def _claim(state: Any, call: Call, known: bool) -> tuple[Hashable] | None:
    """``claim`` by ``argument`` gives the owner."""
    return _once(state, call, known)


MODELS = {
    "register": Model(None, _register),
    "counter": Model(0, _counter),
    "once": Model(None, _once),
    "claim": Model(None, _claim),
    "lock": Model((None, 0), _lock),
}


def check(calls: Iterable[Call], model: Model, *, limit: int = LIMIT) -> list[Call] | None:
    """``None`` if the history is linearizable; else the shortest beginning of it that is not, by return.

    :raises TooManyStates: nobody knows: the search was given up.
    """
    history = sorted(calls, key=lambda call: (call.invoked, call.returned))
    if _search(history, model, limit):
        return None
    ends = sorted({call.returned for call in history if call.returned < math.inf})
    low, high = 0, len(ends) - 1
    while low < high:
        middle = (low + high) // 2
        if _search(_until(history, ends[middle]), model, limit):
            low = middle + 1
        else:
            high = middle
    return _until(history, ends[low]) if ends else history


def check_all(calls: Iterable[tuple[str, Call]], model_of: Callable[[str], Model]) -> dict[str, list[Call]]:
    """Checks each key's history alone; returns those that are not linearizable."""
    by_key: dict[str, list[Call]] = {}
    for key, call in calls:
        by_key.setdefault(key, []).append(call)
    return {key: bad for key, own in by_key.items() if (bad := check(own, model_of(key))) is not None}


def _until(history: Sequence[Call], moment: float) -> list[Call]:
    """The history as it was known at a moment."""
    return [
        call if call.returned <= moment else call._replace(returned=math.inf, result=None)
        for call in history
        if call.invoked <= moment
    ]


def _search(history: Sequence[Call], model: Model, limit: int) -> bool:
    needed = sum(1 << number for number, call in enumerate(history) if call.returned < math.inf)
    seen: set[tuple[int, Hashable]] = set()
    stack: list[tuple[int, Hashable]] = [(0, model.initial)]
    while stack:
        done, state = stack.pop()
        if not needed & ~done:
            return True
        if (done, state) in seen:
            continue
        seen.add((done, state))
        if len(seen) > limit:
            raise TooManyStates(f"{len(history)} operations: {limit} states were not enough")
        # Only those can come next that began before the first of the others returned.
        first = math.inf
        for number, call in enumerate(history):
            if call.invoked > first:
                break
            if not done >> number & 1:
                first = min(first, call.returned)
        for number, call in enumerate(history):
            if call.invoked > first:
                break
            if done >> number & 1:
                continue
            after = model.step(state, call, call.returned < math.inf)
            if after is not None:
                stack.append((done | 1 << number, after[0]))
    return False
