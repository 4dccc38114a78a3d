"""The table of all events that discord.py 2.7 dispatches: scope, identity, order, arguments. Data, no logic.

- ``claim``: the event has an id of its own and happens once to it, so one replica claims it.
- ``leader``: it has none, as a reaction that is added, removed and added again. The shard's leader handles
  such events in order and counts equal ones.
- ``every``: the event is about the replica itself.

``id`` lists the sources of an identity's parts: ``0.id`` is the attribute ``id`` of the
handler's first argument; ``.user_id`` is a field of the gateway's payload. Only fields qualify that are equal
for all sessions of a bot and independent of discord.py's cache. ``order`` names the source of the ordering
key in the same way, where that is not the payload's channel, else its guild.
"""

from __future__ import annotations

import difflib
import enum
import functools
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["EVENTS", "EventSpec", "Scope", "suggest"]


class Scope(enum.Enum):
    """Which replicas handle an event."""

    CLAIM = "claim"
    LEADER = "leader"
    EVERY = "every"


class EventSpec(NamedTuple):
    """One row of the table.

    :param name: discord.py's name without ``on_``.
    :param gateway: the gateway's name; ``None`` for events that discord.py makes itself.
    :param arguments: names of the handler's arguments; ``None`` for any number of them.
    :param id: sources of the identity's parts.
    :param order: source of the ordering key; empty for the payload's channel, else its guild.
    :param cache_dependent: discord.py dispatches the event only with the object in its cache, so replicas may
        differ.
    :param instead: the ``raw_`` event that does not depend on the cache, if there is one.
    :param has_snowflake: whether the identity is a snowflake, which tells the event's time.
    :param else_leader: the scope is ``leader`` for an event that lacks a part of its identity: a moment that
        Discord does not tell.
    :param dated: the identity contains the event's time: no two events of a leader have the same.
    """

    name: str
    gateway: str | None
    scope: Scope
    arguments: tuple[str, ...] | None
    id: tuple[str, ...] = ()
    order: str = ""
    cache_dependent: bool = False
    instead: str | None = None
    has_snowflake: bool = False
    else_leader: bool = False
    dated: bool = False

    @property
    def is_unique(self) -> bool:
        """Whether no two events have the same identity, where no part of it is missing."""
        return self.scope is Scope.CLAIM or self.dated

    @property
    def needs_payload(self) -> bool:
        """Whether the identity or the ordering key is read from the gateway's payload."""
        return self.scope is not Scope.EVERY and (
            not self.order or self.order.startswith(".") or any(part.startswith(".") for part in self.id)
        )


def _row(  # noqa: PLR0917
    scope: Scope,
    name: str,
    gateway: str | None,
    arguments: str,
    id: str,
    order: str = "",
    *,
    cached: bool = False,
    has_raw: bool = False,
    snow: bool = False,
    else_leader: bool = False,
    dated: bool = False,
) -> EventSpec:
    parts, sources, raw = tuple(arguments.split()), tuple(id.split()), f"raw_{name}" if has_raw else None
    cached = cached or has_raw
    return EventSpec(name, gateway, scope, parts, sources, order, cached, raw, snow, else_leader, dated)


_claim = functools.partial(_row, Scope.CLAIM)
_leader = functools.partial(_row, Scope.LEADER)


def _leader_pair(
    name: str, gateway: str, arguments: str, id: str, *, dated: bool = False
) -> tuple[EventSpec, EventSpec]:
    """An event that depends on the cache, and its ``raw_`` event with the same identity."""
    return (
        _leader(name, gateway, arguments, id, has_raw=True, dated=dated),
        _leader(f"raw_{name}", gateway, "payload", id, dated=dated),
    )


def _every(name: str, arguments: str | None = "", gateway: str | None = None) -> EventSpec:
    return EventSpec(name, gateway, Scope.EVERY, None if arguments is None else tuple(arguments.split()))


_REACTION = ".user_id .message_id .emoji.id .emoji.name .type .burst"
_MEMBER = ".guild_id .user.id"
_UPDATED_MEMBER = (
    ".guild_id .user.id .nick .avatar .roles .pending .communication_disabled_until .flags .premium_since"
)
_USER = ".user.id .user.username .user.global_name .user.avatar .user.discriminator"
_THREAD = ".id .name .thread_metadata .flags .applied_tags .rate_limit_per_user"
_VOTE = ".user_id .message_id .answer_id"

_ROWS = (
    # What happened while no replica was connected, and can't be fetched
    _leader("gap", None, "gap", "0.since 0.until 0.shard_id", "0.shard_id"),
    # Messages
    _claim("message", "MESSAGE_CREATE", "message", "0.id", "0.channel.id", snow=True),
    _claim("message_delete", "MESSAGE_DELETE", "message", "0.id", "0.channel.id", has_raw=True),
    _claim("raw_message_delete", "MESSAGE_DELETE", "payload", "0.message_id", "0.channel_id"),
    _claim("bulk_message_delete", "MESSAGE_DELETE_BULK", "messages", ".ids", has_raw=True),
    _claim("raw_bulk_message_delete", "MESSAGE_DELETE_BULK", "payload", ".ids"),
    *_leader_pair("message_edit", "MESSAGE_UPDATE", "before after", ".id .edited_timestamp", dated=True),
    *_leader_pair("reaction_add", "MESSAGE_REACTION_ADD", "reaction user", _REACTION),
    *_leader_pair("reaction_remove", "MESSAGE_REACTION_REMOVE", "reaction user", _REACTION),
    *_leader_pair("reaction_clear", "MESSAGE_REACTION_REMOVE_ALL", "message reactions", ".message_id"),
    *_leader_pair(
        "reaction_clear_emoji",
        "MESSAGE_REACTION_REMOVE_EMOJI",
        "reaction",
        ".message_id .emoji.id .emoji.name",
    ),
    *_leader_pair("poll_vote_add", "MESSAGE_POLL_VOTE_ADD", "user answer", _VOTE),
    *_leader_pair("poll_vote_remove", "MESSAGE_POLL_VOTE_REMOVE", "user answer", _VOTE),
    *_leader_pair("typing", "TYPING_START", "channel user when", ".channel_id .user_id .timestamp"),
    # Interactions; each has a lane of its own, since it must be answered within 3 seconds
    _claim("interaction", "INTERACTION_CREATE", "interaction", "0.id", "0.id", snow=True),
    _leader(
        "raw_app_command_permissions_update",
        "APPLICATION_COMMAND_PERMISSIONS_UPDATE",
        "payload",
        ".guild_id .id .permissions",
    ),
    # Channels and threads
    _claim("guild_channel_create", "CHANNEL_CREATE", "channel", "0.id"),
    _claim("guild_channel_delete", "CHANNEL_DELETE", "channel", "0.id"),
    _leader(
        "guild_channel_update",
        "CHANNEL_UPDATE",
        "before after",
        ".id .name .topic .position .parent_id .nsfw .permission_overwrites"
        " .rate_limit_per_user .bitrate .user_limit",
    ),
    _leader(
        "guild_channel_pins_update",
        "CHANNEL_PINS_UPDATE",
        "channel last_pin",
        ".channel_id .last_pin_timestamp",
    ),
    _leader("private_channel_update", "CHANNEL_UPDATE", "before after", ".id .name .icon .owner_id", ".id"),
    _leader(
        "private_channel_pins_update",
        "CHANNEL_PINS_UPDATE",
        "channel last_pin",
        ".channel_id .last_pin_timestamp",
    ),
    _claim("thread_create", "THREAD_CREATE", "thread", "0.id", "0.id"),
    _leader("thread_join", "THREAD_CREATE", "thread", "0.id", "0.id"),
    _leader("thread_remove", "THREAD_MEMBERS_UPDATE", "thread", "0.id", "0.id"),
    _leader("thread_update", "THREAD_UPDATE", "before after", _THREAD, "1.id", has_raw=True),
    _leader("raw_thread_update", "THREAD_UPDATE", "payload", _THREAD, "0.thread_id"),
    _claim("thread_delete", "THREAD_DELETE", "thread", "0.id", "0.id", has_raw=True),
    _claim("raw_thread_delete", "THREAD_DELETE", "payload", "0.thread_id", "0.thread_id"),
    _claim(
        "thread_member_join",
        "THREAD_MEMBERS_UPDATE",
        "member",
        "0.thread_id 0.id 0.joined_at",
        "0.thread_id",
        else_leader=True,
    ),
    _leader(
        "thread_member_remove",
        "THREAD_MEMBERS_UPDATE",
        "member",
        "0.thread_id 0.id",
        "0.thread_id",
        has_raw=True,
    ),
    _leader("raw_thread_member_remove", "THREAD_MEMBERS_UPDATE", "payload", ".id .removed_member_ids", ".id"),
    # Members and users
    _claim("member_join", "GUILD_MEMBER_ADD", "member", f"{_MEMBER} .joined_at", else_leader=True),
    *_leader_pair("member_remove", "GUILD_MEMBER_REMOVE", "member", _MEMBER),
    _leader("member_update", "GUILD_MEMBER_UPDATE", "before after", _UPDATED_MEMBER, cached=True),
    _leader("user_update", "GUILD_MEMBER_UPDATE", "before after", _USER, cached=True),
    _leader("member_ban", "GUILD_BAN_ADD", "guild user", _MEMBER),
    _leader("member_unban", "GUILD_BAN_REMOVE", "guild user", _MEMBER),
    *_leader_pair(
        "presence_update",
        "PRESENCE_UPDATE",
        "before after",
        ".guild_id .user.id .status .client_status .activities",
    ),
    # Guilds
    _claim("guild_join", "GUILD_CREATE", "guild", "0.id 0.me.joined_at", "0.id", else_leader=True),
    _leader("guild_remove", "GUILD_DELETE", "guild", "0.id", "0.id"),
    _leader(
        "guild_update",
        "GUILD_UPDATE",
        "before after",
        ".id .name .icon .banner .description .owner_id .features"
        " .verification_level .premium_tier .afk_channel_id",
        ".id",
    ),
    _every("guild_available", "guild", "GUILD_CREATE"),
    _every("guild_unavailable", "guild", "GUILD_DELETE"),
    _claim("guild_role_create", "GUILD_ROLE_CREATE", "role", "0.id"),
    _claim("guild_role_delete", "GUILD_ROLE_DELETE", "role", "0.id"),
    _leader(
        "guild_role_update",
        "GUILD_ROLE_UPDATE",
        "before after",
        ".role.id .role.name .role.color .role.position .role.permissions"
        " .role.hoist .role.mentionable .role.icon",
    ),
    _leader("guild_emojis_update", "GUILD_EMOJIS_UPDATE", "guild before after", ".guild_id .emojis"),
    _leader("guild_stickers_update", "GUILD_STICKERS_UPDATE", "guild before after", ".guild_id .stickers"),
    _claim("audit_log_entry_create", "GUILD_AUDIT_LOG_ENTRY_CREATE", "entry", "0.id", snow=True),
    _claim("automod_rule_create", "AUTO_MODERATION_RULE_CREATE", "rule", "0.id"),
    _claim("automod_rule_delete", "AUTO_MODERATION_RULE_DELETE", "rule", "0.id"),
    _leader(
        "automod_rule_update",
        "AUTO_MODERATION_RULE_UPDATE",
        "rule",
        ".id .name .enabled .event_type .actions .trigger_metadata .exempt_roles .exempt_channels",
    ),
    _leader(
        "automod_action",
        "AUTO_MODERATION_ACTION_EXECUTION",
        "execution",
        ".rule_id .user_id .action.type .channel_id .message_id .alert_system_message_id .matched_content",
    ),
    _leader("guild_integrations_update", "GUILD_INTEGRATIONS_UPDATE", "guild", ".guild_id"),
    _claim("integration_create", "INTEGRATION_CREATE", "integration", "0.id"),
    _leader("integration_update", "INTEGRATION_UPDATE", "integration", ".id .name .enabled .synced_at"),
    _claim("raw_integration_delete", "INTEGRATION_DELETE", "payload", "0.integration_id"),
    _leader("webhooks_update", "WEBHOOKS_UPDATE", "channel", ".channel_id"),
    _claim("invite_create", "INVITE_CREATE", "invite", "0.code"),
    _claim("invite_delete", "INVITE_DELETE", "invite", "0.code"),
    _claim("scheduled_event_create", "GUILD_SCHEDULED_EVENT_CREATE", "event", "0.id"),
    _claim("scheduled_event_delete", "GUILD_SCHEDULED_EVENT_DELETE", "event", "0.id"),
    _leader(
        "scheduled_event_update",
        "GUILD_SCHEDULED_EVENT_UPDATE",
        "before after",
        ".id .name .description .status .scheduled_start_time"
        " .scheduled_end_time .channel_id .entity_metadata",
    ),
    _leader(
        "scheduled_event_user_add",
        "GUILD_SCHEDULED_EVENT_USER_ADD",
        "event user",
        ".guild_scheduled_event_id .user_id",
        cached=True,
    ),
    _leader(
        "scheduled_event_user_remove",
        "GUILD_SCHEDULED_EVENT_USER_REMOVE",
        "event user",
        ".guild_scheduled_event_id .user_id",
        cached=True,
    ),
    _claim("stage_instance_create", "STAGE_INSTANCE_CREATE", "stage_instance", "0.id"),
    _claim("stage_instance_delete", "STAGE_INSTANCE_DELETE", "stage_instance", "0.id", cached=True),
    _leader(
        "stage_instance_update",
        "STAGE_INSTANCE_UPDATE",
        "before after",
        ".id .topic .privacy_level .discoverable_disabled",
        cached=True,
    ),
    _claim("soundboard_sound_create", "GUILD_SOUNDBOARD_SOUND_CREATE", "sound", "0.id"),
    _claim("soundboard_sound_delete", "GUILD_SOUNDBOARD_SOUND_DELETE", "sound", "0.id", cached=True),
    _leader(
        "soundboard_sound_update",
        "GUILD_SOUNDBOARD_SOUND_UPDATE",
        "before after",
        "1.id 1.name 1.volume",
        cached=True,
    ),
    # Voice
    _leader(
        "voice_state_update",
        "VOICE_STATE_UPDATE",
        "member before after",
        ".guild_id .user_id .channel_id .session_id .deaf .mute .self_deaf"
        " .self_mute .self_stream .self_video"
        " .suppress .request_to_speak_timestamp",
        ".guild_id",
        cached=True,
    ),
    _leader(
        "voice_channel_effect",
        "VOICE_CHANNEL_EFFECT_SEND",
        "effect",
        ".channel_id .user_id .emoji.id .emoji.name .animation_id .sound_id",
    ),
    # Monetisation
    _claim("entitlement_create", "ENTITLEMENT_CREATE", "entitlement", "0.id"),
    _claim("entitlement_delete", "ENTITLEMENT_DELETE", "entitlement", "0.id"),
    _leader("entitlement_update", "ENTITLEMENT_UPDATE", "entitlement", ".id .ends_at .consumed .deleted"),
    _claim("subscription_create", "SUBSCRIPTION_CREATE", "subscription", "0.id"),
    _claim("subscription_delete", "SUBSCRIPTION_DELETE", "subscription", "0.id"),
    _leader(
        "subscription_update",
        "SUBSCRIPTION_UPDATE",
        "subscription",
        ".id .status .current_period_end .canceled_at .renewal_sku_ids",
    ),
    # About the replica itself
    _every("ready"),
    _every("connect"),
    _every("disconnect"),
    _every("resumed"),
    _every("shard_ready", "shard_id"),
    _every("shard_connect", "shard_id"),
    _every("shard_disconnect", "shard_id"),
    _every("shard_resumed", "shard_id"),
    _every("app_command_completion", "interaction command"),
    _every("socket_event_type", "event_type"),
    _every("socket_raw_receive", "message"),
    _every("socket_raw_send", "payload"),
)

#: All events that discord.py dispatches, by name without ``on_``.
EVENTS: Mapping[str, EventSpec] = MappingProxyType({row.name: row for row in _ROWS})


def suggest(name: str, more: Iterable[str] = ()) -> str | None:
    """The event, or one of ``more``, with the name nearest to a misspelt one, if any is near."""
    nearest = difflib.get_close_matches(name, [*EVENTS, *more], n=1, cutoff=0.6)
    return nearest[0] if nearest else None
