"""``ha.broadcast``, ``ha.dispatch``, ``ha.ask_all``, and the functions that they reach.

Threads and locks: one thread declares, before ``start``. Any thread but the gateway's sends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

from discordha.api.client import ReplicaAccess
from discordha.blocking.nonces import with_token
from discordha.context import check_fence, current_event
from discordha.coordination.shared.posts import BROADCAST, EVENT
from discordha.dispatch.handlers import HandlerRegistry
from discordha.dispatch.handlers.callables import check_arguments, refuse_coroutine
from discordha.errors import ConfigError

__all__ = ["Answers", "PeerCalls"]

Function = TypeVar("Function", bound=Callable[..., Any])
#: The longest name of a broadcast, an event or a question.
LONGEST_NAME = 100
#: The longest time that ``ask_all`` may wait, seconds.
LONGEST_WAIT = 600.0


class Answers(dict[str, Any]):
    """What ``ha.ask_all`` returns: the answers by replica. A plain dictionary of the caller's own.

    :ivar missing: the replicas that lived when they were asked, and did not answer in time.
    :ivar failed: why replicas have no answer, by replica: their function raised, or they have none.
    """

    def __init__(self, answers: dict[str, Any], missing: Sequence[str], failed: dict[str, str]) -> None:
        super().__init__(answers)
        self.missing = tuple(missing)
        self.failed = failed


class PeerCalls(ReplicaAccess):
    """The part of ``DiscordHA`` by which replicas tell each other things."""

    def __init__(self) -> None:
        super().__init__()
        self._registry = HandlerRegistry()
        self._broadcasts: dict[str, list[Callable[[Any], Any]]] = {}
        self._asks: dict[str, Callable[[Any], Any]] = {}

    # -- declarations ----------------------------------------------------------------------------------------

    def on_broadcast(self, name: str) -> Callable[[Function], Function]:
        """Decorator: a plain function that runs on every replica, with the payload, for each
        ``ha.broadcast(name, payload)``; those of one sender one after another, in order. Before ``start``.

        :raises ConfigError: a coroutine function, or one without exactly one argument.
        """
        _check_name(name, "a broadcast", '@ha.on_broadcast("reload")')

        def register(function: Function) -> Function:
            refuse_coroutine(function, "Functions for broadcasts")
            check_arguments(function, ("payload",), f"take the broadcast {name!r}")
            self._refuse_late(f"the broadcast {name!r}")
            self._broadcasts.setdefault(name, []).append(function)
            return function

        return register

    def on_ask(self, name: str) -> Callable[[Function], Function]:
        """Decorator: a plain function that answers, on every replica, ``ha.ask_all(name, payload)``: what it
        returns is this replica's answer, a value that JSON can hold. Before ``start``.

        :raises ConfigError: the name is taken, a coroutine function, or one without exactly one argument.
        """
        _check_name(name, "a question", '@ha.on_ask("members")')

        def register(function: Function) -> Function:
            refuse_coroutine(function, "Functions that answer")
            check_arguments(function, ("payload",), f"answer {name!r}")
            self._refuse_late(f"the question {name!r}")
            if name in self._asks:
                raise ConfigError(f"there is a function for the question {name!r} already")
            self._asks[name] = function
            return function

        return register

    def add_event(self, name: str, arguments: Sequence[str] | None = None, *, scope: str = "claim") -> None:
        """Declares an event of the bot's own: ``ha.dispatch`` takes its name from now on, and so do handlers
        (``@ha.listen(name)``, ``def on_<name>``) and ``ha.wait_for``. Before them, and before ``start``.

        :param arguments: the names of its arguments, so that handlers are checked; ``None``: any.
        :param scope: ``"claim"``: one replica handles it; ``"every"``: each one does.
        :raises ConfigError: an event of discord.py's, a name that is no identifier, or an impossible scope.
        """
        self._refuse_late(f"the event {name!r}")
        self._registry.declare(name, arguments, scope)

    # -- calls -----------------------------------------------------------------------------------------------

    def broadcast(self, name: str, payload: Any = None) -> None:
        """Tells every replica that runs, this one included: each runs its functions of
        ``@ha.on_broadcast(name)`` once, in the order of this replica's broadcasts. Blocks until etcd has it,
        not until the functions have run; any thread. A handler that runs again broadcasts nothing twice.

        :param payload: a value that JSON can hold, of 64 KiB at the most.
        :raises ConfigError: the bot has no ``@ha.on_broadcast(name)``.
        :raises TypeError: JSON cannot hold the payload; names the place.
        :raises ValueError: the payload is too large.
        :raises LockLost: the caller has lost its event or lock; nothing was sent.
        :raises StoreUnavailable: etcd does not answer; the broadcast may have been sent.
        """
        if name not in self._broadcasts:
            raise ConfigError(
                f"no function takes the broadcast {name!r}: declare one, @ha.on_broadcast({name!r})"
            )
        self._send("broadcast", BROADCAST, name, payload)

    def dispatch(self, name: str, /, *args: Any) -> None:
        """Sends an event of the bot's own to its handlers: one replica claims and handles it, as it does a
        message, whatever happens to this one; with scope ``"every"`` each replica does. Blocks until etcd has
        it; any thread. A handler that runs again dispatches nothing twice.

        :param name: one of ``ha.add_event``.
        :param args: values that JSON can hold, of 64 KiB together at the most.
        :raises ConfigError: the event was not declared, or takes other arguments.
        :raises TypeError: JSON cannot hold an argument; names the place.
        :raises ValueError: the arguments are too large.
        :raises LockLost: the caller has lost its event or lock; nothing was sent.
        :raises StoreUnavailable: etcd does not answer; the event may have been sent.
        """
        name = name.removeprefix("on_")
        self._registry.check_own(name, args)
        self._send("dispatch", EVENT, name, list(args))

    def ask_all(self, name: str, payload: Any = None, *, timeout: float = 5.0) -> Answers:
        """Asks every replica that lives, this one included; returns what their functions of
        ``@ha.on_ask(name)`` return, by replica. Blocks until all have answered or died, or to the time-out;
        any thread.

        :param payload: a value that JSON can hold, of 64 KiB at the most.
        :param timeout: seconds, above 0 and at most 600; then ``missing`` of the result names those that did
            not answer.
        :raises ConfigError: the bot has no ``@ha.on_ask(name)``.
        :raises TypeError: JSON cannot hold the payload; names the place.
        :raises ValueError: the payload is too large, or the time-out is impossible.
        :raises LockLost: the caller has lost its event or lock; nobody was asked.
        :raises StoreUnavailable: etcd does not answer.
        """
        if name not in self._asks:
            raise ConfigError(f"no function answers {name!r}: declare one, @ha.on_ask({name!r})")
        if not 0 < timeout <= LONGEST_WAIT or math.isnan(timeout):
            raise ValueError(f"timeout must be above 0 and at most {LONGEST_WAIT:g} seconds, not {timeout!r}")
        check_fence(f"ask_all({name!r})")
        running = self._blocking("ask_all")
        # A handler that waits makes room for one that answers.
        with running.lanes.lend() if current_event() is not None else nullcontext():
            answers, missing = running.posts.ask(name, payload, timeout, running.replicas)
        values = {replica: answer.value for replica, answer in answers.items() if answer.error is None}
        failed = {replica: answer.error for replica, answer in answers.items() if answer.error is not None}
        return Answers(values, missing, failed)

    def _send(self, call: str, kind: str, name: str, body: Any) -> None:
        check_fence(f"{call}({name!r})")
        posts = self._blocking(call).posts
        with with_token(call, kind, name, body) as token:
            posts.send(kind, name, body, token)


def _check_name(name: Any, what: str, example: str) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise ConfigError(
            f"the name of {what} must be text of at most {LONGEST_NAME} characters, as in {example}: {name!r}"
        )
