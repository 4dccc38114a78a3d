"""Converters and flags: discord.py's own, and plain functions of the author's.

Each converter of discord.py's is here as a subclass whose ``convert`` blocks on the author's side. Commands
use discord.py's own for annotations such as ``discord.Member``.

Threads and locks: no state. discord.py's converters run on the loop, an author's on the handler thread.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any, Generic, TypeVar

from discord.ext import commands as theirs

from discordha.blocking import Bridge, wrap
from discordha.ext.commands.sides import TwoSided, both, is_authors, two_sided

__all__ = ["CONVERTERS", "Converter", "FlagConverter", "convert_converters"]

Converted = TypeVar("Converted")


def convert_converters(annotation: Any) -> None:
    """Makes ``convert`` of an author's class two-sided: one that is no subclass of ``Converter``, too, as
    discord.py takes any class with that method.

    :raises ConfigError: ``convert`` is a coroutine function.
    """
    inner = annotation.converter if isinstance(annotation, theirs.Greedy) else None
    for part in (*getattr(annotation, "__args__", ()), *((inner,) if inner is not None else ())):
        convert_converters(part)
    kind: Any = annotation if isinstance(annotation, type) else type(annotation)
    if kind.__module__.split(".")[0] in ("discord", "discordha", "builtins", "typing"):
        return
    for base in kind.__mro__:
        member: Any = vars(base).get("convert")
        function = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
        if inspect.isfunction(function) and base.__module__.split(".")[0] not in ("discord", "discordha"):
            made: Any = both(function, "Converters")
            base.convert = made if member is function else type(member)(made)


class Converter(TwoSided, theirs.Converter[Any], Generic[Converted]):
    """``discord.ext.commands.Converter``: ``convert`` is a plain function (context, argument)."""

    def convert(self, ctx: Any, argument: str) -> Any:
        """Returns the argument's value. Runs on the handler thread, and may block.

        :raises CommandError: the argument is none; ``BadArgument`` says why.
        """
        raise NotImplementedError("a subclass of Converter needs a method convert(self, ctx, argument)")


def _converter(name: str) -> Any:
    """A converter of discord.py's, for both sides."""
    inner = getattr(theirs, name)
    members = {"__module__": __name__, "__doc__": inner.__doc__, "__qualname__": name}
    return two_sided()(type(name, (TwoSided, inner), members))


#: discord.py's converters, by name.
CONVERTERS: dict[str, Any] = {
    name: _converter(name)
    for name in theirs.converter.__all__
    if name.endswith("Converter") and name not in ("Converter", "IDConverter")
}
CONVERTERS["clean_content"] = _converter("clean_content")


@two_sided()
class FlagConverter(TwoSided, theirs.FlagConverter):
    """``discord.ext.commands.FlagConverter``. A command gets its values as views."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for flag in cls.__commands_flags__.values():
            convert_converters(flag.annotation)
            default = flag.default
            if is_authors(default):
                flag.default = both(default, "Defaults of flags")

    def __discordha_wrap__(self, bridge: Bridge) -> Any:
        shown = copy.copy(self)
        for flag in type(self).__commands_flags__.values():
            setattr(shown, flag.attribute, wrap(getattr(self, flag.attribute), bridge))
        return shown
