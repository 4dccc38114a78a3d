"""How the explored worlds of young sessions begin: steps by the start of their names, and options."""

from __future__ import annotations

__all__ = [
    "BOTH",
    "DOUBT",
    "ENDED",
    "HANDLED",
    "NEW",
    "NEXT_LEADER",
    "OUTAGE",
    "TWICE",
    "YOUNGER",
    "YOUNG_LEADER",
]

#: The second replica has a new session, which all know.
NEW = ("1 has a new session from 0", "the marker of 1", "0 sees", "1 receives a", "1 sees", "1 notes")
#: And its leader has run an event of it before it knew.
DOUBT = (
    *("1 has a new session from 0", "0 receives a", "0 runs a", "1 receives a"),
    *("the marker of 1", "0 sees", "1 sees", "1 notes"),
)
#: Or afterwards; and its session ends.
HANDLED = (
    *NEW,
    "0 receives a (0), stamped 1",
    "0 runs a",
    "the session of 1 ends",
    "the mark of a",
    "0 sees",
)
#: Its leader has one, which it knew before its own began.
YOUNG_LEADER = ("0 has a new session from 0", "the marker of 0", "0 sees", "0 notes", "0 leads", "1 sees")
#: Or before its own began, which lacks what the other has received.
YOUNGER = (
    *("1 has a new session from 0", "1 receives a", "0 has a new session from 1", "the marker of 0"),
    *("0 sees", "0 notes", "the marker of 1", "0 sees", "1 sees", "1 sees", "1 notes", "0 leads"),
)
#: The first leader is dead; the next one's session is new.
NEXT_LEADER = (
    *("1 has a new session from 0", "the marker of 1", "1 sees", "1 notes"),
    *("0 dies", "etcd ends the lease of 0", "1 leads"),
)
#: The leader's session ended after it had received what nobody else did; the next leader's began before its
#: next one.
OUTAGE = (
    *("0 receives a", "the session of 0 ends", "the session of 1 ends", "1 has a new session from 1"),
    *("the marker of 1", "1 sees", "1 notes", "0 sees", "0 has a new session from 1", "1 leads"),
)
#: One had a new session, which is over; the other's begins.
TWICE = (
    *("0 has a new session from 0", "0 receives a", "the marker of 0", "0 sees", "0 notes", "1 sees"),
    "the session of 0 ends",
)
BOTH = {"cut": (0, 1), "lively": False}
ENDED = {"calms": 0, "sessions": 0, "ended": True}
