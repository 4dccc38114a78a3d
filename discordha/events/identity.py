"""The identity of an event: equal on all replicas, whatever their cache, session or intents.

Identities are built from the fields that the table names, never from the whole payload, since two sessions of
one bot get the same event with different bytes.

Threads and locks: pure functions; any thread.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple
from urllib.parse import quote

from discordha.coordination.membership.shard_keys import number_for
from discordha.events.caught_up import CaughtUp
from discordha.events.table import EVENTS, EventSpec, Scope

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]

__all__ = ["Event", "Identity", "decode_payload", "guild_of", "identify"]

#: Characters; a digest replaces longer identities, since keys in etcd should be short.
MAX_IDENTITY = 100
_ABOUT_GUILDS = ("GUILD_CREATE", "GUILD_UPDATE", "GUILD_DELETE")


class Identity(NamedTuple):
    """An event's scope, key and ordering key.

    :param key: printable ASCII without spaces.
    :param order: events with equal ordering keys run one after another.
    :param snowflake: tells the time of the event; ``None`` if the event has none.
    :param is_unique: no other event has the same key. Else the journal counts equal ones.
    """

    scope: Scope
    key: str
    order: str
    snowflake: int | None
    is_unique: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether the event lacks all fields of its identity."""
        return not self.key.strip("-/")


class Event:
    """One event as this replica received it.

    :param raw: the text of the gateway's frame, if there is one.
    :param received_at: monotonic seconds.
    :param acknowledged_revision: a revision of etcd that is older than the event: Discord has acknowledged a
        heartbeat that left once this replica had seen it. 0 when none is known.
    :param part: ends the key of an event whose handlers run under several claims.
    :param caught_up: set for an event that happened while no replica was connected.
    :ivar key: names the event and the part among all events. The dispatcher puts the partition before it if
        the event is claimed.
    """

    __slots__ = (
        "acknowledged_revision",
        "args",
        "caught_up",
        "identity",
        "key",
        "name",
        "raw",
        "received_at",
        "shard_id",
    )

    def __init__(  # noqa: PLR0917
        self,
        name: str,
        args: tuple[Any, ...],
        identity: Identity,
        shard_id: int,
        raw: str | None,
        received_at: float,
        acknowledged_revision: int = 0,
        part: str = "",
        caught_up: CaughtUp | None = None,
    ) -> None:
        self.key = f"{name}/{identity.key}{part}"
        self.name = name
        self.args = args
        self.identity = identity
        self.shard_id = shard_id
        self.raw = raw
        self.received_at = received_at
        self.acknowledged_revision = acknowledged_revision
        self.caught_up = caught_up

    def __repr__(self) -> str:
        return f"<Event {self.name} {self.identity.key!r} shard_id={self.shard_id}>"


def decode_payload(raw: str) -> Mapping[str, Any]:
    """The data of a gateway frame; empty if it has none."""
    frame = orjson.loads(raw) if orjson is not None else json.loads(raw)
    data = frame.get("d")
    return data if isinstance(data, dict) else {}


_Part = Callable[[tuple[Any, ...], Mapping[str, Any]], Any]


def _compile(path: str) -> _Part:
    if path.startswith("."):
        fields = path[1:].split(".")

        def from_payload(args: tuple[Any, ...], payload: Mapping[str, Any]) -> Any:
            value: Any = payload
            for field in fields:
                value = value.get(field) if isinstance(value, Mapping) else None
            return value

        return from_payload
    index, _, attributes = path.partition(".")
    position, get = int(index), operator.attrgetter(attributes)

    def from_argument(args: tuple[Any, ...], payload: Mapping[str, Any]) -> Any:
        try:
            return get(args[position])
        except (AttributeError, IndexError):
            return None

    return from_argument


class _Rule:
    """A row of the table, ready to be applied."""

    __slots__ = ("alone", "else_leader", "has_snowflake", "is_unique", "order", "part", "parts", "scope")

    def __init__(self, spec: EventSpec) -> None:
        self.scope = spec.scope
        self.parts = [_compile(path) for path in spec.id]
        self.part = self.parts[0] if len(self.parts) == 1 else None
        self.order = _compile(spec.order) if spec.order else None
        self.has_snowflake = spec.has_snowflake
        self.else_leader = spec.else_leader
        self.is_unique = spec.is_unique
        # The event has a lane of its own, whatever ``ordering`` says.
        self.alone = spec.has_snowflake and spec.id == (spec.order,)


_EVERY = Scope.EVERY
_make = tuple.__new__  # builds a NamedTuple in half the time of its own constructor
_RULES = {name: _Rule(spec) for name, spec in EVENTS.items()}


def identify(
    name: str,
    args: tuple[Any, ...],
    payload: Mapping[str, Any] | None,
    *,
    ordering: str,
    scope: Scope | None = None,
) -> Identity:
    """The identity of an event.

    :param args: the arguments that discord.py dispatched.
    :param payload: the gateway's data, for events that need it.
    :param ordering: ``"channel"``, ``"guild"`` or ``"none"``.
    :param scope: replaces the table's; an event that can't be claimed goes to the leader all the same.
    """
    rule = _RULES[name]
    scope = scope or rule.scope
    if scope is _EVERY:
        return Identity(scope, name, name, None)
    if payload is None:
        payload = {}
    if rule.part is not None:
        value = rule.part(args, payload)
        key = str(value) if type(value) is int else _text(value)
        snowflake = value if rule.has_snowflake and type(value) is int else None
        is_unique = rule.is_unique and value is not None
    else:
        values = [part(args, payload) for part in rule.parts]
        if rule.else_leader and None in values:
            scope = Scope.LEADER
        key = "/".join([_text(value) for value in values])
        snowflake = None
        is_unique = rule.is_unique and None not in values
    if payload and not key.strip("-/"):
        key = _digest(payload)  # an unknown shape: at least the key tells it from others of its kind
    if len(key) > MAX_IDENTITY:
        key = blake2b(key.encode(), digest_size=16).hexdigest()
    if ordering == "none" or rule.alone:
        return _make(Identity, (scope, key, key, snowflake, is_unique))
    order: Any = None
    if ordering == "guild":
        order = payload.get("guild_id") if payload else _guild_id(args)
    if order is None:
        if rule.order is not None:
            order = rule.order(args, payload)
        else:
            order = payload.get("channel_id") or payload.get("guild_id") or _guild_id(args)
    return _make(Identity, (scope, key, str(order) if order is not None else name, snowflake, is_unique))


def _guild_id(args: tuple[Any, ...]) -> Any:
    """The guild of a model."""
    return getattr(getattr(args[0], "guild", None), "id", None) if args else None


def _text(value: Any) -> str:
    """One part of an identity as printable ASCII without ``/`` and spaces."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return quote(value, safe="") if value else "."
    return _digest(value)


def _digest(value: Any) -> str:
    """A digest of a list or an object. The order of fields, and of lists of ids, does not matter."""
    if isinstance(value, list | tuple) and all(isinstance(item, str | int) for item in value):
        value = sorted(str(item) for item in value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return blake2b(text.encode(), digest_size=10).hexdigest()


def guild_of(event: Event, number: int, count: int) -> int:
    """The guild under which the journal counts an event: equal on all hosts of its shard.

    An event without a guild of the shard is counted under a number that stands for the shard.

    :param number: the shard's number, of ``count``.
    """
    guild: Any = None
    if event.raw is not None:
        data = decode_payload(event.raw)
        about_guild = EVENTS[event.name].gateway in _ABOUT_GUILDS
        guild = data.get("guild_id") or (data.get("id") if about_guild else None)
    elif event.args:
        guild = getattr(event.args[0], "id", None)
    found = int(guild) if isinstance(guild, int) or (isinstance(guild, str) and guild.isdecimal()) else 0
    return found if number_for(found, count) == number else number << 22
