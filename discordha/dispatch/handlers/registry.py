"""The handlers of each event.

Threads and locks: the registry is copied on write. ``select`` is called on the gateway thread for every event
and takes no lock; registering and removing take ``_lock`` and swap a whole tuple.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from discordha.config import ORDERINGS
from discordha.context import asking
from discordha.dispatch.handlers.callables import (
    callable_name,
    check_arguments,
    check_predicate,
    own_name,
    refuse_coroutine,
    refuse_result,
    short_name,
)
from discordha.errors import ConfigError
from discordha.events import EVENTS, EventSpec, Scope, suggest
from discordha.events.caught_up import LED

__all__ = ["Handler", "HandlerRegistry", "by_claim", "check_ordering"]

_log = logging.getLogger(__name__)

#: The scopes of events of the bot's own, the longest name, and the names that the library's own events have.
OWN_SCOPES = ("claim", "every")
LONGEST_OWN_NAME = 60
RESERVED = frozenset(
    {
        "ask",
        "broadcast",
        "command",
        "command_completion",
        "command_error",
        "error",
        "timer",
    }
)


@dataclass(slots=True, eq=False)
class Handler:
    """One registered function. Its name, which goes into nonces, is equal wherever the same code runs."""

    function: Callable[..., Any]
    event: str
    scope: Scope
    where: Callable[..., Any] | None
    name: str
    ordering: str | None = None  # that of the bot

    def wants(self, args: Sequence[Any], caught_up: bool = False, late_by: float = 0.0) -> bool:
        """Whether ``where`` accepts the event. An exception in it is logged and counts as no: ``where`` may
        be a check of rights.
        """
        if self.where is None:
            return True
        try:
            with asking(self.event, caught_up=caught_up, late_by=late_by):
                said = self.where(*args)
            refuse_result(said, "where")
            return bool(said)
        except Exception:  # noqa: BLE001 - any error of the user's predicate
            _log.exception("where of %s failed; the handler does not run for this event", self.name)
            return False


#: Makes the handlers of one event from its arguments.
Source = Callable[[Sequence[Any]], list[Handler]]


class HandlerRegistry:
    """All handlers of one replica, by event."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_event: dict[str, tuple[Handler, ...]] = {}
        self._own: dict[str, EventSpec] = {}  # events of the bot's own; changed only before the start
        self._sources: dict[str, Source] = {}
        self._is_used: dict[str, Callable[[], bool]] = {}  # whether a source has any handler

    def add(
        self,
        function: Callable[..., Any],
        event: str | None = None,
        *,
        scope: str | Scope | None = None,
        where: Callable[..., Any] | None = None,
        ordering: str | None = None,
    ) -> Callable[[], None]:
        """Registers a plain function, and returns a function that removes it. Any thread.

        :param event: discord.py's name with or without ``on_``; by default the function's own name.
        :param scope: ``"claim"``, ``"leader"`` or ``"every"``; by default that of the events table.
        :param where: a fast, pure predicate on the event's arguments, asked before anything else.
        :param ordering: one of ``ORDERINGS``, instead of the bot's.
        :raises ConfigError: unknown event, coroutine function, wrong number of arguments.
        """
        handler = self._build(function, event, scope, where)
        handler.ordering = check_ordering(ordering, handler.name)
        with self._lock:
            known = self._by_event.get(handler.event, ())
            handler.name = _unlike(handler.name, {other.name for other in known})
            self._by_event[handler.event] = (*known, handler)

        def remove() -> None:
            with self._lock:
                known = self._by_event[handler.event]
                self._by_event[handler.event] = tuple(other for other in known if other is not handler)

        return remove

    def declare(self, name: str, arguments: Sequence[str] | None, scope: str) -> None:
        """Declares an event of the bot's own; see ``DiscordHA.add_event``."""
        if not isinstance(name, str) or not name.isidentifier() or len(name) > LONGEST_OWN_NAME:
            raise ConfigError(
                f"an event's name must be an identifier of at most {LONGEST_OWN_NAME} characters, such as "
                f'"level_up", not {name!r}'
            )
        title = name.removeprefix("on_")
        if title in EVENTS or title in RESERVED:
            raise ConfigError(f"{title!r} is not free for an event of the bot's own: give it another name")
        if title in self._own:
            raise ConfigError(f"the event {title!r} is declared already")
        if scope not in OWN_SCOPES:
            raise ConfigError(f'scope of the event {title!r} must be "claim" or "every", not {scope!r}')
        taken = None if arguments is None else tuple(arguments)
        self._own[title] = EventSpec(title, None, Scope(scope), taken)

    def spec(self, name: str) -> EventSpec:
        """The row of an event of discord.py's, or of the bot's own. Any thread.

        :raises ConfigError: there is none; names the nearest.
        """
        spec = EVENTS.get(name) or self._own.get(name)
        if spec is None:
            nearest = suggest(name, self._own)
            hint = f"; did you mean on_{nearest}?" if nearest else ""
            raise ConfigError(
                f"on_{name} is not an event of discord.py{hint}. An event of the bot's own is declared "
                f'before its handlers: ha.add_event("{name}")'
            )
        return spec

    @property
    def own(self) -> Collection[str]:
        """The events of the bot's own."""
        return self._own.keys()

    def check_own(self, name: str, args: Sequence[Any]) -> None:
        """Refuses to dispatch an event that was not declared, or with other arguments.

        :raises ConfigError: says which.
        """
        spec = self._own.get(name)
        if spec is None:
            raise ConfigError(
                f'{name!r} is not declared as an event of the bot\'s own: ha.add_event("{name}")'
            )
        if spec.arguments is not None and len(spec.arguments) != len(args):
            wanted = ", ".join(spec.arguments)
            raise ConfigError(f"the event {name!r} takes ({wanted}), and was given {len(args)} arguments")

    @property
    def events(self) -> frozenset[str]:
        """discord.py's events that have a handler. Any thread."""
        named = {name for name, handlers in self._by_event.copy().items() if handlers}
        made = {name for name, is_used in self._is_used.items() if is_used()}
        return frozenset((named | made) & EVENTS.keys())

    @property
    def led(self) -> frozenset[str]:
        """The names of the events that have a handler on the leader. Any thread."""
        named = self._by_event.copy().items()
        return frozenset(
            name for name, handlers in named if any(each.scope is Scope.LEADER for each in handlers)
        )

    def led_parts(self, name: str) -> list[str]:
        """What may end the keys of a leader's events of a name; see ``by_claim``. Any thread."""
        led = {each.ordering for each in self._by_event.get(name, ()) if each.scope is Scope.LEADER}
        return ["", *(f"/={ordering}" for ordering in ORDERINGS)] if len(led) > 1 else [""]

    def select(
        self, name: str, args: Sequence[Any], *, caught_up: bool = False, late_by: float = 0.0
    ) -> Sequence[Handler]:
        """The handlers that want this event. Gateway thread; takes no lock.

        :param caught_up: see ``CurrentEvent``, which ``where`` finds with ``current_event``.
        """
        handlers, source = self._by_event.get(name, ()), self._sources.get(name)
        wanting: Sequence[Handler] = handlers  # as they are, unless one of them has a predicate
        for handler in handlers:
            if handler.where is not None:
                wanting = [each for each in handlers if each.wants(args, caught_up, late_by)]
                break
        if source is None:
            return wanting
        try:
            return [*source(args), *wanting]
        except Exception:  # noqa: BLE001 - the handlers that are registered get the event all the same
            _log.exception("the source of handlers for on_%s failed; registered handlers run", name)
            return wanting

    def set_source(self, event: str, source: Source, is_used: Callable[[], bool] = lambda: True) -> None:
        """Adds the handlers that ``source`` makes, on the gateway thread, from an event's arguments. Before
        the bot starts.

        :param is_used: whether it would make any handler; any thread calls it.
        """
        self._sources[event] = source
        self._is_used[event] = is_used

    def _build(
        self,
        function: Callable[..., Any],
        event: str | None,
        scope: str | Scope | None,
        where: Callable[..., Any] | None,
    ) -> Handler:
        title = own_name(function)
        if not callable(function):
            raise ConfigError(f"{function!r} can't handle events: it is not callable")
        refuse_coroutine(function)
        if event is not None and not isinstance(event, str):
            raise ConfigError(
                f"the event of {title} is {event!r}, which is no name of an event: write it as a text, such "
                'as "message"'
            )
        name = event if event is not None else short_name(function)
        name = name.removeprefix("on_")
        try:
            spec = self.spec(name)
        except ConfigError as error:
            raise ConfigError(str(error).replace(f"on_{name} is", f"on_{name} ({title}) is", 1)) from None
        if spec.arguments is not None:
            check_arguments(function, spec.arguments, f"handle on_{name}")
        if where is not None:
            check_predicate(where, spec.arguments)
        try:
            chosen = spec.scope if scope is None else Scope(scope)
        except ValueError:
            raise ConfigError(
                f'scope of {title} must be "claim", "leader" or "every", not {scope!r}'
            ) from None
        if name in self._own and chosen is Scope.LEADER:
            raise ConfigError(
                f'scope of {title} must be "claim" or "every": on_{name} is the bot\'s own event'
            )
        return Handler(function, name, chosen, where, callable_name(function))


def check_ordering(ordering: Any, title: str) -> str | None:
    """A handler's ``ordering``, checked.

    :raises ConfigError: there is no such one.
    """
    if ordering is not None and ordering not in ORDERINGS:
        raise ConfigError(
            f"ordering of {title} must be {' or '.join(map(repr, ORDERINGS))}, not {ordering!r}"
        )
    return ordering  # type: ignore[no-any-return]


def _unlike(name: str, known: set[str]) -> str:
    """A name that no other handler of the event has: the first free one of ``name``, ``name#1``, ..."""
    numbered = (f"{name}#{number}" for number in itertools.count(1))
    return next(each for each in itertools.chain([name], numbered) if each not in known)


def by_claim(
    handlers: Sequence[Handler], usual: str, *, claimable: bool = True, late: bool = False
) -> list[tuple[Scope, str, str, Sequence[Handler]]]:
    """The handlers of an event by the claim under which they run: scope, ordering, and what ends the
    claim's name. Equal on all replicas that run the same code.

    :param usual: the ordering of handlers that name none.
    :param claimable: else the leader has the event, in the place of who claims it.
    :param late: what is the leader's is claimed, too, since the event is caught up.
    """
    first = handlers[0]
    if len(handlers) == 1 and claimable:  # most events
        return [(first.scope, first.ordering or usual, "", handlers)]

    def scope_of(handler: Handler) -> Scope:
        return Scope.LEADER if handler.scope is Scope.CLAIM and not claimable else handler.scope

    groups: dict[tuple[Scope, str], list[Handler]] = {}
    for handler in handlers:
        groups.setdefault((scope_of(handler), handler.ordering or usual), []).append(handler)
    found: list[tuple[Scope, str, str, Sequence[Handler]]] = []
    named: set[Scope] = set()  # one claim of each scope has the event's own name
    for scope, ordering in sorted(groups, key=lambda group: (group[1] != usual, group[1])):
        part = f"/={ordering}" if scope in named else ""
        if late and scope is Scope.LEADER and any(other is Scope.CLAIM for other, _ in groups):
            part = LED + part
        named.add(scope)
        found.append((scope, ordering, part, groups[scope, ordering]))
    return found
