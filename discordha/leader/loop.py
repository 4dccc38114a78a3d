"""A loop as its author sees it: declared, started, stopped, asked for its state.

Its names are those of ``discord.ext.tasks.Loop``, with plain functions. docs/on-time.md says what differs.

Guarantees: what is impossible is refused when it is declared. ``start`` and ``stop`` hold for all replicas
where they are called in a handler that one replica runs for all, or in a run of the loop; elsewhere, such as
in ``on_ready``, they hold for this replica.

Threads and locks: any thread but the gateway's calls the methods. One thread declares, before the bot starts.
"""

from __future__ import annotations

import contextlib
import datetime
import inspect
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import aiohttp

from discordha.context import current_event, refuse_on_loop
from discordha.coordination.election.task_runs import TaskState
from discordha.dispatch.handlers.callables import refuse_coroutine, refuse_result
from discordha.errors import ConfigError
from discordha.leader.loop_bots import LoopHost, find_bot
from discordha.leader.schedule import Schedule, Times, parse_schedule, schedule_of

__all__ = ["Loop", "LoopThread"]

Hook = TypeVar("Hook", bound=Callable[..., Any])

SCOPES = ("leader", "every")
MISSED = ("run", "skip")


class LoopThread(Protocol):
    """The thread of a loop on a running replica, as the loop uses it."""

    def state(self) -> TaskState:
        """What is known of the loop. No I/O."""

    def control(self, change: Callable[[TaskState], TaskState]) -> None:
        """Changes the loop's state wherever it runs. May block on etcd."""

    def next_due(self) -> float | None:
        """When the next run is due, in seconds since 1970. No I/O."""

    @property
    def alone(self) -> bool:
        """Whether this replica's loop is all there is of it."""


class Loop:
    """A periodic task. Made by ``ha.loop`` and ``discordha.ext.tasks.loop``; see there for the arguments.

    :raises ConfigError: an argument is impossible, or a function is a coroutine function.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str,
        schedule: Schedule,
        units: tuple[float | None, float | None, float | None] = (None, None, None),
        count: int | None = None,
        reconnect: bool = True,
        scope: str = "leader",
        missed: str = "run",
    ) -> None:
        refuse_coroutine(function, "Loops")
        if not callable(function):
            raise ConfigError(f"the loop {name} is not callable: {function!r}")
        if not name or "/" in name:
            raise ConfigError(f"a loop's name may not be empty or hold a slash, as {name!r} does")
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
            raise ConfigError(f"count of the loop {name} must be above 0 or None, not {count!r}")
        for option, value, choices in (("scope", scope, SCOPES), ("missed", missed, MISSED)):
            if value not in choices:
                wanted = '" or "'.join(choices)
                raise ConfigError(f'{option} of the loop {name} must be "{wanted}", not {value!r}')
        schedule.dump()  # refuses time zones without a name
        self.function = function
        self.name = name
        self.count = count
        self.reconnect = reconnect
        self.scope = scope
        self.missed = missed
        self._schedule = schedule
        self._units = units
        self._injected: tuple[Any, ...] = ()
        self._host: LoopHost | None = None
        self._thread: LoopThread | None = None
        self._wanted: bool | None = None  # whether this replica was told to take part
        self._is_method, self._attribute = False, ""
        self._arguments: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
        self._retried: tuple[type[BaseException], ...] = (OSError, aiohttp.ClientError, TimeoutError)
        self._failed = self._cancelled = False
        self._hooks: dict[str, Callable[..., Any]] = {}

    def __repr__(self) -> str:
        return f"<Loop {self.name} {'running' if self.is_running() else 'stopped'}>"

    def __set_name__(self, owner: type, name: str) -> None:
        self._is_method, self._attribute = True, name

    def __get__(self, instance: Any, owner: type | None = None) -> Loop:
        """The loop of one object; a class's loop runs for each of its objects that starts it."""
        if instance is None:
            return self
        copy = Loop(
            self.function,
            name=self.name,
            schedule=self._schedule,
            units=self._units,
            count=self.count,
            reconnect=self.reconnect,
            scope=self.scope,
            missed=self.missed,
        )
        copy._injected = (instance,)
        copy._hooks = dict(self._hooks)
        copy._retried = self._retried
        copy._is_method = True
        setattr(instance, self._attribute, copy)
        return copy

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function once, here and now."""
        return self.function(*self._injected, *args, **kwargs)

    # -- life ------------------------------------------------------------------------------------------------

    def start(self, *args: Any, **kwargs: Any) -> None:
        """Starts the loop; its function gets these arguments in each run. Before the bot runs it has the loop
        start with the bot. Does not block, unless it undoes a ``stop`` for all replicas: then on etcd.

        :raises RuntimeError: the loop runs already.
        :raises ConfigError: the function does not take the arguments, or no bot is known.
        """
        if self._wanted and self._thread is not None and self.is_running():
            raise RuntimeError(f"the loop {self.name} runs already: stop() or restart() it")
        self._check_arguments(args, kwargs)
        self._arguments = (args, kwargs)
        host = self._host = self._host or find_bot(self.name, self._injected)
        self._wanted, self._cancelled, self._failed = True, False, False
        host._adopt_loop(self)
        if self._for_all():
            state = self._thread.state() if self._thread is not None else TaskState()
            if state.stopped is not False or self._is_over(state):
                self._control(_anew)

    def stop(self) -> None:
        """Begins no run any more; one that runs ends as usual. May block on etcd."""
        if self._for_all():
            self._control(lambda state: state._replace(stopped=True))
        else:
            self._wanted = False

    def cancel(self) -> None:
        """The same as ``stop``, since a thread cannot be interrupted; ``is_being_cancelled`` is then true in
        ``after_loop``. May block on etcd.
        """
        if self.is_running():
            self._cancelled = True
        self.stop()

    def restart(self, *args: Any, **kwargs: Any) -> None:
        """Starts anew: with ``current_loop`` 0, and with a run at once unless it has ``time``. May block on
        etcd.

        :raises ConfigError: see ``start``.
        """
        if self._thread is None or not self.is_running():
            self.start(*args, **kwargs)
            return
        self._check_arguments(args, kwargs)
        self._arguments = (args, kwargs)
        self._control(_anew)

    def change_interval(
        self,
        *,
        seconds: float | None = None,
        minutes: float | None = None,
        hours: float | None = None,
        time: Times | None = None,
    ) -> None:
        """Changes when runs are due, from the next one on: on all replicas if the bot runs and the loop's
        scope is ``"leader"``. May block on etcd.

        :raises ConfigError: the arguments are impossible.
        """
        schedule = schedule_of(seconds, minutes, hours, time, name=self.name)
        dump = schedule.dump()
        if self._thread is not None:
            self._control(lambda state: state._replace(schedule=dump))
        else:
            self._schedule, self._units = schedule, (seconds, minutes, hours)

    # -- state; no I/O ---------------------------------------------------------------------------------------

    @property
    def schedule(self) -> Schedule:
        """When runs are due, as declared or changed since."""
        changed = self._thread.state().schedule if self._thread is not None else None
        return (parse_schedule(changed) if changed is not None else None) or self._schedule

    @property
    def seconds(self) -> float | None:
        """The seconds of the interval; ``None`` with ``time``."""
        return self._unit(0, 1.0)

    @property
    def minutes(self) -> float | None:
        """The minutes of the interval; ``None`` with ``time``."""
        return self._unit(1, 60.0)

    @property
    def hours(self) -> float | None:
        """The hours of the interval; ``None`` with ``time``."""
        return self._unit(2, 3600.0)

    def _unit(self, index: int, size: float) -> float | None:
        schedule = self.schedule
        if schedule.seconds is None:
            return None
        if schedule == self._schedule:
            return float(self._units[index] or 0.0)
        return schedule.seconds if size == 1.0 else 0.0

    @property
    def time(self) -> list[datetime.time] | None:
        """The times of day; ``None`` with an interval."""
        return list(self.schedule.times) or None

    @property
    def current_loop(self) -> int:
        """How many runs have begun since the start, over all replicas if the scope is ``"leader"``."""
        return self._thread.state().runs if self._thread is not None else 0

    @property
    def next_iteration(self) -> datetime.datetime | None:
        """When the next run is due, as far as this replica knows; ``None`` if the loop does not run."""
        due = self._thread.next_due() if self._thread is not None and self.is_running() else None
        return datetime.datetime.fromtimestamp(due, datetime.UTC) if due is not None else None

    def is_running(self) -> bool:
        """Whether runs will follow."""
        state = self._thread.state() if self._thread is not None else TaskState()
        if self._wanted is False or state.stopped or self._is_over(state):
            return False
        return self._wanted is True or state.stopped is False

    def is_being_cancelled(self) -> bool:
        """Whether the loop ends because of ``cancel``, or because its replica drains."""
        return self._cancelled

    def failed(self) -> bool:
        """Whether the last run on this replica ended with an error."""
        return self._failed

    # -- hooks -----------------------------------------------------------------------------------------------

    def before_loop(self, function: Hook) -> Hook:
        """Decorator: a plain function that each replica calls before its first run."""
        return self._hook("before_loop", function)

    def after_loop(self, function: Hook) -> Hook:
        """Decorator: a plain function that each replica which made runs calls when the loop ends or the
        replica drains, after all handlers.
        """
        return self._hook("after_loop", function)

    def error(self, function: Hook) -> Hook:
        """Decorator: a plain function that gets a run's error, instead of the log. The loop goes on."""
        return self._hook("error", function)

    def _hook(self, kind: str, function: Hook) -> Hook:
        refuse_coroutine(function, "Loops")
        wanted = (*self._injected, *(("exception",) if kind == "error" else ()))
        if not any(_takes(function, (*more, *wanted)) for more in ((), ("self",))):
            says = "one argument, the exception" if kind == "error" else "no argument"
            title = getattr(function, "__qualname__", repr(function))
            raise ConfigError(f"{title} can't be {kind} of the loop {self.name}: it is called with {says}")
        self._hooks[kind] = function
        return function

    def add_exception_type(self, *exceptions: type[BaseException]) -> None:
        """A run that ends with such an error is tried again, after 1, 2, 4, ... seconds.

        :raises TypeError: an argument is no class of exceptions.
        """
        for each in exceptions:
            if not (isinstance(each, type) and issubclass(each, BaseException)):
                raise TypeError(f"{each!r} must be a class of exceptions")
        self._retried = (*self._retried, *exceptions)

    def remove_exception_type(self, *exceptions: type[BaseException]) -> bool:
        """Undoes ``add_exception_type``; whether all of them were there."""
        kept = tuple(each for each in self._retried if each not in exceptions)
        removed = len(self._retried) - len(kept)
        self._retried = kept
        return removed == len(exceptions)

    def clear_exception_types(self) -> None:
        """No run is tried again any more."""
        self._retried = ()

    # -- for the bot and the thread --------------------------------------------------------------------------

    def declare(self, host: LoopHost) -> None:
        """Makes the loop start with its bot.

        :raises ConfigError: the function takes arguments.
        """
        self._check_arguments((), {})
        self._host, self._wanted = host, True

    @property
    def is_free(self) -> bool:
        """Whether the loop is that of a module, and has no bot."""
        return self._host is None and not self._is_method

    def join_bot(self, host: LoopHost) -> None:
        """Gives the loop to a bot, without starting it."""
        self._host = host
        host._adopt_loop(self)

    @property
    def retried(self) -> tuple[type[BaseException], ...]:
        """The errors after which a run is tried again."""
        return self._retried if self.reconnect else ()

    def attach(self, thread: LoopThread | None) -> None:
        """Gives the loop its thread of the replica that runs; ``None``: it has ended."""
        self._thread = thread
        if thread is not None:
            self._cancelled = self._failed = False

    def note(self, *, failed: bool | None = None, cancelled: bool | None = None) -> None:
        """Takes down how a run or the loop ended."""
        self._failed = self._failed if failed is None else failed
        self._cancelled = self._cancelled if cancelled is None else cancelled

    def run_once(self) -> None:
        """Calls the function as ``start`` was told to."""
        args, kwargs = self._arguments
        refuse_result(self.function(*self._injected, *args, **kwargs), f"the loop {self.name}")

    def hook(self, kind: str) -> Callable[..., Any] | None:
        """The hook of that kind, ready to be called."""
        function = self._hooks.get(kind)
        return (lambda *args: function(*self._injected, *args)) if function is not None else None

    def _is_over(self, state: TaskState) -> bool:
        return self.count is not None and state.runs >= self.count

    def _for_all(self) -> bool:
        """Whether the calling code speaks for the loop wherever it runs."""
        if self._thread is None:
            return False
        if self._thread.alone:
            return True
        event = current_event()
        if event is None:
            return False
        return not event.for_itself or (event.name, event.identity) == ("loop", self.name)

    def _control(self, change: Callable[[TaskState], TaskState]) -> None:
        refuse_on_loop("the control of a loop")
        if self._thread is not None:
            self._thread.control(change)

    def _check_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not _takes(self.function, (*self._injected, *args), kwargs):
            given = f"with {len(args) + len(kwargs)} arguments" if args or kwargs else "without arguments"
            raise ConfigError(
                f"{self.name}{inspect.signature(self.function)} can't be a loop: it is called {given}"
            )


def _anew(state: TaskState) -> TaskState:
    return state._replace(runs=0, begun=None, stopped=False)


def _takes(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> bool:
    with contextlib.suppress(ValueError):  # a builtin without a signature
        try:
            inspect.signature(function).bind(*args, **(kwargs or {}))
        except TypeError:
            return False
    return True
