"""The commands that a bot has registered with the local Discord. No threads; each call asks it anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from discordha.operations.local.lines import LineError, typed

if TYPE_CHECKING:
    from discordha.testing import LocalDiscord

__all__ = ["RegisteredCommands"]

#: Discord's types of commands in context menus.
_MENUS = {"user": 2, "message": 3}


class RegisteredCommands:
    """Finds commands, and reads the options of a line as a command declares them."""

    def __init__(self, discord: LocalDiscord) -> None:
        self._discord = discord

    def options(self, path: tuple[str, ...]) -> list[dict[str, Any]] | None:
        """The options that a command declares; ``None`` if there is none of that name."""
        level = self._all()
        options: list[dict[str, Any]] = []
        for name in path:
            found = next((each for each in level if each["name"] == name), None)
            if found is None:
                return None
            options = list(found.get("options") or ())
            level = [each for each in options if each["type"] in (1, 2)]
        return None if level else options

    def unknown(self, path: tuple[str, ...]) -> str:
        """Says that there is no such command, and which there are."""
        known = ", ".join(f"/{each['name']}" for each in self._all()) or "none"
        return f"the bot has no command /{' '.join(path)}; its commands: {known}"

    def has_menu(self, name: str, kind: str) -> bool:
        """Whether there is a command of that name in the context menu of a ``user`` or a ``message``."""
        return name in self._menus(kind)

    def unknown_menu(self, name: str, kind: str) -> str:
        """Says that there is no such command, and which there are."""
        known = ", ".join(self._menus(kind)) or "none"
        return f"the bot has no command {name!r} in the menu of a {kind}; its commands there: {known}"

    def _menus(self, kind: str) -> list[str]:
        return [each["name"] for each in self._all(_MENUS[kind])]

    def _all(self, kind: int = 1) -> list[dict[str, Any]]:
        guilds = [command for guild in self._discord.guild_ids for command in self._discord.commands(guild)]
        return [each for each in [*self._discord.commands(), *guilds] if each.get("type", 1) == kind]

    @staticmethod
    def values(
        path: tuple[str, ...],
        declared: list[dict[str, Any]],
        options: Mapping[str, str],
        names: Mapping[str, Mapping[int, str]],
    ) -> dict[str, Any]:
        """The values of a line's options, by their declared types.

        :param names: those of users, channels and roles, by their ids.
        :raises LineError: an option is unknown, missing, or of another type.
        """
        kinds = {option["name"]: option["type"] for option in declared}
        required = {option["name"] for option in declared if option.get("required")}
        known = ", ".join(kinds) or "none"
        if unknown := [name for name in options if name not in kinds]:
            raise LineError(f"/{' '.join(path)} has no option {', '.join(unknown)}; its options: {known}")
        if missing := required - options.keys():
            raise LineError(f"/{' '.join(path)} needs {', '.join(sorted(missing))}; its options: {known}")
        return {name: typed(value, kinds[name], names) for name, value in options.items()}
