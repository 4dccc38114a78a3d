"""Young gateway sessions as a model: what the marks say that a replica sees, of events that it may never have
received.

A replica loses its gateway connection, and its new session brings only what happens from then on. Meanwhile
a leader runs events and marks them, dies at any moment, and another follows it, with a young session or an
old one. Whatever a replica's tally makes of that is computed by ``Tally`` itself: the model
can't drift from it. What surrounds the tally (``Journal``, ``LeaderService``, etcd, Discord) is mirrored
here; names are theirs.

What is a step: an event reaches a replica, its watch shows it a revision, a leader runs an event, the mark
reaches etcd; a connection ends, IDENTIFY leaves, Discord sends READY, which comes, the marker is written, is
noted; a connection
breaks, and is taken up; a frame is lost, and missed; a leader dies, etcd ends its lease, another leads;
seconds pass; a watch begins anew from a snapshot.

Heartbeats leave when a replica sees a marker, and when its session stands; each is on its way for as long as
it likes: before each event that comes, some of those that can have been answered have been. What it notes is
the last marker that was seen: stamps are compared with nothing else. Those that leave at other times
(discord.py's own, those after a pause) note no other marker, and are left out.

What it leaves out is in ``journal_model``: handlers that outlive their leadership (carries), leases that end.

Assumptions and mechanics, each of which can be dropped:
- ``in_order``: the answer to a heartbeat comes behind all events that had happened when it left.
- ``beats``: stamps are what heartbeats have proven, not how far the watch has come.
- ``early`` is wrong: heartbeats leave before RESUMED, and their answers come before what RESUME brings.
- ``set_back``: whatever a connection ends by, what has been proven since its last frame is so no more; where
  only ``found`` is set, that is done if a later frame tells that one is missing, and not if the connection
  breaks before.
- ``bounded``: ``SETTLE`` seconds pass only when all that could be received and seen has been, and no mark
  has been overtaken.

Where marks may ``overtake`` each other, those of equal events still arrive in order: their versions see to
it. Where leaders have ``drops``, one lets an event go that it receives: its journal is full, say.
"""

from __future__ import annotations

from collections.abc import Iterator

from explore import Step
from sessions_state import Ahead, Marker, Replica, State, tell
from sessions_world import SessionsWorld
from tallies import Mark, lane_of, waits_to_place

from discordha.coordination.journal.entries import NEVER

__all__ = ["SessionsModel"]


class SessionsModel(SessionsWorld):
    """The steps. ``_beats_for``: writes for which heartbeats leave at once."""

    _beats_for: tuple[type, ...] = (Marker,)

    def steps(self, state: State) -> Iterator[Step[State]]:
        """All that may happen next."""
        for number, replica in enumerate(state.replicas):
            if not replica.alive:
                continue
            hears = replica.connected and not (replica.live and replica.missing)
            if hears and self._comes_next(state, replica):
                for proven in self._answered(replica):
                    yield self._receives(state, number, proven)
                    if state.leader == number and state.drops < self._drops:
                        yield self._lets_go(state, number, proven)
            if replica.seen < len(state.log):
                yield self._sees(state, number, replica)
            yield from self._begins_session(state, number, replica)
            yield from self._takes_up(state, number, replica)
            yield from self._reaches(state, number, replica)
            yield from self._leads(state, number, replica)
            yield from self._fails(state, number, replica)
        for at, mark in enumerate(state.wire):
            if at == 0 or (
                self._overtake and all(mark.content != before.content for before in state.wire[:at])
            ):
                yield self._arrives(state, mark)
        if state.leader is not None and not state.replicas[state.leader].alive:
            yield self._lease_ends(state, state.leader)
        if state.calms < self._calms and (not self._bounded or self._is_calm(state)):
            yield self._passes(state)

    def _comes_next(self, state: State, replica: Replica) -> bool:
        """Whether there is an event that may reach a replica now."""
        return replica.received < len(self._stream)

    def _needs_stamps(self, replica: Replica) -> bool:
        """Whether it matters to a replica what is proven."""
        return replica.received < len(self._stream)

    # -- what a replica receives and sees --------------------------------------------------------------------

    def _receives(self, state: State, number: int, replica: Replica) -> Step[State]:
        at = replica.received
        stamp = replica.stamp if self._beats else replica.seen
        node, _ = self._tallies.do(replica.node, "received", self._stream[at], at, stamp)
        reached = max(replica.reached, stamp) if self._waits_to_place(replica) else replica.reached
        replica = replica._replace(
            node=node,
            received=at + 1,
            missing=False,
            in_order=replica.stamp,
            had=replica.had | 1 << at,
            reached=reached,
        )
        if not self._needs_stamps(replica) and not self._waits_to_place(replica):
            replica = replica._replace(stamp=0, in_order=0, beats=())  # nothing will be stamped: fewer states
        after = self._set(state, number, replica)
        return Step(f"{number} receives {self._stream[at]} ({at}), stamped {stamp}", after)

    def _lets_go(self, state: State, number: int, replica: Replica) -> Step[State]:
        at = replica.received
        node, _ = self._tallies.do(replica.node, "drops", self._stream[at], at, replica.stamp)
        replica = replica._replace(node=node, received=at + 1, missing=False, in_order=replica.stamp)
        after = self._set(state, number, replica, drops=state.drops + 1)
        return Step(f"{number} lets {self._stream[at]} ({at}) go", after, fault=True)

    def _sees(self, state: State, number: int, replica: Replica) -> Step[State]:
        write = state.log[replica.seen]
        replica = replica._replace(seen=replica.seen + 1)
        if isinstance(write, Mark):
            node, _ = self._tallies.do(replica.node, "apply", write, replica.seen)
            replica = replica._replace(node=node)
            if self._waits_to_place(replica):
                replica = self._beat(state, replica, replica.seen)
        elif isinstance(write, self._beats_for):
            replica = self._beat(state, replica)
        return Step(f"{number} sees {tell(write)}", self._set(state, number, replica))

    # -- heartbeats ------------------------------------------------------------------------------------------

    def _beat(self, state: State, replica: Replica, mark: int = 0) -> Replica:
        """A heartbeat leaves, unless there is nothing to prove. ``mark``: one that waits to be placed."""
        if not self._beats or not replica.connected or not (replica.live or self._early):
            return replica
        if not self._needs_stamps(replica) and not mark:
            return replica
        markers = (at for at in range(replica.seen, 0, -1) if isinstance(state.log[at - 1], self._beats_for))
        noted = max(mark, next(markers, 0))
        if noted <= max([replica.stamp, *(before for before, _ in replica.beats)]):
            return replica
        behind = self._heard(state) if replica.live and self._in_order else 0
        return replica._replace(beats=(*replica.beats, (noted, behind)))

    def _answered(self, replica: Replica) -> Iterator[Replica]:
        """Whether heartbeats have been answered by now: some of those that may have been. It makes a
        difference only when an event is received, or the connection is not what it was: a step of its own
        would be more states.
        """
        yield replica
        while replica.beats and self._come(replica) >= replica.beats[0][1]:
            noted = replica.beats[0][0]
            replica = replica._replace(stamp=max(replica.stamp, noted), beats=replica.beats[1:])
            yield replica

    def _waits_to_place(self, replica: Replica) -> bool:
        """Whether its tally has marks that wait until everything older has arrived."""
        return bool(self._tallies.ask(replica.node, waits_to_place))

    def _reaches(self, state: State, number: int, replica: Replica) -> Iterator[Step[State]]:
        """``SessionCatchUp``: what heartbeats have proven is told to the tally."""
        if not replica.connected or not self._waits_to_place(replica):
            return
        for proven in self._answered(replica):
            if proven.stamp > replica.reached:
                node, _ = self._tallies.do(proven.node, "reached", proven.stamp)
                told = proven._replace(node=node, reached=proven.stamp)
                yield Step(f"{number} has all from before {proven.stamp}", self._set(state, number, told))

    def _takes_up(self, state: State, number: int, replica: Replica) -> Iterator[Step[State]]:
        """A connection that broke is taken up by RESUME; one that misses a frame is given up for that."""
        if not replica.live and replica.received >= self._heard(state):
            resumed = self._beat(state, replica._replace(live=True))
            yield Step(f"{number} has RESUMED", self._set(state, number, resumed))
        if replica.live and replica.missing:
            for proven in self._proven_after(replica, self._found):
                after = self._set(state, number, self._give_up(state, proven))
                yield Step(f"{number}, proven {proven.stamp}, finds that a frame is missing", after)

    def _proven_after(self, replica: Replica, set_back: bool) -> Iterator[Replica]:
        """What is proven once a connection has ended (``ShardClient._converse``)."""
        if set_back:
            yield replica._replace(stamp=replica.in_order)
        else:
            yield from self._answered(replica)

    def _give_up(self, state: State, replica: Replica) -> Replica:
        return self._beat(state, replica._replace(live=False, beats=()))

    # -- gateway sessions ------------------------------------------------------------------------------------

    def _begins_session(self, state: State, number: int, replica: Replica) -> Iterator[Step[State]]:
        if not replica.connected:
            yield from self._connects(state, number, replica)
            return
        if replica.fresh:
            marker = Marker(number, replica.session)
            yield Step(
                f"the marker of {number} arrives",
                self._set(state, number, replica._replace(fresh=False), log=(*state.log, marker)),
            )
        if self._is_noted(replica) or not self._markers:
            return
        markers = {
            write.session: at + 1
            for at, write in enumerate(state.log[: replica.seen])
            if isinstance(write, Marker) and write.replica == number
        }
        if replica.session in markers or (markers and not self._own_marker):
            node, _ = self._tallies.do(replica.node, "note_session", max(markers.values()))
            noted = replica._replace(node=node, noted=self._last_mark(state, replica))
            yield Step(f"{number} notes its marker", self._set(state, number, noted))

    def _connects(self, state: State, number: int, replica: Replica) -> Iterator[Step[State]]:
        if replica.ahead == Ahead.NONE:
            node, _ = self._tallies.do(replica.node, "identifies")
            identifies = replica._replace(node=node, ahead=Ahead.IDENTIFY)
            if self._late_ready:
                yield Step(f"{number} sends IDENTIFY", self._set(state, number, identifies))
                return
            replica = identifies
        if replica.ahead == Ahead.IDENTIFY:
            # Discord's new session brings what happens from some moment on that is not before anything that
            # anybody has received.
            for since in range(self._heard(state), len(self._stream) + 1):
                greeted = replica._replace(received=since, since=since, ahead=Ahead.READY)
                after = self._set(state, number, greeted)
                if self._late_ready:
                    yield Step(f"Discord sends {number} READY, from {since} on", after)
                else:
                    yield from self._is_ready(after, number, greeted)
            return
        yield from self._is_ready(state, number, replica)

    def _is_ready(self, state: State, number: int, replica: Replica) -> Iterator[Step[State]]:
        if state.leader == number and state.ran:
            return  # carries are the other model's
        node, _ = self._tallies.do(replica.node, "new_session")
        if not self._markers:
            node, _ = self._tallies.do(node, "note_session", replica.seen)
        leader = None if state.leader == number else state.leader
        begun = replica._replace(
            node=node,
            ahead=Ahead.NONE,
            connected=True,
            session=replica.session + 1,
            fresh=self._markers,
            young=True,
            live=True,
            beats=(),
            missing=False,
            noted=0,
            reached=0,
        )
        begun = self._beat(self._set(state, number, begun), begun)
        after = self._set(state, number, begun, leader=leader)
        yield Step(f"{number} has a new session from {replica.since} on", after)

    # -- leadership ------------------------------------------------------------------------------------------

    def _leads(self, state: State, number: int, replica: Replica) -> Iterator[Step[State]]:
        if state.leader is None and replica.connected and replica.live and replica.seen == len(state.log):
            older = any(
                each.alive and each.connected and not each.young
                for at, each in enumerate(state.replicas)
                if at != number
            )
            if not (self._polite and replica.young and older):
                led = replica.seen + 1 if self._says else NEVER
                node, _ = self._tallies.do(replica.node, "leads", led)
                replica = replica._replace(node=node)
                yield Step(f"{number} leads", self._set(state, number, replica, leader=number, ran=()))
        if state.leader != number:
            return
        for lane in sorted({lane_of(content) for content in self._stream}):
            node, ran = self._tallies.do(replica.node, "runs", lane)
            if ran is None:
                continue
            index, occurrence, stamp, session, low, said, doubt, position = ran
            if not self._low_water:
                low = 0
            elif low < 0:
                low = replica.seen
            content = self._stream[index]
            mark = Mark(content, number, stamp, session, occurrence, index, low, said, doubt, position)
            runs = (*state.runs[:index], state.runs[index] + 1, *state.runs[index + 1 :])
            after = self._set(
                state,
                number,
                replica._replace(node=node),
                runs=runs,
                wire=(*state.wire, mark),
                ran=(*state.ran, (content, index)),
            )
            if said and self._says:
                after = after._replace(said=tuple(sorted((*after.said, (number, content)))))
            yield Step(f"{number} runs {content} ({index})", self._judge(after, content, number))

    def _judge(self, state: State, content: str, number: int) -> State:
        """Whether it may have been run once more."""
        if self.left(state, content) >= 0:
            return state
        # The next one is not excused by the same: ``runs`` says what was worth something.
        worth = state._replace(runs=self._less(state.runs, content))
        again = (number, content)
        if not self._repeats or state.again.count(again) < self._doubts(state, number, content):
            if self._says and state.again.count(again) >= state.said.count(again):
                return state._replace(wrong=f"P4: {content} is run again, and its leader does not say so")
            return worth._replace(again=tuple(sorted((*state.again, again))))
        if content in state.excused:
            return worth._replace(excused=state.excused.replace(content, "", 1))
        return state._replace(wrong=f"P4: {content} is run again, and nothing excuses it")

    def _arrives(self, state: State, mark: Mark) -> Step[State]:
        """version == occurrence - 1 -> put."""
        rest = tuple(other for other in state.wire if other != mark)
        version = sum(1 for write in state.log if isinstance(write, Mark) and write.content == mark.content)
        state = state._replace(wire=rest, ran=_without(state.ran, (mark.content, mark.index)))
        if version != mark.occurrence - 1:
            state = state._replace(wrong=f"{tell(mark)} is number {mark.occurrence} after {version}")
        return Step(f"{tell(mark)} arrives", state._replace(log=(*state.log, mark)))

    # -- faults ----------------------------------------------------------------------------------------------

    def _fails(self, state: State, number: int, replica: Replica) -> Iterator[Step[State]]:
        living = sum(1 for each in state.replicas if each.alive)
        if state.deaths < self._deaths and living > 1 and state.leader == number:
            # What nobody asks for any more is left out: fewer states.
            dead = Replica(-1, alive=False, connected=False, received=replica.received, since=replica.since)
            yield Step(f"{number} dies", self._set(state, number, dead, deaths=state.deaths + 1), fault=True)
        if replica.connected:
            yield from self._connection_fails(state, number, replica)
        unseen = range(replica.seen, len(state.log))
        if state.snapshots < self._snapshots and unseen:
            last = {
                write.content: (write, at + 1)
                for at, write in enumerate(state.log)
                if isinstance(write, Mark)
            }
            node, _ = self._tallies.do(replica.node, "snapshot", *last.values())
            anew = self._beat(state, replica._replace(node=node, seen=len(state.log)))
            after = self._set(state, number, anew, snapshots=state.snapshots + 1)
            yield Step(f"the watch of {number} begins anew", after, fault=True)

    def _connection_fails(self, state: State, number: int, replica: Replica) -> Iterator[Step[State]]:
        if number in self._cut:
            if state.sessions < self._sessions:
                for proven in self._proven_after(replica, self._set_back):
                    cut = proven._replace(connected=False, beats=(), missing=False)
                    after = self._set(state, number, cut, sessions=state.sessions + 1)
                    yield Step(f"the session of {number} ends", after, fault=True)
            return
        if not replica.live:
            return
        if state.breaks < self._breaks:
            for proven in self._proven_after(replica, self._set_back):
                broken = self._give_up(state, proven)
                after = self._set(state, number, broken, breaks=state.breaks + 1)
                yield Step(
                    f"the connection of {number} breaks, which had proven {proven.stamp}", after, fault=True
                )
        if state.losses < self._losses and not replica.missing and replica.received < len(self._stream):
            misses = replica._replace(missing=True)
            after = self._set(state, number, misses, losses=state.losses + 1)
            yield Step(f"{number} loses {self._stream[replica.received]}", after, fault=True)

    def _lease_ends(self, state: State, number: int) -> Step[State]:
        """Marks that are on their way are refused from now on: what they are about may be run again."""
        excused = "".join(sorted(state.excused + "".join(content for content, _ in state.ran)))
        return Step(
            f"etcd ends the lease of {number}",
            state._replace(leader=None, wire=(), ran=(), excused=excused),
        )

    def _passes(self, state: State) -> Step[State]:
        replicas = []
        for replica in state.replicas:
            node = self._tallies.do(replica.node, "passes")[0] if replica.alive else replica.node
            if self._bounded:
                *_, replica = self._answered(replica)  # noqa: PLW2901
            replicas.append(replica._replace(node=node, young=False))
        after = state._replace(replicas=tuple(replicas), calms=state.calms + 1)
        return Step("seconds pass", after, fault=True)


def _without(ran: tuple[tuple[str, int], ...], one: tuple[str, int]) -> tuple[tuple[str, int], ...]:
    at = ran.index(one)
    return (*ran[:at], *ran[at + 1 :])
