"""The states of ``sessions_model``, and how a trace tells them."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from tallies import Mark

__all__ = ["Ahead", "Answer", "Checkpoint", "Low", "Marker", "Question", "Replica", "State", "Write", "tell"]


class Marker(NamedTuple):
    """One revision of etcd."""

    replica: int
    session: int


class Question(NamedTuple):
    """One revision of etcd: a replica asks which of these its leader has handled. ``names``: contents, each
    with a stamp that is older than all that it stands for. ``received``: how far the gateway had brought it
    by then, which only the model knows.
    """

    replica: int
    number: int
    names: tuple[tuple[str, int], ...]
    received: int


class Answer(NamedTuple):
    """One revision of etcd, or on its way there. ``seen``: how far its writer's watch had come; ``session``:
    which of its sessions that was: only the model knows that. ``landmark``: a message, if one came in since
    it was asked; ``last``: the numbers of the last equal events before it.
    """

    replica: int
    question: Question
    left: tuple[tuple[str, int], ...]
    seen: int
    session: int
    landmark: str = ""
    last: tuple[tuple[str, int], ...] = ()


class Checkpoint(NamedTuple):
    """One revision of etcd: what its writer has received is counted. ``received``: how far the gateway had
    brought it by then, which only the model knows.
    """

    replica: int
    number: int
    received: int


class Low(NamedTuple):
    """One revision of etcd: a leader has received everything that happened before revision ``low``, and its
    marks are written. ``began``: that of its session's greeting.
    """

    replica: int
    low: int
    began: int


#: What stands in etcd.
Write = Mark | Marker | Question | Answer | Checkpoint | Low


class Ahead(IntEnum):
    """What is on its way of a replica's next session."""

    NONE = 0
    IDENTIFY = 1
    READY = 2


class Replica(NamedTuple):
    """``node``: its tally, by number. ``received``: the next event of the gateway's. ``seen``: revisions so
    far. ``session``: of how many it has heard; ``since``: the first event of the last one at Discord.
    ``young``: no seconds have passed since it began. ``live``: what it receives happens now, and is not
    brought by RESUME. ``stamp``: what is proven, and its next event gets; ``in_order``: what its last frame
    found proven. ``beats``: heartbeats on their way: what each notes, and how many events had happened when
    it left. ``missing``: the next frame was lost. ``noted``: how far its watch had come when it noted its
    marker; ``question``: the one that is open; ``told``: bits of events that its leader has told it of, as
    handled. ``reached``: everything older has arrived, as its tally was told where marks waited for that.
    ``ahead``: of its next session. ``landmark``: the last one, and what it counted there as the leader.
    """

    node: int
    alive: bool = True
    received: int = 0
    seen: int = 0
    connected: bool = True
    session: int = 0
    since: int = 0
    fresh: bool = False
    young: bool = False
    live: bool = True
    stamp: int = 0
    in_order: int = 0
    beats: tuple[tuple[int, int], ...] = ()
    missing: bool = False
    had: int = 0  # bits of events
    noted: int = 0
    question: int = 0
    told: int = 0
    reached: int = 0
    ahead: Ahead = Ahead.NONE
    landmark: tuple[str, tuple[tuple[str, int], ...]] | None = None


class State(NamedTuple):
    """Everything. ``log``: etcd's revisions; ``wire``: marks on their way, in order; ``ran``: what the
    present leader has run and not marked; ``runs``: of each event, by the entry that was run; ``excused``:
    what may be run once more, because its leader died before the mark; ``again``: by whom what was run again
    that its leader could not know to be over; ``said``: by whom what was run that had perhaps been handled,
    by its own word; ``answer``: one on its way.
    """

    replicas: tuple[Replica, ...]
    log: tuple[Write, ...] = ()
    leader: int | None = 0
    ran: tuple[tuple[str, int], ...] = ()
    wire: tuple[Mark, ...] = ()
    runs: tuple[int, ...] = ()
    excused: str = ""
    again: tuple[tuple[int, str], ...] = ()
    said: tuple[tuple[int, str], ...] = ()
    deaths: int = 0
    sessions: int = 0
    calms: int = 0
    snapshots: int = 0
    breaks: int = 0
    losses: int = 0
    drops: int = 0
    asks: int = 0
    answer: Answer | None = None
    wrong: str | None = None


def tell(write: Write) -> str:
    """What a trace calls it."""
    if isinstance(write, Marker):
        return f"the marker of {write.replica}"
    if isinstance(write, Checkpoint):
        return f"checkpoint {write.number} of {write.replica}"
    if isinstance(write, Low):
        return f"the low {write.low} of {write.replica}"
    if isinstance(write, Question):
        return f"question {write.number} of {write.replica}: {dict(write.names)}"
    if isinstance(write, Answer):
        landmark = f", before {write.landmark} {dict(write.last)}" if write.landmark else ""
        return f"the answer to {write.question.number}: {dict(write.left)}{landmark}"
    received = f"received at {write.stamp}, session {write.session}"
    return f"the mark of {write.content} ({write.index}) by {write.replica}, {received}"
