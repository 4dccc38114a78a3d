"""discord.py's client as a ported bot asks for it: ``self.user``, ``self.get_guild(id)``, ...

Promises: the names that bots use most, as blocking views; all others are on ``ha.wrap(ha.client)``.

Does not promise what discord.py's cache does not hold: ``get_...`` looks there, ``fetch_...`` asks Discord.

Concurrency: no state; any thread but the gateway's, while the bot runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from discordha.api.replica_access import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from discordha import views

    Channel = (
        views.TextChannel
        | views.VoiceChannel
        | views.StageChannel
        | views.ForumChannel
        | views.CategoryChannel
        | views.Thread
        | views.PrivateChannel
    )

__all__ = ["ClientView"]


class ClientView(Part):
    """The part of ``DiscordHA`` that stands in for ``discord.Client``. Asks Discord in ``fetch_...`` only."""

    @property
    def user(self) -> views.ClientUser | None:
        """The bot's own user, once it is logged in."""
        return self._running().client_view.user

    @property
    def guilds(self) -> Sequence[views.Guild]:
        """The guilds that the bot is in, as far as this replica knows."""
        return self._running().client_view.guilds

    def get_guild(self, id: int, /) -> views.Guild | None:
        """See ``discord.Client.get_guild``."""
        return self._running().client_view.get_guild(id)

    def get_channel(self, id: int, /) -> Channel | None:
        """See ``discord.Client.get_channel``."""
        return self._running().client_view.get_channel(id)

    def get_partial_messageable(self, id: int, *, guild_id: int | None = None) -> views.PartialMessageable:
        """A channel to send to, known by its id alone; see ``discord.Client.get_partial_messageable``."""
        return self._running().client_view.get_partial_messageable(id, guild_id=guild_id)

    def get_user(self, id: int, /) -> views.User | None:
        """See ``discord.Client.get_user``."""
        return self._running().client_view.get_user(id)

    def fetch_user(self, user_id: int, /) -> views.User:
        """See ``discord.Client.fetch_user``. Blocks."""
        return self._running().client_view.fetch_user(user_id)
