"""The running replica as the methods of ``DiscordHA`` use it, and discord.py's client as a ported bot asks
for it.

Guarantees: look-ups (``self.get_guild(id)``, ``self.guilds``, ...) cover all shards that this replica hosts.
``fetch_...`` asks Discord, whichever replica hosts the shard. All return blocking views.

Not guaranteed: objects of shards that other replicas host, or that discord.py's cache does not hold: a
look-up does not find them.

Threads and locks: no state; any thread but the gateway's, while the bot runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

from discordha.blocking import unwrap
from discordha.context import check_fence, refuse_on_loop
from discordha.coordination.shared.facade import Shared
from discordha.coordination.shared.posts import Posts
from discordha.coordination.shared.timers import TimerStore
from discordha.coordination.voice.queue import VoiceQueue
from discordha.dispatch.lanes import Lanes
from discordha.errors import ConfigError
from discordha.gateway.presence import presence_word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import discord

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

__all__ = ["AllClients", "ClientLookups", "ReplicaAccess", "RunningReplica"]


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
    def posts(self) -> Posts:
        """What replicas tell each other."""

    @property
    def lanes(self) -> Lanes:
        """What waits for handler threads."""

    def replicas(self) -> Mapping[str, Mapping[str, Any]]:
        """The live replicas and their member records."""

    @property
    def client_view(self) -> views.Client:
        """discord.py's client, as a blocking view."""

    @property
    def all_clients(self) -> AllClients:
        """discord.py's clients of all shards that this replica hosts."""

    def show(self, value: Any) -> Any:
        """A blocking view of a value of discord.py's."""

    def say_presence(self, word: Mapping[str, Any]) -> None:
        """Makes a presence that of all replicas, if the calling code's word counts. Blocks on etcd."""


class ReplicaAccess(ABC):
    """Base of the classes that make up ``DiscordHA``."""

    @abstractmethod
    def _running(self) -> RunningReplica:
        """The running replica.

        :raises DiscordHAError: the bot does not run.
        """

    def _is_started(self) -> bool:
        """Whether the bot runs, or is about to."""
        return False

    def _refuse_late(self, what: str) -> None:
        """Refuses a declaration that would have no effect, since the bot has read them all.

        :raises ConfigError: the bot runs.
        """
        if self._is_started():
            raise ConfigError(
                f"{what} is declared while the bot runs, which would have no effect: declare it before "
                "start() or run(), at the top of the bot's module"
            )

    def _blocking(self, what: str) -> RunningReplica:
        """The running replica, for a call that blocks.

        :param what: the call, for the message.
        :raises RuntimeError: the calling thread runs discord.py's loop.
        :raises DiscordHAError: the bot does not run.
        """
        refuse_on_loop(what)
        return self._running()


class AllClients:
    """discord.py's clients of all shards that this replica hosts, asked as one, for discord.py's own objects.

    :param clients: returns the clients, by rising shard.
    :param lowest: returns the client that stands for all where the shard does not matter.
    """

    def __init__(
        self, clients: Callable[[], Iterable[discord.Client]], lowest: Callable[[], discord.Client]
    ) -> None:
        self._clients = clients
        self._lowest = lowest

    def __getattr__(self, name: str) -> Any:
        if name.startswith("get_") and name != "get_partial_messageable":
            return lambda *args, **kwargs: self._first(name, args, kwargs)
        return getattr(self._lowest(), name)

    def _first(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        found = (getattr(client, name)(*args, **kwargs) for client in self._clients())
        return next((each for each in found if each is not None), None)

    def all(self, name: str) -> list[Any]:
        """What an attribute holds of all clients; what several of them have, once."""
        return list(dict.fromkeys(each for client in self._clients() for each in getattr(client, name)))

    def get_all_channels(self) -> Iterator[Any]:
        """See ``discord.Client.get_all_channels``."""
        return (channel for client in self._clients() for channel in client.get_all_channels())

    def get_all_members(self) -> Iterator[Any]:
        """See ``discord.Client.get_all_members``."""
        return (member for client in self._clients() for member in client.get_all_members())

    @property
    def latency(self) -> float:
        """Seconds between a heartbeat and its answer, over all shards."""
        found = [client.latency for client in self._clients()]
        return sum(found) / len(found) if found else float("nan")

    def _get_websocket(self, guild_id: int | None = None, *, shard_id: int | None = None) -> Any:
        """The connection of a shard, for discord.py's converters."""
        for client in self._clients():
            if shard_id is None or client.shard_id in (None, shard_id):
                return client.ws
        return self._lowest().ws


def _collected(name: str) -> Any:
    return property(lambda self: self.all(name))


for _name in (
    "emojis",
    "guilds",
    "private_channels",
    "soundboard_sounds",
    "stickers",
    "users",
    "voice_clients",
):
    setattr(AllClients, _name, _collected(_name))


class ClientLookups(ReplicaAccess):
    """The part of ``DiscordHA`` that stands in for ``discord.Client``.

    ``get_...`` and the properties read what this replica knows, over all shards that it hosts. They find
    nothing of shards that other replicas host. ``fetch_...`` asks Discord, and blocks.
    """

    def _found(self, name: str, *args: Any, **kwargs: Any) -> Any:
        replica = self._running()
        return replica.show(getattr(replica.all_clients, name)(*args, **kwargs))

    def _read(self, name: str) -> Any:
        replica = self._running()
        return replica.show(getattr(replica.all_clients, name))

    def _fetched(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._blocking(name).client_view, name)(*args, **kwargs)

    @property
    def user(self) -> views.ClientUser | None:
        """The bot's own user; ``None`` until it is logged in."""
        return self._read("user")  # type: ignore[no-any-return]

    @property
    def guilds(self) -> Sequence[views.Guild]:
        """The bot's guilds, on the shards that this replica hosts."""
        return self._read("guilds")  # type: ignore[no-any-return]

    @property
    def users(self) -> Sequence[views.User]:
        """The users that this replica knows."""
        return self._read("users")  # type: ignore[no-any-return]

    @property
    def emojis(self) -> Sequence[views.Emoji]:
        """The emojis of these guilds."""
        return self._read("emojis")  # type: ignore[no-any-return]

    @property
    def stickers(self) -> Sequence[views.GuildSticker]:
        """The stickers of these guilds."""
        return self._read("stickers")  # type: ignore[no-any-return]

    @property
    def soundboard_sounds(self) -> Sequence[views.SoundboardSound]:
        """The soundboard sounds of these guilds."""
        return self._read("soundboard_sounds")  # type: ignore[no-any-return]

    @property
    def private_channels(self) -> Sequence[views.PrivateChannel]:
        """The private channels that this replica knows."""
        return self._read("private_channels")  # type: ignore[no-any-return]

    @property
    def voice_clients(self) -> Sequence[views.VoiceProtocol]:
        """This replica's connections to voice channels."""
        return self._read("voice_clients")  # type: ignore[no-any-return]

    @property
    def latency(self) -> float:
        """Seconds between a heartbeat and its answer, the mean over the shards."""
        return self._read("latency")  # type: ignore[no-any-return]

    @property
    def application_id(self) -> int | None:
        """The id of the application."""
        return self._read("application_id")  # type: ignore[no-any-return]

    def get_guild(self, id: int, /) -> views.Guild | None:
        """See ``discord.Client.get_guild``; of the shards that this replica hosts."""
        return self._found("get_guild", id)  # type: ignore[no-any-return]

    def get_channel(self, id: int, /) -> Channel | None:
        """See ``discord.Client.get_channel``; of the shards that this replica hosts."""
        return self._found("get_channel", id)  # type: ignore[no-any-return]

    def get_user(self, id: int, /) -> views.User | None:
        """See ``discord.Client.get_user``; of the shards that this replica hosts."""
        return self._found("get_user", id)  # type: ignore[no-any-return]

    def get_emoji(self, id: int, /) -> views.Emoji | None:
        """See ``discord.Client.get_emoji``; of the shards that this replica hosts."""
        return self._found("get_emoji", id)  # type: ignore[no-any-return]

    def get_sticker(self, id: int, /) -> views.GuildSticker | None:
        """See ``discord.Client.get_sticker``; of the shards that this replica hosts."""
        return self._found("get_sticker", id)  # type: ignore[no-any-return]

    def get_soundboard_sound(self, id: int, /) -> views.SoundboardSound | None:
        """See ``discord.Client.get_soundboard_sound``; of the shards that this replica hosts."""
        return self._found("get_soundboard_sound", id)  # type: ignore[no-any-return]

    def get_stage_instance(self, id: int, /) -> views.StageInstance | None:
        """See ``discord.Client.get_stage_instance``; of the shards that this replica hosts."""
        return self._found("get_stage_instance", id)  # type: ignore[no-any-return]

    def get_partial_messageable(
        self, id: int, *, guild_id: int | None = None, type: Any = None
    ) -> views.PartialMessageable:
        """A channel to send to, by its id alone; see ``discord.Client.get_partial_messageable``."""
        found = self._running().client_view.get_partial_messageable(id, guild_id=guild_id, type=type)
        return found

    def get_all_channels(self) -> Iterator[Any]:
        """All channels of ``guilds``."""
        return iter(self._running().show(list(self._running().all_clients.get_all_channels())))

    def get_all_members(self) -> Iterator[views.Member]:
        """All members of ``guilds`` that this replica knows."""
        return iter(self._running().show(list(self._running().all_clients.get_all_members())))

    def change_presence(self, *, activity: Any = None, status: discord.Status | None = None) -> None:
        """Changes the bot's activity and status for the whole fleet: on all shards, and in every session that
        begins later. The options ``activity`` and ``status`` are what it begins with. Blocks for two round
        trips to etcd; any thread but the loop's.

        The last word counts. But what every replica says for itself (in ``on_ready``; in a thread of your own
        on a replica that does not lead) changes nothing once a command, another handler or a loop of the
        leader has said a word.

        :param activity: such as ``discord.Game("chess")``; ``None`` for none.
        :param status: ``None`` for online.
        :raises TypeError: the activity or the status is none of discord.py's.
        :raises LockLost: the calling handler has lost its event.
        :raises StoreUnavailable: etcd does not answer.
        """
        word = presence_word(unwrap(activity), status)
        replica = self._blocking("change_presence")
        check_fence("change_presence")
        replica.say_presence(word)

    def fetch_user(self, user_id: int, /) -> views.User:
        """See ``discord.Client.fetch_user``. Blocks."""
        return self._fetched("fetch_user", user_id)  # type: ignore[no-any-return]

    def fetch_channel(self, channel_id: int, /) -> Any:
        """See ``discord.Client.fetch_channel``. Blocks."""
        return self._fetched("fetch_channel", channel_id)

    def fetch_guild(self, guild_id: int, /, *, with_counts: bool = True) -> views.Guild:
        """See ``discord.Client.fetch_guild``. Blocks."""
        return self._fetched("fetch_guild", guild_id, with_counts=with_counts)  # type: ignore[no-any-return]

    def fetch_invite(self, url: Any, **options: Any) -> views.Invite:
        """See ``discord.Client.fetch_invite``. Blocks."""
        return self._fetched("fetch_invite", url, **options)  # type: ignore[no-any-return]

    def fetch_webhook(self, webhook_id: int, /) -> views.Webhook:
        """See ``discord.Client.fetch_webhook``. Blocks."""
        return self._fetched("fetch_webhook", webhook_id)  # type: ignore[no-any-return]

    def fetch_widget(self, guild_id: int, /) -> views.Widget:
        """See ``discord.Client.fetch_widget``. Blocks."""
        return self._fetched("fetch_widget", guild_id)  # type: ignore[no-any-return]

    def fetch_template(self, code: Any) -> views.Template:
        """See ``discord.Client.fetch_template``. Blocks."""
        return self._fetched("fetch_template", code)  # type: ignore[no-any-return]

    def fetch_sticker(self, sticker_id: int, /) -> Any:
        """See ``discord.Client.fetch_sticker``. Blocks."""
        return self._fetched("fetch_sticker", sticker_id)

    def fetch_stage_instance(self, channel_id: int, /) -> views.StageInstance:
        """See ``discord.Client.fetch_stage_instance``. Blocks."""
        return self._fetched("fetch_stage_instance", channel_id)  # type: ignore[no-any-return]

    def fetch_application_emojis(self) -> list[views.Emoji]:
        """See ``discord.Client.fetch_application_emojis``. Blocks."""
        return self._fetched("fetch_application_emojis")  # type: ignore[no-any-return]

    def application_info(self) -> views.AppInfo:
        """See ``discord.Client.application_info``. Blocks."""
        return self._fetched("application_info")  # type: ignore[no-any-return]

    def delete_invite(self, invite: Any, /) -> views.Invite:
        """See ``discord.Client.delete_invite``. Blocks."""
        return self._fetched("delete_invite", invite)  # type: ignore[no-any-return]

    def create_dm(self, user: Any) -> views.DMChannel:
        """See ``discord.Client.create_dm``. Blocks."""
        return self._fetched("create_dm", user)  # type: ignore[no-any-return]

    def fetch_guilds(self, **options: Any) -> Iterable[views.Guild]:
        """See ``discord.Client.fetch_guilds``: all guilds of the bot, one page after another. Blocks."""
        return self._fetched("fetch_guilds", **options)  # type: ignore[no-any-return]
