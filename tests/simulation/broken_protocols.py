"""More broken builds: voice, looks, the catch-up's point, marks, landmarks, outages, IDENTIFY."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from discordha.coordination.claims.hints import ClaimHints
from discordha.coordination.claims.looks import Looks
from discordha.coordination.etcd.store import Snapshot
from discordha.coordination.journal.landmarks import Landmarks
from discordha.coordination.journal.matching import MarkMatching
from discordha.coordination.quotas import identify_queue
from discordha.coordination.quotas.identify_queue import IdentifyQueue
from discordha.coordination.voice import guilds
from discordha.coordination.voice.consumer import VoiceConsumer
from discordha.coordination.voice.view import VoiceView
from discordha.dispatch.pending import PendingEvents
from discordha.outage import coverage
from discordha.outage.coverage import Coverage
from discordha.voice import calls

__all__ = ["PROTOCOLS", "Restore", "replace"]

Restore = Callable[[], None]


def replace(owner: Any, name: str, value: Any) -> Restore:
    """Puts something in a name's place, until the result is called."""
    before = owner.__dict__[name] if isinstance(owner, type) else getattr(owner, name)
    setattr(owner, name, value)
    return lambda: setattr(owner, name, before)


def careless_compare(real: Any) -> Any:
    """``Compare``, whose ``version`` looks at a key that nobody writes."""
    return SimpleNamespace(
        version=lambda key, number: real.version(key + "-not", number),
        mod_revision=real.mod_revision,
        create_revision=real.create_revision,
        value=real.value,
    )


def _voice_not_owned() -> Restore:
    """A worker takes a guild's voice whether another one owns it or not, as soon as it has a command."""
    undo = replace(guilds, "Compare", careless_compare(guilds.Compare))
    more = replace(VoiceView, "owner", lambda self, guild_id: None)
    return lambda: (undo(), more())  # type: ignore[func-returns-value]


def _voice_not_acknowledged() -> Restore:
    """An acknowledgement is kept by the worker, and not written."""

    def finish(self: VoiceConsumer, owned: Any, entries: Sequence[Any]) -> None:
        owned.delivered.update(entry.id for entry in entries)

    return replace(VoiceConsumer, "_finish", finish)


def _voice_queued_again() -> Restore:
    """A handler's second run queues its voice commands once more."""

    @contextlib.contextmanager
    def no_token(*_: Any) -> Iterator[None]:
        yield None

    return replace(calls, "with_token", no_token)


def _voice_out_of_order() -> Restore:
    """The youngest command of a guild is played first."""
    of_module = VoiceView.of_module

    def reversed_of(self: VoiceView, module_id: str) -> Any:
        return {guild: entries[::-1] for guild, entries in of_module(self, module_id).items()}

    return replace(VoiceView, "of_module", reversed_of)


def _looks_believed() -> Restore:
    """A look that finds nothing, perhaps at a member that is behind, is taken for an event that has ended."""
    note_looks = ClaimHints.note_looks

    def note(self: ClaimHints, keys: Sequence[str], found: Snapshot) -> None:
        there = {kv.key[len(self._prefix) :] for kv in found.items}
        note_looks(self, keys, found)
        for key in keys:
            if key not in there:
                self.note_done(key)

    return replace(ClaimHints, "note_looks", note)


def _looks_not_made() -> Restore:
    """Nobody looks whether an event is done."""
    return replace(Looks, "_read", lambda self, keys: Snapshot(0, []))


def _point_ahead_of_work() -> Restore:
    """A replica says that everything is done which it has received by now. The catch-up begins behind it."""
    low = Coverage._low
    undo = replace(Coverage, "_low", lambda self, heard_at, oldest: low(self, heard_at, None))
    more = replace(coverage, "LAG", 0.0)
    return lambda: (undo(), more())  # type: ignore[func-returns-value]


def _marks_not_matched() -> Restore:
    """A leader's mark strikes nothing out of the others' journals."""
    return replace(MarkMatching, "acknowledge", lambda self, name, mark: None)


def _landmarks_too_far() -> Restore:
    """A leader's landmark counts events that came behind it."""
    told = Landmarks.told

    def further(self: Landmarks, message: str, last: Mapping[str, int]) -> Any:
        return told(self, message, {name: number + 3 for name, number in last.items()})

    return replace(Landmarks, "told", further)


def _outage_drops() -> Restore:
    """An event that is to be tried again later is forgotten."""

    def delay(self: PendingEvents, item: Any, due: float) -> bool:
        self.forget(item)
        return True

    return replace(PendingEvents, "delay", delay)


def _identify_not_awaited() -> Restore:
    """A replica takes its turn to IDENTIFY while another one has it."""
    undo = replace(identify_queue, "Compare", careless_compare(identify_queue.Compare))
    more = replace(IdentifyQueue, "is_next", lambda self, place: place.key in self.keys)
    return lambda: (undo(), more())  # type: ignore[func-returns-value]


PROTOCOLS: dict[str, Callable[[], Restore]] = {
    "voice-not-owned": _voice_not_owned,
    "voice-not-acknowledged": _voice_not_acknowledged,
    "voice-queued-again": _voice_queued_again,
    "voice-out-of-order": _voice_out_of_order,
    "looks-believed": _looks_believed,
    "looks-not-made": _looks_not_made,
    "point-ahead-of-work": _point_ahead_of_work,
    "marks-not-matched": _marks_not_matched,
    "landmarks-too-far": _landmarks_too_far,
    "outage-drops": _outage_drops,
    "identify-not-awaited": _identify_not_awaited,
}
