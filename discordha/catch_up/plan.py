"""What a catch-up has to ask for: the sources, by what discord.py's cache knows of a shard's guilds.

- Channels and active threads whose last message is younger than ``since``; with edits wanted also those whose
  last message is up to ``EDITS_BACK`` older. Only those that the bot may read.
- Archived threads of forums, and of channels with new messages.
- New active threads, members, audit log entries and scheduled events of guilds, where the cache does not
  already say that there are none.
- Events that the gateway would not send, for want of an intent or a permission, are not asked for.

Discord lists no direct messages' channels, so only those are read that discord.py knows: none after a start.
"""

from __future__ import annotations

from collections.abc import Iterator

import discord

from discordha.catch_up.guilds import ActiveThreads, ArchivedThreads, AuditLog, Members, ScheduledEvents
from discordha.catch_up.messages import MessageSource
from discordha.catch_up.missed import LOW_BITS, Skipped, moment_of
from discordha.catch_up.source import Run, Source

__all__ = ["KEPT", "Plan"]

#: The gateway's types that Discord's listings can tell of.
KEPT = frozenset(
    {
        "MESSAGE_CREATE",
        "MESSAGE_UPDATE",
        "THREAD_CREATE",
        "GUILD_MEMBER_ADD",
        "GUILD_AUDIT_LOG_ENTRY_CREATE",
        "GUILD_SCHEDULED_EVENT_CREATE",
    }
)
#: A channel whose last message is this much older than ``since`` may have edits, seconds: people edit what
#: they have just written.
EDITS_BACK = 3600

_MESSAGES = frozenset({"MESSAGE_CREATE", "MESSAGE_UPDATE"})

_Readable = (
    discord.TextChannel | discord.VoiceChannel | discord.StageChannel | discord.Thread | discord.ForumChannel
)


class Plan:
    """The sources of a catch-up.

    :ivar skipped: what is not even asked for, though the gateway would have sent it.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._keys: set[str] = set()
        self.skipped: list[Skipped] = []

    def sources(self) -> list[Source]:
        """The sources to begin with. Those to begin first stand first: where something was written last, new
        messages may wait for the older ones.
        """
        messages: list[Source] = []
        rest: list[Source] = []
        for guild in self._run.client.guilds:
            if guild.unavailable:
                self._skip(f"guild:{guild.id}", "guild unavailable")
                continue
            messages += self._guild_messages(guild)
            rest += self._guild_listings(guild)
        messages += self._direct_messages()
        messages.sort(key=lambda source: source.newest, reverse=True)
        return [*messages, *rest]

    def _skip(self, key: str, reason: str) -> None:
        self.skipped.append(Skipped(key, reason))

    def _is_done(self, key: str) -> bool:
        return self._run.done.get(key, 0) >= self._run.until

    # -- messages --------------------------------------------------------------------------------------------

    def _guild_messages(self, guild: discord.Guild) -> Iterator[Source]:
        run, intents = self._run, self._run.client.intents
        new = [thread for thread in guild.threads if self._is_new(_created_at(thread))]
        behind: list[Source] | None = None
        if (
            "THREAD_CREATE" in run.wanted
            and intents.guilds
            and new
            and not self._is_done(f"threads:{guild.id}")
        ):
            threads = ActiveThreads(run, guild)
            behind = threads.followers
            yield threads
        if not intents.guild_messages:
            return
        channels: tuple[_Readable, ...] = (
            *guild.text_channels,
            *guild.voice_channels,
            *guild.stage_channels,
            *guild.threads,
        )
        for channel in channels:
            if not self._may_read(channel, guild):
                continue
            source = self.messages_of(channel.id, guild, channel.last_message_id or 0)
            if source is None:
                continue
            if behind is not None and channel in new:
                behind.append(source)  # a thread's beginning comes before its messages
            else:
                yield source

    def messages_of(
        self, channel_id: int, guild: discord.Guild | None, last_message_id: int | None
    ) -> Source | None:
        """The source of a channel's messages; ``None``: there is nothing to ask for, or it is there already.

        :param last_message_id: ``None``: unknown.
        """
        run, key = self._run, f"channel:{channel_id}"
        oldest = run.since
        if "MESSAGE_UPDATE" in run.wanted:
            oldest -= EDITS_BACK * 1000 << LOW_BITS
        if last_message_id is not None and last_message_id <= oldest:
            return None
        if not run.wanted & _MESSAGES or key in self._keys or self._is_done(key):
            return None
        self._keys.add(key)
        return MessageSource(run, channel_id, guild, last_message_id)

    def _may_read(self, channel: _Readable, guild: discord.Guild) -> bool:
        me = guild.me
        try:
            may = channel.permissions_for(me) if me is not None else discord.Permissions.all()
        except discord.ClientException:  # a thread whose parent is not in the cache: the request will tell
            return True
        if not may.view_channel:
            return False
        if isinstance(channel, discord.VoiceChannel | discord.StageChannel) and not may.connect:
            return False
        if not may.read_message_history:
            if (channel.last_message_id or 0) > self._run.since and self._run.wanted & _MESSAGES:
                self._skip(f"channel:{channel.id}", "no permission to read its history")
            return False
        return True

    def _direct_messages(self) -> Iterator[Source]:
        client = self._run.client
        if client.shard_id or not client.intents.dm_messages or not self._run.wanted & _MESSAGES:
            return
        for channel in client.private_channels:
            source = self.messages_of(channel.id, None, None)
            if source is not None:
                yield source

    # -- guilds ----------------------------------------------------------------------------------------------

    def _guild_listings(self, guild: discord.Guild) -> Iterator[Source]:
        run, intents, me = self._run, self._run.client.intents, guild.me
        for source, type, possible in (
            (Members, "GUILD_MEMBER_ADD", intents.members),
            (
                AuditLog,
                "GUILD_AUDIT_LOG_ENTRY_CREATE",
                intents.moderation and (me is None or me.guild_permissions.view_audit_log),
            ),
            (
                ScheduledEvents,
                "GUILD_SCHEDULED_EVENT_CREATE",
                intents.guild_scheduled_events and any(self._is_new(e.id) for e in guild.scheduled_events),
            ),
        ):
            if possible and type in run.wanted:
                made = source(run, guild)
                if not self._is_done(made.key):
                    yield made
        yield from self._archived_threads(guild)

    def _archived_threads(self, guild: discord.Guild) -> Iterator[Source]:
        run, intents = self._run, self._run.client.intents
        wanted = run.wanted & (_MESSAGES | {"THREAD_CREATE"})
        if not wanted or not intents.guilds:
            return
        parents: tuple[discord.TextChannel | discord.ForumChannel, ...] = (
            *guild.text_channels,
            *guild.forums,
        )
        for channel in parents:
            is_new = (channel.last_message_id or 0) > run.since
            if (is_new or isinstance(channel, discord.ForumChannel)) and self._may_read(channel, guild):
                # Done or not: the threads that it lists may not be.
                yield ArchivedThreads(run, guild, channel.id, self.messages_of)

    def _is_new(self, moment: int) -> bool:
        return self._run.since_time <= moment <= self._run.until


def _created_at(thread: discord.Thread) -> int:
    """The moment of a thread's creation; the id of one that was started from a message is the message's."""
    return moment_of(thread.created_at) if thread.created_at is not None else thread.id
