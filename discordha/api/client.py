"""The running replica as the methods of ``DiscordHA`` use it, and discord.py's client as a ported bot asks
for it.

Guarantees: the names that bots use most (``self.user``, ``self.get_guild(id)``, ...) return blocking views;
all others are on ``ha.wrap(ha.client)``.

Not guaranteed: objects that discord.py's cache does not hold. ``get_...`` reads the cache, ``fetch_...`` asks
Discord.

Threads and locks: no state; any thread but the gateway's, while the bot runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

from discordha.context import refuse_on_loop
from discordha.coordination.shared.facade import Shared
from discordha.coordination.shared.timers import TimerStore
from discordha.coordination.voice.queue import VoiceQueue

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

__all__ = ["ClientLookups", "ReplicaAccess", "RunningReplica"]


class RunningReplica(Protocol):
    """A replica while it runs, as far as the methods by subject use it."""

    @property
    def shared(self) -> Shared:
        """Caches, counters and locks of all replicas."""

    @property
    def voice(self) -> VoiceQueue:
        """The queue of voice commands."""

    @property
    def timers(self) -> TimerStore:
        """The timers of all replicas."""

    @property
    def client_view(self) -> views.Client:
        """discord.py's client, as a blocking view."""


class ReplicaAccess(ABC):
    """Base of the classes that make up ``DiscordHA``."""

    @abstractmethod
    def _running(self) -> RunningReplica:
        """The running replica.

        :raises DiscordHAError: the bot does not run.
        """

    def _blocking(self, what: str) -> RunningReplica:
        """The running replica, for a call that blocks.

        :param what: the call, for the message.
        :raises RuntimeError: the calling thread runs discord.py's loop.
        :raises DiscordHAError: the bot does not run.
        """
        refuse_on_loop(what)
        return self._running()


class ClientLookups(ReplicaAccess):
    """The part of ``DiscordHA`` that stands in for ``discord.Client``. Only ``fetch_...`` asks Discord."""

    @property
    def user(self) -> views.ClientUser | None:
        """The bot's own user; ``None`` until it is logged in."""
        return self._running().client_view.user

    @property
    def guilds(self) -> Sequence[views.Guild]:
        """The bot's guilds, as far as this replica knows."""
        return self._running().client_view.guilds

    def get_guild(self, id: int, /) -> views.Guild | None:
        """See ``discord.Client.get_guild``."""
        return self._running().client_view.get_guild(id)

    def get_channel(self, id: int, /) -> Channel | None:
        """See ``discord.Client.get_channel``."""
        return self._running().client_view.get_channel(id)

    def get_partial_messageable(self, id: int, *, guild_id: int | None = None) -> views.PartialMessageable:
        """A channel to send to, by its id alone; see ``discord.Client.get_partial_messageable``."""
        return self._running().client_view.get_partial_messageable(id, guild_id=guild_id)

    def get_user(self, id: int, /) -> views.User | None:
        """See ``discord.Client.get_user``."""
        return self._running().client_view.get_user(id)

    def fetch_user(self, user_id: int, /) -> views.User:
        """See ``discord.Client.fetch_user``. Blocks."""
        return self._running().client_view.fetch_user(user_id)
