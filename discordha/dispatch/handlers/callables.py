"""What users declare: the names of their callables, and the declarations that are refused.

Guarantees
- ``callable_name`` is equal in every process that runs the same code: it holds no address and no ``repr``.
  Two callables may share a name (two lambdas of one function, two partials of one function); whoever needs
  them apart numbers them.

Threads and locks: none.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import types
from collections.abc import Callable, Sequence
from typing import Any

from discordha.errors import ConfigError

__all__ = [
    "body_of",
    "callable_name",
    "check_arguments",
    "check_predicate",
    "own_name",
    "refuse_coroutine",
    "refuse_result",
    "short_name",
]


def own_name(function: Any) -> str:
    """The qualified name of a callable inside of its module: of a partial, that of the wrapped callable; of a
    callable object, that of its class.
    """
    return str(_named(function).__qualname__)


def short_name(function: Any) -> str:
    """The last part of ``own_name``, for names made of a function's: an event's, a command's, a loop's."""
    return str(_named(function).__name__)


def callable_name(function: Any) -> str:
    """The name of a callable over processes: its module, and ``own_name``."""
    named = _named(function)
    module = getattr(named, "__module__", None) or "builtins"
    return f"{module}.{named.__qualname__}"


def _behind(function: Any) -> Any:
    """The callable that partials and bound methods lead to."""
    while isinstance(function, (functools.partial, types.MethodType)):
        function = function.func if isinstance(function, functools.partial) else function.__func__
    return function


def body_of(function: Any) -> Any:
    """The function whose body runs: of a partial, of a bound method, or the object's ``__call__``."""
    inner = _behind(function)
    call = inspect.getattr_static(type(inner), "__call__", None)
    return call if isinstance(call, types.FunctionType) and not isinstance(inner, type) else inner


def _named(function: Any) -> Any:
    """The object that has the names: a function, a class, or whatever has the names of a function."""
    inner = _behind(function)
    names = (getattr(inner, "__name__", None), getattr(inner, "__qualname__", None))
    return inner if all(isinstance(name, str) for name in names) else type(inner)


def refuse_coroutine(function: Any, what: str = "Handlers") -> None:
    """Refuses a callable whose body would not run when it is called.

    :param what: the kind of function, in the plural.
    :raises ConfigError: a coroutine function, or a generator function.
    """
    body, title = body_of(function), own_name(function)
    if inspect.iscoroutinefunction(body) or inspect.isasyncgenfunction(body):
        raise ConfigError(
            f"{title} is a coroutine function. {what} are plain functions that may block: "
            f"write `def {short_name(function)}` and delete every `await` in it"
        )
    if inspect.isgeneratorfunction(body):
        raise ConfigError(
            f"{title} is a generator function, whose body does not run when it is called. {what} are plain "
            "functions: delete every `yield` in it"
        )


def check_arguments(function: Callable[..., Any], arguments: Sequence[str], purpose: str) -> None:
    """Refuses a callable that can't take its arguments, given by position.

    :param purpose: what it is declared for, to follow "can't".
    :raises ConfigError: names the arguments that it is called with.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # a builtin without a signature
    try:
        signature.bind(*arguments)
    except TypeError:
        wanted = f"with ({', '.join(arguments)})" if arguments else "without arguments"
        raise ConfigError(f"{own_name(function)}{signature} can't {purpose}: it is called {wanted}") from None


def check_predicate(function: Any, arguments: Sequence[str] | None = None) -> None:
    """Refuses a predicate (``where=``, ``check=``) that can't tell yes from no.

    :param arguments: the event's, by name; ``None``: they vary.
    :raises ConfigError: not callable, a coroutine function, which would always say yes, or wrong arguments.
    """
    if not callable(function):
        raise ConfigError(
            f"where is {function!r}, which is not callable: write where=lambda ...: ..., or a function's name"
        )
    refuse_coroutine(function, "Predicates")
    if arguments is not None:
        check_arguments(function, arguments, "be the predicate")


def refuse_result(result: Any, name: str) -> None:
    """Refuses a coroutine, a generator or a future as the result of a plain function: its body did not run.

    :param name: the function.
    :raises TypeError: says how to run it.
    """
    if not isinstance(result, _UNRUN):
        return
    title = getattr(result, "__qualname__", type(result).__name__)
    if isinstance(result, types.CoroutineType):
        result.close()
    raise TypeError(
        f"{name} returned {title} without running it. Make a function of yours a plain one, without async, "
        "await and yield; call methods on the views that handlers get, or ha.call(...) for a "
        "coroutine of discord.py's own objects"
    )


_UNRUN = (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType, asyncio.Future)
