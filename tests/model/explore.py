"""An explicit-state model checker, as small as it can be: breadth first over all interleavings.

Promises: every state that any order of steps reaches, within the model's own budget of faults, is looked
at; the trace to a violation is the shortest there is. ``stuck`` are the states from which no sequence of
steps without a fault leads to a goal.

Source: TLC's breadth-first search (Yu, Manolios, Lamport, "Model checking TLA+ specifications", 1999); the
check of ``stuck`` is CTL's AG EF goal over the edges that are not faults.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Result", "Step", "Violation", "explore", "follow"]

State = TypeVar("State", bound=Hashable)


class Step(NamedTuple, Generic[State]):
    """One thing that may happen. ``fault``: it need not, so nothing may depend on it."""

    name: str
    state: State
    fault: bool = False


class Violation(Exception):
    """An invariant does not hold; the trace says how it came to that."""

    def __init__(self, what: str, trace: list[str]) -> None:
        super().__init__(f"{what}, after:\n  " + "\n  ".join(trace))
        self.what = what
        self.trace = trace


class Result(NamedTuple):
    """What was looked at."""

    states: int
    edges: int
    depth: int


def explore(
    initial: State,
    steps: Callable[[State], Iterable[Step[State]]],
    invariant: Callable[[State], str | None],
    goal: Callable[[State], bool],
    *,
    most: int = 2_000_000,
) -> Result:
    """Looks at all reachable states.

    :param invariant: what is wrong with a state, or ``None``.
    :param goal: what must stay possible without any further fault.
    :raises Violation: with the shortest trace.
    :raises AssertionError: there are more than ``most`` states: the model's budget is too large to be
    finished.
    """
    with _without_collections():
        return _explore(initial, steps, invariant, goal, most)


@contextmanager
def _without_collections() -> Iterator[None]:
    """States hold no cycles, and there are so many that looking for cycles takes longer than the steps."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _explore(
    initial: State,
    steps: Callable[[State], Iterable[Step[State]]],
    invariant: Callable[[State], str | None],
    goal: Callable[[State], bool],
    most: int,
) -> Result:
    # To hash or compare a state is slow: it is done once an edge. All else goes by the states' numbers.
    numbers = {initial: 0}
    found = [initial]
    came: list[tuple[int, str] | None] = [None]
    depth = [0]
    before: list[list[int]] = [[]]
    reached: list[bool] = [False]
    back: deque[int] = deque()
    edges = 0
    for number, state in enumerate(found):  # which grows
        wrong = invariant(state)
        if wrong is not None:
            raise Violation(wrong, list(_trace(number, found, came)))
        if goal(state):
            reached[number] = True
            back.append(number)
        for step in steps(state):
            edges += 1
            after = numbers.setdefault(step.state, len(found))
            if after == len(found):
                found.append(step.state)
                came.append((number, step.name))
                depth.append(depth[number] + 1)
                before.append([])
                reached.append(False)
                assert len(found) <= most, f"over {most:,} states: a smaller budget, please"
            if not step.fault:
                before[after].append(number)
    while back:
        for number in before[back.popleft()]:
            if not reached[number]:
                reached[number] = True
                back.append(number)
    if not all(reached):
        trace = _trace(reached.index(False), found, came)  # numbers are in the order of depth
        raise Violation("stuck: without another fault nothing leads to the goal", list(trace))
    return Result(len(found), edges, max(depth))


def _trace(number: int, found: Sequence[State], came: Sequence[tuple[int, str] | None]) -> Iterator[str]:
    names = []
    at = number
    while (link := came[at]) is not None:
        at, name = link
        names.append(name)
    yield from reversed(names)
    yield f"= {found[number]}"


def follow(initial: State, steps: Callable[[State], Iterable[Step[State]]], names: Iterable[str]) -> State:
    """Where steps lead: each is the first whose name begins so."""
    state = initial
    for name in names:
        state = next(step.state for step in steps(state) if step.name.startswith(name))
    return state
