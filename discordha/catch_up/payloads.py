"""Payloads of the gateway, made of what the REST API returns.

The gateway sends more of some objects than the REST API does: a guild's message names its guild and has its
author, and those it mentions, as members (Discord's documentation, "Gateway Events", Message Create).
``MemberBook`` finds these members: in discord.py's cache, else by a question over the gateway for up to 100
of them, one a second at most, since a connection may send 120 frames a minute and needs them for heartbeats.
A user who has left the guild is no member, nor is one whom the gateway does not tell in time.

Threads and locks: everything runs on the gateway's loop. ``_turn`` lets one question at a time leave.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import aiohttp
import discord

from discordha.errors import reason_of

__all__ = ["MemberBook", "member_payload", "thread_payload"]

_log = logging.getLogger(__name__)

#: Pause between two questions over the gateway, and after one that was not answered, seconds.
PACE = 1.0
PAUSE_AFTER_FAILURE = 30.0
#: Users in one question.
BATCH = 100
#: Members that a book remembers.
REMEMBERED = 20_000


def member_payload(member: discord.Member) -> dict[str, Any]:
    """A member as the gateway sends it with a message: without the user."""
    voice, avatar, banner = member.voice, member.guild_avatar, member.guild_banner
    return {
        "roles": [str(role) for role in member._roles],
        "nick": member.nick,
        "avatar": avatar.key if avatar is not None else None,
        "banner": banner.key if banner is not None else None,
        "joined_at": member.joined_at.isoformat() if member.joined_at is not None else None,
        "premium_since": member.premium_since.isoformat() if member.premium_since is not None else None,
        "communication_disabled_until": (
            member.timed_out_until.isoformat() if member.timed_out_until is not None else None
        ),
        "pending": member.pending,
        "flags": member.flags.value,
        "deaf": voice.deaf if voice is not None else False,
        "mute": voice.mute if voice is not None else False,
    }


def thread_payload(thread: Mapping[str, Any], guild_id: int, own: Mapping[str, Any] | None) -> dict[str, Any]:
    """A new thread as THREAD_CREATE has it.

    :param own: the bot as the thread's member, if it is one.
    """
    payload = {**thread, "guild_id": str(guild_id), "newly_created": True}
    if own is not None:
        payload["member"] = own
    return payload


class MemberBook:
    """Members for messages, of all guilds of one catch-up."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], dict[str, Any] | None] = {}
        self._asked: dict[int, dict[int, None]] = {}  # users to ask for, by guild, in order
        self._turn = asyncio.Lock()
        self._next_at = 0.0

    async def complete(
        self, messages: Sequence[Mapping[str, Any]], guild: discord.Guild | None
    ) -> list[dict[str, Any]]:
        """Messages as the gateway sends them. Waits for members, some 30 s at the most.

        :param guild: ``None`` for direct messages.
        """
        if guild is None:
            return [dict(message) for message in messages]
        await self._learn(guild, {user for message in messages for user in _users(message)})
        return [self._message(message, guild) for message in messages]

    def _message(self, message: Mapping[str, Any], guild: discord.Guild) -> dict[str, Any]:
        payload = {**message, "guild_id": str(guild.id)}
        if not message.get("webhook_id"):
            member = self._member(guild, int(message["author"]["id"]))
            if member is not None:
                payload["member"] = member
        mentions: list[dict[str, Any]] = []
        for user in message.get("mentions") or ():
            member = self._member(guild, int(user["id"]))
            mentions.append(user if member is None else {**user, "member": member})
        payload["mentions"] = mentions
        return payload

    def _member(self, guild: discord.Guild, user_id: int) -> dict[str, Any] | None:
        member = guild.get_member(user_id)
        if member is not None:
            return member_payload(member)
        known = self._known.get((guild.id, user_id))
        return dict(known) if known is not None else None

    async def _learn(self, guild: discord.Guild, users: Iterable[int]) -> None:
        if guild.chunked:
            return  # whoever is not in the cache is no member
        unknown = [user for user in users if guild.get_member(user) is None]
        unknown = [user for user in unknown if (guild.id, user) not in self._known]
        asked = self._asked.setdefault(guild.id, {})
        asked.update(dict.fromkeys(unknown))
        while any(user in asked for user in unknown):
            async with self._turn:
                batch = list(itertools.islice(asked, BATCH))
                if batch and any(user in asked for user in unknown):
                    await self._ask(guild, batch)
                    for user in batch:
                        del asked[user]

    async def _ask(self, guild: discord.Guild, users: list[int]) -> None:
        loop = asyncio.get_running_loop()
        wait = self._next_at - loop.time()
        if wait > PACE:
            return  # the gateway did not answer lately
        await asyncio.sleep(max(wait, 0.0))
        try:
            found = await guild.query_members(user_ids=users, limit=BATCH, cache=False)
        except (TimeoutError, OSError, RuntimeError, aiohttp.ClientError, discord.DiscordException) as error:
            self._next_at = loop.time() + PAUSE_AFTER_FAILURE
            _log.info(
                "guild %d: the gateway does not tell the authors of older messages: %s; these messages come "
                "with users in the place of members",
                guild.id,
                reason_of(error),
            )
            return
        self._next_at = loop.time() + PACE
        members = {member.id: member_payload(member) for member in found}
        for user in users:
            self._known[guild.id, user] = members.get(user)
        for key in list(itertools.islice(self._known, max(len(self._known) - REMEMBERED, 0))):
            del self._known[key]


def _users(message: Mapping[str, Any]) -> Iterable[int]:
    if not message.get("webhook_id"):
        yield int(message["author"]["id"])
    for user in message.get("mentions") or ():
        yield int(user["id"])
