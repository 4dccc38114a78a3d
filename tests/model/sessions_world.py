"""The world of ``sessions_model``: its bounds, how it begins, what must hold, what is known of a state."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sessions_state import Replica, State
from tallies import Mark, Tallies, lane_of, revision_of

from discordha.coordination.journal.tally import Tally

__all__ = ["SessionsWorld"]


class SessionsWorld:
    """Bounds, invariant and goal.

    :param stream: events, a letter each; equal letters are equal events; capitals have a lane of their own.
    :param deaths: how many replicas die; ``sessions``: how many connections end; ``calms``: how often
        ``SETTLE`` seconds pass; ``snapshots``: how often a watch begins anew; ``breaks``: how
        often the connection of one whose session does not end breaks, and is taken up by RESUME; ``losses``:
        how often a frame of such a one is lost.
    :param cut: whose connections may end; ``ended``: they have ended in the beginning.
    :param low_water: whether marks tell it.
    :param drops: how many events a leader lets go.
    :param lively: whether the goal can be reached; a leader may lack what another has.
    :param tally: the class that keeps count.
    :param markers: whether sessions write them; else how far a replica's own watch has come stands for it.
        ``own_marker``: whether only that of the present session counts (``Journal.note_session`` refuses that
        of another).
    :param polite: a young replica leads only when no older one lives (``CandidacyPolicy``).
    :param late_ready: whether marks may be seen while READY is on its way; else a session begins at once.
    :param says: whether who runs an event again has to say so (``Journal.begin``).
    """

    def __init__(
        self,
        replicas: int,
        stream: str,
        *,
        deaths: int = 1,
        sessions: int = 1,
        calms: int = 1,
        snapshots: int = 0,
        breaks: int = 0,
        losses: int = 0,
        cut: Collection[int] = (1,),
        ended: bool = False,
        tally: type[Tally] = Tally,
        markers: bool = True,
        own_marker: bool = True,
        polite: bool = True,
        in_order: bool = True,
        beats: bool = True,
        early: bool = False,
        set_back: bool = True,
        found: bool = True,
        bounded: bool = True,
        overtake: bool = False,
        drops: int = 0,
        lively: bool = True,
        low_water: bool = False,
        repeats: bool = True,
        late_ready: bool = False,
        says: bool = False,
    ) -> None:
        self._count = replicas
        self._stream = stream
        self._deaths = deaths
        self._sessions = sessions
        self._calms = calms
        self._snapshots = snapshots
        self._breaks = breaks
        self._losses = losses
        self._ended = ended
        self._cut = frozenset(cut)
        self._markers = markers
        self._own_marker = own_marker
        self._polite = polite
        self._in_order = in_order
        self._beats = beats
        self._early = early
        self._set_back = set_back
        self._found = found
        self._bounded = bounded
        self._overtake = overtake
        self._drops = drops
        self._lively = lively
        self._low_water = low_water
        self._repeats = repeats
        self._late_ready = late_ready
        self._says = says
        self._tallies = Tallies(tally)

    def initial(self) -> State:
        """All are connected, have been for long, and nothing has happened. The first one leads."""
        replicas = []
        for number in range(self._count):
            replicas.append(
                Replica(
                    self._tallies.settled(str(number)), connected=not (self._ended and number in self._cut)
                )
            )
        return State(tuple(replicas), runs=(0,) * len(self._stream))

    def invariant(self, state: State) -> str | None:
        """What a step has found wrong; and what is lost: fewer are left to be run than have to be."""
        if state.wrong:
            return state.wrong
        living = [replica for replica in state.replicas if replica.alive]
        held = [self._tallies.held(replica.node) for replica in living]
        for content in set(self._stream):
            left = sum(keys.count(content) for keys in held)
            for at, other in enumerate(self._stream):
                if other == content:
                    come = sum(1 for replica in living if replica.received <= at)
                    left += come if self._is_known(state, at) else max(come - 1, 0)
            if self.left(state, content) > left:
                return f"P2: {content} is lost"
        return None

    def goal(self, state: State) -> bool:
        """P2 and P4: whatever a replica that lives has received, or has been run, is run."""
        if not self._lively:
            return True
        return all(
            replica.received == len(self._stream) for replica in state.replicas if replica.alive
        ) and all(self.left(state, content) <= 0 for content in set(self._stream))

    def left(self, state: State, content: str) -> int:
        """How many of the equal events that are known have not been run."""
        same = [at for at, other in enumerate(self._stream) if other == content]
        return sum(self._is_known(state, at) for at in same) - sum(state.runs[at] for at in same)

    @staticmethod
    def _is_known(state: State, at: int) -> bool:
        """Whether an event has been run, or received by a replica that lives."""
        return state.runs[at] > 0 or any(
            replica.alive and replica.had >> at & 1 for replica in state.replicas
        )

    @staticmethod
    def _come(replica: Replica) -> int:
        """How many frames were sent to a replica before what it gets now."""
        return replica.received + replica.missing

    @staticmethod
    def _last_mark(state: State, replica: Replica) -> int:
        """How far its watch has come, but for what tells nothing of events: fewer states."""
        marks = (at for at in range(replica.seen, 0, -1) if isinstance(state.log[at - 1], Mark))
        return next(marks, 0)

    def _is_noted(self, replica: Replica) -> bool:
        return self._tallies.ask(replica.node, revision_of) is not None

    def _heard(self, state: State) -> int:
        """How many events have happened for sure."""
        return max(max(self._come(each), each.since) for each in state.replicas)

    def _is_calm(self, state: State) -> bool:
        heard = self._heard(state)
        return not self._is_overtaken(state) and all(
            each.connected
            and each.live
            and each.received >= heard
            and each.seen == len(state.log)
            and not each.fresh
            and self._is_noted(each)
            for each in state.replicas
            if each.alive
        )

    @staticmethod
    def _is_overtaken(state: State) -> bool:
        """Whether the mark of a later event has arrived before that of an earlier one."""
        last = max((write.index for write in state.log if isinstance(write, Mark)), default=-1)
        return any(mark.index < last for mark in state.wire)

    @staticmethod
    def _set(state: State, number: int, replica: Replica, **changes: Any) -> State:
        replicas = (*state.replicas[:number], replica, *state.replicas[number + 1 :])
        return state._replace(replicas=replicas, **changes)

    def _doubts(self, state: State, number: int, content: str) -> int:
        """How many equal events a leader may run again: it received them in a session that those who ran
        them did not know of when they received them, or saw their marks before it had noted its marker. But
        not if a later event of the lane, and of a content that leaves no doubt, was received here, too, and
        marked by one who did know; unless there were equal ones of both kinds, whose marks may have been
        taken for each other.
        """
        replica = state.replicas[number]
        revision = self._tallies.ask(replica.node, revision_of)
        marks = [
            (at, write)
            for at, write in enumerate(state.log)
            if isinstance(write, Mark)
            and write.replica != number
            and write.index >= replica.since
            and (write.again or not replica.told >> write.index & 1)
            and lane_of(write.content) == lane_of(content)
        ]
        uncertain = [
            mark
            for at, mark in marks
            if mark.again or revision is None or mark.stamp < revision or at < replica.noted
        ]
        unclear = {mark.content for mark in uncertain}
        clear = [
            mark.index for _, mark in marks if mark.content not in unclear and mark.index < replica.received
        ]
        mixed = any(mark.content == content for _, mark in marks if mark not in uncertain)
        last = -1 if mixed else max(clear, default=-1)
        return sum(1 for mark in uncertain if mark.content == content and mark.index > last)

    def _less(self, runs: tuple[int, ...], content: str) -> tuple[int, ...]:
        at = next(at for at, other in enumerate(self._stream) if other == content and runs[at] > 1)
        return (*runs[:at], runs[at] - 1, *runs[at + 1 :])
