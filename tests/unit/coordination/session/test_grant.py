"""A grant's life by a stepped clock: dead at its deadline, and never alive again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from discordha.coordination.session import Grant


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_dies_at_its_deadline_without_anyone_acting() -> None:
    clock = Clock()
    grant = Grant(7, 1, 5.0, clock)
    clock.now = 4.999
    assert grant.alive
    clock.now = 5.0
    assert not grant.alive


def test_a_renewal_that_comes_too_late_does_not_bring_it_back() -> None:
    clock = Clock()
    grant = Grant(7, 1, 5.0, clock)
    clock.now = 5.0
    assert not grant.extend(9.0)
    assert not grant.alive


def test_a_renewal_never_shortens_it() -> None:
    grant = Grant(7, 1, 5.0, Clock())
    assert grant.extend(4.0)
    assert grant.deadline == 5.0


steps = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(0.0, 3.0)),
        st.tuples(st.just("renew"), st.floats(0.1, 5.0)),
        st.tuples(st.just("end"), st.just(0.0)),
        st.tuples(st.just("look"), st.just(0.0)),
    ),
    max_size=30,
)


@given(steps)
def test_once_dead_never_alive_again_and_never_alive_past_its_deadline(
    script: list[tuple[str, float]],
) -> None:
    clock = Clock()
    grant = Grant(7, 1, 5.0, clock)
    dead = False
    for step, amount in script:
        if step == "pass":
            clock.now += amount
        elif step == "renew":
            grant.extend(clock.now + amount)
        elif step == "end":
            grant.end()
        alive = grant.alive
        assert not (dead and alive)
        assert not (alive and clock.now >= grant.deadline)
        dead = dead or not alive
