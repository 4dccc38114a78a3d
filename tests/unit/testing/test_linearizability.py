"""The linearizability checker: agrees with brute force, and sees each broken object."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linearizability import MODELS, Call, Model, check

#: Each object, and the operations that clients call on it.
OPERATIONS: dict[str, tuple[str, ...]] = {
    "register": ("get", "set", "delete"),
    "counter": ("increment",),
    "once": ("get_or_set",),
}


def by_force(history: Sequence[Call], model: Model) -> bool:
    """Every order of every choice of the unfinished operations."""
    known = [call for call in history if call.returned < math.inf]
    unknown = [call for call in history if call.returned == math.inf]
    for size in range(len(unknown) + 1):
        for more in itertools.combinations(unknown, size):
            for order in itertools.permutations([*known, *more]):
                if all(a.invoked <= b.returned for a, b in itertools.combinations(order, 2)) and fits(
                    order, model
                ):
                    return True
    return False


def fits(order: Sequence[Call], model: Model) -> bool:
    state: Any = model.initial
    for call in order:
        after = model.step(state, call, call.returned < math.inf)
        if after is None:
            return False
        state = after[0]
    return True


def calls(kind: str) -> st.SearchStrategy[list[Call]]:
    results = {
        "register": lambda what: st.sampled_from([None, 1, 2]) if what == "get" else st.booleans(),
        "counter": lambda what: st.integers(1, 4),
        "once": lambda what: st.sampled_from([1, 2]),
    }[kind]

    def one(what: str) -> st.SearchStrategy[Call]:
        argument = st.just(1) if kind == "counter" else st.sampled_from([1, 2])
        return st.builds(
            lambda given, begun, lasts, result: Call(what, given, begun, begun + lasts, result),
            argument,
            st.integers(0, 6).map(float),
            st.sampled_from([0.5, 1.5, 3.5, math.inf]),
            results(what),
        )

    return st.lists(st.sampled_from(OPERATIONS[kind]).flatmap(one), max_size=4)


@pytest.mark.parametrize("kind", OPERATIONS)
def test_agrees_with_every_order_tried_out(kind: str) -> None:
    @settings(max_examples=60)
    @given(calls(kind))
    def agrees(history: list[Call]) -> None:
        assert (check(history, MODELS[kind]) is None) == by_force(history, MODELS[kind])

    agrees()


class Register:
    """A register that clients use at the same time, each operation taking effect at one moment within it."""

    def __init__(self, broken: str | None) -> None:
        self.value: Any = None
        self.before: Any = None
        self.count = 0
        self.broken = broken

    def get(self, _: Any, chance: random.Random) -> Any:
        return self.before if self.broken == "stale reads" and chance.random() < 0.15 else self.value

    def set(self, value: Any, chance: random.Random) -> None:
        if self.broken == "lost writes" and chance.random() < 0.5:
            return
        self.before, self.value = self.value, value

    def get_or_set(self, value: Any, chance: random.Random) -> Any:
        if self.value is None or (self.broken == "two firsts" and chance.random() < 0.15):
            self.value = value
        return self.value

    def increment(self, by: int, chance: random.Random) -> int:
        if not (self.broken == "lost updates" and chance.random() < 0.15):
            self.count += by
        if self.broken == "counted twice" and chance.random() < 0.15:
            self.count += by
        return self.count


def history_of(kind: str, broken: str | None, seed: int) -> list[Call]:
    """Four clients' operations on one object."""
    chance, made = random.Random(f"{kind} {broken} {seed}"), Register(broken)
    clock, calls, busy = 0.0, [], [0.0] * 4
    for number in range(60):
        client = min(range(4), key=lambda each: (busy[each], chance.random()))
        clock = max(clock, busy[client]) + chance.random() * 0.1
        what = chance.choice({"register": ("get", "get", "get", "set")}.get(kind, OPERATIONS[kind]))
        argument = 1 if kind == "counter" else number + 1
        call: Callable[[Any, random.Random], Any] = getattr(made, what)
        result = call(argument, chance)
        begun, ended = clock - chance.random() * 0.1, clock + chance.random() * 0.1
        busy[client] = ended
        calls.append(Call(what, argument, begun, math.inf if chance.random() < 0.05 else ended, result))
    return calls


@pytest.mark.parametrize("kind", OPERATIONS)
def test_a_right_object_passes(kind: str) -> None:
    for seed in range(20):
        assert check(history_of(kind, None, seed), MODELS[kind]) is None


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        ("register", "stale reads"),
        ("register", "lost writes"),
        ("once", "two firsts"),
        ("counter", "lost updates"),
        ("counter", "counted twice"),
    ],
)
def test_a_broken_object_is_seen(kind: str, broken: str) -> None:
    seen = 0
    for seed in range(20):
        bad = check(history_of(kind, broken, seed), MODELS[kind])
        seen += bad is not None
        if bad is not None:
            assert check(bad, MODELS[kind]) is not None  # the part that it shows is broken by itself
    assert seen >= 10, f"{broken} was seen in {seen} of 20 histories"


def test_a_lock_has_one_holder_and_rising_tokens() -> None:
    lock = MODELS["lock"]
    held = [
        Call("acquire", None, 0.0, 1.0, 5),
        Call("release", 5, 2.0, 3.0),
        Call("acquire", None, 1.5, 4.0, 7),
    ]
    assert check(held, lock) is None
    assert check([held[0], held[2]._replace(returned=1.9)], lock) is not None  # two holders
    assert check([*held[:2], held[2]._replace(result=4)], lock) is not None  # an older token


def test_an_unanswered_operation_may_have_happened_or_not() -> None:
    register = MODELS["register"]
    unknown = Call("set", 1, 0.0, math.inf)
    assert check([unknown, Call("get", None, 1.0, 2.0, 1)], register) is None
    assert check([unknown, Call("get", None, 1.0, 2.0, None)], register) is None
    gone = [unknown, Call("get", None, 1.0, 2.0, 1), Call("get", None, 3.0, 4.0, None)]
    assert check(gone, register) == gone
