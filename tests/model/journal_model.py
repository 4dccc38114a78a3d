"""The standby journal as a model: a lane of events without identity, a leader, and others that keep count.

Every replica receives the same events in the same order, each at its own time; the leader runs them in
order and leaves a mark for each; every replica strikes one event out for each mark that it sees, whichever
comes first.

What is a step: an event reaches a replica, a mark reaches etcd, a mark is seen, a handler begins or ends; a
leader is elected, has caught up, resigns with what it still runs, loses its session, dies.

The model follows ``Journal`` and ``Tally``; names are theirs. It leaves out what
rests on time: young gateway sessions, the end of a mark's lease.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from explore import Step

__all__ = ["Break", "JournalModel", "State"]


class Break(NamedTuple):
    """What a broken build does wrong."""

    strikes_by_hash: bool = False
    ignores_early_marks: bool = False
    forgets_marks_under_way: bool = False
    leads_before_it_has_caught_up: bool = False
    resigns_without_carries: bool = False
    marks_by_put_not_by_version: bool = False


class Entry(NamedTuple):
    """``index``: its place in the stream. ``term``: of the leadership that it was run under.
    ``occurrence``: the version that its mark will get.
    """

    content: str
    index: int
    state: str = "held"  # held, runs, finished, refused
    term: int = 0
    occurrence: int = 0


class Mark(NamedTuple):
    """On its way to etcd; and, as a carry, the promise of a leader that has resigned to send it."""

    replica: int
    term: int
    content: str
    occurrence: int
    index: int


class Write(NamedTuple):
    """One revision of etcd, as the watch shows it: a mark and the carry that goes with it, or carries
    alone.
    """

    content: str = ""
    put: frozenset[Mark] = frozenset()
    deleted: frozenset[Mark] = frozenset()


class Replica(NamedTuple):
    """``received``: events so far. ``seen``: revisions so far. ``carried``: as the watch shows it.
    ``term``: of its leadership, 0 without.
    """

    alive: bool = True
    received: int = 0
    entries: tuple[Entry, ...] = ()
    surplus: str = ""
    seen: int = 0
    carried: frozenset[Mark] = frozenset()
    term: int = 0
    acts: bool = False


class State(NamedTuple):
    """Everything. ``log``: etcd's revisions; ``carries``: what resigned leaders still run."""

    replicas: tuple[Replica, ...]
    log: tuple[Write, ...] = ()
    leader: tuple[int, int] | None = None  # replica, term
    terms: int = 0
    carries: frozenset[Mark] = frozenset()
    wire: frozenset[Mark] = frozenset()
    handled: tuple[int, ...] = ()
    excused: str = ""  # contents that may be run once more: in flight when their leader was lost
    faults: int = 0
    wrong: str | None = None


class JournalModel:
    """Steps, invariant and goal.

    :param stream: the events of one lane, a letter each; equal letters are equal events.
    :param faults: how often in all a leader dies, loses its session or resigns.
    """

    def __init__(self, replicas: int, stream: str, *, faults: int, broken: Break | None = None) -> None:
        self._count = replicas
        self._stream = stream
        self._faults = faults
        self._broken = broken or Break()

    def initial(self) -> State:
        """Nothing has happened."""
        return State(tuple(Replica() for _ in range(self._count)), handled=(0,) * len(self._stream))

    def invariant(self, state: State) -> str | None:
        """Whatever a step has found wrong: out of order, or more often than a lost leader excuses."""
        return state.wrong

    def goal(self, state: State) -> bool:
        """P4: each is handled, marked, and nobody keeps anything."""
        living = [replica for replica in state.replicas if replica.alive]
        return all(state.handled) and all(
            not replica.entries and not replica.surplus and replica.received == len(self._stream)
            for replica in living
        )

    def steps(self, state: State) -> Iterator[Step[State]]:
        """All that may happen next."""
        for number, replica in enumerate(state.replicas):
            if not replica.alive:
                continue
            if replica.received < len(self._stream):
                yield self._receives(state, number, replica)
            if replica.seen < len(state.log):
                yield self._sees(state, number, replica)
            if state.leader is None:
                elected = replica._replace(term=state.terms + 1)
                after = self._set(
                    state, number, elected, leader=(number, state.terms + 1), terms=state.terms + 1
                )
                yield Step(f"{number} is elected", after)
            if replica.term and not replica.acts:
                caught_up = replica.seen == len(state.log) or self._broken.leads_before_it_has_caught_up
                if caught_up:
                    yield Step(f"{number} acts as leader", self._acts(state, number, replica))
            yield from self._runs(state, number, replica)
            yield from self._fails(state, number, replica)
        for mark in state.wire:
            yield self._arrives(state, mark)

    # -- events and marks ------------------------------------------------------------------------------------

    def _receives(self, state: State, number: int, replica: Replica) -> Step[State]:
        content = self._stream[replica.received]
        replica = replica._replace(received=replica.received + 1)
        if content in replica.surplus:
            replica = replica._replace(surplus=replica.surplus.replace(content, "", 1))
        else:
            replica = replica._replace(entries=(*replica.entries, Entry(content, replica.received - 1)))
        return Step(f"{number} receives {content}", self._set(state, number, replica))

    def _sees(self, state: State, number: int, replica: Replica) -> Step[State]:
        write = state.log[replica.seen]
        replica = replica._replace(
            seen=replica.seen + 1, carried=(replica.carried | write.put) - write.deleted
        )
        content = write.content
        if not content:
            return Step(f"{number} sees the carries", self._set(state, number, replica))
        same = [entry for entry in replica.entries if entry.content == content]
        entries = replica.entries
        surplus = replica.surplus
        if self._broken.strikes_by_hash:
            entries = tuple(entry for entry in entries if entry.content != content)
        elif same:
            at = entries.index(same[0])
            entries = (*entries[:at], *entries[at + 1 :])
        elif not self._broken.ignores_early_marks:
            surplus = "".join(sorted(surplus + content))
        replica = replica._replace(entries=entries, surplus=surplus)
        return Step(f"{number} sees the mark of {content}", self._set(state, number, replica))

    def _arrives(self, state: State, mark: Mark) -> Step[State]:
        """Leadership stands, or the carry does, and version == occurrence - 1 -> put."""
        state = state._replace(wire=state.wire - {mark})
        leads = state.leader == (mark.replica, mark.term)
        version = _version(state.log, mark.content)
        next_one = version == mark.occurrence - 1 or self._broken.marks_by_put_not_by_version
        name = f"the mark of {mark.content} number {mark.occurrence} by {mark.replica} arrives"
        if (leads or mark in state.carries) and next_one:
            write = Write(mark.content, deleted=state.carries & {mark})
            return Step(name, state._replace(log=(*state.log, write), carries=state.carries - {mark}))
        replica = state.replicas[mark.replica]
        if not replica.alive or version >= mark.occurrence:
            return Step(name + ", known", state)
        for at, entry in enumerate(replica.entries):
            if entry.index == mark.index and entry.state == "finished":
                return Step(name + ", refused", self._refused(state, mark, replica, at))
        return Step(name + ", nobody cares", state)

    def _refused(self, state: State, mark: Mark, replica: Replica, at: int) -> State:
        """While it leads it asks again; else it keeps in mind that it has run the event, in case it leads
        again.
        """
        entry = replica.entries[at]
        carried = any((mine.replica, mine.index) == (mark.replica, mark.index) for mine in state.carries)
        if not replica.acts and not carried:
            return self._set(state, mark.replica, self._put(replica, at, entry._replace(state="refused")))
        again = entry._replace(term=replica.term) if replica.acts else entry
        wire = state.wire | {Mark(mark.replica, again.term, again.content, again.occurrence, again.index)}
        return self._set(state, mark.replica, self._put(replica, at, again), wire=wire)

    def _acts(self, state: State, number: int, replica: Replica) -> State:
        """What it has run before, and could not mark, it marks now."""
        entries, wire = [], set(state.wire)
        for at, entry in enumerate(replica.entries):
            again = entry
            under_way = entry.state == "finished" and not self._broken.forgets_marks_under_way
            if entry.state == "refused" or under_way:
                occurrence = self._occurrence(state, replica, at)
                again = entry._replace(state="finished", term=replica.term, occurrence=occurrence)
            if entry.state == "refused":
                wire.add(Mark(number, replica.term, entry.content, occurrence, entry.index))
            entries.append(again)
        acts = replica._replace(acts=True, entries=tuple(entries))
        return self._set(state, number, acts, wire=frozenset(wire))

    # -- handlers --------------------------------------------------------------------------------------------

    def _runs(self, state: State, number: int, replica: Replica) -> Iterator[Step[State]]:
        running = next((entry for entry in replica.entries if entry.state == "runs"), None)
        if running is not None:
            yield self._ends(state, number, replica, running)
            return
        first = next((entry for entry in replica.entries if entry.state == "held"), None)
        if first is None or not replica.acts or self._is_blocked(state, number, replica):
            return
        at = replica.entries.index(first)
        occurrence = self._occurrence(state, replica, at)
        begun = first._replace(state="runs", term=replica.term, occurrence=occurrence)
        after = self._set(state, number, self._put(replica, at, begun))
        yield Step(f"{number} begins {first.content} number {occurrence}", after)

    def _occurrence(self, state: State, replica: Replica, at: int) -> int:
        content = replica.entries[at].content
        before = sum(1 for entry in replica.entries[:at] if entry.content == content)
        return _version(state.log[: replica.seen], content) + 1 + before

    def _is_blocked(self, state: State, number: int, replica: Replica) -> bool:
        """Another still runs an event of this lane, from when it led."""
        carried = {(mark.content, mark.occurrence) for mark in replica.carried if mark.replica != number}
        return any(
            (entry.content, self._occurrence(state, replica, at)) in carried
            for at, entry in enumerate(replica.entries)
        )

    def _ends(self, state: State, number: int, replica: Replica, entry: Entry) -> Step[State]:
        at = replica.entries.index(entry)
        replica = self._put(replica, at, entry._replace(state="finished"))
        mark = Mark(number, entry.term, entry.content, entry.occurrence, entry.index)
        state = self._note(state, entry)
        after = self._set(state, number, replica, wire=state.wire | {mark})
        return Step(f"{number} ends {entry.content} number {entry.occurrence}", after)

    def _note(self, state: State, entry: Entry) -> State:
        """Counts a handler's end, and says whether it may be."""
        positions = [at for at, content in enumerate(self._stream) if content == entry.content]
        if entry.occurrence > len(positions):
            return state._replace(
                wrong=f"{entry.content} is run as number {entry.occurrence}: there are fewer"
            )
        at = positions[entry.occurrence - 1]
        handled = (*state.handled[:at], state.handled[at] + 1, *state.handled[at + 1 :])
        state = state._replace(handled=handled)
        if handled[at] == 1:
            return state if all(handled[:at]) else state._replace(wrong=f"P4: event {at} is run out of order")
        if entry.content not in state.excused:
            return state._replace(wrong=f"P4: event {at} is run again, and no leader was lost with it")
        return state._replace(excused=state.excused.replace(entry.content, "", 1))

    # -- faults ----------------------------------------------------------------------------------------------

    def _fails(self, state: State, number: int, replica: Replica) -> Iterator[Step[State]]:
        if state.faults >= self._faults:
            return
        state = state._replace(faults=state.faults + 1)
        under_way = [entry for entry in replica.entries if entry.state in ("runs", "finished", "refused")]
        excused = "".join(sorted(state.excused + "".join(entry.content for entry in under_way)))
        leader = None if state.leader is not None and state.leader[0] == number else state.leader
        gone = frozenset(mark for mark in state.carries if mark.replica == number)
        log = (*state.log, Write(deleted=gone)) if gone else state.log
        if sum(1 for each in state.replicas if each.alive) > 1:
            after = self._set(
                state,
                number,
                Replica(alive=False),
                excused=excused,
                leader=leader,
                carries=state.carries - gone,
                log=log,
            )
            yield Step(f"{number} dies", after, fault=True)
        if not replica.term:
            return
        lost = replica._replace(term=0, acts=False, entries=tuple(self._given_up(replica)))
        after = self._set(
            state, number, lost, excused=excused, leader=leader, carries=state.carries - gone, log=log
        )
        yield Step(f"{number} loses its session", after, fault=True)
        resigned = replica._replace(term=0, acts=False)
        left = {
            Mark(number, entry.term, entry.content, entry.occurrence, entry.index)
            for entry in under_way
            if entry.term == replica.term
            and entry.state != "refused"
            and _version(state.log, entry.content) < entry.occurrence
        }
        if left and not self._broken.resigns_without_carries:
            state = state._replace(log=(*state.log, Write(put=frozenset(left))), carries=state.carries | left)
        yield Step(f"{number} resigns", self._set(state, number, resigned, leader=leader), fault=True)

    def _given_up(self, replica: Replica) -> Iterator[Entry]:
        """Handlers get LockLost: what ran is held again."""
        for entry in replica.entries:
            yield Entry(entry.content, entry.index) if entry.state == "runs" else entry

    # -- how a state changes ---------------------------------------------------------------------------------

    @staticmethod
    def _put(replica: Replica, at: int, entry: Entry) -> Replica:
        return replica._replace(entries=(*replica.entries[:at], entry, *replica.entries[at + 1 :]))

    @staticmethod
    def _set(state: State, number: int, replica: Replica, **changes: object) -> State:
        replicas = (*state.replicas[:number], replica, *state.replicas[number + 1 :])
        return state._replace(replicas=replicas, **changes)  # type: ignore[arg-type]


def _version(log: tuple[Write, ...], content: str) -> int:
    """Of the key that counts a content's marks."""
    return sum(1 for write in log if write.content == content)
