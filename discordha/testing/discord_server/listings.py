"""Discord's listings, where simcord's router differs: order, pages, limits, permissions.

- ``after`` lists what follows next, not the latest: messages still newest first, audit log entries oldest
  first.
- A limit that is out of range is refused; simcord takes any.
- A message of a listing has no ``guild_id``.
- Listings of threads hold what the bot may see, newest first; archived ones have pages.
- The list of members needs the privileged intent.

Source: Discord's documentation of the resources Message, Channel, Guild and Audit Log.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from simcord.backend import serializers
from simcord.backend.access import channel_accessible
from simcord.backend.errors import BackendError, invalid_form_body, missing_access, missing_permissions
from simcord.backend.models import Channel
from simcord.enums import VOICE_CHANNEL_TYPES, ChannelType
from simcord.http._helpers import message_response
from simcord.http.router import RequestContext

from discordha.testing.discord_server.options import Options
from discordha.testing.discord_server.world import World

__all__ = ["Listings"]


class Listings:
    """Answers the requests of listings."""

    def __init__(self, options: Options, world: World) -> None:
        self._options = options
        self._world = world
        self._routes: list[tuple[re.Pattern[str], Callable[[RequestContext], Any]]] = [
            (re.compile(r"/channels/(?P<id>\d+)/messages"), self._messages),
            (re.compile(r"/channels/(?P<id>\d+)/messages/(?P<message>\d+)"), self._message),
            (re.compile(r"/channels/(?P<id>\d+)/threads/archived/public"), self._archived_threads),
            (re.compile(r"/guilds/(?P<id>\d+)/threads/active"), self._active_threads),
            (re.compile(r"/guilds/(?P<id>\d+)/members"), self._members),
            (re.compile(r"/guilds/(?P<id>\d+)/audit-logs"), self._audit_log),
        ]

    def find(self, method: str, path: str, params: Mapping[str, str]) -> Callable[[], Any] | None:
        """A function that returns a request's answer or raises ``BackendError``; ``None``: it is the router's
        request.
        """
        if method != "GET":
            return None
        for pattern, answer in self._routes:
            match = pattern.fullmatch(path)
            if match is not None:
                context = RequestContext(
                    self._world.backend,
                    match.groupdict(),
                    params=dict(params),
                    method=method,
                    path=path,
                    message_content_access=self._options.privileged_intents,
                )
                return lambda: answer(context)
        return None

    # -- messages --------------------------------------------------------------------------------------------

    def _messages(self, context: RequestContext) -> list[dict[str, Any]]:
        backend, channel_id = self._world.backend, context.int_arg("id")
        channel = context.require_channel_permissions(channel_id)
        if channel.type in VOICE_CHANNEL_TYPES:
            context.require_channel_permissions(channel_id, "connect")
        limit = _limit(context, 50, 100)
        if not channel_accessible(backend, channel_id, backend.bot_user.id, history=True):
            return []
        messages = sorted(
            (m for m in backend.messages[channel_id].values() if not m.is_ephemeral), key=lambda m: m.id
        )
        around, after, before = (_snowflake(context, name) for name in ("around", "after", "before"))
        if around is not None:
            older = [m for m in messages if m.id <= around][-(limit // 2 + 1) :]
            chosen = (older + [m for m in messages if m.id > around])[:limit]
        elif after is not None:
            chosen = [m for m in messages if m.id > after][:limit]
        else:
            chosen = [m for m in messages if before is None or m.id < before][-limit:]
        return [self._shown(context, message) for message in reversed(chosen)]

    def _message(self, context: RequestContext) -> dict[str, Any]:
        message = context.require_message(
            context.int_arg("id"), context.int_arg("message"), "read_message_history"
        )
        return self._shown(context, message)

    def _shown(self, context: RequestContext, message: Any) -> dict[str, Any]:
        payload = message_response(context, message, for_user=self._world.backend.bot_user.id)
        payload.pop("guild_id", None)
        return payload

    # -- threads ---------------------------------------------------------------------------------------------

    def _active_threads(self, context: RequestContext) -> dict[str, Any]:
        threads = self._world.visible_threads(context.int_arg("id"))
        threads.sort(key=lambda thread: thread.id, reverse=True)
        return serializers.thread_list_payload(self._world.backend, threads)

    def _archived_threads(self, context: RequestContext) -> dict[str, Any]:
        backend = self._world.backend
        parent = context.require_channel_permissions(context.int_arg("id"), "read_message_history")
        limit = _limit(context, 50, 100)
        before = context.params.get("before")
        kind = ChannelType.PUBLIC_THREAD
        threads = [
            thread
            for thread in backend.archived_threads(parent.id, private=False)
            if thread.type == kind and (before is None or _archived_at(thread) < before.replace(" ", "+"))
        ]
        threads.sort(key=_archived_at, reverse=True)
        return serializers.thread_list_payload(backend, threads[:limit], has_more=len(threads) > limit)

    # -- guilds ----------------------------------------------------------------------------------------------

    def _members(self, context: RequestContext) -> list[dict[str, Any]]:
        guild = self._world.backend.get_guild(context.int_arg("id"))
        if not self._options.privileged_intents:
            raise missing_access()
        limit = _limit(context, 1, 1000)
        after = _snowflake(context, "after") or 0
        users = sorted(user for user in guild.members if user > after)[:limit]
        return [self._world.member_payload(guild.id, user) for user in users]

    def _audit_log(self, context: RequestContext) -> dict[str, Any]:
        backend = self._world.backend
        guild = backend.get_guild(context.int_arg("id"))
        try:
            context.require_guild_permissions(guild.id, "view_audit_log")
        except BackendError:
            raise missing_permissions() from None
        limit = _limit(context, 50, 100)
        entries = sorted(guild.audit_log_entries, key=lambda entry: entry.id)
        user, kind, after, before = (
            _snowflake(context, name) for name in ("user_id", "action_type", "after", "before")
        )
        if user is not None:
            entries = [entry for entry in entries if entry.user_id == user]
        if kind is not None:
            entries = [entry for entry in entries if entry.action_type == kind]
        if before is not None:
            entries = [entry for entry in entries if entry.id < before]
        if after is None:
            return serializers.audit_log_payload(backend, entries[-limit:])
        chosen = [entry for entry in entries if entry.id > after][:limit]
        answer = serializers.audit_log_payload(backend, chosen)
        answer["audit_log_entries"].reverse()
        return answer


def _limit(context: RequestContext, default: int, largest: int) -> int:
    limit = int(context.params.get("limit", default))
    if not 1 <= limit <= largest:
        raise invalid_form_body(f"limit: must be between 1 and {largest}")
    return limit


def _snowflake(context: RequestContext, name: str) -> int | None:
    text = context.params.get(name)
    if text is None:
        return None
    if not str(text).isdecimal():
        raise invalid_form_body(f"{name}: {text!r} is not snowflake")
    return int(text)


def _archived_at(thread: Channel) -> str:
    """The moment as text, whose order is that of time."""
    metadata = thread.thread_metadata
    assert metadata is not None
    return metadata.archive_timestamp
