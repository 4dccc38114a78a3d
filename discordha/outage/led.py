"""What a fetched payload is to a shard's leader: the events that it would run, had it received them.

Threads and locks: pure functions; any thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

from discordha.dispatch.handlers import HandlerRegistry
from discordha.events import EVENTS, Event, identify
from discordha.events.caught_up import part_of

__all__ = ["Led", "led_events"]


class Led(NamedTuple):
    """An event, or the part of it that one claim is about.

    :param part: names the part; see ``part_of``.
    """

    name: str
    part: str
    event: Event


def led_events(
    registry: HandlerRegistry, ordering: str, shard: int, kind: str, payload: Mapping[str, Any]
) -> list[Led]:
    """The events of leaders' handlers that the gateway's ``kind`` becomes, with all their parts.

    :param ordering: of handlers that name none.
    """
    names = [name for name in registry.led if EVENTS[name].gateway == kind]
    if not names:
        return []
    raw = json.dumps({"t": kind, "d": payload})
    args = (SimpleNamespace(id=int(payload.get("id") or 0)),)  # all that an identity needs of it
    found: list[Led] = []
    for name in names:
        identity = identify(name, args, payload, ordering=ordering)
        for part in registry.led_parts(name):
            found.append(
                Led(name, part_of(name, part), Event(name, args, identity, shard, raw, 0.0, part=part))
            )
    return found
