"""Reads the fields of ``Config`` from the texts of environment variables."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from discordha.errors import ConfigError

if TYPE_CHECKING:
    import discord

__all__ = ["nearest", "read_variable"]

_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


def nearest(name: str, known: Sequence[str]) -> str:
    """The end of a message about an unknown name: the known one that is most like it, if any is."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else ""


def read_variable(variable: str, name: str, kind: str, text: str) -> Any:
    """The value of one variable, by its field's type."""
    if name == "intents":
        return _read_intents(variable, text)
    if name == "shard_count":
        return int(text) if _is_whole(text) else text
    if kind.startswith("Sequence"):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind.startswith("bool"):
        if text.lower() in _YES | _NO:
            return text.lower() in _YES
        raise ConfigError(f"{variable} must be true or false, not {text!r}")
    for prefix, read, what in (("int", int, "a whole number"), ("float", float, "a number")):
        if kind.startswith(prefix):
            try:
                return read(text)
            except ValueError:
                raise ConfigError(f"{variable} must be {what}, not {text!r}") from None
    return text


def _read_intents(variable: str, text: str) -> discord.Intents:
    import discord

    if _is_whole(text):
        intents = discord.Intents.none()
        intents.value = int(text)
        return intents
    if text in ("all", "default", "none"):
        chosen: discord.Intents = getattr(discord.Intents, text)()
        return chosen
    intents = discord.Intents.none()
    for flag in (part.strip() for part in text.split(",")):
        if flag not in discord.Intents.VALID_FLAGS:
            raise ConfigError(
                f"{variable}: {flag!r} is no intent{nearest(flag, list(discord.Intents.VALID_FLAGS))}"
            )
        setattr(intents, flag, True)
    return intents
