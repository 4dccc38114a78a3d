"""An explicit-state model checker, as small as it can be: breadth first over all interleavings.

Promises: every state that any order of steps reaches, within the model's own budget of faults, is looked
at; the trace to a violation is the shortest there is. ``stuck`` are the states from which no sequence of
steps without a fault leads to a goal.

Source: TLC's breadth-first search (Yu, Manolios, Lamport, "Model checking TLA+ specifications", 1999); the
check of ``stuck`` is CTL's AG EF goal over the edges that are not faults.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
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
    came: dict[State, tuple[State, str] | None] = {initial: None}
    depth = {initial: 0}
    before: dict[State, list[State]] = {}
    goals: list[State] = []
    edges = 0
    queue = deque([initial])
    while queue:
        state = queue.popleft()
        wrong = invariant(state)
        if wrong is not None:
            raise Violation(wrong, list(_trace(state, came)))
        if goal(state):
            goals.append(state)
        for step in steps(state):
            edges += 1
            if step.state not in came:
                came[step.state] = (state, step.name)
                depth[step.state] = depth[state] + 1
                queue.append(step.state)
                assert len(came) <= most, f"over {most:,} states: a smaller budget, please"
            if not step.fault:
                before.setdefault(step.state, []).append(state)
    reached = set(goals)
    back = deque(goals)
    while back:
        for state in before.get(back.popleft(), ()):
            if state not in reached:
                reached.add(state)
                back.append(state)
    for state in came:  # in the order of their depth
        if state not in reached:
            raise Violation(
                "stuck: without another fault nothing leads to the goal", list(_trace(state, came))
            )
    return Result(len(came), edges, max(depth.values()))


def _trace(state: State, came: dict[State, tuple[State, str] | None]) -> Iterator[str]:
    names = []
    at: State = state
    while (link := came[at]) is not None:
        at, name = link
        names.append(name)
    yield from reversed(names)
    yield f"= {state}"


def follow(initial: State, steps: Callable[[State], Iterable[Step[State]]], names: Iterable[str]) -> State:
    """Where steps lead: each is the first whose name begins so."""
    state = initial
    for name in names:
        state = next(step.state for step in steps(state) if step.name.startswith(name))
    return state
