"""Young gateway sessions and a watermark: ``sessions_model``, where a leader tells how far it has come,
instead of answering questions (``watermark_tally``). The product does not do so; docs/design.md says why.

What is a step beyond those of ``sessions_model``: a young replica writes a checkpoint, and everybody sends a
heartbeat who sees it; a leader writes its low. Nothing depends on them: they need not be.

Where the checkpoint goes ``through`` Discord, the letter M in the stream is its own event there: everybody
receives it, in its place among the others, and no heartbeat proves anything for it.

What may run again after that, and is excused: as many equal events as came in the *window*, which is behind
what the checkpoint counts, and before the leader's stamps pass it. ``exact``: nothing is.

Checks, each of which can be dropped:
- ``acknowledged``: a leader that has marked everything waits for a heartbeat that proves it has received it.
- ``since``: the leader's session began before those entries came that the checkpoint counts.
- ``complete``: a leader that let an event go tells nothing.
- ``counted``: they are counted before the checkpoint is written, not once the watch shows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from explore import Step
from sessions_model import SessionsModel
from sessions_state import Checkpoint, Low, Marker, Replica, State, tell
from tallies import Mark, revision_of
from watermark_tally import WatermarkTally

from discordha.coordination.journal.tally import Tally

__all__ = ["THROUGH_DISCORD", "WatermarkModel"]

#: The event of a checkpoint that goes through Discord.
THROUGH_DISCORD = "M"


class WatermarkModel(SessionsModel):
    """Steps, invariant and goal. ``struck``: how many lows were looked at that struck something out.

    :param checkpoints: how many there are.
    :param options: those of ``SessionsModel``.
    """

    def __init__(
        self,
        replicas: int,
        stream: str,
        *,
        checkpoints: int = 1,
        exact: bool = False,
        acknowledged: bool = True,
        since: bool = True,
        counted: bool = True,
        complete: bool = True,
        tally: type[Tally] = WatermarkTally,
        **options: Any,
    ) -> None:
        self._through = THROUGH_DISCORD in stream
        if not self._through:
            self._beats_for = (Marker, Checkpoint)
        super().__init__(replicas, stream, tally=tally, **options)
        self._checkpoints = checkpoints
        self._exact = exact
        self._acknowledged = acknowledged
        self._since = since
        self._counted = counted
        self._complete = complete
        self.struck = 0

    def steps(self, state: State) -> Iterator[Step[State]]:
        """All that may happen next."""
        yield from super().steps(state)
        for number, replica in enumerate(state.replicas):
            if replica.alive and state.leader != number and state.asks < self._checkpoints:
                yield from self._writes_checkpoint(state, number, replica)
        if state.leader is not None:
            yield from self._writes_low(state, state.leader, state.replicas[state.leader])

    def _writes_checkpoint(self, state: State, number: int, replica: Replica) -> Iterator[Step[State]]:
        if not self._is_noted(replica):
            return
        if not self._through and not self._tallies.ask(replica.node, _may_ask):
            return
        if not self._through:
            node, _ = self._tallies.do(replica.node, "checkpoint", 0)
            replica = replica._replace(node=node)
        checkpoint = Checkpoint(number, state.asks + 1, replica.received)
        log = (*state.log, checkpoint)
        written = self._set(state, number, replica, log=log, asks=checkpoint.number)
        yield Step(f"{tell(checkpoint)} arrives", written, fault=True)

    def _writes_low(self, state: State, number: int, replica: Replica) -> Iterator[Step[State]]:
        """Only one that tells something: fewer states."""
        if not replica.alive or not replica.connected or not replica.live or not self._is_noted(replica):
            return
        if state.drops and self._complete:
            return
        told = max((write.low for write in state.log if isinstance(write, Low)), default=0)
        seen = [at + 1 for at, write in enumerate(state.log[: replica.seen]) if isinstance(write, Checkpoint)]
        for proven in self._answered(replica):
            acknowledged = proven.stamp if self._acknowledged else replica.seen
            _, low = self._tallies.do(replica.node, "low", acknowledged)
            reached = max((at for at in seen if at <= low), default=0)
            if reached > told:
                began = self._tallies.ask(replica.node, revision_of)
                write = Low(number, reached, began if self._since else 0)
                arrived = self._set(state, number, proven, log=(*state.log, write))
                yield Step(f"{tell(write)} arrives", arrived, fault=True)
                return

    def _sees(self, state: State, number: int, replica: Replica) -> Step[State]:
        step = super()._sees(state, number, replica)
        write, after = state.log[replica.seen], step.state.replicas[number]
        if isinstance(write, Checkpoint) and write.replica == number:
            node = after.node
            if not self._counted:
                node, _ = self._tallies.do(node, "checkpoint", 0)
            node, _ = self._tallies.do(node, "note_checkpoint", replica.seen + 1)
            return step._replace(state=self._set(step.state, number, after._replace(node=node)))
        if isinstance(write, Low):
            return step._replace(state=self._takes(step.state, number, write))
        return step

    def _takes(self, state: State, number: int, low: Low) -> State:
        """A replica takes a leader's low."""
        replica = state.replicas[number]
        if number in {state.leader, low.replica}:
            return state
        node, struck = self._tallies.do(replica.node, "passed", low.low, low.began)
        self.struck += struck > 0
        told = replica.told | self._told(state, replica, low)
        return self._set(state, number, replica._replace(node=node, told=told))

    def _told(self, state: State, replica: Replica, low: Low) -> int:
        """Which events a low tells of, as handled: those that the last checkpoint counts, which ends the ones
        before it. As many of them
        stay hidden as there are equal ones from the window that were marked by then.
        """
        number = state.replicas.index(replica)
        if self._through and THROUGH_DISCORD not in self._stream[: replica.received]:
            return 0
        own = [
            (at + 1, write)
            for at, write in enumerate(state.log)
            if isinstance(write, Checkpoint) and write.replica == number
        ]
        revision = self._tallies.ask(replica.node, revision_of)
        if not own or own[-1][0] > low.low or revision is None:
            return 0
        at, checkpoint = own[-1]
        counted = self._counts(state, at, checkpoint)
        marks = [write for write in state.log[: replica.seen] if isinstance(write, Mark)]
        told = 0
        for content in set(self._stream):
            same = [mark for mark in marks if mark.content == content and mark.index >= replica.since]
            over = [mark for mark in same if mark.index < counted]
            window = [mark for mark in same if mark.index >= counted and revision <= mark.stamp < at]
            # A mark that is certain struck out another one: what stays hidden is one that left a doubt.
            over.sort(key=lambda mark: mark.stamp < revision)
            kept = len(over) - (0 if self._exact else len(window))
            told |= sum(1 << mark.index for mark in over[: max(kept, 0)])
        return told

    def _counts(self, state: State, at: int, checkpoint: Checkpoint) -> int:
        """Up to which event a checkpoint counts."""
        if self._through:
            return self._stream.index(THROUGH_DISCORD)
        return checkpoint.received

    def _needs_stamps(self, replica: Replica) -> bool:
        return True  # a low rests on them, too

    # -- through Discord -------------------------------------------------------------------------------------

    def _receives(self, state: State, number: int, replica: Replica) -> Step[State]:
        at = replica.received
        if self._stream[at] != THROUGH_DISCORD:
            return super()._receives(state, number, replica)
        written, revision = next(
            (write, at + 1) for at, write in enumerate(state.log) if isinstance(write, Checkpoint)
        )
        node = replica.node
        if written.replica == number:
            node, _ = self._tallies.do(node, "checkpoint", revision)
        stamp = max(replica.stamp, revision)
        come = replica._replace(node=node, received=at + 1, missing=False, stamp=stamp, in_order=stamp)
        after = self._set(state, number, come)
        for write in state.log[: replica.seen]:
            if isinstance(write, Low) and written.replica == number:
                after = self._takes(after, number, write)
        return Step(f"{number} receives the checkpoint", after)

    def _comes_next(self, state: State, replica: Replica) -> bool:
        if replica.received == len(self._stream):
            return False
        return self._stream[replica.received] != THROUGH_DISCORD or any(
            isinstance(write, Checkpoint) for write in state.log
        )


def _may_ask(tally: Tally) -> bool:
    return tally.may_ask
