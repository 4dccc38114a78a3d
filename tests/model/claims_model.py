"""The claim, the session and the fence as a model: one event, several replicas, etcd, and a wire that loses.

What is a step: a request leaves, arrives at etcd (its answer may be lost, and it may arrive long after its
sender gave it up), a handler begins, sends its message, its mark leaves; a replica dies, stands still past
its TTL, begins a new session; etcd ends a lease.

The one rule of time: etcd ends the lease of a replica that lives only after that replica's own deadline has
passed, because the deadline counts from before the keepalive was sent. ``early_lease_end`` breaks it.

Replica 0 is preferred, and claims at once. The others look first. A look may be stale or late: it tells
anything that the key has ever been. Or it is lost: then it is made again. A replica that looks and finds a
claim looks again.

The model follows ``coordination/claims``, ``session.py`` and ``dispatch/router.py``; names are theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from explore import Step

__all__ = ["Break", "ClaimsModel", "State"]

Lease = tuple[int, int]  # replica, number of its session


class Break(NamedTuple):
    """What a broken build does wrong."""

    claim_unchecked: bool = False
    mark_skipped: bool = False
    fence_removed: bool = False
    nonce_removed: bool = False
    early_lease_end: bool = False
    lost_answer_is_won: bool = False
    lost_answer_is_lost: bool = False
    absent_is_won: bool = False  # a stale look in place of a claim
    running_is_final: bool = False  # a late look: its claim may be gone by now
    lost_look_is_done: bool = False


class Replica(NamedTuple):
    """``lease``: the grant that it believes in. ``under``: that of the claim it works under."""

    alive: bool = True
    lease: Lease | None = None
    sessions: int = 1
    phase: str = "wants"  # wants, looks, free, asked, runs, sent, marks, over
    under: Lease | None = None


class Message(NamedTuple):
    """A request on its way to etcd, or to Discord."""

    kind: str  # claim, mark, post
    replica: int
    lease: Lease


Key = tuple[str, Lease | None] | None


class State(NamedTuple):
    """Everything. ``key``: what etcd holds for the event, ``past``: what it has held; ``posts``: messages in
    the channel."""

    replicas: tuple[Replica, ...]
    leases: frozenset[Lease]
    key: Key = None
    past: frozenset[Key] = frozenset({None})
    wire: frozenset[Message] = frozenset()
    posts: int = 0
    deaths: int = 0
    pauses: int = 0
    lost_answers: int = 0
    wrong: str | None = None


class ClaimsModel:
    """Steps, invariant and goal.

    :param deaths: replicas that may die; one always lives.
    :param pauses: times that some replica's deadline passes.
    :param lost_answers: answers of etcd that are lost, requests that are given up on the way.
    """

    def __init__(
        self, replicas: int, *, deaths: int, pauses: int, lost_answers: int, broken: Break | None = None
    ) -> None:
        self._count = replicas
        self._deaths = deaths
        self._pauses = pauses
        self._lost_answers = lost_answers
        self._broken = broken or Break()

    def initial(self) -> State:
        """All have received the event and have a session."""
        leases = [(number, 1) for number in range(self._count)]
        return State(tuple(Replica(lease=lease) for lease in leases), frozenset(leases))

    def invariant(self, state: State) -> str | None:
        """P1, and whatever a step has found wrong: P3 and P5."""
        if state.wrong:
            return state.wrong
        owners = [
            number
            for number, replica in enumerate(state.replicas)
            if replica.alive
            and replica.phase in ("runs", "sent", "marks")
            and replica.under is not None
            and replica.lease == replica.under
            and (state.key is None or state.key[0] != "d")
        ]
        if len(owners) > 1:
            return f"P1: replicas {owners} run it, each with its session"
        if state.posts > 1:
            return "P5: the message stands twice"
        return None

    def goal(self, state: State) -> bool:
        """P2: handled; and marked, unless it was finished by a replica that had lost its session: its mark
        may meet the claim of another, which may be dead.
        """
        marked = state.key is not None and state.key[0] == "d"
        return state.posts >= 1 and (marked or state.pauses > 0)

    def steps(self, state: State) -> Iterator[Step[State]]:
        """All that may happen next."""
        for number, replica in enumerate(state.replicas):
            if replica.alive:
                yield from self._works(state, number, replica)
                yield from self._fails(state, number, replica)
        for message in state.wire:
            yield from self._arrives(state, message)
        for lease in state.leases:
            owner = state.replicas[lease[0]]
            if not owner.alive or owner.lease != lease or self._broken.early_lease_end:
                ended = state._replace(leases=state.leases - {lease})
                yield Step(f"etcd ends {lease}", _holds(ended, None) if state.key == ("r", lease) else ended)

    # -- a replica -------------------------------------------------------------------------------------------

    def _works(self, state: State, number: int, replica: Replica) -> Iterator[Step[State]]:
        if replica.lease is None:
            lease = (number, replica.sessions + 1)
            begun = replica._replace(lease=lease, sessions=lease[1])
            yield Step(
                f"{number} begins session {lease}",
                self._set(state, number, begun, leases=state.leases | {lease}),
            )
        elif replica.phase == "looks":
            yield from self._looks(state, number, replica)
        elif replica.phase == "wants" and number:
            looks = replica._replace(phase="looks")
            yield Step(f"{number} looks", self._set(state, number, looks))
        elif replica.phase == "free" or (replica.phase == "wants" and not self._is_refused(state, replica)):
            asked = replica._replace(phase="asked", under=replica.lease)
            yield Step(f"{number} claims", self._send(state, number, asked, "claim", replica.lease))
        if replica.phase == "runs":
            yield self._acts(state, number, replica)
        elif replica.phase == "sent":
            assert replica.under is not None
            if self._broken.mark_skipped:
                yield Step(f"{number} ends", self._set(state, number, replica._replace(phase="over")))
            else:
                marks = replica._replace(phase="marks")
                yield Step(f"{number} marks", self._send(state, number, marks, "mark", replica.under))

    def _looks(self, state: State, number: int, replica: Replica) -> Iterator[Step[State]]:
        """A look has its answer: what the key is, or was once."""
        for found in {*state.past, state.key}:
            stale = found != state.key
            if found is None and self._broken.absent_is_won:
                heard = replica._replace(phase="runs", under=replica.lease)
            elif found is None or found[1] == replica.lease:  # its own: the next claim finds it
                heard = replica._replace(phase="free")
            elif found[0] == "d" or self._broken.running_is_final:
                heard = replica._replace(phase="over")
            else:
                heard = replica._replace(phase="wants")
            yield Step(f"{number} finds {found}", self._set(state, number, heard), fault=stale)

    def _is_refused(self, state: State, replica: Replica) -> bool:
        """A claim would be refused now: the model makes none, for the sake of its size."""
        return state.key is not None and (
            state.key[0] == "d" or state.key[1] in state.leases - {replica.lease}
        )

    def _acts(self, state: State, number: int, replica: Replica) -> Step[State]:
        """The handler's blocking call: fenced by the session that the claim was made under."""
        assert replica.under is not None
        owned = replica.lease == replica.under
        if not owned and not self._broken.fence_removed:
            back = replica._replace(phase="wants", under=None)
            return Step(f"{number} gets LockLost", self._set(state, number, back))
        sent = replica._replace(phase="sent")
        after = self._send(state, number, sent, "post", replica.under)
        if not owned:
            after = after._replace(wrong="P5: a replica acts without its session")
        return Step(f"{number} sends its message", after)

    def _fails(self, state: State, number: int, replica: Replica) -> Iterator[Step[State]]:
        living = sum(1 for each in state.replicas if each.alive)
        if state.deaths < self._deaths and living > 1:
            dead = Replica(alive=False, sessions=replica.sessions)
            yield Step(f"{number} dies", self._set(state, number, dead, deaths=state.deaths + 1), fault=True)
        if state.pauses < self._pauses and replica.lease is not None:
            late = replica._replace(lease=None)
            after = self._set(state, number, late, pauses=state.pauses + 1)
            yield Step(f"{number} is past its deadline", after, fault=True)
        if state.lost_answers < self._lost_answers and replica.phase == "looks":
            again = replica._replace(phase="over" if self._broken.lost_look_is_done else "wants")
            after = self._set(state, number, again, lost_answers=state.lost_answers + 1)
            yield Step(f"{number} has no answer to its look", after, fault=True)
        if state.lost_answers < self._lost_answers and replica.phase in ("asked", "marks"):
            # Gives up waiting; the request may still arrive.
            after = self._set(state, number, self._unanswered(replica), lost_answers=state.lost_answers + 1)
            yield Step(f"{number} waits no longer for an answer", after, fault=True)

    def _unanswered(self, replica: Replica) -> Replica:
        if replica.phase == "marks":
            return replica._replace(phase="sent")
        if self._broken.lost_answer_is_won:
            return replica._replace(phase="runs")
        if self._broken.lost_answer_is_lost:
            return replica._replace(phase="over", under=None)
        return replica._replace(phase="wants", under=None)

    # -- etcd and Discord ------------------------------------------------------------------------------------

    def _arrives(self, state: State, message: Message) -> Iterator[Step[State]]:
        applied = state._replace(wire=state.wire - {message})
        number, lease = message.replica, message.lease
        if message.kind == "post":
            # Discord knows the nonce: the same on every replica and in every attempt.
            again = state.posts > 0 and not self._broken.nonce_removed
            yield Step(f"the message of {number} arrives", applied._replace(posts=state.posts + (not again)))
            return
        answer = self._claimed if message.kind == "claim" else self._marked
        applied, answered = answer(applied, number, lease)
        yield Step(f"the {message.kind} of {number} under {lease} arrives", answered)
        if state.lost_answers < self._lost_answers and applied.replicas[number].alive:
            replica = applied.replicas[number]
            if replica.under == lease and replica.phase in ("asked", "marks"):
                after = self._set(
                    applied, number, self._unanswered(replica), lost_answers=state.lost_answers + 1
                )
                yield Step(f"the {message.kind} of {number} arrives, its answer is lost", after, fault=True)

    def _claimed(self, state: State, number: int, lease: Lease) -> tuple[State, State]:
        """etcd's transaction, and the same with its answer read: version == 0 -> put under the lease."""
        free = state.key is None or self._broken.claim_unchecked
        if free and lease in state.leases:
            state = _holds(state, ("r", lease))
        replica = state.replicas[number]
        if not replica.alive or replica.phase != "asked" or replica.under != lease:
            return state, state  # nobody waits for this answer any more
        if state.key == ("r", lease):
            return state, self._set(state, number, replica._replace(phase="runs"))
        over = state.key is not None and state.key[0] == "d"
        heard = replica._replace(phase="over" if over else "wants", under=None)
        return state, self._set(state, number, heard)

    def _marked(self, state: State, number: int, lease: Lease) -> tuple[State, State]:
        """create_revision == mine -> put; else version == 0 -> put, for the handler did finish."""
        if state.key in (("r", lease), None):
            state = _holds(state, ("d", None))
        replica = state.replicas[number]
        if not replica.alive or replica.phase != "marks":
            return state, state
        return state, self._set(state, number, replica._replace(phase="over", under=None))

    # -- how a state changes ---------------------------------------------------------------------------------

    def _set(self, state: State, number: int, replica: Replica, **changes: object) -> State:
        before = state.replicas[number]
        replicas = (*state.replicas[:number], replica, *state.replicas[number + 1 :])
        after = state._replace(replicas=replicas, **changes)  # type: ignore[arg-type]
        begins = replica.phase == "runs" and before.phase != "runs"
        if begins and state.key is not None and state.key[0] == "d":
            return after._replace(wrong="P3: it begins again after its mark")
        finished = [each for each in state.replicas if each.phase == "over" and each.under is not None]
        if begins and finished:
            return after._replace(wrong="P3: it begins again though its handler had finished")
        return after

    def _send(self, state: State, number: int, replica: Replica, kind: str, lease: Lease) -> State:
        return self._set(state, number, replica, wire=state.wire | {Message(kind, number, lease)})


def _holds(state: State, key: Key) -> State:
    return state._replace(key=key, past=state.past | {key})
