"""A guild's listings: new threads, members, the audit log, scheduled events.

Discord lists what is there now: a thread that was deleted, a member who has left again, an event that is over
are not listed. Archived threads are listed by parent channel, each time from the latest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import discord

from discordha.catch_up.missed import Missed, moment_of
from discordha.catch_up.paging import Pages
from discordha.catch_up.payloads import thread_payload
from discordha.catch_up.source import GaveUp, Refused, Run, Source

__all__ = ["ActiveThreads", "ArchivedThreads", "AuditLog", "Members", "ScheduledEvents"]

#: Entries of a page, the most that Discord allows.
PAGE = 100
MEMBERS_PAGE = 1000


class _GuildSource(Source):
    def __init__(self, run: Run, kind: str, guild: discord.Guild, number: int | None = None) -> None:
        super().__init__(run, f"{kind}:{guild.id if number is None else number}", guild)
        self._guild = guild
        self._http: Any = run.client.http

    def _is_missed(self, moment: int) -> bool:
        """Whether what has only a time was missed."""
        return self.begins_at <= moment <= self._run.until

    def _created(self, answer: Mapping[str, Any]) -> list[Missed]:
        """The new threads of an answer."""
        own = {int(member["id"]): member for member in answer.get("members") or ()}
        events = []
        for thread in answer["threads"]:
            moment = _created_at(thread)
            if self._is_missed(moment):
                thread_id = int(thread["id"])
                payload = thread_payload(thread, self._guild.id, own.get(thread_id))
                events.append(self.event("THREAD_CREATE", payload, moment, thread_id))
        return _in_order(events)


class ActiveThreads(_GuildSource):
    """The new threads among a guild's active ones: one request."""

    def __init__(self, run: Run, guild: discord.Guild) -> None:
        super().__init__(run, "threads", guild)

    async def step(self) -> bool:
        answer = await self._run.ask(lambda: self._http.get_active_threads(self._guild.id))
        await self.hand_on(self._created(answer))
        return True


class ArchivedThreads(_GuildSource):
    """The public threads of a channel that were archived since: new ones, and the messages of all.

    :param messages_of: makes the source of a thread's messages.
    """

    def __init__(
        self,
        run: Run,
        guild: discord.Guild,
        parent_id: int,
        messages_of: Callable[[int, discord.Guild, int | None], Source | None],
    ) -> None:
        super().__init__(run, "archived", guild, parent_id)
        self._parent_id = parent_id
        self._messages_of = messages_of
        self._before: str | None = None
        self._events: list[Missed] = []

    async def step(self) -> bool:
        answer = await self._run.ask(
            lambda: self._http.get_public_archived_threads(self._parent_id, before=self._before, limit=PAGE)
        )
        threads = [
            thread
            for thread in answer["threads"]
            if moment_of(thread["thread_metadata"]["archive_timestamp"]) >= self._run.since_time
        ]
        recent = {**answer, "threads": threads}
        if "THREAD_CREATE" in self._run.wanted:
            self._events += self._created(recent)
        for thread in threads:
            last = thread.get("last_message_id")
            source = self._messages_of(int(thread["id"]), self._guild, int(last) if last else None)
            if source is not None:
                self.followers.append(source)
        if threads and len(threads) == len(answer["threads"]) and answer.get("has_more"):
            self._before = threads[-1]["thread_metadata"]["archive_timestamp"]
            return False
        await self.hand_on(_in_order(self._events))
        return True


class Members(_GuildSource):
    """The members who joined: each by a request of its own where discord.py's cache knows all members and few
    have joined, else all pages of the guild's list. Not the bot: of that the gateway tells GUILD_CREATE.
    """

    def __init__(self, run: Run, guild: discord.Guild) -> None:
        super().__init__(run, "members", guild)
        self._after = 0
        self._events: list[Missed] = []
        self._single: list[int] | None = None
        if guild.chunked:
            joined = [
                member.id
                for member in guild.members
                if not self._is_bot(member.id)
                and member.joined_at is not None
                and self._is_missed(moment_of(member.joined_at))
            ]
            if len(joined) <= len(guild.members) // MEMBERS_PAGE + 1:
                self._single = joined

    async def step(self) -> bool:
        if self._single is None:
            return await self._read_page()
        if self._single:
            await self._read_one(self._single[-1])
            self._single.pop()
        if self._single:
            return False
        await self.hand_on(_in_order(self._events))
        return True

    def _is_bot(self, user_id: int) -> bool:
        user = self._run.client.user
        return user is not None and user.id == user_id

    async def _read_one(self, user_id: int) -> None:
        try:
            self._keep([await self._run.ask(lambda: self._http.get_member(self._guild.id, user_id))])
        except Refused as refused:
            if not isinstance(refused.error, discord.NotFound):  # who has left is listed nowhere, either
                raise

    async def _read_page(self) -> bool:
        page = await self._run.ask(
            lambda: self._http.get_members(self._guild.id, MEMBERS_PAGE, self._after or None)
        )
        self._keep(page)
        last = max((int(member["user"]["id"]) for member in page), default=0)
        if len(page) == MEMBERS_PAGE and last > self._after:
            self._after = last
            return False
        await self.hand_on(_in_order(self._events))
        return True

    def _keep(self, members: Iterable[Mapping[str, Any]]) -> None:
        for member in members:
            joined_at = member.get("joined_at")
            moment = moment_of(joined_at) if joined_at else 0
            if self._is_missed(moment) and not self._is_bot(int(member["user"]["id"])):
                payload = {**member, "guild_id": str(self._guild.id)}
                self._events.append(self.event("GUILD_MEMBER_ADD", payload, moment, self._guild.id))


class AuditLog(_GuildSource):
    """The entries of a guild's audit log, which Discord keeps for 45 days."""

    def __init__(self, run: Run, guild: discord.Guild) -> None:
        super().__init__(run, "audit", guild)
        self._pages = Pages(self.cursor, run.until, limit=run.limit, size=PAGE)

    async def step(self) -> bool:
        after, limit = self._pages.next()
        answer = await self._run.ask(
            lambda: self._http.get_audit_logs(self._guild.id, limit=limit, after=after)
        )
        entries = self._pages.take(answer["audit_log_entries"])
        await self.hand_on(
            [
                self.event(
                    "GUILD_AUDIT_LOG_ENTRY_CREATE",
                    {**entry, "guild_id": str(self._guild.id)},
                    int(entry["id"]),
                    self._guild.id,
                )
                for entry in entries
            ]
        )
        if self._pages.cut:
            raise GaveUp(f"more than {self._run.limit} entries: catch_up_limit")
        return self._pages.over


class ScheduledEvents(_GuildSource):
    """The new scheduled events of a guild: one request."""

    def __init__(self, run: Run, guild: discord.Guild) -> None:
        super().__init__(run, "events", guild)

    async def step(self) -> bool:
        answer = await self._run.ask(
            lambda: self._http.get_scheduled_events(self._guild.id, with_user_count=False)
        )
        events = [
            self.event("GUILD_SCHEDULED_EVENT_CREATE", event, int(event["id"]), self._guild.id)
            for event in answer
            if self.cursor < int(event["id"]) <= self._run.until
        ]
        await self.hand_on(_in_order(events))
        return True


def _created_at(thread: Mapping[str, Any]) -> int:
    """The moment of a thread's creation; the id of one that was started from a message is the message's."""
    text = thread["thread_metadata"].get("create_timestamp")
    return moment_of(text) if text else int(thread["id"])


def _in_order(events: Iterable[Missed]) -> list[Missed]:
    return sorted(events, key=lambda event: event.snowflake)
