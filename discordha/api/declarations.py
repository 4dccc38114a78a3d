"""A bot's declarations before it runs: handlers, commands, components, loops, and the error hook.

Threads and locks: any thread may add and remove handlers at any time. One thread declares everything else,
before ``start``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from discordha.api.peers import PeerCalls
from discordha.commands import Command, Components, Interactions, PersistentViews, Tree
from discordha.dispatch.handlers.callables import check_arguments, refuse_coroutine, short_name
from discordha.dispatch.runner import ErrorHook
from discordha.errors import ConfigError
from discordha.leader.loop import Loop
from discordha.leader.loop_bots import register_bot
from discordha.leader.schedule import Times, schedule_of
from discordha.stats import Stats

if TYPE_CHECKING:
    import discord

    from discordha.telemetry import Telemetry

__all__ = ["Declarations"]

Function = TypeVar("Function", bound=Callable[..., Any])
Hook = TypeVar("Hook", bound=ErrorHook)


class Declarations(PeerCalls):
    """The part of ``DiscordHA`` that decorators fill and each start reads."""

    _tree_class: type[Tree] = Tree
    _telemetry: Telemetry | None = None

    def __init__(self) -> None:
        super().__init__()
        self._stats = Stats() if self._telemetry is None else self._telemetry.stats
        self._tree = self._tree_class()
        self._components = Components()
        self._views = PersistentViews()
        interactions = Interactions(self._tree, self._components, self._views, self._stats)
        self._registry.set_source("interaction", interactions.handlers_for, interactions.is_used)
        self._on_error: ErrorHook | None = None
        self._loops: list[Loop] = []
        register_bot(self)
        self._add_methods()

    def _add_methods(self) -> None:
        """Registers a subclass's methods named ``on_<event>``, as ``discord.Client`` does."""
        self._refuse_on_error()
        for name in dir(type(self)):
            if name.startswith("on_") and not hasattr(Declarations, name):
                self.add_handler(getattr(self, name))
            if isinstance(inspect.getattr_static(type(self), name), Loop):
                getattr(self, name).join_bot(self)

    def _refuse_on_error(self) -> None:
        if type(self).on_error is not Declarations.on_error:
            raise ConfigError("on_error is a decorator here: write @ha.on_error over a function of your own")

    def _attach(self, client: discord.Client) -> None:
        """Gives a new client the command tree and the views, for discord.py. Gateway thread."""
        self._tree.attach(client)
        self._views.attach(client)

    @overload
    def event(self, function: Function, /) -> Function: ...
    @overload
    def event(self, /, *, ordering: str | None = None) -> Callable[[Function], Function]: ...
    def event(self, function: Any = None, /, *, ordering: str | None = None) -> Any:
        """Decorator: registers a plain function named ``on_<event>``, as ``@ha.event`` or
        ``@ha.event(ordering="none")``; see ``add_handler``.
        """

        def register(function: Any) -> Any:
            self.add_handler(function, ordering=ordering)
            return function

        return register if function is None else register(function)

    def listen(
        self,
        event: str | None = None,
        *,
        scope: str | None = None,
        where: Callable[..., Any] | None = None,
        ordering: str | None = None,
    ) -> Callable[[Function], Function]:
        """Decorator: registers a plain function for an event, as often as wanted; see ``add_handler``."""

        _refuse_bare(event, "listen")

        def register(function: Function) -> Function:
            self.add_handler(function, event, scope=scope, where=where, ordering=ordering)
            return function

        return register

    def add_handler(
        self,
        function: Callable[..., Any],
        event: str | None = None,
        *,
        scope: str | None = None,
        where: Callable[..., Any] | None = None,
        ordering: str | None = None,
    ) -> Callable[[], None]:
        """Registers a plain function that may block; returns a function that removes it. Any thread, any
        time.

        :param event: discord.py's name of the event, or one of ``add_event``, with or without ``on_``; by
            default the function's name.
        :param scope: ``"claim"`` (one replica handles the event), ``"leader"`` (the leader does),
            ``"every"`` (all do); by default the scope that suits the event.
        :param where: a fast, pure predicate on the event's arguments, called before anything else; an error
            in it is logged and counts as no.
        :param ordering: instead of the bot's: ``"none"`` for a handler that neither waits for older events of
            its channel nor holds younger ones up; or ``"channel"`` or ``"guild"``.
        :raises ConfigError: unknown event (names the nearest), coroutine or generator function, wrong number
            of arguments, impossible ``where`` or ``ordering``.
        """
        return self._registry.add(function, event, scope=scope, where=where, ordering=ordering)

    @property
    def tree(self) -> Tree:
        """The bot's application commands, as ``discord.app_commands.CommandTree`` has them, with plain
        functions; see docs/commands.md. Before ``start``.
        """
        return self._tree

    def command(self, **options: Any) -> Callable[[Callable[..., Any]], Command]:
        """Decorator: a plain function ``(interaction, option, ...)`` becomes a slash command, its options
        made from its annotations; the same as ``tree.command``. Before ``start``.

        :param options: ``name`` (by default the function's), ``description`` (by default the first line of
            its docstring), ``guild``, ``guilds``, ``nsfw``, ``extras``, ``auto_locale_strings`` as in
            ``discord.app_commands``; ``defer``: ``"auto"`` defers for the handler when it has not answered
            after 2 seconds, ``None`` leaves that to the handler; ``ephemeral``: whether only the user sees
            the deferral; ``ordering``: see ``add_handler``.
        :raises ConfigError: a coroutine function.
        :raises TypeError: discord.py refuses an option.
        """
        return self._tree.command(**options)

    def component(
        self, custom_id: str | re.Pattern[str], *, defer: str | None = "auto"
    ) -> Callable[[Function], Function]:
        """Decorator: a plain function handles the buttons, selects and modals whose custom id matches, on
        whichever replica claims them. Its arguments are the interaction, the named parts of the pattern, and
        ``values`` if it takes them: the choices, or the texts by custom id. Before ``start``.

        :param custom_id: ``*`` stands for any characters, ``{name}`` for one or more other than ``:``; or a
            compiled regular expression; see docs/commands.md for which one wins.
        :param defer: see ``command``.
        :raises ConfigError: a coroutine function, or arguments that do not match the pattern.
        """

        _refuse_bare(custom_id, "component")

        def register(function: Function) -> Function:
            self._refuse_late(f"the component {custom_id!r}")
            self._components.add(custom_id, function, defer)
            return function

        return register

    def add_view(
        self, view: discord.ui.View | discord.ui.LayoutView, *, message_id: int | None = None
    ) -> None:
        """Registers a persistent view, as ``discord.Client.add_view`` does. Its callbacks stay coroutines on
        the loop; one replica claims and handles each press; see docs/commands.md. Before ``start``.

        :param message_id: the message with the view, if the view is to follow that message's edits.
        :raises ConfigError: the view is not persistent.
        """
        self._refuse_late(f"the view {type(view).__name__}")
        self._views.add(view, message_id)

    def add_dynamic_items(self, *items: type[discord.ui.DynamicItem[Any]]) -> None:
        """Registers classes of dynamic items, as ``discord.Client.add_dynamic_items`` does; see ``add_view``.
        Before ``start``.

        :raises ConfigError: an item is no such class.
        """
        self._refuse_late("a class of dynamic items")
        self._views.add_items(items)

    def on_error(self, hook: Hook) -> Hook:
        """Decorator: calls ``hook(event, handler, error)`` for each handler's error, instead of logging it.
        The hook is a part of the handler's run: its calls are fenced, and its messages appear once. Before
        ``start``.

        :raises ConfigError: a coroutine function, wrong arguments, or the bot runs.
        """
        self._refuse_late("the hook on_error")
        refuse_coroutine(hook, "Error hooks")
        check_arguments(hook, ("event", "handler", "error"), "take errors")
        self._on_error = hook
        return hook

    def loop(
        self,
        *,
        seconds: float | None = None,
        minutes: float | None = None,
        hours: float | None = None,
        time: Times | None = None,
        count: int | None = None,
        reconnect: bool = True,
        scope: str = "leader",
        missed: str = "run",
        name: str | None = None,
    ) -> Callable[[Callable[..., Any]], Loop]:
        """Decorator: makes a loop of a plain function without arguments, which starts with the bot; never two
        runs at once over all replicas. Before ``start``; see docs/on-time.md.

        :param seconds: from the beginning of one run to that of the next, added to ``minutes`` and ``hours``.
        :param time: instead of an interval: one or several ``datetime.time``, each once a day; UTC unless
            they have a time zone.
        :param count: the number of runs, by all replicas; ``None``: no end.
        :param reconnect: whether a run that ends with an error of the network is tried again.
        :param scope: ``"leader"``: the leader makes all runs; ``"every"``: each replica makes its own.
        :param missed: ``"run"``: a run that a dead leader missed is made up for once; ``"skip"``: not.
        :param name: the same on all replicas; by default the function's.
        :raises ConfigError: the name is taken, an argument impossible, or the function a coroutine function
            or one with arguments.
        """

        def register(function: Callable[..., Any]) -> Loop:
            title = name if name is not None else short_name(function)
            self._refuse_late(f"the loop {title!r}")
            loop = Loop(
                function,
                name=title,
                schedule=schedule_of(seconds, minutes, hours, time, name=title),
                units=(seconds, minutes, hours),
                count=count,
                reconnect=reconnect,
                scope=scope,
                missed=missed,
            )
            loop.declare(self)
            self._adopt_loop(loop)
            return loop

        return register

    def _adopt_loop(self, loop: Loop) -> None:
        """Takes in a loop that was declared without this bot, as ``Loop.start`` does. Any thread, any time.

        :raises ConfigError: another loop has its name.
        """
        if loop in self._loops:
            return
        if any(known.name == loop.name for known in self._loops):
            raise ConfigError(f"there is a loop {loop.name!r} already: give this one another name")
        self._loops.append(loop)


def _refuse_bare(argument: Any, decorator: str) -> None:
    """Refuses a decorator without parentheses, which takes the function for its argument and drops it."""
    if callable(argument):
        name = short_name(argument)
        given = "" if decorator == "listen" else '"custom_id"'
        raise ConfigError(
            f"@ha.{decorator} over {name} lacks its parentheses: write @ha.{decorator}({given})"
        )
