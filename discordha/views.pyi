# mypy: disable-error-code="assignment,override,overload-overlap,overload-cannot-match,misc"
# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false
# pyright: reportOverlappingOverload=false, reportInvalidTypeVarUse=false
"""discord.py's classes as blocking views, for type checkers. At run time these names are discord.py's own.

Written by tools/stubs.py (make stubs) from the source of discord.py 2.7.1, (c) Rapptz, MIT
licence; not to be edited. The checks that are off are those that discord.py's own classes do not pass.
"""

import aiohttp
import asyncio
import builtins
import datetime
import discord
import discord.abc
import discord.app_commands
import discord.asset
import discord.audit_logs
import discord.channel
import discord.client
import discord.components
import discord.context_managers
import discord.ext.commands.context
import discord.ext.commands.errors
import discord.gateway
import discord.http
import discord.opus
import discord.partial_emoji
import discord.permissions
import discord.shard
import discord.state
import discord.sticker
import discord.types.activity
import discord.types.automod
import discord.types.channel
import discord.types.command
import discord.types.components
import discord.types.emoji
import discord.types.gateway
import discord.types.guild
import discord.types.integration
import discord.types.interactions
import discord.types.invite
import discord.types.message
import discord.types.onboarding
import discord.types.poll
import discord.types.threads
import discord.types.voice
import discord.types.webhook
import discord.types.welcome_screen
import discord.ui
import discord.ui.view
import discord.user
import discord.voice_state
import discord.webhook.async_
import io
import logging
import os
import types
import yarl
from collections.abc import (
    Callable,
    Collection,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import (
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Never,
    Protocol,
    Self,
    TypeVar,
    TypedDict,
    Unpack,
    overload,
)

from discordha.blocking.iterators import BlockingIterator

from discord import Activity as Activity
from discord import ActivityType as ActivityType
from discord import AllowedMentions as AllowedMentions
from discord import AppCommandContext as AppCommandContext
from discord import AppCommandOptionType as AppCommandOptionType
from discord import AppCommandPermissionType as AppCommandPermissionType
from discord import AppCommandType as AppCommandType
from discord import AppInstallationType as AppInstallationType
from discord import ApplicationFlags as ApplicationFlags
from discord import AttachmentFlags as AttachmentFlags
from discord import AudioSource as AudioSource
from discord import AuditLogAction as AuditLogAction
from discord import AuditLogActionCategory as AuditLogActionCategory
from discord import AutoModPresets as AutoModPresets
from discord import AutoModRuleActionType as AutoModRuleActionType
from discord import AutoModRuleEventType as AutoModRuleEventType
from discord import AutoModRuleTriggerType as AutoModRuleTriggerType
from discord import BaseActivity as BaseActivity
from discord import ButtonStyle as ButtonStyle
from discord import ChannelFlags as ChannelFlags
from discord import ChannelType as ChannelType
from discord import ClientException as ClientException
from discord import CollectibleType as CollectibleType
from discord import Color as Color
from discord import Colour as Colour
from discord import ComponentType as ComponentType
from discord import ConnectionClosed as ConnectionClosed
from discord import ContentFilter as ContentFilter
from discord import CustomActivity as CustomActivity
from discord import DefaultAvatar as DefaultAvatar
from discord import DiscordException as DiscordException
from discord import DiscordServerError as DiscordServerError
from discord import Embed as Embed
from discord import EmbedFlags as EmbedFlags
from discord import EntitlementOwnerType as EntitlementOwnerType
from discord import EntitlementType as EntitlementType
from discord import EntityType as EntityType
from discord import Enum as Enum
from discord import EventStatus as EventStatus
from discord import ExpireBehavior as ExpireBehavior
from discord import ExpireBehaviour as ExpireBehaviour
from discord import FFmpegAudio as FFmpegAudio
from discord import FFmpegOpusAudio as FFmpegOpusAudio
from discord import FFmpegPCMAudio as FFmpegPCMAudio
from discord import FFmpegProcessError as FFmpegProcessError
from discord import File as File
from discord import Forbidden as Forbidden
from discord import ForumLayoutType as ForumLayoutType
from discord import ForumOrderType as ForumOrderType
from discord import Game as Game
from discord import GatewayNotFound as GatewayNotFound
from discord import HTTPException as HTTPException
from discord import Intents as Intents
from discord import InteractionResponded as InteractionResponded
from discord import InteractionResponseType as InteractionResponseType
from discord import InteractionType as InteractionType
from discord import InvalidData as InvalidData
from discord import InviteFlags as InviteFlags
from discord import InviteTarget as InviteTarget
from discord import InviteType as InviteType
from discord import Locale as Locale
from discord import LoginFailure as LoginFailure
from discord import MFALevel as MFALevel
from discord import MediaItemLoadingState as MediaItemLoadingState
from discord import MemberCacheFlags as MemberCacheFlags
from discord import MemberFlags as MemberFlags
from discord import MessageFlags as MessageFlags
from discord import MessageReferenceType as MessageReferenceType
from discord import MessageType as MessageType
from discord import MissingApplicationID as MissingApplicationID
from discord import NSFWLevel as NSFWLevel
from discord import NameplatePalette as NameplatePalette
from discord import NotFound as NotFound
from discord import NotificationLevel as NotificationLevel
from discord import Object as Object
from discord import OnboardingMode as OnboardingMode
from discord import OnboardingPromptType as OnboardingPromptType
from discord import PCMAudio as PCMAudio
from discord import PCMVolumeTransformer as PCMVolumeTransformer
from discord import PermissionOverwrite as PermissionOverwrite
from discord import Permissions as Permissions
from discord import PollLayoutType as PollLayoutType
from discord import PrivacyLevel as PrivacyLevel
from discord import PrivilegedIntentsRequired as PrivilegedIntentsRequired
from discord import PublicUserFlags as PublicUserFlags
from discord import RateLimited as RateLimited
from discord import ReactionType as ReactionType
from discord import RoleFlags as RoleFlags
from discord import SKUFlags as SKUFlags
from discord import SKUType as SKUType
from discord import SelectDefaultValueType as SelectDefaultValueType
from discord import SeparatorSpacing as SeparatorSpacing
from discord import SpeakingState as SpeakingState
from discord import Spotify as Spotify
from discord import Status as Status
from discord import StatusDisplayType as StatusDisplayType
from discord import StickerFormatType as StickerFormatType
from discord import StickerType as StickerType
from discord import Streaming as Streaming
from discord import SubscriptionStatus as SubscriptionStatus
from discord import SyncWebhook as SyncWebhook
from discord import SyncWebhookMessage as SyncWebhookMessage
from discord import SystemChannelFlags as SystemChannelFlags
from discord import TeamMemberRole as TeamMemberRole
from discord import TeamMembershipState as TeamMembershipState
from discord import TextStyle as TextStyle
from discord import UserFlags as UserFlags
from discord import VerificationLevel as VerificationLevel
from discord import VideoQualityMode as VideoQualityMode
from discord import VoiceChannelEffectAnimationType as VoiceChannelEffectAnimationType
from discord import VoiceProtocol as VoiceProtocol
from discord import WebhookType as WebhookType
from discord import abc as abc
from discord import app_commands as app_commands
from discord import opus as opus
from discord import ui as ui
from discord import utils as utils

BE = TypeVar('BE', bound=BaseException)
ChoiceT = TypeVar('ChoiceT', str, int, float, str | int | float)
CoroT = TypeVar('CoroT', bound=Callable[..., Coroutine[Any, Any, Any]])
OverwriteKeyT = TypeVar('OverwriteKeyT', Role, BaseUser, discord.Object, Role | Member | discord.Object)
T = TypeVar('T', bound=discord.VoiceProtocol)

class _View:
    """The base of all views."""

    def __init__(self, made_by_discordha_only: Never, /) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def __ne__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

class ActionRow(Component):
    """Blocking view of ``discord.ActionRow``."""

    @property
    def _discordha_object(self) -> discord.ActionRow: ...
    id: int | None
    children: list[Button | SelectMenu | TextInput]
    @property
    def type(self) -> Literal['action_row', 1]: ...
    def to_dict(self) -> discord.types.components.ActionRow: ...

class AllChannels(_View):
    """Blocking view of ``discord.app_commands.AllChannels``."""

    @property
    def _discordha_object(self) -> discord.app_commands.AllChannels: ...
    guild: Guild
    @property
    def id(self) -> int: ...

class AppCommand(_View):
    """Blocking view of ``discord.app_commands.AppCommand``."""

    @property
    def _discordha_object(self) -> discord.app_commands.AppCommand: ...
    id: int
    application_id: int
    name: str
    description: str
    guild_id: int | None
    type: discord.AppCommandType
    options: list[Argument | AppCommandGroup]
    default_member_permissions: discord.Permissions | None
    dm_permission: bool
    nsfw: bool
    name_localizations: dict[discord.Locale, str]
    description_localizations: dict[discord.Locale, str]
    allowed_contexts: discord.AppCommandContext | None
    allowed_installs: discord.AppInstallationType | None
    def to_dict(self) -> discord.types.command.ApplicationCommand: ...
    @property
    def mention(self) -> str: ...
    @property
    def guild(self) -> Guild | None: ...
    def delete(self) -> None: ...
    def edit(
        self,
        *,
        name: str = ...,
        description: str = ...,
        default_member_permissions: discord.Permissions | None = ...,
        dm_permission: bool = ...,
        options: list[Argument | AppCommandGroup] = ...,
    ) -> AppCommand: ...
    def fetch_permissions(self, guild: discord.abc.Snowflake) -> GuildAppCommandPermissions: ...

class AppCommandChannel(_View):
    """Blocking view of ``discord.app_commands.AppCommandChannel``."""

    @property
    def _discordha_object(self) -> discord.app_commands.AppCommandChannel: ...
    guild_id: int
    id: int
    type: discord.ChannelType
    name: str
    permissions: discord.Permissions
    topic: str | None
    position: int
    nsfw: bool
    category_id: int | None
    slowmode_delay: int
    last_message_id: int | None
    @property
    def guild(self) -> Guild | None: ...
    @property
    def flags(self) -> discord.ChannelFlags: ...
    def is_nsfw(self) -> bool: ...
    def is_news(self) -> bool: ...
    def resolve(
        self,
    ) -> VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel | None: ...
    def fetch(self) -> VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel: ...
    @property
    def mention(self) -> str: ...
    @property
    def jump_url(self) -> str: ...
    @property
    def created_at(self) -> datetime.datetime: ...

class AppCommandGroup(_View):
    """Blocking view of ``discord.app_commands.AppCommandGroup``."""

    @property
    def _discordha_object(self) -> discord.app_commands.AppCommandGroup: ...
    parent: AppCommand | AppCommandGroup
    type: discord.AppCommandOptionType
    name: str
    description: str
    options: list[Argument | AppCommandGroup]
    name_localizations: dict[discord.Locale, str]
    description_localizations: dict[discord.Locale, str]
    @property
    def qualified_name(self) -> str: ...
    @property
    def mention(self) -> str: ...
    def to_dict(self) -> discord.types.command.ApplicationCommandOption: ...

class AppCommandPermissions(_View):
    """Blocking view of ``discord.app_commands.AppCommandPermissions``."""

    @property
    def _discordha_object(self) -> discord.app_commands.AppCommandPermissions: ...
    guild: Guild
    id: int
    type: discord.AppCommandPermissionType
    permission: bool
    target: discord.Object | User | Member | Role | AllChannels | VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel
    def to_dict(self) -> discord.types.command.ApplicationCommandPermissions: ...

class AppCommandThread(_View):
    """Blocking view of ``discord.app_commands.AppCommandThread``."""

    @property
    def _discordha_object(self) -> discord.app_commands.AppCommandThread: ...
    guild_id: int
    id: int
    parent_id: int
    type: discord.ChannelType
    name: str
    permissions: discord.Permissions
    owner_id: int
    member_count: int
    message_count: int
    last_message_id: int | None
    slowmode_delay: int
    total_message_sent: int
    archived: bool
    archiver_id: int | None
    auto_archive_duration: discord.types.threads.ThreadArchiveDuration
    archive_timestamp: datetime.datetime
    locked: bool
    invitable: bool
    @property
    def guild(self) -> Guild | None: ...
    @property
    def applied_tags(self) -> list[ForumTag]: ...
    @property
    def parent(self) -> ForumChannel | TextChannel | None: ...
    @property
    def flags(self) -> discord.ChannelFlags: ...
    @property
    def owner(self) -> Member | None: ...
    @property
    def mention(self) -> str: ...
    @property
    def jump_url(self) -> str: ...
    @property
    def created_at(self) -> datetime.datetime | None: ...
    def resolve(self) -> Thread | None: ...
    def fetch(self) -> Thread: ...

class AppInfo(_View):
    """Blocking view of ``discord.AppInfo``."""

    @property
    def _discordha_object(self) -> discord.AppInfo: ...
    id: int
    name: str
    description: str
    rpc_origins: list[str] | None
    bot_public: bool
    bot_require_code_grant: bool
    owner: User
    team: Team | None
    verify_key: str
    guild_id: int | None
    primary_sku_id: int | None
    slug: str | None
    terms_of_service_url: str | None
    privacy_policy_url: str | None
    tags: list[str]
    custom_install_url: str | None
    role_connections_verification_url: str | None
    install_params: AppInstallParams | None
    interactions_endpoint_url: str | None
    redirect_uris: list[str]
    approximate_guild_count: int
    approximate_user_install_count: int | None
    @property
    def icon(self) -> Asset | None: ...
    @property
    def cover_image(self) -> Asset | None: ...
    @property
    def guild(self) -> Guild | None: ...
    @property
    def flags(self) -> discord.ApplicationFlags: ...
    @property
    def guild_integration_config(self) -> IntegrationTypeConfig | None: ...
    @property
    def user_integration_config(self) -> IntegrationTypeConfig | None: ...
    def edit(
        self,
        *,
        reason: str | None = ...,
        custom_install_url: str | None = ...,
        description: str | None = ...,
        role_connections_verification_url: str | None = ...,
        install_params_scopes: list[str] | None = ...,
        install_params_permissions: discord.Permissions | None = ...,
        flags: discord.ApplicationFlags | None = ...,
        icon: bytes | None = ...,
        cover_image: bytes | None = ...,
        interactions_endpoint_url: str | None = ...,
        tags: list[str] | None = ...,
        guild_install_scopes: list[str] | None = ...,
        guild_install_permissions: discord.Permissions | None = ...,
        user_install_scopes: list[str] | None = ...,
        user_install_permissions: discord.Permissions | None = ...,
    ) -> AppInfo: ...

class AppInstallParams(_View):
    """Blocking view of ``discord.AppInstallParams``."""

    @property
    def _discordha_object(self) -> discord.AppInstallParams: ...
    scopes: list[str]
    permissions: discord.Permissions

class Argument(_View):
    """Blocking view of ``discord.app_commands.Argument``."""

    @property
    def _discordha_object(self) -> discord.app_commands.Argument: ...
    parent: AppCommand | AppCommandGroup
    type: discord.AppCommandOptionType
    name: str
    description: str
    required: bool
    min_value: int | float | None
    max_value: int | float | None
    min_length: int | None
    max_length: int | None
    autocomplete: bool
    channel_types: list[discord.ChannelType]
    choices: list[discord.app_commands.Choice[int | float | str]]
    name_localizations: dict[discord.Locale, str]
    description_localizations: dict[discord.Locale, str]
    def to_dict(self) -> discord.types.command.ApplicationCommandOption: ...

class Asset(AssetMixin):
    """Blocking view of ``discord.Asset``."""

    @property
    def _discordha_object(self) -> discord.Asset: ...
    def __len__(self) -> int: ...
    @property
    def url(self) -> str: ...
    @property
    def key(self) -> str: ...
    def is_animated(self) -> bool: ...
    def replace(
        self,
        *,
        size: int = ...,
        format: Literal['webp', 'jpeg', 'jpg', 'png', 'gif'] = ...,
        static_format: Literal['webp', 'jpeg', 'jpg', 'png'] = ...,
    ) -> Self: ...
    def with_size(self, size: int, /) -> Self: ...
    def with_format(self, format: Literal['webp', 'jpeg', 'jpg', 'png', 'gif'], /) -> Self: ...
    def with_static_format(self, format: Literal['webp', 'jpeg', 'jpg', 'png'], /) -> Self: ...

class AssetMixin(_View):
    """Blocking view of ``discord.asset.AssetMixin``."""

    @property
    def _discordha_object(self) -> discord.asset.AssetMixin: ...
    url: str
    def read(self) -> bytes: ...
    def save(
        self,
        fp: str | bytes | os.PathLike[Any] | io.BufferedIOBase,
        *,
        seek_begin: bool = True,
    ) -> int: ...
    def to_file(
        self,
        *,
        filename: str | None = ...,
        description: str | None = None,
        spoiler: bool = False,
    ) -> discord.File: ...

class Attachment(_View):
    """Blocking view of ``discord.Attachment``."""

    @property
    def _discordha_object(self) -> discord.Attachment: ...
    id: int
    size: int
    height: int | None
    width: int | None
    filename: str
    url: str
    proxy_url: str
    content_type: str | None
    description: str | None
    ephemeral: bool
    duration: float | None
    title: str | None
    waveform: bytes | None
    @property
    def flags(self) -> discord.AttachmentFlags: ...
    def is_spoiler(self) -> bool: ...
    def is_voice_message(self) -> bool: ...
    def save(
        self,
        fp: io.BufferedIOBase | os.PathLike[Any],
        *,
        seek_begin: bool = True,
        use_cached: bool = False,
    ) -> int: ...
    def read(self, *, use_cached: bool = False) -> bytes: ...
    def to_file(
        self,
        *,
        filename: str | None = ...,
        description: str | None = ...,
        use_cached: bool = False,
        spoiler: bool = False,
    ) -> discord.File: ...
    def to_dict(self) -> discord.types.message.Attachment: ...

class AuditLogChanges(_View):
    """Blocking view of ``discord.AuditLogChanges``."""

    @property
    def _discordha_object(self) -> discord.AuditLogChanges: ...
    TRANSFORMERS: ClassVar[Mapping[str, tuple[str | None, Callable[[AuditLogEntry, Any], Any] | None]]]
    before: AuditLogDiff
    after: AuditLogDiff

class AuditLogDiff(_View):
    """Blocking view of ``discord.AuditLogDiff``."""

    @property
    def _discordha_object(self) -> discord.AuditLogDiff: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Generator[tuple[str, Any], None, None]: ...
    def __getattr__(self, item: str) -> Any: ...

class AuditLogEntry(_View):
    """Blocking view of ``discord.AuditLogEntry``."""

    @property
    def _discordha_object(self) -> discord.AuditLogEntry: ...
    guild: Guild
    action: discord.AuditLogAction
    id: int
    reason: str | None
    extra: _AuditLogProxyMemberPrune | _AuditLogProxyMemberMoveOrMessageDelete | _AuditLogProxyMemberDisconnect | _AuditLogProxyPinAction | _AuditLogProxyStageInstanceAction | _AuditLogProxyMessageBulkDelete | _AuditLogProxyAutoModAction | _AuditLogProxyMemberKickOrMemberRoleUpdate | Member | User | PartialIntegration | Role | discord.Object | None
    user_id: int | None
    user: User | Member | None
    @property
    def created_at(self) -> datetime.datetime: ...
    @property
    def target(
        self,
    ) -> Guild | GuildChannel | Member | User | Role | Invite | Emoji | StageInstance | GuildSticker | Thread | discord.Object | PartialIntegration | AutoModRule | ScheduledEvent | Webhook | AppCommand | None: ...
    @property
    def category(self) -> discord.AuditLogActionCategory | None: ...
    @property
    def changes(self) -> AuditLogChanges: ...
    @property
    def before(self) -> AuditLogDiff: ...
    @property
    def after(self) -> AuditLogDiff: ...

class AutoModAction(_View):
    """Blocking view of ``discord.AutoModAction``."""

    @property
    def _discordha_object(self) -> discord.AutoModAction: ...
    message_id: int | None
    action: AutoModRuleAction
    rule_id: int
    rule_trigger_type: discord.AutoModRuleTriggerType
    guild_id: int
    channel_id: int | None
    user_id: int
    alert_system_message_id: int | None
    content: str
    matched_keyword: str | None
    matched_content: str | None
    @property
    def guild(self) -> Guild: ...
    @property
    def channel(self) -> GuildChannel | Thread | None: ...
    @property
    def member(self) -> Member | None: ...
    def fetch_rule(self) -> AutoModRule: ...

class AutoModRule(_View):
    """Blocking view of ``discord.AutoModRule``."""

    @property
    def _discordha_object(self) -> discord.AutoModRule: ...
    guild: Guild
    id: int
    name: str
    creator_id: int
    event_type: discord.AutoModRuleEventType
    trigger: AutoModTrigger
    enabled: bool
    exempt_role_ids: set[int]
    exempt_channel_ids: set[int]
    def to_dict(self) -> discord.types.automod.AutoModerationRule: ...
    @property
    def creator(self) -> Member | None: ...
    @property
    def exempt_roles(self) -> list[Role]: ...
    @property
    def exempt_channels(self) -> list[GuildChannel | Thread]: ...
    @property
    def actions(self) -> list[AutoModRuleAction]: ...
    def is_exempt(self, obj: discord.abc.Snowflake, /) -> bool: ...
    def edit(
        self,
        *,
        name: str = ...,
        event_type: discord.AutoModRuleEventType = ...,
        actions: list[AutoModRuleAction | discord.AutoModRuleAction] = ...,
        trigger: AutoModTrigger | discord.AutoModTrigger = ...,
        enabled: bool = ...,
        exempt_roles: Sequence[discord.abc.Snowflake] = ...,
        exempt_channels: Sequence[discord.abc.Snowflake] = ...,
        reason: str = ...,
    ) -> Self: ...
    def delete(self, *, reason: str = ...) -> None: ...

class AutoModRuleAction(_View):
    """Blocking view of ``discord.AutoModRuleAction``."""

    @property
    def _discordha_object(self) -> discord.AutoModRuleAction: ...
    @overload
    def __new__(cls, *, channel_id: int = ...) -> discord.AutoModRuleAction: ...
    @overload
    def __new__(
        cls,
        *,
        type: Literal['send_alert_message', 2],
        channel_id: int = ...,
    ) -> discord.AutoModRuleAction: ...
    @overload
    def __new__(cls, *, duration: datetime.timedelta = ...) -> discord.AutoModRuleAction: ...
    @overload
    def __new__(
        cls,
        *,
        type: Literal['timeout', 3],
        duration: datetime.timedelta = ...,
    ) -> discord.AutoModRuleAction: ...
    @overload
    def __new__(cls, *, custom_message: str = ...) -> discord.AutoModRuleAction: ...
    @overload
    def __new__(cls, *, type: Literal['block_message', 1]) -> discord.AutoModRuleAction: ...
    @overload
    def __new__(
        cls,
        *,
        type: Literal['block_message', 1],
        custom_message: str | None = ...,
    ) -> discord.AutoModRuleAction: ...
    @overload
    def __new__(
        cls,
        *,
        type: discord.AutoModRuleActionType | None = ...,
        channel_id: int | None = ...,
        duration: datetime.timedelta | None = ...,
        custom_message: str | None = ...,
    ) -> discord.AutoModRuleAction: ...
    type: discord.AutoModRuleActionType
    channel_id: int | None
    duration: datetime.timedelta | None
    custom_message: str | None
    @classmethod
    def from_data(cls, data: discord.types.automod.AutoModerationAction) -> discord.AutoModRuleAction: ...
    def to_dict(self) -> dict[str, Any]: ...

class AutoModTrigger(_View):
    """Blocking view of ``discord.AutoModTrigger``."""

    @property
    def _discordha_object(self) -> discord.AutoModTrigger: ...
    def __new__(
        cls,
        *,
        type: discord.AutoModRuleTriggerType | None = None,
        keyword_filter: list[str] | None = None,
        presets: discord.AutoModPresets | None = None,
        allow_list: list[str] | None = None,
        mention_limit: int | None = None,
        regex_patterns: list[str] | None = None,
        mention_raid_protection: bool | None = None,
    ) -> discord.AutoModTrigger: ...
    keyword_filter: list[str]
    presets: discord.AutoModPresets
    allow_list: list[str]
    mention_limit: int
    mention_raid_protection: bool
    regex_patterns: list[str]
    type: discord.AutoModRuleTriggerType
    @classmethod
    def from_data(
        cls,
        type: int,
        data: discord.types.automod.AutoModerationTriggerMetadata | None,
    ) -> discord.AutoModTrigger: ...
    def to_metadata_dict(self) -> dict[str, Any] | None: ...

class AutoShardedClient(Client):
    """Blocking view of ``discord.AutoShardedClient``."""

    @property
    def _discordha_object(self) -> discord.AutoShardedClient: ...
    def __new__(
        cls,
        *args: Any,
        intents: discord.Intents,
        **kwargs: Unpack[discord.shard._AutoShardedClientOptions],
    ) -> discord.AutoShardedClient: ...
    shard_ids: list[int] | None
    shard_connect_timeout: float | None
    shard_count: int
    @property
    def latency(self) -> float: ...
    @property
    def latencies(self) -> list[tuple[int, float]]: ...
    def get_shard(self, shard_id: int, /) -> ShardInfo | None: ...
    @property
    def shards(self) -> dict[int, ShardInfo]: ...
    def fetch_session_start_limits(self) -> SessionStartLimits: ...
    def launch_shard(self, gateway: yarl.URL, shard_id: int, *, initial: bool = False) -> None: ...
    def launch_shards(self) -> None: ...
    def connect(self, *, reconnect: bool = True) -> None: ...
    def close(self) -> None: ...
    def change_presence(
        self,
        *,
        activity: discord.BaseActivity | None = None,
        status: discord.Status | None = None,
        shard_id: int | None = None,
    ) -> None: ...
    def is_ws_ratelimited(self) -> bool: ...

class BanEntry(NamedTuple):
    reason: str | None
    user: User

class BaseOption(_View):
    """Blocking view of ``discord.components.BaseOption``."""

    @property
    def _discordha_object(self) -> discord.components.BaseOption: ...
    label: str
    value: str
    description: str | None
    default: bool
    @classmethod
    def from_dict(
        cls,
        data: discord.types.components.SelectOption | discord.types.components.RadioGroupOption | discord.types.components.CheckboxGroupOption,
    ) -> discord.components.BaseOption: ...
    def to_dict(
        self,
    ) -> discord.types.components.SelectOption | discord.types.components.RadioGroupOption | discord.types.components.CheckboxGroupOption: ...
    def copy(self) -> Self: ...

class BaseSoundboardSound(AssetMixin):
    """Blocking view of ``discord.BaseSoundboardSound``."""

    @property
    def _discordha_object(self) -> discord.BaseSoundboardSound: ...
    id: int
    volume: float
    @property
    def url(self) -> str: ...

class BaseUser(_UserTag):
    """Blocking view of ``discord.user.BaseUser``."""

    @property
    def _discordha_object(self) -> discord.user.BaseUser: ...
    name: str
    id: int
    discriminator: str
    global_name: str | None
    bot: bool
    system: bool
    @property
    def public_flags(self) -> discord.PublicUserFlags: ...
    @property
    def avatar(self) -> Asset | None: ...
    @property
    def default_avatar(self) -> Asset: ...
    @property
    def display_avatar(self) -> Asset: ...
    @property
    def avatar_decoration(self) -> Asset | None: ...
    @property
    def avatar_decoration_sku_id(self) -> int | None: ...
    @property
    def banner(self) -> Asset | None: ...
    @property
    def accent_colour(self) -> discord.Colour | None: ...
    @property
    def accent_color(self) -> discord.Colour | None: ...
    @property
    def colour(self) -> discord.Colour: ...
    @property
    def color(self) -> discord.Colour: ...
    @property
    def mention(self) -> str: ...
    @property
    def created_at(self) -> datetime.datetime: ...
    @property
    def display_name(self) -> str: ...
    @property
    def primary_guild(self) -> PrimaryGuild: ...
    @property
    def collectibles(self) -> list[Collectible]: ...
    def mentioned_in(self, message: Message) -> bool: ...

class BaseWebhook(_View):
    """Blocking view of ``discord.webhook.async_.BaseWebhook``."""

    @property
    def _discordha_object(self) -> discord.webhook.async_.BaseWebhook: ...
    auth_token: str | None
    id: int
    type: discord.WebhookType
    channel_id: int | None
    guild_id: int | None
    name: str | None
    token: str | None
    user: BaseUser | User | None
    source_channel: PartialWebhookChannel | None
    source_guild: PartialWebhookGuild | None
    def is_partial(self) -> bool: ...
    def is_authenticated(self) -> bool: ...
    @property
    def guild(self) -> Guild | None: ...
    @property
    def channel(self) -> ForumChannel | VoiceChannel | TextChannel | None: ...
    @property
    def created_at(self) -> datetime.datetime: ...
    @property
    def avatar(self) -> Asset | None: ...
    @property
    def default_avatar(self) -> Asset: ...
    @property
    def display_avatar(self) -> Asset: ...

class BotIntegration(Integration):
    """Blocking view of ``discord.BotIntegration``."""

    @property
    def _discordha_object(self) -> discord.BotIntegration: ...
    application: IntegrationApplication

class BulkBanResult(NamedTuple):
    banned: list[discord.Object]
    failed: list[discord.Object]

class Button(Component):
    """Blocking view of ``discord.Button``."""

    @property
    def _discordha_object(self) -> discord.Button: ...
    id: int | None
    style: discord.ButtonStyle
    custom_id: str | None
    url: str | None
    disabled: bool
    label: str | None
    emoji: PartialEmoji | None
    sku_id: int | None
    @property
    def type(self) -> Literal['button', 2]: ...
    def to_dict(self) -> discord.types.components.ButtonComponent: ...

class CallMessage(_View):
    """Blocking view of ``discord.CallMessage``."""

    @property
    def _discordha_object(self) -> discord.CallMessage: ...
    ended_timestamp: datetime.datetime | None
    participants: list[User]
    @property
    def duration(self) -> datetime.timedelta: ...
    def is_ended(self) -> bool: ...

class CategoryChannel(GuildChannel):
    """Blocking view of ``discord.CategoryChannel``."""

    @property
    def _discordha_object(self) -> discord.CategoryChannel: ...
    id: int
    guild: Guild
    name: str
    category_id: int | None
    nsfw: bool
    position: int
    @property
    def type(self) -> Literal['category', 4]: ...
    def is_nsfw(self) -> bool: ...
    def clone(
        self,
        *,
        name: str | None = None,
        category: CategoryChannel | None = None,
        reason: str | None = None,
    ) -> CategoryChannel: ...
    @overload
    def edit(self) -> None: ...
    @overload
    def edit(self, *, position: int, reason: str | None = ...) -> None: ...
    @overload
    def edit(
        self,
        *,
        name: str = ...,
        position: int = ...,
        nsfw: bool = ...,
        overwrites: Mapping[OverwriteKeyT, discord.PermissionOverwrite] = ...,
        reason: str | None = ...,
    ) -> CategoryChannel: ...
    def move(self, **kwargs: Any) -> None: ...
    @property
    def channels(
        self,
    ) -> list[VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel]: ...
    @property
    def text_channels(self) -> list[TextChannel]: ...
    @property
    def voice_channels(self) -> list[VoiceChannel]: ...
    @property
    def stage_channels(self) -> list[StageChannel]: ...
    @property
    def forums(self) -> list[ForumChannel]: ...
    def create_text_channel(self, name: str, **options: Unpack[_CreateTextChannelOptions]) -> TextChannel: ...
    def create_voice_channel(
        self,
        name: str,
        **options: Unpack[_CreateVoiceChannelOptions],
    ) -> VoiceChannel: ...
    def create_stage_channel(
        self,
        name: str,
        **options: Unpack[_CreateStageChannelOptions],
    ) -> StageChannel: ...
    def create_forum(self, name: str, **options: Unpack[_CreateForumChannelOptions]) -> ForumChannel: ...

class CheckboxComponent(Component):
    """Blocking view of ``discord.CheckboxComponent``."""

    @property
    def _discordha_object(self) -> discord.CheckboxComponent: ...
    custom_id: str
    id: int | None
    default: bool
    @property
    def type(self) -> Literal['checkbox', 23]: ...
    def to_dict(self) -> discord.types.components.CheckboxComponent: ...

class CheckboxGroupComponent(Component):
    """Blocking view of ``discord.CheckboxGroupComponent``."""

    @property
    def _discordha_object(self) -> discord.CheckboxGroupComponent: ...
    custom_id: str
    required: bool
    id: int | None
    min_values: int
    max_values: int
    options: list[CheckboxGroupOption]
    @property
    def type(self) -> Literal['checkbox_group', 22]: ...
    def to_dict(self) -> discord.types.components.CheckboxGroupComponent: ...

class CheckboxGroupOption(BaseOption):
    """Blocking view of ``discord.CheckboxGroupOption``."""

    @property
    def _discordha_object(self) -> discord.CheckboxGroupOption: ...

class Client(_View):
    """Blocking view of ``discord.Client``."""

    @property
    def _discordha_object(self) -> discord.Client: ...
    def __new__(
        cls,
        *,
        intents: discord.Intents,
        **options: Unpack[discord.client._ClientOptions],
    ) -> discord.Client: ...
    loop: asyncio.AbstractEventLoop
    ws: discord.gateway.DiscordWebSocket
    shard_id: int | None
    shard_count: int | None
    http: discord.http.HTTPClient
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: builtins.type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None: ...
    @property
    def latency(self) -> float: ...
    def is_ws_ratelimited(self) -> bool: ...
    @property
    def user(self) -> ClientUser | None: ...
    @property
    def guilds(self) -> Sequence[Guild]: ...
    @property
    def emojis(self) -> Sequence[Emoji]: ...
    @property
    def stickers(self) -> Sequence[GuildSticker]: ...
    @property
    def soundboard_sounds(self) -> list[SoundboardSound]: ...
    @property
    def cached_messages(self) -> Sequence[Message]: ...
    @property
    def private_channels(self) -> Sequence[PrivateChannel]: ...
    @property
    def voice_clients(self) -> list[discord.VoiceProtocol]: ...
    @property
    def application_id(self) -> int | None: ...
    @property
    def application_flags(self) -> discord.ApplicationFlags: ...
    @property
    def application(self) -> AppInfo | None: ...
    def is_ready(self) -> bool: ...
    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None: ...
    def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None: ...
    def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None: ...
    def setup_hook(self) -> None: ...
    def login(self, token: str) -> None: ...
    def connect(self, *, reconnect: bool = True) -> None: ...
    def close(self) -> None: ...
    def clear(self) -> None: ...
    def start(self, token: str, *, reconnect: bool = True) -> None: ...
    def run(
        self,
        token: str,
        *,
        reconnect: bool = True,
        log_handler: logging.Handler | None = ...,
        log_formatter: logging.Formatter = ...,
        log_level: int = ...,
        root_logger: bool = False,
    ) -> None: ...
    def is_closed(self) -> bool: ...
    @property
    def activity(
        self,
    ) -> discord.Activity | discord.Game | discord.CustomActivity | discord.Streaming | discord.Spotify | None: ...
    @activity.setter
    def activity(
        self,
        value: discord.Activity | discord.Game | discord.CustomActivity | discord.Streaming | discord.Spotify | None,
    ) -> None: ...
    @property
    def status(self) -> discord.Status: ...
    @status.setter
    def status(self, value: discord.Status) -> None: ...
    @property
    def allowed_mentions(self) -> discord.AllowedMentions | None: ...
    @allowed_mentions.setter
    def allowed_mentions(self, value: discord.AllowedMentions | None) -> None: ...
    @property
    def intents(self) -> discord.Intents: ...
    @property
    def users(self) -> list[User]: ...
    def get_channel(
        self,
        id: int,
        /,
    ) -> VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel | Thread | PrivateChannel | None: ...
    def get_partial_messageable(
        self,
        id: int,
        *,
        guild_id: int | None = None,
        type: discord.ChannelType | None = None,
    ) -> PartialMessageable: ...
    def get_stage_instance(self, id: int, /) -> StageInstance | None: ...
    def get_guild(self, id: int, /) -> Guild | None: ...
    def get_user(self, id: int, /) -> User | None: ...
    def get_emoji(self, id: int, /) -> Emoji | None: ...
    def get_sticker(self, id: int, /) -> GuildSticker | None: ...
    def get_soundboard_sound(self, id: int, /) -> SoundboardSound | None: ...
    def get_all_channels(
        self,
    ) -> Generator[VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel, None, None]: ...
    def get_all_members(self) -> Generator[Member, None, None]: ...
    def wait_until_ready(self) -> None: ...
    @overload
    def wait_for(
        self,
        event: Literal['raw_app_command_permissions_update'],
        /,
        *,
        check: Callable[[RawAppCommandPermissionsUpdateEvent], bool] | None = ...,
        timeout: float | None = ...,
    ) -> RawAppCommandPermissionsUpdateEvent: ...
    @overload
    def wait_for(
        self,
        event: Literal['app_command_completion'],
        /,
        *,
        check: Callable[[Interaction, discord.app_commands.Command[Any, ..., Any] | discord.app_commands.ContextMenu], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[Interaction, discord.app_commands.Command[Any, ..., Any] | discord.app_commands.ContextMenu]: ...
    @overload
    def wait_for(
        self,
        event: Literal['automod_rule_create', 'automod_rule_update', 'automod_rule_delete'],
        /,
        *,
        check: Callable[[AutoModRule], bool] | None = ...,
        timeout: float | None = ...,
    ) -> AutoModRule: ...
    @overload
    def wait_for(
        self,
        event: Literal['automod_action'],
        /,
        *,
        check: Callable[[AutoModAction], bool] | None = ...,
        timeout: float | None = ...,
    ) -> AutoModAction: ...
    @overload
    def wait_for(
        self,
        event: Literal['private_channel_update'],
        /,
        *,
        check: Callable[[GroupChannel, GroupChannel], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[GroupChannel, GroupChannel]: ...
    @overload
    def wait_for(
        self,
        event: Literal['private_channel_pins_update'],
        /,
        *,
        check: Callable[[PrivateChannel, datetime.datetime], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[PrivateChannel, datetime.datetime]: ...
    @overload
    def wait_for(
        self,
        event: Literal['guild_channel_delete', 'guild_channel_create'],
        /,
        *,
        check: Callable[[VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel], bool] | None = ...,
        timeout: float | None = ...,
    ) -> VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel: ...
    @overload
    def wait_for(
        self,
        event: Literal['guild_channel_update'],
        /,
        *,
        check: Callable[[VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel, VoiceChannel | CategoryChannel], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel, VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel]: ...
    @overload
    def wait_for(
        self,
        event: Literal['guild_channel_pins_update'],
        /,
        *,
        check: Callable[[VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel | Thread, datetime.datetime | None], bool] | None,
        timeout: float | None = ...,
    ) -> tuple[VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel | Thread, datetime.datetime | None]: ...
    @overload
    def wait_for(
        self,
        event: Literal['typing'],
        /,
        *,
        check: Callable[[Messageable, User | Member, datetime.datetime], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[Messageable, User | Member, datetime.datetime]: ...
    @overload
    def wait_for(
        self,
        event: Literal['raw_typing'],
        /,
        *,
        check: Callable[[RawTypingEvent], bool] | None = ...,
        timeout: float | None = ...,
    ) -> RawTypingEvent: ...
    @overload
    def wait_for(
        self,
        event: Literal['connect', 'disconnect', 'ready', 'resumed'],
        /,
        *,
        check: Callable[[], bool] | None = ...,
        timeout: float | None = ...,
    ) -> None: ...
    @overload
    def wait_for(
        self,
        event: Literal['shard_connect', 'shard_disconnect', 'shard_ready', 'shard_resumed'],
        /,
        *,
        check: Callable[[int], bool] | None = ...,
        timeout: float | None = ...,
    ) -> int: ...
    @overload
    def wait_for(
        self,
        event: Literal['socket_event_type', 'socket_raw_receive'],
        /,
        *,
        check: Callable[[str], bool] | None = ...,
        timeout: float | None = ...,
    ) -> str: ...
    @overload
    def wait_for(
        self,
        event: Literal['socket_raw_send'],
        /,
        *,
        check: Callable[[str | bytes], bool] | None = ...,
        timeout: float | None = ...,
    ) -> str | bytes: ...
    @overload
    def wait_for(
        self,
        event: Literal['entitlement_create', 'entitlement_update', 'entitlement_delete'],
        /,
        *,
        check: Callable[[Entitlement], bool] | None = ...,
        timeout: float | None = ...,
    ) -> Entitlement: ...
    @overload
    def wait_for(
        self,
        event: Literal['guild_available', 'guild_unavailable', 'guild_join', 'guild_remove'],
        /,
        *,
        check: Callable[[Guild], bool] | None = ...,
        timeout: float | None = ...,
    ) -> Guild: ...
    @overload
    def wait_for(
        self,
        event: Literal['guild_update'],
        /,
        *,
        check: Callable[[Guild, Guild], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[Guild, Guild]: ...
    @overload
    def wait_for(
        self,
        event: Literal['guild_emojis_update'],
        /,
        *,
        check: Callable[[Guild, Sequence[Emoji], Sequence[Emoji]], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[Guild, Sequence[Emoji], Sequence[Emoji]]: ...
    @overload
    def wait_for(
        self,
        event: Literal['guild_stickers_update'],
        /,
        *,
        check: Callable[[Guild, Sequence[GuildSticker], Sequence[GuildSticker]], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[Guild, Sequence[GuildSticker], Sequence[GuildSticker]]: ...
    @overload
    def wait_for(
        self,
        event: Literal['invite_create', 'invite_delete'],
        /,
        *,
        check: Callable[[Invite], bool] | None = ...,
        timeout: float | None = ...,
    ) -> Invite: ...
    @overload
    def wait_for(
        self,
        event: Literal['audit_log_entry_create'],
        /,
        *,
        check: Callable[[AuditLogEntry], bool] | None = ...,
        timeout: float | None = ...,
    ) -> AuditLogEntry: ...
    @overload
    def wait_for(
        self,
        event: Literal['integration_create', 'integration_update'],
        /,
        *,
        check: Callable[[Integration], bool] | None = ...,
        timeout: float | None = ...,
    ) -> Integration: ...
    @overload
    def wait_for(
        self,
        event: Literal['guild_integrations_update'],
        /,
        *,
        check: Callable[[Guild], bool] | None = ...,
        timeout: float | None = ...,
    ) -> Guild: ...
    @overload
    def wait_for(
        self,
        event: Literal['webhooks_update'],
        /,
        *,
        check: Callable[[VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel], bool] | None = ...,
        timeout: float | None = ...,
    ) -> VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel: ...
    @overload
    def wait_for(
        self,
        event: Literal['raw_integration_delete'],
        /,
        *,
        check: Callable[[RawIntegrationDeleteEvent], bool] | None = ...,
        timeout: float | None = ...,
    ) -> RawIntegrationDeleteEvent: ...
    @overload
    def wait_for(
        self,
        event: Literal['interaction'],
        /,
        *,
        check: Callable[[Interaction], bool] | None = ...,
        timeout: float | None = ...,
    ) -> Interaction: ...
    @overload
    def wait_for(
        self,
        event: Literal['member_join', 'member_remove'],
        /,
        *,
        check: Callable[[Member], bool] | None = ...,
        timeout: float | None = ...,
    ) -> Member: ...
    @overload
    def wait_for(
        self,
        event: Literal['raw_member_remove'],
        /,
        *,
        check: Callable[[RawMemberRemoveEvent], bool] | None = ...,
        timeout: float | None = ...,
    ) -> RawMemberRemoveEvent: ...
    @overload
    def wait_for(
        self,
        event: Literal['member_update', 'presence_update'],
        /,
        *,
        check: Callable[[Member, Member], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[Member, Member]: ...
    @overload
    def wait_for(
        self,
        event: Literal['user_update'],
        /,
        *,
        check: Callable[[User, User], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[User, User]: ...
    @overload
    def wait_for(
        self,
        event: Literal['member_ban'],
        /,
        *,
        check: Callable[[Guild, User | Member], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[Guild, User | Member]: ...
    @overload
    def wait_for(
        self,
        event: Literal['member_unban'],
        /,
        *,
        check: Callable[[Guild, User], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[Guild, User]: ...
    @overload
    def wait_for(
        self,
        event: Literal['message', 'message_delete'],
        /,
        *,
        check: Callable[[Message], bool] | None = ...,
        timeout: float | None = ...,
    ) -> Message: ...
    @overload
    def wait_for(
        self,
        event: Literal['message_edit'],
        /,
        *,
        check: Callable[[Message, Message], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[Message, Message]: ...
    @overload
    def wait_for(
        self,
        event: Literal['bulk_message_delete'],
        /,
        *,
        check: Callable[[list[Message]], bool] | None = ...,
        timeout: float | None = ...,
    ) -> list[Message]: ...
    @overload
    def wait_for(
        self,
        event: Literal['raw_message_edit'],
        /,
        *,
        check: Callable[[RawMessageUpdateEvent], bool] | None = ...,
        timeout: float | None = ...,
    ) -> RawMessageUpdateEvent: ...
    @overload
    def wait_for(
        self,
        event: Literal['raw_message_delete'],
        /,
        *,
        check: Callable[[RawMessageDeleteEvent], bool] | None = ...,
        timeout: float | None = ...,
    ) -> RawMessageDeleteEvent: ...
    @overload
    def wait_for(
        self,
        event: Literal['raw_bulk_message_delete'],
        /,
        *,
        check: Callable[[RawBulkMessageDeleteEvent], bool] | None = ...,
        timeout: float | None = ...,
    ) -> RawBulkMessageDeleteEvent: ...
    @overload
    def wait_for(
        self,
        event: Literal['reaction_add', 'reaction_remove'],
        /,
        *,
        check: Callable[[Reaction, Member | User], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[Reaction, Member | User]: ...
    @overload
    def wait_for(
        self,
        event: Literal['reaction_clear'],
        /,
        *,
        check: Callable[[Message, list[Reaction]], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[Message, list[Reaction]]: ...
    @overload
    def wait_for(
        self,
        event: Literal['reaction_clear_emoji'],
        /,
        *,
        check: Callable[[Reaction], bool] | None = ...,
        timeout: float | None = ...,
    ) -> Reaction: ...
    @overload
    def wait_for(
        self,
        event: Literal['raw_reaction_add', 'raw_reaction_remove'],
        /,
        *,
        check: Callable[[RawReactionActionEvent], bool] | None = ...,
        timeout: float | None = ...,
    ) -> RawReactionActionEvent: ...
    @overload
    def wait_for(
        self,
        event: Literal['raw_reaction_clear'],
        /,
        *,
        check: Callable[[RawReactionClearEvent], bool] | None = ...,
        timeout: float | None = ...,
    ) -> RawReactionClearEvent: ...
    @overload
    def wait_for(
        self,
        event: Literal['raw_reaction_clear_emoji'],
        /,
        *,
        check: Callable[[RawReactionClearEmojiEvent], bool] | None = ...,
        timeout: float | None = ...,
    ) -> RawReactionClearEmojiEvent: ...
    @overload
    def wait_for(
        self,
        event: Literal['guild_role_create', 'guild_role_delete'],
        /,
        *,
        check: Callable[[Role], bool] | None = ...,
        timeout: float | None = ...,
    ) -> Role: ...
    @overload
    def wait_for(
        self,
        event: Literal['guild_role_update'],
        /,
        *,
        check: Callable[[Role, Role], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[Role, Role]: ...
    @overload
    def wait_for(
        self,
        event: Literal['scheduled_event_create', 'scheduled_event_delete'],
        /,
        *,
        check: Callable[[ScheduledEvent], bool] | None = ...,
        timeout: float | None = ...,
    ) -> ScheduledEvent: ...
    @overload
    def wait_for(
        self,
        event: Literal['scheduled_event_user_add', 'scheduled_event_user_remove'],
        /,
        *,
        check: Callable[[ScheduledEvent, User], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[ScheduledEvent, User]: ...
    @overload
    def wait_for(
        self,
        event: Literal['scheduled_event_update'],
        /,
        *,
        check: Callable[[ScheduledEvent, ScheduledEvent], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[ScheduledEvent, ScheduledEvent]: ...
    @overload
    def wait_for(
        self,
        event: Literal['soundboard_sound_create', 'soundboard_sound_delete'],
        /,
        *,
        check: Callable[[SoundboardSound], bool] | None = ...,
        timeout: float | None = ...,
    ) -> SoundboardSound: ...
    @overload
    def wait_for(
        self,
        event: Literal['soundboard_sound_update'],
        /,
        *,
        check: Callable[[SoundboardSound, SoundboardSound], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[SoundboardSound, SoundboardSound]: ...
    @overload
    def wait_for(
        self,
        event: Literal['stage_instance_create', 'stage_instance_delete'],
        /,
        *,
        check: Callable[[StageInstance], bool] | None = ...,
        timeout: float | None = ...,
    ) -> StageInstance: ...
    @overload
    def wait_for(
        self,
        event: Literal['stage_instance_update'],
        /,
        *,
        check: Callable[[StageInstance, StageInstance], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[StageInstance, StageInstance]: ...
    @overload
    def wait_for(
        self,
        event: Literal['subscription_create', 'subscription_update', 'subscription_delete'],
        /,
        *,
        check: Callable[[Subscription], bool] | None = ...,
        timeout: float | None = ...,
    ) -> Subscription: ...
    @overload
    def wait_for(
        self,
        event: Literal['thread_create', 'thread_join', 'thread_remove', 'thread_delete'],
        /,
        *,
        check: Callable[[Thread], bool] | None = ...,
        timeout: float | None = ...,
    ) -> Thread: ...
    @overload
    def wait_for(
        self,
        event: Literal['thread_update'],
        /,
        *,
        check: Callable[[Thread, Thread], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[Thread, Thread]: ...
    @overload
    def wait_for(
        self,
        event: Literal['raw_thread_update'],
        /,
        *,
        check: Callable[[RawThreadUpdateEvent], bool] | None = ...,
        timeout: float | None = ...,
    ) -> RawThreadUpdateEvent: ...
    @overload
    def wait_for(
        self,
        event: Literal['raw_thread_delete'],
        /,
        *,
        check: Callable[[RawThreadDeleteEvent], bool] | None = ...,
        timeout: float | None = ...,
    ) -> RawThreadDeleteEvent: ...
    @overload
    def wait_for(
        self,
        event: Literal['thread_member_join', 'thread_member_remove'],
        /,
        *,
        check: Callable[[ThreadMember], bool] | None = ...,
        timeout: float | None = ...,
    ) -> ThreadMember: ...
    @overload
    def wait_for(
        self,
        event: Literal['raw_thread_member_remove'],
        /,
        *,
        check: Callable[[RawThreadMembersUpdate], bool] | None = ...,
        timeout: float | None = ...,
    ) -> RawThreadMembersUpdate: ...
    @overload
    def wait_for(
        self,
        event: Literal['voice_state_update'],
        /,
        *,
        check: Callable[[Member, VoiceState, VoiceState], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[Member, VoiceState, VoiceState]: ...
    @overload
    def wait_for(
        self,
        event: Literal['voice_channel_effect'],
        /,
        *,
        check: Callable[[VoiceChannelEffect], bool] | None = ...,
        timeout: float | None = ...,
    ) -> VoiceChannelEffect: ...
    @overload
    def wait_for(
        self,
        event: Literal['poll_vote_add', 'poll_vote_remove'],
        /,
        *,
        check: Callable[[User | Member, PollAnswer], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[User | Member, PollAnswer]: ...
    @overload
    def wait_for(
        self,
        event: Literal['raw_poll_vote_add', 'raw_poll_vote_remove'],
        /,
        *,
        check: Callable[[RawPollVoteActionEvent], bool] | None = ...,
        timeout: float | None = ...,
    ) -> RawPollVoteActionEvent: ...
    @overload
    def wait_for(
        self,
        event: Literal['command', 'command_completion'],
        /,
        *,
        check: Callable[[discord.ext.commands.context.Context[Any]], bool] | None = ...,
        timeout: float | None = ...,
    ) -> discord.ext.commands.context.Context[Any]: ...
    @overload
    def wait_for(
        self,
        event: Literal['command_error'],
        /,
        *,
        check: Callable[[discord.ext.commands.context.Context[Any], discord.ext.commands.errors.CommandError], bool] | None = ...,
        timeout: float | None = ...,
    ) -> tuple[discord.ext.commands.context.Context[Any], discord.ext.commands.errors.CommandError]: ...
    @overload
    def wait_for(
        self,
        event: str,
        /,
        *,
        check: Callable[..., bool] | None = ...,
        timeout: float | None = ...,
    ) -> Any: ...
    def event(self, coro: CoroT, /) -> CoroT: ...
    def change_presence(
        self,
        *,
        activity: discord.BaseActivity | None = None,
        status: discord.Status | None = None,
    ) -> None: ...
    def fetch_guilds(
        self,
        *,
        limit: int | None = 200,
        before: discord.abc.Snowflake | datetime.datetime | None = None,
        after: discord.abc.Snowflake | datetime.datetime | None = None,
        with_counts: bool = True,
    ) -> BlockingIterator[Guild]: ...
    def fetch_template(self, code: Template | str) -> Template: ...
    def fetch_guild(self, guild_id: int, /, *, with_counts: bool = True) -> Guild: ...
    def fetch_guild_preview(self, guild_id: int) -> GuildPreview: ...
    def create_guild(self, *, name: str, icon: bytes = ..., code: str = ...) -> Guild: ...
    def fetch_stage_instance(self, channel_id: int, /) -> StageInstance: ...
    def fetch_invite(
        self,
        url: Invite | str,
        *,
        with_counts: bool = True,
        with_expiration: bool = True,
        scheduled_event_id: int | None = None,
    ) -> Invite: ...
    def delete_invite(self, invite: Invite | str, /, *, reason: str | None = None) -> Invite: ...
    def fetch_widget(self, guild_id: int, /) -> Widget: ...
    def application_info(self) -> AppInfo: ...
    def fetch_user(self, user_id: int, /) -> User: ...
    def fetch_channel(
        self,
        channel_id: int,
        /,
    ) -> VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel | PrivateChannel | Thread: ...
    def fetch_webhook(self, webhook_id: int, /) -> Webhook: ...
    def fetch_sticker(self, sticker_id: int, /) -> StandardSticker | GuildSticker: ...
    def fetch_skus(self) -> list[SKU]: ...
    def fetch_entitlement(self, entitlement_id: int, /) -> Entitlement: ...
    def entitlements(
        self,
        *,
        limit: int | None = 100,
        before: discord.abc.Snowflake | datetime.datetime | None = None,
        after: discord.abc.Snowflake | datetime.datetime | None = None,
        skus: Sequence[discord.abc.Snowflake] | None = None,
        user: discord.abc.Snowflake | None = None,
        guild: discord.abc.Snowflake | None = None,
        exclude_ended: bool = False,
        exclude_deleted: bool = True,
    ) -> BlockingIterator[Entitlement]: ...
    def create_entitlement(
        self,
        sku: discord.abc.Snowflake,
        owner: discord.abc.Snowflake,
        owner_type: discord.EntitlementOwnerType,
    ) -> None: ...
    def fetch_premium_sticker_packs(self) -> list[StickerPack]: ...
    def fetch_premium_sticker_pack(self, sticker_pack_id: int, /) -> StickerPack: ...
    def fetch_soundboard_default_sounds(self) -> list[SoundboardDefaultSound]: ...
    def create_dm(self, user: discord.abc.Snowflake) -> DMChannel: ...
    def add_dynamic_items(
        self,
        *items: builtins.type[discord.ui.DynamicItem[discord.ui.Item[Any]]],
    ) -> None: ...
    def remove_dynamic_items(
        self,
        *items: builtins.type[discord.ui.DynamicItem[discord.ui.Item[Any]]],
    ) -> None: ...
    def add_view(self, view: discord.ui.view.BaseView, *, message_id: int | None = None) -> None: ...
    @property
    def persistent_views(self) -> Sequence[discord.ui.view.BaseView]: ...
    def create_application_emoji(self, *, name: str, image: bytes) -> Emoji: ...
    def fetch_application_emoji(self, emoji_id: int, /) -> Emoji: ...
    def fetch_application_emojis(self) -> list[Emoji]: ...

class ClientStatus(_View):
    """Blocking view of ``discord.ClientStatus``."""

    @property
    def _discordha_object(self) -> discord.ClientStatus: ...
    desktop: str | None
    mobile: str | None
    web: str | None
    @property
    def status(self) -> discord.Status: ...
    @property
    def raw_status(self) -> str: ...
    @property
    def mobile_status(self) -> discord.Status: ...
    @property
    def desktop_status(self) -> discord.Status: ...
    @property
    def web_status(self) -> discord.Status: ...
    def is_on_mobile(self) -> bool: ...

class ClientUser(BaseUser):
    """Blocking view of ``discord.ClientUser``."""

    @property
    def _discordha_object(self) -> discord.ClientUser: ...
    verified: bool
    locale: str | None
    mfa_enabled: bool
    def edit(
        self,
        *,
        username: str = ...,
        avatar: bytes | None = ...,
        banner: bytes | None = ...,
    ) -> ClientUser: ...
    @property
    def mutual_guilds(self) -> list[Guild]: ...

class Collectible(_View):
    """Blocking view of ``discord.Collectible``."""

    @property
    def _discordha_object(self) -> discord.Collectible: ...
    type: discord.CollectibleType
    sku_id: int
    label: str
    expires_at: datetime.datetime | None
    palette: discord.NameplatePalette | None
    @property
    def static(self) -> Asset: ...
    @property
    def animated(self) -> Asset: ...

class Component(_View):
    """Blocking view of ``discord.Component``."""

    @property
    def _discordha_object(self) -> discord.Component: ...
    @property
    def type(self) -> discord.ComponentType: ...
    def to_dict(self) -> discord.types.components.Component: ...

class Connectable(_View):
    """Blocking view of ``discord.abc.Connectable``."""

    @property
    def _discordha_object(self) -> discord.abc.Connectable: ...
    def connect(
        self,
        *,
        timeout: float = 30.0,
        reconnect: bool = True,
        cls: Callable[[Client | discord.Client, Connectable], T] = ...,
        self_deaf: bool = False,
        self_mute: bool = False,
    ) -> T: ...

class Container(Component):
    """Blocking view of ``discord.Container``."""

    @property
    def _discordha_object(self) -> discord.Container: ...
    children: list[Component]
    id: int | None
    spoiler: bool
    @property
    def accent_colour(self) -> discord.Colour | None: ...
    @property
    def accent_color(self) -> discord.Colour | None: ...
    @property
    def type(self) -> Literal['container', 17]: ...
    def to_dict(self) -> discord.types.components.ContainerComponent: ...

class DMChannel(Messageable, PrivateChannel):
    """Blocking view of ``discord.DMChannel``."""

    @property
    def _discordha_object(self) -> discord.DMChannel: ...
    recipients: list[User]
    me: ClientUser
    id: int
    @property
    def recipient(self) -> User | None: ...
    @property
    def type(self) -> Literal['private', 1]: ...
    @property
    def guild(self) -> Guild | None: ...
    @property
    def jump_url(self) -> str: ...
    @property
    def created_at(self) -> datetime.datetime: ...
    def permissions_for(self, obj: Any = None, /) -> discord.Permissions: ...
    def get_partial_message(self, message_id: int, /) -> PartialMessage: ...

class DeletedReferencedMessage(_View):
    """Blocking view of ``discord.DeletedReferencedMessage``."""

    @property
    def _discordha_object(self) -> discord.DeletedReferencedMessage: ...
    @property
    def id(self) -> int: ...
    @property
    def channel_id(self) -> int: ...
    @property
    def guild_id(self) -> int | None: ...

class Emoji(_EmojiTag, AssetMixin):
    """Blocking view of ``discord.Emoji``."""

    @property
    def _discordha_object(self) -> discord.Emoji: ...
    guild_id: int
    require_colons: bool
    managed: bool
    id: int
    name: str
    animated: bool
    available: bool
    user: User | None
    def __iter__(self) -> Iterator[tuple[str, Any]]: ...
    @property
    def created_at(self) -> datetime.datetime: ...
    @property
    def url(self) -> str: ...
    @property
    def roles(self) -> list[Role]: ...
    @property
    def guild(self) -> Guild | None: ...
    def is_usable(self) -> bool: ...
    def delete(self, *, reason: str | None = None) -> None: ...
    def edit(
        self,
        *,
        name: str = ...,
        roles: Collection[discord.abc.Snowflake] = ...,
        reason: str | None = None,
    ) -> Emoji: ...
    def is_application_owned(self) -> bool: ...

class Entitlement(_View):
    """Blocking view of ``discord.Entitlement``."""

    @property
    def _discordha_object(self) -> discord.Entitlement: ...
    id: int
    sku_id: int
    application_id: int
    user_id: int | None
    type: discord.EntitlementType
    deleted: bool
    starts_at: datetime.datetime | None
    ends_at: datetime.datetime | None
    guild_id: int | None
    consumed: bool
    @property
    def user(self) -> User | None: ...
    @property
    def guild(self) -> Guild | None: ...
    @property
    def created_at(self) -> datetime.datetime: ...
    def is_expired(self) -> bool: ...
    def consume(self) -> None: ...
    def delete(self) -> None: ...

class FileComponent(Component):
    """Blocking view of ``discord.FileComponent``."""

    @property
    def _discordha_object(self) -> discord.FileComponent: ...
    media: UnfurledMediaItem
    spoiler: bool
    id: int | None
    name: str | None
    size: int | None
    @property
    def type(self) -> Literal['file', 13]: ...
    def to_dict(self) -> discord.types.components.FileComponent: ...

class FileUploadComponent(Component):
    """Blocking view of ``discord.FileUploadComponent``."""

    @property
    def _discordha_object(self) -> discord.FileUploadComponent: ...
    custom_id: str
    min_values: int
    max_values: int
    required: bool
    id: int | None
    @property
    def type(self) -> Literal['file_upload', 19]: ...
    def to_dict(self) -> discord.types.components.FileUploadComponent: ...

class ForumChannel(GuildChannel):
    """Blocking view of ``discord.ForumChannel``."""

    @property
    def _discordha_object(self) -> discord.ForumChannel: ...
    id: int
    guild: Guild
    name: str
    category_id: int | None
    topic: str | None
    position: int
    nsfw: bool
    slowmode_delay: int
    default_auto_archive_duration: discord.types.threads.ThreadArchiveDuration
    last_message_id: int | None
    default_thread_slowmode_delay: int
    default_layout: discord.ForumLayoutType
    default_reaction_emoji: PartialEmoji | None
    default_sort_order: discord.ForumOrderType | None
    @property
    def type(self) -> Literal[discord.ChannelType.forum, discord.ChannelType.media]: ...
    @property
    def members(self) -> list[Member]: ...
    def permissions_for(self, obj: Member | Role, /) -> discord.Permissions: ...
    def get_thread(self, thread_id: int, /) -> Thread | None: ...
    @property
    def threads(self) -> list[Thread]: ...
    @property
    def flags(self) -> discord.ChannelFlags: ...
    @property
    def available_tags(self) -> Sequence[ForumTag]: ...
    def get_tag(self, tag_id: int, /) -> ForumTag | None: ...
    def is_nsfw(self) -> bool: ...
    def is_media(self) -> bool: ...
    def clone(
        self,
        *,
        name: str | None = None,
        category: CategoryChannel | None,
        reason: str | None = None,
    ) -> ForumChannel: ...
    @overload
    def edit(self) -> None: ...
    @overload
    def edit(self, *, position: int, reason: str | None = ...) -> None: ...
    @overload
    def edit(
        self,
        *,
        reason: str | None = ...,
        name: str = ...,
        topic: str = ...,
        position: int = ...,
        nsfw: bool = ...,
        sync_permissions: bool = ...,
        category: CategoryChannel | None = ...,
        slowmode_delay: int = ...,
        default_auto_archive_duration: discord.types.threads.ThreadArchiveDuration = ...,
        type: discord.ChannelType = ...,
        overwrites: Mapping[OverwriteKeyT, discord.PermissionOverwrite] = ...,
        available_tags: Sequence[ForumTag | discord.ForumTag] = ...,
        default_thread_slowmode_delay: int = ...,
        default_reaction_emoji: Emoji | PartialEmoji | discord.PartialEmoji | str | None = ...,
        default_layout: discord.ForumLayoutType = ...,
        default_sort_order: discord.ForumOrderType = ...,
        require_tag: bool = ...,
    ) -> ForumChannel: ...
    def create_tag(
        self,
        *,
        name: str,
        emoji: PartialEmoji | discord.PartialEmoji | None = None,
        moderated: bool = False,
        reason: str | None = None,
    ) -> ForumTag: ...
    @overload
    def create_thread(
        self,
        *,
        name: str,
        auto_archive_duration: discord.types.threads.ThreadArchiveDuration = ...,
        slowmode_delay: int | None = ...,
        file: discord.File = ...,
        files: Sequence[discord.File] = ...,
        allowed_mentions: discord.AllowedMentions = ...,
        mention_author: bool = ...,
        applied_tags: Sequence[ForumTag | discord.ForumTag] = ...,
        view: discord.ui.LayoutView,
        suppress_embeds: bool = ...,
        silent: bool = ...,
        reason: str | None = ...,
    ) -> ThreadWithMessage: ...
    @overload
    def create_thread(
        self,
        *,
        name: str,
        auto_archive_duration: discord.types.threads.ThreadArchiveDuration = ...,
        slowmode_delay: int | None = ...,
        content: str | None = ...,
        tts: bool = ...,
        embed: discord.Embed = ...,
        embeds: Sequence[discord.Embed] = ...,
        file: discord.File = ...,
        files: Sequence[discord.File] = ...,
        stickers: Sequence[GuildSticker | StickerItem] = ...,
        allowed_mentions: discord.AllowedMentions = ...,
        mention_author: bool = ...,
        applied_tags: Sequence[ForumTag | discord.ForumTag] = ...,
        view: discord.ui.View = ...,
        suppress_embeds: bool = ...,
        silent: bool = ...,
        reason: str | None = ...,
    ) -> ThreadWithMessage: ...
    def webhooks(self) -> list[Webhook]: ...
    def create_webhook(
        self,
        *,
        name: str,
        avatar: bytes | None = None,
        reason: str | None = None,
    ) -> Webhook: ...
    def archived_threads(
        self,
        *,
        limit: int | None = 100,
        before: discord.abc.Snowflake | datetime.datetime | None = None,
    ) -> BlockingIterator[Thread]: ...

class ForumTag(_View):
    """Blocking view of ``discord.ForumTag``."""

    @property
    def _discordha_object(self) -> discord.ForumTag: ...
    def __new__(
        cls,
        *,
        name: str,
        emoji: discord.Emoji | discord.PartialEmoji | str | None = None,
        moderated: bool = False,
    ) -> discord.ForumTag: ...
    name: str
    id: int
    moderated: bool
    emoji: PartialEmoji | None
    @classmethod
    def from_data(
        cls,
        *,
        state: discord.state.ConnectionState,
        data: discord.types.channel.ForumTag,
    ) -> discord.ForumTag: ...
    def to_dict(self) -> dict[str, Any]: ...

class GroupChannel(Messageable, PrivateChannel):
    """Blocking view of ``discord.GroupChannel``."""

    @property
    def _discordha_object(self) -> discord.GroupChannel: ...
    id: int
    me: ClientUser
    owner_id: int | None
    name: str | None
    recipients: list[User]
    owner: BaseUser | None
    @property
    def type(self) -> Literal['group', 3]: ...
    @property
    def guild(self) -> Guild | None: ...
    @property
    def icon(self) -> Asset | None: ...
    @property
    def created_at(self) -> datetime.datetime: ...
    @property
    def jump_url(self) -> str: ...
    def permissions_for(self, obj: discord.abc.Snowflake, /) -> discord.Permissions: ...
    def leave(self) -> None: ...

class Guild(_View):
    """Blocking view of ``discord.Guild``."""

    @property
    def _discordha_object(self) -> discord.Guild: ...
    name: str
    verification_level: discord.VerificationLevel
    default_notifications: discord.NotificationLevel
    explicit_content_filter: discord.ContentFilter
    afk_timeout: int
    unavailable: bool
    id: int
    emojis: tuple[Emoji, ...]
    stickers: tuple[GuildSticker, ...]
    features: list[discord.types.guild.GuildFeature]
    description: str | None
    max_presences: int | None
    max_members: int | None
    max_video_channel_users: int | None
    max_stage_video_users: int | None
    premium_tier: int
    premium_subscription_count: int
    vanity_url_code: str | None
    widget_enabled: bool
    preferred_locale: discord.Locale
    nsfw_level: discord.NSFWLevel
    mfa_level: discord.MFALevel
    approximate_presence_count: int | None
    approximate_member_count: int | None
    premium_progress_bar_enabled: bool
    owner_id: int | None
    @property
    def channels(
        self,
    ) -> Sequence[VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel]: ...
    @property
    def threads(self) -> Sequence[Thread]: ...
    @property
    def large(self) -> bool: ...
    @property
    def voice_channels(self) -> list[VoiceChannel]: ...
    @property
    def stage_channels(self) -> list[StageChannel]: ...
    @property
    def me(self) -> Member: ...
    @property
    def voice_client(self) -> discord.VoiceProtocol | None: ...
    @property
    def text_channels(self) -> list[TextChannel]: ...
    @property
    def categories(self) -> list[CategoryChannel]: ...
    @property
    def forums(self) -> list[ForumChannel]: ...
    def by_category(
        self,
    ) -> list[tuple[CategoryChannel | None, list[VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel]]]: ...
    def get_channel_or_thread(
        self,
        channel_id: int,
        /,
    ) -> Thread | VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel | None: ...
    def get_channel(
        self,
        channel_id: int,
        /,
    ) -> VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel | None: ...
    def get_thread(self, thread_id: int, /) -> Thread | None: ...
    def get_emoji(self, emoji_id: int, /) -> Emoji | None: ...
    @property
    def afk_channel(self) -> VoiceChannel | StageChannel | None: ...
    @property
    def system_channel(self) -> TextChannel | None: ...
    @property
    def system_channel_flags(self) -> discord.SystemChannelFlags: ...
    @property
    def rules_channel(self) -> TextChannel | None: ...
    @property
    def public_updates_channel(self) -> TextChannel | None: ...
    @property
    def safety_alerts_channel(self) -> TextChannel | None: ...
    @property
    def widget_channel(self) -> TextChannel | ForumChannel | VoiceChannel | StageChannel | None: ...
    @property
    def emoji_limit(self) -> int: ...
    @property
    def sticker_limit(self) -> int: ...
    @property
    def bitrate_limit(self) -> float: ...
    @property
    def filesize_limit(self) -> int: ...
    @property
    def members(self) -> Sequence[Member]: ...
    def get_member(self, user_id: int, /) -> Member | None: ...
    @property
    def premium_subscribers(self) -> list[Member]: ...
    @property
    def roles(self) -> Sequence[Role]: ...
    def get_role(self, role_id: int, /) -> Role | None: ...
    @property
    def default_role(self) -> Role: ...
    @property
    def premium_subscriber_role(self) -> Role | None: ...
    @property
    def self_role(self) -> Role | None: ...
    @property
    def stage_instances(self) -> Sequence[StageInstance]: ...
    def get_stage_instance(self, stage_instance_id: int, /) -> StageInstance | None: ...
    @property
    def scheduled_events(self) -> Sequence[ScheduledEvent]: ...
    def get_scheduled_event(self, scheduled_event_id: int, /) -> ScheduledEvent | None: ...
    @property
    def soundboard_sounds(self) -> Sequence[SoundboardSound]: ...
    def get_soundboard_sound(self, sound_id: int, /) -> SoundboardSound | None: ...
    @property
    def owner(self) -> Member | None: ...
    @property
    def icon(self) -> Asset | None: ...
    @property
    def banner(self) -> Asset | None: ...
    @property
    def splash(self) -> Asset | None: ...
    @property
    def discovery_splash(self) -> Asset | None: ...
    @property
    def member_count(self) -> int | None: ...
    @property
    def chunked(self) -> bool: ...
    @property
    def shard_id(self) -> int: ...
    @property
    def created_at(self) -> datetime.datetime: ...
    def get_member_named(self, name: str, /) -> Member | None: ...
    def create_text_channel(
        self,
        name: str,
        *,
        reason: str | None = None,
        category: CategoryChannel | None = None,
        news: bool = False,
        position: int = ...,
        topic: str = ...,
        slowmode_delay: int = ...,
        nsfw: bool = ...,
        overwrites: Mapping[Role | Member | discord.Object, discord.PermissionOverwrite] = ...,
        default_auto_archive_duration: int = ...,
        default_thread_slowmode_delay: int = ...,
    ) -> TextChannel: ...
    def create_voice_channel(
        self,
        name: str,
        *,
        reason: str | None = None,
        category: CategoryChannel | None = None,
        position: int = ...,
        bitrate: int = ...,
        user_limit: int = ...,
        rtc_region: str | None = ...,
        video_quality_mode: discord.VideoQualityMode = ...,
        overwrites: Mapping[Role | Member | discord.Object, discord.PermissionOverwrite] = ...,
        nsfw: bool = ...,
    ) -> VoiceChannel: ...
    def create_stage_channel(
        self,
        name: str,
        *,
        reason: str | None = None,
        category: CategoryChannel | None = None,
        position: int = ...,
        bitrate: int = ...,
        user_limit: int = ...,
        rtc_region: str | None = ...,
        video_quality_mode: discord.VideoQualityMode = ...,
        overwrites: Mapping[Role | Member | discord.Object, discord.PermissionOverwrite] = ...,
        nsfw: bool = ...,
    ) -> StageChannel: ...
    def create_category(
        self,
        name: str,
        *,
        overwrites: Mapping[Role | Member | discord.Object, discord.PermissionOverwrite] = ...,
        reason: str | None = None,
        position: int = ...,
    ) -> CategoryChannel: ...
    def create_category_channel(
        self,
        name: str,
        *,
        overwrites: Mapping[Role | Member | discord.Object, discord.PermissionOverwrite] = ...,
        reason: str | None = None,
        position: int = ...,
    ) -> CategoryChannel: ...
    def create_forum(
        self,
        name: str,
        *,
        topic: str = ...,
        position: int = ...,
        category: CategoryChannel | None = None,
        slowmode_delay: int = ...,
        nsfw: bool = ...,
        media: bool = ...,
        overwrites: Mapping[Role | Member | discord.Object, discord.PermissionOverwrite] = ...,
        reason: str | None = None,
        default_auto_archive_duration: int = ...,
        default_thread_slowmode_delay: int = ...,
        default_sort_order: discord.ForumOrderType = ...,
        default_reaction_emoji: Emoji | PartialEmoji | discord.PartialEmoji | str = ...,
        default_layout: discord.ForumLayoutType = ...,
        available_tags: Sequence[ForumTag | discord.ForumTag] = ...,
    ) -> ForumChannel: ...
    def leave(self) -> None: ...
    def delete(self) -> None: ...
    def edit(
        self,
        *,
        reason: str | None = ...,
        name: str = ...,
        description: str | None = ...,
        icon: bytes | None = ...,
        banner: bytes | None = ...,
        splash: bytes | None = ...,
        discovery_splash: bytes | None = ...,
        community: bool = ...,
        afk_channel: VoiceChannel | None = ...,
        owner: discord.abc.Snowflake = ...,
        afk_timeout: int = ...,
        default_notifications: discord.NotificationLevel = ...,
        verification_level: discord.VerificationLevel = ...,
        explicit_content_filter: discord.ContentFilter = ...,
        vanity_code: str = ...,
        system_channel: TextChannel | None = ...,
        system_channel_flags: discord.SystemChannelFlags = ...,
        preferred_locale: discord.Locale = ...,
        rules_channel: TextChannel | None = ...,
        public_updates_channel: TextChannel | None = ...,
        premium_progress_bar_enabled: bool = ...,
        discoverable: bool = ...,
        invites_disabled: bool = ...,
        widget_enabled: bool = ...,
        widget_channel: discord.abc.Snowflake | None = ...,
        mfa_level: discord.MFALevel = ...,
        raid_alerts_disabled: bool = ...,
        safety_alerts_channel: TextChannel = ...,
        invites_disabled_until: datetime.datetime = ...,
        dms_disabled_until: datetime.datetime = ...,
    ) -> Guild: ...
    def fetch_channels(
        self,
    ) -> Sequence[VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel]: ...
    def active_threads(self) -> list[Thread]: ...
    def fetch_members(
        self,
        *,
        limit: int | None = 1000,
        after: discord.abc.Snowflake | datetime.datetime = ...,
    ) -> BlockingIterator[Member]: ...
    def fetch_member(self, member_id: int, /) -> Member: ...
    def fetch_ban(self, user: discord.abc.Snowflake) -> BanEntry: ...
    def fetch_channel(
        self,
        channel_id: int,
        /,
    ) -> VoiceChannel | StageChannel | ForumChannel | TextChannel | CategoryChannel | Thread: ...
    def bans(
        self,
        *,
        limit: int | None = 1000,
        before: discord.abc.Snowflake = ...,
        after: discord.abc.Snowflake = ...,
    ) -> BlockingIterator[BanEntry]: ...
    def prune_members(
        self,
        *,
        days: int,
        compute_prune_count: bool = True,
        roles: Collection[discord.abc.Snowflake] = ...,
        reason: str | None = None,
    ) -> int | None: ...
    def templates(self) -> list[Template]: ...
    def webhooks(self) -> list[Webhook]: ...
    def estimate_pruned_members(
        self,
        *,
        days: int,
        roles: Collection[discord.abc.Snowflake] = ...,
    ) -> int | None: ...
    def invites(self) -> list[Invite]: ...
    def create_template(self, *, name: str, description: str = ...) -> Template: ...
    def create_integration(self, *, type: discord.types.integration.IntegrationType, id: int) -> None: ...
    def integrations(self) -> list[Integration]: ...
    def fetch_stickers(self) -> list[GuildSticker]: ...
    def fetch_sticker(self, sticker_id: int, /) -> GuildSticker: ...
    def create_sticker(
        self,
        *,
        name: str,
        description: str = ...,
        emoji: str,
        file: discord.File,
        reason: str | None = None,
    ) -> GuildSticker: ...
    def delete_sticker(self, sticker: discord.abc.Snowflake, /, *, reason: str | None = None) -> None: ...
    def fetch_scheduled_events(self, *, with_counts: bool = True) -> list[ScheduledEvent]: ...
    def fetch_scheduled_event(
        self,
        scheduled_event_id: int,
        /,
        *,
        with_counts: bool = True,
    ) -> ScheduledEvent: ...
    @overload
    def create_scheduled_event(
        self,
        *,
        name: str,
        start_time: datetime.datetime,
        entity_type: Literal['external', 3] = ...,
        privacy_level: discord.PrivacyLevel = ...,
        location: str = ...,
        end_time: datetime.datetime = ...,
        description: str = ...,
        image: bytes = ...,
        reason: str | None = ...,
    ) -> ScheduledEvent: ...
    @overload
    def create_scheduled_event(
        self,
        *,
        name: str,
        start_time: datetime.datetime,
        entity_type: Literal[discord.EntityType.stage_instance, discord.EntityType.voice] = ...,
        privacy_level: discord.PrivacyLevel = ...,
        channel: discord.abc.Snowflake = ...,
        end_time: datetime.datetime = ...,
        description: str = ...,
        image: bytes = ...,
        reason: str | None = ...,
    ) -> ScheduledEvent: ...
    @overload
    def create_scheduled_event(
        self,
        *,
        name: str,
        start_time: datetime.datetime,
        privacy_level: discord.PrivacyLevel = ...,
        location: str = ...,
        end_time: datetime.datetime = ...,
        description: str = ...,
        image: bytes = ...,
        reason: str | None = ...,
    ) -> ScheduledEvent: ...
    @overload
    def create_scheduled_event(
        self,
        *,
        name: str,
        start_time: datetime.datetime,
        privacy_level: discord.PrivacyLevel = ...,
        channel: VoiceChannel | StageChannel = ...,
        end_time: datetime.datetime = ...,
        description: str = ...,
        image: bytes = ...,
        reason: str | None = ...,
    ) -> ScheduledEvent: ...
    def fetch_emojis(self) -> list[Emoji]: ...
    def fetch_emoji(self, emoji_id: int, /) -> Emoji: ...
    def create_custom_emoji(
        self,
        *,
        name: str,
        image: bytes,
        roles: Collection[Role] = ...,
        reason: str | None = None,
    ) -> Emoji: ...
    def delete_emoji(self, emoji: discord.abc.Snowflake, /, *, reason: str | None = None) -> None: ...
    def fetch_roles(self) -> list[Role]: ...
    def fetch_role(self, role_id: int, /) -> Role: ...
    @overload
    def create_role(
        self,
        *,
        reason: str | None = ...,
        name: str = ...,
        permissions: discord.Permissions = ...,
        colour: discord.Colour | int = ...,
        hoist: bool = ...,
        display_icon: bytes | str = ...,
        mentionable: bool = ...,
        secondary_colour: discord.Colour | int | None = ...,
        tertiary_colour: discord.Colour | int | None = ...,
    ) -> Role: ...
    @overload
    def create_role(
        self,
        *,
        reason: str | None = ...,
        name: str = ...,
        permissions: discord.Permissions = ...,
        color: discord.Colour | int = ...,
        hoist: bool = ...,
        display_icon: bytes | str = ...,
        mentionable: bool = ...,
        secondary_color: discord.Colour | int | None = ...,
        tertiary_color: discord.Colour | int | None = ...,
    ) -> Role: ...
    def edit_role_positions(
        self,
        positions: Mapping[discord.abc.Snowflake, int],
        *,
        reason: str | None = None,
    ) -> list[Role]: ...
    def role_member_counts(self) -> dict[discord.Object | Role, int]: ...
    def welcome_screen(self) -> WelcomeScreen: ...
    def edit_welcome_screen(
        self,
        *,
        description: str = ...,
        welcome_channels: list[WelcomeChannel | discord.WelcomeChannel] = ...,
        enabled: bool = ...,
        reason: str | None = None,
    ) -> WelcomeScreen: ...
    def kick(self, user: discord.abc.Snowflake, *, reason: str | None = None) -> None: ...
    def ban(
        self,
        user: discord.abc.Snowflake,
        *,
        reason: str | None = None,
        delete_message_days: int = ...,
        delete_message_seconds: int = ...,
    ) -> None: ...
    def unban(self, user: discord.abc.Snowflake, *, reason: str | None = None) -> None: ...
    def bulk_ban(
        self,
        users: Iterable[discord.abc.Snowflake],
        *,
        reason: str | None = None,
        delete_message_seconds: int = 86400,
    ) -> BulkBanResult: ...
    @property
    def vanity_url(self) -> str | None: ...
    def vanity_invite(self) -> Invite | None: ...
    def audit_logs(
        self,
        *,
        limit: int | None = 100,
        before: discord.abc.Snowflake | datetime.datetime = ...,
        after: discord.abc.Snowflake | datetime.datetime = ...,
        oldest_first: bool = ...,
        user: discord.abc.Snowflake = ...,
        action: discord.AuditLogAction = ...,
    ) -> BlockingIterator[AuditLogEntry]: ...
    def widget(self) -> Widget: ...
    def edit_widget(
        self,
        *,
        enabled: bool = ...,
        channel: discord.abc.Snowflake | None = ...,
        reason: str | None = None,
    ) -> None: ...
    def chunk(self, *, cache: bool = True) -> list[Member]: ...
    def query_members(
        self,
        query: str | None = None,
        *,
        limit: int = 5,
        user_ids: list[int] | None = None,
        presences: bool = False,
        cache: bool = True,
    ) -> list[Member]: ...
    def change_voice_state(
        self,
        *,
        channel: discord.abc.Snowflake | None,
        self_mute: bool = False,
        self_deaf: bool = False,
    ) -> None: ...
    def fetch_automod_rule(self, automod_rule_id: int, /) -> AutoModRule: ...
    def fetch_automod_rules(self) -> list[AutoModRule]: ...
    def create_automod_rule(
        self,
        *,
        name: str,
        event_type: discord.AutoModRuleEventType,
        trigger: AutoModTrigger | discord.AutoModTrigger,
        actions: list[AutoModRuleAction | discord.AutoModRuleAction],
        enabled: bool = False,
        exempt_roles: Sequence[discord.abc.Snowflake] = ...,
        exempt_channels: Sequence[discord.abc.Snowflake] = ...,
        reason: str = ...,
    ) -> AutoModRule: ...
    @property
    def invites_paused_until(self) -> datetime.datetime | None: ...
    @property
    def dms_paused_until(self) -> datetime.datetime | None: ...
    @property
    def dm_spam_detected_at(self) -> datetime.datetime | None: ...
    @property
    def raid_detected_at(self) -> datetime.datetime | None: ...
    def invites_paused(self) -> bool: ...
    def dms_paused(self) -> bool: ...
    def is_dm_spam_detected(self) -> bool: ...
    def is_raid_detected(self) -> bool: ...
    def fetch_soundboard_sound(self, sound_id: int, /) -> SoundboardSound: ...
    def fetch_soundboard_sounds(self) -> list[SoundboardSound]: ...
    def create_soundboard_sound(
        self,
        *,
        name: str,
        sound: bytes,
        volume: float = 1,
        emoji: Emoji | PartialEmoji | discord.PartialEmoji | str | None = None,
        reason: str | None = None,
    ) -> SoundboardSound: ...
    def onboarding(self) -> Onboarding: ...
    def edit_onboarding(
        self,
        *,
        prompts: list[OnboardingPrompt | discord.OnboardingPrompt] = ...,
        default_channels: list[discord.abc.Snowflake] = ...,
        enabled: bool = ...,
        mode: discord.OnboardingMode = ...,
        reason: str = ...,
    ) -> Onboarding: ...

class GuildAppCommandPermissions(_View):
    """Blocking view of ``discord.app_commands.GuildAppCommandPermissions``."""

    @property
    def _discordha_object(self) -> discord.app_commands.GuildAppCommandPermissions: ...
    command: AppCommand
    id: int
    application_id: int
    guild_id: int
    permissions: list[AppCommandPermissions]
    def to_dict(self) -> dict[str, Any]: ...
    @property
    def guild(self) -> Guild: ...

class GuildChannel(_View):
    """Blocking view of ``discord.abc.GuildChannel``."""

    @property
    def _discordha_object(self) -> discord.abc.GuildChannel: ...
    id: int
    name: str
    guild: Guild
    type: discord.ChannelType
    position: int
    category_id: int | None
    @property
    def changed_roles(self) -> list[Role]: ...
    @property
    def mention(self) -> str: ...
    @property
    def jump_url(self) -> str: ...
    @property
    def created_at(self) -> datetime.datetime: ...
    def overwrites_for(
        self,
        obj: Role | _AbcUser | discord.abc.User | discord.Object,
    ) -> discord.PermissionOverwrite: ...
    @property
    def overwrites(self) -> dict[Role | Member | discord.Object, discord.PermissionOverwrite]: ...
    @property
    def category(self) -> CategoryChannel | None: ...
    @property
    def permissions_synced(self) -> bool: ...
    def permissions_for(self, obj: Member | Role, /) -> discord.Permissions: ...
    def delete(self, *, reason: str | None = None) -> None: ...
    @overload
    def set_permissions(
        self,
        target: Member | Role,
        *,
        overwrite: discord.PermissionOverwrite | _Undefined | None = ...,
        reason: str | None = ...,
    ) -> None: ...
    @overload
    def set_permissions(
        self,
        target: Member | Role,
        *,
        reason: str | None = ...,
        **permissions: Unpack[discord.permissions._PermissionOverwriteKwargs],
    ) -> None: ...
    def clone(
        self,
        *,
        name: str | None = None,
        category: CategoryChannel | None = None,
        reason: str | None = None,
    ) -> Self: ...
    @overload
    def move(
        self,
        *,
        beginning: bool,
        offset: int = ...,
        category: discord.abc.Snowflake | None = ...,
        sync_permissions: bool = ...,
        reason: str | None = ...,
    ) -> None: ...
    @overload
    def move(
        self,
        *,
        end: bool,
        offset: int = ...,
        category: discord.abc.Snowflake | None = ...,
        sync_permissions: bool = ...,
        reason: str = ...,
    ) -> None: ...
    @overload
    def move(
        self,
        *,
        before: discord.abc.Snowflake,
        offset: int = ...,
        category: discord.abc.Snowflake | None = ...,
        sync_permissions: bool = ...,
        reason: str = ...,
    ) -> None: ...
    @overload
    def move(
        self,
        *,
        after: discord.abc.Snowflake,
        offset: int = ...,
        category: discord.abc.Snowflake | None = ...,
        sync_permissions: bool = ...,
        reason: str = ...,
    ) -> None: ...
    def create_invite(
        self,
        *,
        reason: str | None = None,
        max_age: int = 0,
        max_uses: int = 0,
        temporary: bool = False,
        unique: bool = True,
        target_type: discord.InviteTarget | None = None,
        target_user: _AbcUser | discord.abc.User | None = None,
        target_application_id: int | None = None,
        guest: bool = False,
    ) -> Invite: ...
    def invites(self) -> list[Invite]: ...

class GuildPreview(_View):
    """Blocking view of ``discord.GuildPreview``."""

    @property
    def _discordha_object(self) -> discord.GuildPreview: ...
    id: int
    name: str
    emojis: tuple[Emoji, ...]
    stickers: tuple[GuildSticker, ...]
    features: list[discord.types.guild.GuildFeature]
    description: str | None
    approximate_member_count: int
    approximate_presence_count: int
    @property
    def created_at(self) -> datetime.datetime: ...
    @property
    def icon(self) -> Asset | None: ...
    @property
    def splash(self) -> Asset | None: ...
    @property
    def discovery_splash(self) -> Asset | None: ...

class GuildProductPurchase(_View):
    """Blocking view of ``discord.GuildProductPurchase``."""

    @property
    def _discordha_object(self) -> discord.GuildProductPurchase: ...
    listing_id: int
    product_name: str

class GuildSticker(Sticker):
    """Blocking view of ``discord.GuildSticker``."""

    @property
    def _discordha_object(self) -> discord.GuildSticker: ...
    available: bool
    guild_id: int
    user: User | None
    emoji: str
    type: discord.StickerType
    @property
    def guild(self) -> Guild | None: ...
    def edit(
        self,
        *,
        name: str = ...,
        description: str = ...,
        emoji: str = ...,
        reason: str | None = None,
    ) -> GuildSticker: ...
    def delete(self, *, reason: str | None = None) -> None: ...

class Integration(_View):
    """Blocking view of ``discord.Integration``."""

    @property
    def _discordha_object(self) -> discord.Integration: ...
    guild: Guild
    id: int
    type: discord.types.integration.IntegrationType
    name: str
    account: IntegrationAccount
    user: User | None
    enabled: bool
    scopes: list[str]
    def delete(self, *, reason: str | None = None) -> None: ...

class IntegrationAccount(_View):
    """Blocking view of ``discord.IntegrationAccount``."""

    @property
    def _discordha_object(self) -> discord.IntegrationAccount: ...
    id: str
    name: str

class IntegrationApplication(_View):
    """Blocking view of ``discord.IntegrationApplication``."""

    @property
    def _discordha_object(self) -> discord.IntegrationApplication: ...
    id: int
    name: str
    icon: str | None
    description: str
    summary: str
    user: User | None

class IntegrationTypeConfig(_View):
    """Blocking view of ``discord.IntegrationTypeConfig``."""

    @property
    def _discordha_object(self) -> discord.IntegrationTypeConfig: ...
    oauth2_install_params: AppInstallParams | None

class Interaction(_View):
    """Blocking view of ``discord.Interaction``."""

    @property
    def _discordha_object(self) -> discord.Interaction: ...
    extras: dict[Any, Any]
    command_failed: bool
    id: int
    type: discord.InteractionType
    data: discord.types.interactions.InteractionData | None
    token: str
    version: int
    guild_id: int | None
    channel: VoiceChannel | StageChannel | TextChannel | ForumChannel | CategoryChannel | Thread | DMChannel | GroupChannel | None
    application_id: int
    entitlement_sku_ids: list[int]
    entitlements: list[Entitlement]
    filesize_limit: int
    locale: discord.Locale
    guild_locale: discord.Locale | None
    message: Message | None
    user: User | Member
    context: discord.app_commands.AppCommandContext
    @property
    def client(self) -> Client: ...
    @property
    def guild(self) -> Guild | None: ...
    @property
    def channel_id(self) -> int | None: ...
    @property
    def permissions(self) -> discord.Permissions: ...
    @property
    def app_permissions(self) -> discord.Permissions: ...
    @property
    def namespace(self) -> Namespace: ...
    @property
    def command(
        self,
    ) -> discord.app_commands.Command[Any, ..., Any] | discord.app_commands.ContextMenu | None: ...
    @property
    def command_id(self) -> int | None: ...
    @property
    def response(self) -> InteractionResponse: ...
    @property
    def followup(self) -> Webhook: ...
    @property
    def created_at(self) -> datetime.datetime: ...
    @property
    def expires_at(self) -> datetime.datetime: ...
    @property
    def custom_id(self) -> str | None: ...
    def is_expired(self) -> bool: ...
    def is_guild_integration(self) -> bool: ...
    def is_user_integration(self) -> bool: ...
    def original_response(self) -> InteractionMessage: ...
    def edit_original_response(
        self,
        *,
        content: str | None = ...,
        embeds: Sequence[discord.Embed] = ...,
        embed: discord.Embed | None = ...,
        attachments: Sequence[Attachment | discord.File] = ...,
        view: discord.ui.View | discord.ui.LayoutView | None = ...,
        allowed_mentions: discord.AllowedMentions | None = None,
        poll: Poll | discord.Poll = ...,
    ) -> InteractionMessage: ...
    def delete_original_response(self) -> None: ...
    def translate(
        self,
        string: str | discord.app_commands.locale_str,
        *,
        locale: discord.Locale = ...,
        data: Any = ...,
    ) -> str | None: ...

class InteractionCallbackActivityInstance(_View):
    """Blocking view of ``discord.InteractionCallbackActivityInstance``."""

    @property
    def _discordha_object(self) -> discord.InteractionCallbackActivityInstance: ...
    id: str

class InteractionCallbackResponse(_View):
    """Blocking view of ``discord.InteractionCallbackResponse``."""

    @property
    def _discordha_object(self) -> discord.InteractionCallbackResponse: ...
    type: discord.InteractionResponseType
    id: int
    message_id: int | None
    activity_id: str | None
    resource: InteractionMessage | InteractionCallbackActivityInstance | None
    def is_thinking(self) -> bool: ...
    def is_ephemeral(self) -> bool: ...

class InteractionMessage(Message):
    """Blocking view of ``discord.InteractionMessage``."""

    @property
    def _discordha_object(self) -> discord.InteractionMessage: ...
    @overload
    def edit(
        self,
        *,
        attachments: Sequence[Attachment | discord.File] = ...,
        view: discord.ui.LayoutView,
        allowed_mentions: discord.AllowedMentions | None = None,
        delete_after: float | None = None,
    ) -> InteractionMessage: ...
    @overload
    def edit(
        self,
        *,
        content: str | None = ...,
        embeds: Sequence[discord.Embed] = ...,
        embed: discord.Embed | None = ...,
        attachments: Sequence[Attachment | discord.File] = ...,
        view: discord.ui.View | None = ...,
        allowed_mentions: discord.AllowedMentions | None = None,
        delete_after: float | None = None,
        poll: Poll | discord.Poll = ...,
    ) -> InteractionMessage: ...
    def add_files(self, *files: discord.File) -> InteractionMessage: ...
    def remove_attachments(self, *attachments: Attachment) -> InteractionMessage: ...
    def delete(self, *, delay: float | None = None) -> None: ...

class InteractionResponse(_View):
    """Blocking view of ``discord.InteractionResponse``."""

    @property
    def _discordha_object(self) -> discord.InteractionResponse: ...
    def is_done(self) -> bool: ...
    @property
    def type(self) -> discord.InteractionResponseType | None: ...
    def defer(
        self,
        *,
        ephemeral: bool = False,
        thinking: bool = False,
    ) -> InteractionCallbackResponse | None: ...
    def pong(self) -> None: ...
    @overload
    def send_message(
        self,
        *,
        file: discord.File = ...,
        files: Sequence[discord.File] = ...,
        view: discord.ui.LayoutView,
        ephemeral: bool = False,
        allowed_mentions: discord.AllowedMentions = ...,
        suppress_embeds: bool = False,
        silent: bool = False,
        delete_after: float | None = None,
    ) -> InteractionCallbackResponse: ...
    @overload
    def send_message(
        self,
        content: Any | None = None,
        *,
        embed: discord.Embed = ...,
        embeds: Sequence[discord.Embed] = ...,
        file: discord.File = ...,
        files: Sequence[discord.File] = ...,
        view: discord.ui.View = ...,
        tts: bool = False,
        ephemeral: bool = False,
        allowed_mentions: discord.AllowedMentions = ...,
        suppress_embeds: bool = False,
        silent: bool = False,
        delete_after: float | None = None,
        poll: Poll | discord.Poll = ...,
    ) -> InteractionCallbackResponse: ...
    def edit_message(
        self,
        *,
        content: Any | None = ...,
        embed: discord.Embed | None = ...,
        embeds: Sequence[discord.Embed] = ...,
        attachments: Sequence[Attachment | discord.File] = ...,
        view: discord.ui.View | discord.ui.LayoutView | None = ...,
        allowed_mentions: discord.AllowedMentions | None = ...,
        delete_after: float | None = None,
        suppress_embeds: bool = ...,
    ) -> InteractionCallbackResponse | None: ...
    def send_modal(self, modal: discord.ui.Modal, /) -> InteractionCallbackResponse: ...
    def autocomplete(self, choices: Sequence[discord.app_commands.Choice[ChoiceT]]) -> None: ...
    def launch_activity(self) -> InteractionCallbackResponse: ...

class Invite(_View):
    """Blocking view of ``discord.Invite``."""

    @property
    def _discordha_object(self) -> discord.Invite: ...
    type: discord.InviteType
    max_age: int | None
    code: str
    guild: Guild | PartialInviteGuild | discord.Object | None
    revoked: bool | None
    created_at: datetime.datetime | None
    temporary: bool | None
    uses: int | None
    max_uses: int | None
    approximate_presence_count: int | None
    approximate_member_count: int | None
    expires_at: datetime.datetime | None
    inviter: User | None
    channel: GuildChannel | PartialInviteChannel | discord.Object | None
    target_user: User | None
    target_type: discord.InviteTarget
    target_application: PartialAppInfo | None
    scheduled_event: ScheduledEvent | None
    scheduled_event_id: int | None
    @classmethod
    def from_incomplete(
        cls,
        *,
        state: discord.state.ConnectionState,
        data: discord.types.invite.Invite,
    ) -> discord.Invite: ...
    @classmethod
    def from_gateway(
        cls,
        *,
        state: discord.state.ConnectionState,
        data: discord.types.invite.GatewayInvite,
    ) -> discord.Invite: ...
    @property
    def id(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def flags(self) -> discord.InviteFlags: ...
    def set_scheduled_event(self, scheduled_event: discord.abc.Snowflake, /) -> Self: ...
    def delete(self, *, reason: str | None = None) -> Self: ...

class LabelComponent(Component):
    """Blocking view of ``discord.LabelComponent``."""

    @property
    def _discordha_object(self) -> discord.LabelComponent: ...
    component: Component
    label: str
    id: int | None
    description: str | None
    @property
    def type(self) -> Literal['label', 18]: ...
    def to_dict(self) -> discord.types.components.LabelComponent: ...

class MediaGalleryComponent(Component):
    """Blocking view of ``discord.MediaGalleryComponent``."""

    @property
    def _discordha_object(self) -> discord.MediaGalleryComponent: ...
    items: list[MediaGalleryItem]
    id: int | None
    @property
    def type(self) -> Literal['media_gallery', 12]: ...
    def to_dict(self) -> discord.types.components.MediaGalleryComponent: ...

class MediaGalleryItem(_View):
    """Blocking view of ``discord.MediaGalleryItem``."""

    @property
    def _discordha_object(self) -> discord.MediaGalleryItem: ...
    def __new__(
        cls,
        media: str | discord.File | discord.UnfurledMediaItem,
        *,
        description: str | None = ...,
        spoiler: bool = ...,
    ) -> discord.MediaGalleryItem: ...
    description: str | None
    spoiler: bool
    @property
    def media(self) -> UnfurledMediaItem: ...
    @media.setter
    def media(self, value: str | discord.File | UnfurledMediaItem | discord.UnfurledMediaItem) -> None: ...
    def to_dict(self) -> discord.types.components.MediaGalleryItem: ...

class Member(Messageable, _UserTag):
    """Blocking view of ``discord.Member``."""

    @property
    def _discordha_object(self) -> discord.Member: ...
    name: str
    id: int
    discriminator: str
    global_name: str | None
    bot: bool
    system: bool
    created_at: datetime.datetime
    default_avatar: Asset
    avatar: Asset | None
    dm_channel: DMChannel | None
    create_dm: Callable[[], DMChannel]
    mutual_guilds: list[Guild]
    public_flags: discord.PublicUserFlags
    banner: Asset | None
    accent_color: discord.Colour | None
    accent_colour: discord.Colour | None
    avatar_decoration: Asset | None
    avatar_decoration_sku_id: int | None
    primary_guild: PrimaryGuild
    collectibles: list[Collectible]
    guild: Guild
    joined_at: datetime.datetime | None
    premium_since: datetime.datetime | None
    client_status: ClientStatus
    activities: tuple[discord.Activity | discord.Game | discord.CustomActivity | discord.Streaming | discord.Spotify, ...]
    nick: str | None
    pending: bool
    timed_out_until: datetime.datetime | None
    @property
    def status(self) -> discord.Status: ...
    @status.setter
    def status(self, value: discord.Status) -> None: ...
    @property
    def raw_status(self) -> str: ...
    @property
    def mobile_status(self) -> discord.Status: ...
    @property
    def desktop_status(self) -> discord.Status: ...
    @property
    def web_status(self) -> discord.Status: ...
    def is_on_mobile(self) -> bool: ...
    @property
    def colour(self) -> discord.Colour: ...
    @property
    def color(self) -> discord.Colour: ...
    @property
    def roles(self) -> list[Role]: ...
    @property
    def display_icon(self) -> str | Asset | None: ...
    @property
    def mention(self) -> str: ...
    @property
    def display_name(self) -> str: ...
    @property
    def display_avatar(self) -> Asset: ...
    @property
    def guild_avatar(self) -> Asset | None: ...
    @property
    def display_banner(self) -> Asset | None: ...
    @property
    def guild_banner(self) -> Asset | None: ...
    @property
    def activity(
        self,
    ) -> discord.Activity | discord.Game | discord.CustomActivity | discord.Streaming | discord.Spotify | None: ...
    def mentioned_in(self, message: Message) -> bool: ...
    @property
    def top_role(self) -> Role: ...
    @property
    def guild_permissions(self) -> discord.Permissions: ...
    @property
    def resolved_permissions(self) -> discord.Permissions | None: ...
    @property
    def voice(self) -> VoiceState | None: ...
    @property
    def flags(self) -> discord.MemberFlags: ...
    def ban(
        self,
        *,
        delete_message_days: int = ...,
        delete_message_seconds: int = ...,
        reason: str | None = None,
    ) -> None: ...
    def unban(self, *, reason: str | None = None) -> None: ...
    def kick(self, *, reason: str | None = None) -> None: ...
    def edit(
        self,
        *,
        nick: str | None = ...,
        mute: bool = ...,
        deafen: bool = ...,
        suppress: bool = ...,
        roles: Collection[discord.abc.Snowflake] = ...,
        voice_channel: VoiceChannel | StageChannel | None = ...,
        timed_out_until: datetime.datetime | None = ...,
        bypass_verification: bool = ...,
        avatar: bytes | None = ...,
        banner: bytes | None = ...,
        bio: str | None = ...,
        reason: str | None = None,
    ) -> Member | None: ...
    def request_to_speak(self) -> None: ...
    def move_to(self, channel: VoiceChannel | StageChannel | None, *, reason: str | None = None) -> None: ...
    def timeout(
        self,
        until: datetime.timedelta | datetime.datetime | None,
        /,
        *,
        reason: str | None = None,
    ) -> None: ...
    def add_roles(
        self,
        *roles: discord.abc.Snowflake,
        reason: str | None = None,
        atomic: bool = True,
    ) -> None: ...
    def remove_roles(
        self,
        *roles: discord.abc.Snowflake,
        reason: str | None = None,
        atomic: bool = True,
    ) -> None: ...
    def fetch_voice(self) -> VoiceState: ...
    def get_role(self, role_id: int, /) -> Role | None: ...
    def is_timed_out(self) -> bool: ...

class Message(PartialMessage):
    """Blocking view of ``discord.Message``."""

    @property
    def _discordha_object(self) -> discord.Message: ...
    reference: MessageReference | None
    mentions: list[User | Member]
    author: User | Member
    role_mentions: list[Role]
    components: list[Button | SelectMenu | TextInput | TextDisplay | ActionRow | SectionComponent | ThumbnailComponent | MediaGalleryComponent | FileComponent | Component]
    channel: TextChannel | VoiceChannel | StageChannel | Thread | DMChannel | PartialMessageable | GroupChannel
    id: int
    webhook_id: int | None
    reactions: list[Reaction]
    attachments: list[Attachment]
    embeds: list[discord.Embed]
    activity: discord.types.message.MessageActivity | None
    type: discord.MessageType
    pinned: bool
    flags: discord.MessageFlags
    mention_everyone: bool
    tts: bool
    content: str
    nonce: int | str | None
    position: int | None
    application_id: int | None
    stickers: list[StickerItem]
    message_snapshots: list[MessageSnapshot]
    call: CallMessage | None
    poll: Poll | None
    interaction_metadata: MessageInteractionMetadata | None
    application: MessageApplication | None
    role_subscription: RoleSubscriptionInfo | None
    purchase_notification: PurchaseNotification | None
    @property
    def raw_mentions(self) -> list[int]: ...
    @property
    def raw_channel_mentions(self) -> list[int]: ...
    @property
    def raw_role_mentions(self) -> list[int]: ...
    @property
    def channel_mentions(self) -> list[GuildChannel | Thread]: ...
    @property
    def clean_content(self) -> str: ...
    @property
    def created_at(self) -> datetime.datetime: ...
    @property
    def edited_at(self) -> datetime.datetime | None: ...
    @property
    def thread(self) -> Thread | None: ...
    @property
    def pinned_at(self) -> datetime.datetime | None: ...
    @property
    def interaction(self) -> MessageInteraction | None: ...
    def is_system(self) -> bool: ...
    @property
    def system_content(self) -> str: ...
    def edit(
        self,
        *,
        content: str | None = ...,
        embed: discord.Embed | None = ...,
        embeds: Sequence[discord.Embed] = ...,
        attachments: Sequence[Attachment | discord.File] = ...,
        suppress: bool = False,
        delete_after: float | None = None,
        allowed_mentions: discord.AllowedMentions | None = ...,
        view: discord.ui.View | discord.ui.LayoutView | None = ...,
    ) -> Message: ...
    def add_files(self, *files: discord.File) -> Message: ...
    def remove_attachments(self, *attachments: Attachment) -> Message: ...
    def is_forwardable(self) -> bool: ...

class MessageApplication(_View):
    """Blocking view of ``discord.MessageApplication``."""

    @property
    def _discordha_object(self) -> discord.MessageApplication: ...
    id: int
    description: str
    name: str
    @property
    def icon(self) -> Asset | None: ...
    @property
    def cover(self) -> Asset | None: ...

class MessageInteraction(_View):
    """Blocking view of ``discord.MessageInteraction``."""

    @property
    def _discordha_object(self) -> discord.MessageInteraction: ...
    id: int
    type: discord.InteractionType
    name: str
    user: User | Member
    @property
    def created_at(self) -> datetime.datetime: ...

class MessageInteractionMetadata(_View):
    """Blocking view of ``discord.MessageInteractionMetadata``."""

    @property
    def _discordha_object(self) -> discord.MessageInteractionMetadata: ...
    id: int
    type: discord.InteractionType
    user: User
    original_response_message_id: int | None
    interacted_message_id: int | None
    modal_interaction: MessageInteractionMetadata | None
    target_user: User | None
    target_message_id: int | None
    @property
    def created_at(self) -> datetime.datetime: ...
    @property
    def original_response_message(self) -> Message | None: ...
    @property
    def interacted_message(self) -> Message | None: ...
    @property
    def target_message(self) -> Message | None: ...
    def is_guild_integration(self) -> bool: ...
    def is_user_integration(self) -> bool: ...

class MessageReference(_View):
    """Blocking view of ``discord.MessageReference``."""

    @property
    def _discordha_object(self) -> discord.MessageReference: ...
    def __new__(
        cls,
        *,
        message_id: int,
        channel_id: int,
        guild_id: int | None = None,
        fail_if_not_exists: bool = True,
        type: discord.MessageReferenceType = ...,
    ) -> discord.MessageReference: ...
    type: discord.MessageReferenceType
    resolved: Message | DeletedReferencedMessage | None
    message_id: int | None
    channel_id: int
    guild_id: int | None
    fail_if_not_exists: bool
    @classmethod
    def with_state(
        cls,
        state: discord.state.ConnectionState,
        data: discord.types.message.MessageReference,
    ) -> discord.MessageReference: ...
    @classmethod
    def from_message(
        cls,
        message: discord.PartialMessage,
        *,
        fail_if_not_exists: bool = True,
        type: discord.MessageReferenceType = ...,
    ) -> discord.MessageReference: ...
    @property
    def cached_message(self) -> Message | None: ...
    @property
    def jump_url(self) -> str: ...
    def to_dict(self) -> discord.types.message.MessageReference: ...
    def to_message_reference_dict(self) -> discord.types.message.MessageReference: ...

class MessageSnapshot(_View):
    """Blocking view of ``discord.MessageSnapshot``."""

    @property
    def _discordha_object(self) -> discord.MessageSnapshot: ...
    type: discord.MessageType
    content: str
    embeds: list[discord.Embed]
    attachments: list[Attachment]
    created_at: datetime.datetime
    flags: discord.MessageFlags
    stickers: list[StickerItem]
    components: list[Button | SelectMenu | TextInput | TextDisplay | ActionRow | SectionComponent | ThumbnailComponent | MediaGalleryComponent | FileComponent | Component]
    @property
    def raw_mentions(self) -> list[int]: ...
    @property
    def raw_channel_mentions(self) -> list[int]: ...
    @property
    def raw_role_mentions(self) -> list[int]: ...
    @property
    def cached_message(self) -> Message | None: ...
    @property
    def edited_at(self) -> datetime.datetime | None: ...

class Messageable(_View):
    """Blocking view of ``discord.abc.Messageable``."""

    @property
    def _discordha_object(self) -> discord.abc.Messageable: ...
    @overload
    def send(
        self,
        *,
        file: discord.File = ...,
        delete_after: float = ...,
        nonce: str | int = ...,
        allowed_mentions: discord.AllowedMentions = ...,
        reference: Message | MessageReference | discord.MessageReference | PartialMessage | discord.PartialMessage = ...,
        mention_author: bool = ...,
        view: discord.ui.LayoutView,
        suppress_embeds: bool = ...,
        silent: bool = ...,
    ) -> Message: ...
    @overload
    def send(
        self,
        *,
        files: Sequence[discord.File] = ...,
        delete_after: float = ...,
        nonce: str | int = ...,
        allowed_mentions: discord.AllowedMentions = ...,
        reference: Message | MessageReference | discord.MessageReference | PartialMessage | discord.PartialMessage = ...,
        mention_author: bool = ...,
        view: discord.ui.LayoutView,
        suppress_embeds: bool = ...,
        silent: bool = ...,
    ) -> Message: ...
    @overload
    def send(
        self,
        content: str | None = ...,
        *,
        tts: bool = ...,
        embed: discord.Embed = ...,
        file: discord.File = ...,
        stickers: Sequence[GuildSticker | StickerItem] = ...,
        delete_after: float = ...,
        nonce: str | int = ...,
        allowed_mentions: discord.AllowedMentions = ...,
        reference: Message | MessageReference | discord.MessageReference | PartialMessage | discord.PartialMessage = ...,
        mention_author: bool = ...,
        view: discord.ui.View = ...,
        suppress_embeds: bool = ...,
        silent: bool = ...,
        poll: Poll | discord.Poll = ...,
    ) -> Message: ...
    @overload
    def send(
        self,
        content: str | None = ...,
        *,
        tts: bool = ...,
        embed: discord.Embed = ...,
        files: Sequence[discord.File] = ...,
        stickers: Sequence[GuildSticker | StickerItem] = ...,
        delete_after: float = ...,
        nonce: str | int = ...,
        allowed_mentions: discord.AllowedMentions = ...,
        reference: Message | MessageReference | discord.MessageReference | PartialMessage | discord.PartialMessage = ...,
        mention_author: bool = ...,
        view: discord.ui.View = ...,
        suppress_embeds: bool = ...,
        silent: bool = ...,
        poll: Poll | discord.Poll = ...,
    ) -> Message: ...
    @overload
    def send(
        self,
        content: str | None = ...,
        *,
        tts: bool = ...,
        embeds: Sequence[discord.Embed] = ...,
        file: discord.File = ...,
        stickers: Sequence[GuildSticker | StickerItem] = ...,
        delete_after: float = ...,
        nonce: str | int = ...,
        allowed_mentions: discord.AllowedMentions = ...,
        reference: Message | MessageReference | discord.MessageReference | PartialMessage | discord.PartialMessage = ...,
        mention_author: bool = ...,
        view: discord.ui.View = ...,
        suppress_embeds: bool = ...,
        silent: bool = ...,
        poll: Poll | discord.Poll = ...,
    ) -> Message: ...
    @overload
    def send(
        self,
        content: str | None = ...,
        *,
        tts: bool = ...,
        embeds: Sequence[discord.Embed] = ...,
        files: Sequence[discord.File] = ...,
        stickers: Sequence[GuildSticker | StickerItem] = ...,
        delete_after: float = ...,
        nonce: str | int = ...,
        allowed_mentions: discord.AllowedMentions = ...,
        reference: Message | MessageReference | discord.MessageReference | PartialMessage | discord.PartialMessage = ...,
        mention_author: bool = ...,
        view: discord.ui.View = ...,
        suppress_embeds: bool = ...,
        silent: bool = ...,
        poll: Poll | discord.Poll = ...,
    ) -> Message: ...
    def typing(self) -> Typing: ...
    def fetch_message(self, id: int, /) -> Message: ...
    def pins(
        self,
        *,
        limit: int | None = 50,
        before: discord.abc.Snowflake | datetime.datetime | None = None,
        oldest_first: bool = False,
    ) -> BlockingIterator[PinnedMessage]: ...
    def history(
        self,
        *,
        limit: int | None = 100,
        before: discord.abc.Snowflake | datetime.datetime | None = None,
        after: discord.abc.Snowflake | datetime.datetime | None = None,
        around: discord.abc.Snowflake | datetime.datetime | None = None,
        oldest_first: bool | None = None,
    ) -> BlockingIterator[Message]: ...

class Namespace(_View):
    """Blocking view of ``discord.app_commands.Namespace``."""

    @property
    def _discordha_object(self) -> discord.app_commands.Namespace: ...
    def __getitem__(self, key: str) -> Any: ...
    def __contains__(self, key: str) -> Any: ...
    def __getattr__(self, attr: str) -> Any: ...
    def __iter__(self) -> Iterator[tuple[str, Any]]: ...

class Onboarding(_View):
    """Blocking view of ``discord.Onboarding``."""

    @property
    def _discordha_object(self) -> discord.Onboarding: ...
    guild: Guild
    default_channel_ids: set[int]
    prompts: list[OnboardingPrompt]
    enabled: bool
    mode: discord.OnboardingMode
    @property
    def default_channels(self) -> list[GuildChannel | Thread]: ...
    def get_prompt(self, prompt_id: int, /) -> OnboardingPrompt | None: ...

class OnboardingPrompt(_View):
    """Blocking view of ``discord.OnboardingPrompt``."""

    @property
    def _discordha_object(self) -> discord.OnboardingPrompt: ...
    def __new__(
        cls,
        *,
        type: discord.OnboardingPromptType,
        title: str,
        options: list[discord.OnboardingPromptOption],
        single_select: bool = True,
        required: bool = True,
        in_onboarding: bool = True,
    ) -> discord.OnboardingPrompt: ...
    id: int
    type: discord.OnboardingPromptType
    title: str
    options: list[OnboardingPromptOption]
    single_select: bool
    required: bool
    in_onboarding: bool
    @classmethod
    def from_dict(
        cls,
        *,
        data: discord.types.onboarding.Prompt,
        state: discord.state.ConnectionState,
        guild: discord.Guild,
    ) -> discord.OnboardingPrompt: ...
    def to_dict(self, *, id: int) -> discord.types.onboarding.Prompt: ...
    @property
    def guild(self) -> Guild: ...
    def get_option(self, option_id: int, /) -> OnboardingPromptOption | None: ...

class OnboardingPromptOption(_View):
    """Blocking view of ``discord.OnboardingPromptOption``."""

    @property
    def _discordha_object(self) -> discord.OnboardingPromptOption: ...
    def __new__(
        cls,
        *,
        title: str,
        emoji: discord.Emoji | discord.PartialEmoji | str = ...,
        description: str | None = None,
        channels: Iterable[discord.abc.Snowflake | int] = ...,
        roles: Iterable[discord.abc.Snowflake | int] = ...,
    ) -> discord.OnboardingPromptOption: ...
    id: int
    title: str
    description: str | None
    emoji: Emoji | PartialEmoji | None
    channel_ids: set[int]
    role_ids: set[int]
    @classmethod
    def from_dict(
        cls,
        *,
        data: discord.types.onboarding.PromptOption,
        state: discord.state.ConnectionState,
        guild: discord.Guild,
    ) -> discord.OnboardingPromptOption: ...
    def to_dict(self) -> discord.types.onboarding.CreatePromptOption: ...
    @property
    def guild(self) -> Guild: ...
    @property
    def channels(self) -> list[GuildChannel | Thread]: ...
    @property
    def roles(self) -> list[Role]: ...

class PartialAppInfo(_View):
    """Blocking view of ``discord.PartialAppInfo``."""

    @property
    def _discordha_object(self) -> discord.PartialAppInfo: ...
    id: int
    name: str
    description: str
    rpc_origins: list[str] | None
    verify_key: str
    terms_of_service_url: str | None
    privacy_policy_url: str | None
    approximate_guild_count: int
    redirect_uris: list[str]
    interactions_endpoint_url: str | None
    role_connections_verification_url: str | None
    @property
    def icon(self) -> Asset | None: ...
    @property
    def cover_image(self) -> Asset | None: ...
    @property
    def flags(self) -> discord.ApplicationFlags: ...

class PartialEmoji(_EmojiTag, AssetMixin):
    """Blocking view of ``discord.PartialEmoji``."""

    @property
    def _discordha_object(self) -> discord.PartialEmoji: ...
    def __new__(cls, *, name: str, animated: bool = False, id: int | None = None) -> discord.PartialEmoji: ...
    id: int | None
    animated: bool
    name: str
    @classmethod
    def from_dict(
        cls,
        data: discord.types.emoji.PartialEmoji | discord.types.activity.ActivityEmoji | dict[str, Any],
    ) -> discord.PartialEmoji: ...
    @classmethod
    def from_str(cls, value: str, *, client: discord.Client = ...) -> discord.PartialEmoji: ...
    def to_dict(self) -> discord.types.emoji.Emoji: ...
    @classmethod
    def with_state(
        cls,
        state: discord.state.ConnectionState,
        *,
        name: str,
        animated: bool = False,
        id: int | None = None,
    ) -> discord.PartialEmoji: ...
    def is_custom_emoji(self) -> bool: ...
    def is_unicode_emoji(self) -> bool: ...
    @property
    def created_at(self) -> datetime.datetime | None: ...
    @property
    def url(self) -> str: ...
    def read(self) -> bytes: ...

class PartialIntegration(_View):
    """Blocking view of ``discord.PartialIntegration``."""

    @property
    def _discordha_object(self) -> discord.PartialIntegration: ...
    guild: Guild
    id: int
    type: discord.types.integration.IntegrationType
    name: str
    account: IntegrationAccount
    application_id: int | None

class PartialInviteChannel(_View):
    """Blocking view of ``discord.PartialInviteChannel``."""

    @property
    def _discordha_object(self) -> discord.PartialInviteChannel: ...
    id: int
    name: str
    type: discord.ChannelType
    @property
    def mention(self) -> str: ...
    @property
    def created_at(self) -> datetime.datetime: ...

class PartialInviteGuild(_View):
    """Blocking view of ``discord.PartialInviteGuild``."""

    @property
    def _discordha_object(self) -> discord.PartialInviteGuild: ...
    id: int
    name: str
    features: list[discord.types.guild.GuildFeature]
    verification_level: discord.VerificationLevel
    description: str | None
    vanity_url_code: str | None
    nsfw_level: discord.NSFWLevel
    premium_subscription_count: int
    @property
    def created_at(self) -> datetime.datetime: ...
    @property
    def vanity_url(self) -> str | None: ...
    @property
    def icon(self) -> Asset | None: ...
    @property
    def banner(self) -> Asset | None: ...
    @property
    def splash(self) -> Asset | None: ...

class PartialMessage(_View):
    """Blocking view of ``discord.PartialMessage``."""

    @property
    def _discordha_object(self) -> discord.PartialMessage: ...
    def __new__(
        cls,
        *,
        channel: discord.TextChannel | discord.VoiceChannel | discord.StageChannel | discord.Thread | discord.DMChannel | discord.PartialMessageable | discord.GroupChannel,
        id: int,
    ) -> discord.PartialMessage: ...
    channel: TextChannel | VoiceChannel | StageChannel | Thread | DMChannel | PartialMessageable | GroupChannel
    id: int
    guild: Guild | None
    pinned: Any
    @property
    def created_at(self) -> datetime.datetime: ...
    @property
    def jump_url(self) -> str: ...
    @property
    def thread(self) -> Thread | None: ...
    def fetch(self) -> Message: ...
    def delete(self, *, delay: float | None = None) -> None: ...
    def edit(
        self,
        *,
        content: str | None = ...,
        embed: discord.Embed | None = ...,
        embeds: Sequence[discord.Embed] = ...,
        attachments: Sequence[Attachment | discord.File] = ...,
        delete_after: float | None = None,
        allowed_mentions: discord.AllowedMentions | None = ...,
        view: discord.ui.View | discord.ui.LayoutView | None = ...,
    ) -> Message: ...
    def publish(self) -> None: ...
    def pin(self, *, reason: str | None = None) -> None: ...
    def unpin(self, *, reason: str | None = None) -> None: ...
    def add_reaction(
        self,
        emoji: Emoji | PartialEmoji | discord.PartialEmoji | str | Reaction,
        /,
    ) -> None: ...
    def remove_reaction(
        self,
        emoji: Emoji | PartialEmoji | discord.PartialEmoji | str | Reaction,
        member: discord.abc.Snowflake,
    ) -> None: ...
    def clear_reaction(self, emoji: Emoji | PartialEmoji | discord.PartialEmoji | str | Reaction) -> None: ...
    def clear_reactions(self) -> None: ...
    def create_thread(
        self,
        *,
        name: str,
        auto_archive_duration: discord.types.threads.ThreadArchiveDuration = ...,
        slowmode_delay: int | None = None,
        reason: str | None = None,
    ) -> Thread: ...
    def fetch_thread(self) -> Thread: ...
    @overload
    def reply(
        self,
        *,
        file: discord.File = ...,
        view: discord.ui.LayoutView,
        delete_after: float = ...,
        nonce: str | int = ...,
        allowed_mentions: discord.AllowedMentions = ...,
        reference: Message | MessageReference | discord.MessageReference | PartialMessage | discord.PartialMessage = ...,
        mention_author: bool = ...,
        suppress_embeds: bool = ...,
        silent: bool = ...,
    ) -> Message: ...
    @overload
    def reply(
        self,
        *,
        files: Sequence[discord.File] = ...,
        view: discord.ui.LayoutView,
        delete_after: float = ...,
        nonce: str | int = ...,
        allowed_mentions: discord.AllowedMentions = ...,
        reference: Message | MessageReference | discord.MessageReference | PartialMessage | discord.PartialMessage = ...,
        mention_author: bool = ...,
        suppress_embeds: bool = ...,
        silent: bool = ...,
    ) -> Message: ...
    @overload
    def reply(
        self,
        content: str | None = ...,
        *,
        tts: bool = ...,
        embed: discord.Embed = ...,
        file: discord.File = ...,
        stickers: Sequence[GuildSticker | StickerItem] = ...,
        delete_after: float = ...,
        nonce: str | int = ...,
        allowed_mentions: discord.AllowedMentions = ...,
        reference: Message | MessageReference | discord.MessageReference | PartialMessage | discord.PartialMessage = ...,
        mention_author: bool = ...,
        view: discord.ui.View = ...,
        suppress_embeds: bool = ...,
        silent: bool = ...,
        poll: Poll | discord.Poll = ...,
    ) -> Message: ...
    @overload
    def reply(
        self,
        content: str | None = ...,
        *,
        tts: bool = ...,
        embed: discord.Embed = ...,
        files: Sequence[discord.File] = ...,
        stickers: Sequence[GuildSticker | StickerItem] = ...,
        delete_after: float = ...,
        nonce: str | int = ...,
        allowed_mentions: discord.AllowedMentions = ...,
        reference: Message | MessageReference | discord.MessageReference | PartialMessage | discord.PartialMessage = ...,
        mention_author: bool = ...,
        view: discord.ui.View = ...,
        suppress_embeds: bool = ...,
        silent: bool = ...,
        poll: Poll | discord.Poll = ...,
    ) -> Message: ...
    @overload
    def reply(
        self,
        content: str | None = ...,
        *,
        tts: bool = ...,
        embeds: Sequence[discord.Embed] = ...,
        file: discord.File = ...,
        stickers: Sequence[GuildSticker | StickerItem] = ...,
        delete_after: float = ...,
        nonce: str | int = ...,
        allowed_mentions: discord.AllowedMentions = ...,
        reference: Message | MessageReference | discord.MessageReference | PartialMessage | discord.PartialMessage = ...,
        mention_author: bool = ...,
        view: discord.ui.View = ...,
        suppress_embeds: bool = ...,
        silent: bool = ...,
        poll: Poll | discord.Poll = ...,
    ) -> Message: ...
    @overload
    def reply(
        self,
        content: str | None = ...,
        *,
        tts: bool = ...,
        embeds: Sequence[discord.Embed] = ...,
        files: Sequence[discord.File] = ...,
        stickers: Sequence[GuildSticker | StickerItem] = ...,
        delete_after: float = ...,
        nonce: str | int = ...,
        allowed_mentions: discord.AllowedMentions = ...,
        reference: Message | MessageReference | discord.MessageReference | PartialMessage | discord.PartialMessage = ...,
        mention_author: bool = ...,
        view: discord.ui.View = ...,
        suppress_embeds: bool = ...,
        silent: bool = ...,
        poll: Poll | discord.Poll = ...,
    ) -> Message: ...
    def end_poll(self) -> Message: ...
    def to_reference(
        self,
        *,
        fail_if_not_exists: bool = True,
        type: discord.MessageReferenceType = ...,
    ) -> MessageReference: ...
    def forward(
        self,
        destination: TextChannel | VoiceChannel | StageChannel | Thread | DMChannel | PartialMessageable | GroupChannel,
        *,
        fail_if_not_exists: bool = True,
    ) -> Message: ...
    def to_message_reference_dict(self) -> discord.types.message.MessageReference: ...

class PartialMessageable(Messageable):
    """Blocking view of ``discord.PartialMessageable``."""

    @property
    def _discordha_object(self) -> discord.PartialMessageable: ...
    id: int
    guild_id: int | None
    type: discord.ChannelType | None
    @property
    def guild(self) -> Guild | None: ...
    @property
    def jump_url(self) -> str: ...
    @property
    def created_at(self) -> datetime.datetime: ...
    def permissions_for(self, obj: Any = None, /) -> discord.Permissions: ...
    @property
    def mention(self) -> str: ...
    def get_partial_message(self, message_id: int, /) -> PartialMessage: ...

class PartialWebhookChannel(_View):
    """Blocking view of ``discord.PartialWebhookChannel``."""

    @property
    def _discordha_object(self) -> discord.PartialWebhookChannel: ...
    id: int
    name: str
    @property
    def mention(self) -> str: ...

class PartialWebhookGuild(_View):
    """Blocking view of ``discord.PartialWebhookGuild``."""

    @property
    def _discordha_object(self) -> discord.PartialWebhookGuild: ...
    id: int
    name: str
    @property
    def icon(self) -> Asset | None: ...

class PinnedMessage(Message):
    pinned_at: datetime.datetime
    pinned: Literal[True]

class Poll(_View):
    """Blocking view of ``discord.Poll``."""

    @property
    def _discordha_object(self) -> discord.Poll: ...
    def __new__(
        cls,
        question: discord.PollMedia | str,
        duration: datetime.timedelta,
        *,
        multiple: bool = False,
        layout_type: discord.PollLayoutType = ...,
    ) -> discord.Poll: ...
    duration: datetime.timedelta
    multiple: bool
    layout_type: discord.PollLayoutType
    @property
    def question(self) -> str: ...
    @property
    def answers(self) -> list[PollAnswer]: ...
    @property
    def victor_answer_id(self) -> int | None: ...
    @property
    def victor_answer(self) -> PollAnswer | None: ...
    @property
    def expires_at(self) -> datetime.datetime | None: ...
    @property
    def created_at(self) -> datetime.datetime | None: ...
    @property
    def message(self) -> Message | None: ...
    @property
    def total_votes(self) -> int: ...
    def is_finalised(self) -> bool: ...
    def is_finalized(self) -> bool: ...
    def copy(self) -> Self: ...
    def add_answer(
        self,
        *,
        text: str,
        emoji: Emoji | PartialEmoji | discord.PartialEmoji | str | None = None,
    ) -> Self: ...
    def get_answer(self, /, id: int) -> PollAnswer | None: ...
    def end(self) -> Self: ...

class PollAnswer(_View):
    """Blocking view of ``discord.PollAnswer``."""

    @property
    def _discordha_object(self) -> discord.PollAnswer: ...
    media: PollMedia
    id: int
    self_voted: bool
    @classmethod
    def from_params(
        cls,
        id: int,
        text: str,
        emoji: discord.Emoji | discord.PartialEmoji | str | None = None,
        *,
        poll: discord.Poll,
        message: discord.Message | None,
    ) -> discord.PollAnswer: ...
    @property
    def text(self) -> str: ...
    @property
    def emoji(self) -> Emoji | PartialEmoji | None: ...
    @property
    def vote_count(self) -> int: ...
    @property
    def poll(self) -> Poll: ...
    @property
    def victor(self) -> bool: ...
    def voters(
        self,
        *,
        limit: int | None = None,
        after: discord.abc.Snowflake | None = None,
    ) -> BlockingIterator[User | Member]: ...

class PollMedia(_View):
    """Blocking view of ``discord.PollMedia``."""

    @property
    def _discordha_object(self) -> discord.PollMedia: ...
    def __new__(
        cls,
        /,
        text: str,
        emoji: discord.Emoji | discord.PartialEmoji | str | None = None,
    ) -> discord.PollMedia: ...
    text: str
    emoji: Emoji | PartialEmoji | None
    def to_dict(self) -> discord.types.poll.PollMedia: ...
    @classmethod
    def from_dict(cls, *, data: discord.types.poll.PollMedia) -> discord.PollMedia: ...

class PrimaryGuild(_View):
    """Blocking view of ``discord.PrimaryGuild``."""

    @property
    def _discordha_object(self) -> discord.PrimaryGuild: ...
    id: int | None
    identity_enabled: bool | None
    tag: str | None
    @property
    def badge(self) -> Asset | None: ...
    @property
    def created_at(self) -> datetime.datetime | None: ...

class PrivateChannel(_View):
    """Blocking view of ``discord.abc.PrivateChannel``."""

    @property
    def _discordha_object(self) -> discord.abc.PrivateChannel: ...
    id: int
    me: ClientUser

class PurchaseNotification(_View):
    """Blocking view of ``discord.PurchaseNotification``."""

    @property
    def _discordha_object(self) -> discord.PurchaseNotification: ...
    guild_product_purchase: GuildProductPurchase | None

class RadioGroupComponent(Component):
    """Blocking view of ``discord.RadioGroupComponent``."""

    @property
    def _discordha_object(self) -> discord.RadioGroupComponent: ...
    custom_id: str
    required: bool
    id: int | None
    options: list[RadioGroupOption]
    @property
    def type(self) -> Literal['radio_group', 21]: ...
    def to_dict(self) -> discord.types.components.RadioGroupComponent: ...

class RadioGroupOption(BaseOption):
    """Blocking view of ``discord.RadioGroupOption``."""

    @property
    def _discordha_object(self) -> discord.RadioGroupOption: ...

class RawAppCommandPermissionsUpdateEvent(_View):
    """Blocking view of ``discord.RawAppCommandPermissionsUpdateEvent``."""

    @property
    def _discordha_object(self) -> discord.RawAppCommandPermissionsUpdateEvent: ...
    target_id: int
    application_id: int
    guild: Guild
    permissions: list[AppCommandPermissions]

class RawBulkMessageDeleteEvent(_View):
    """Blocking view of ``discord.RawBulkMessageDeleteEvent``."""

    @property
    def _discordha_object(self) -> discord.RawBulkMessageDeleteEvent: ...
    message_ids: set[int]
    channel_id: int
    cached_messages: list[Message]
    guild_id: int | None

class RawIntegrationDeleteEvent(_View):
    """Blocking view of ``discord.RawIntegrationDeleteEvent``."""

    @property
    def _discordha_object(self) -> discord.RawIntegrationDeleteEvent: ...
    integration_id: int
    guild_id: int
    application_id: int | None

class RawMemberRemoveEvent(_View):
    """Blocking view of ``discord.RawMemberRemoveEvent``."""

    @property
    def _discordha_object(self) -> discord.RawMemberRemoveEvent: ...
    user: User | Member
    guild_id: int

class RawMessageDeleteEvent(_View):
    """Blocking view of ``discord.RawMessageDeleteEvent``."""

    @property
    def _discordha_object(self) -> discord.RawMessageDeleteEvent: ...
    message_id: int
    channel_id: int
    cached_message: Message | None
    guild_id: int | None

class RawMessageUpdateEvent(_View):
    """Blocking view of ``discord.RawMessageUpdateEvent``."""

    @property
    def _discordha_object(self) -> discord.RawMessageUpdateEvent: ...
    message_id: int
    channel_id: int
    data: discord.types.gateway.MessageUpdateEvent
    message: Message
    cached_message: Message | None
    guild_id: int | None

class RawPollVoteActionEvent(_View):
    """Blocking view of ``discord.RawPollVoteActionEvent``."""

    @property
    def _discordha_object(self) -> discord.RawPollVoteActionEvent: ...
    user_id: int
    channel_id: int
    message_id: int
    guild_id: int | None
    answer_id: int

class RawPresenceUpdateEvent(_View):
    """Blocking view of ``discord.RawPresenceUpdateEvent``."""

    @property
    def _discordha_object(self) -> discord.RawPresenceUpdateEvent: ...
    user_id: int
    client_status: ClientStatus
    activities: tuple[discord.Activity | discord.Game | discord.CustomActivity | discord.Streaming | discord.Spotify, ...]
    guild_id: int | None
    guild: Guild | None

class RawReactionActionEvent(_View):
    """Blocking view of ``discord.RawReactionActionEvent``."""

    @property
    def _discordha_object(self) -> discord.RawReactionActionEvent: ...
    message_id: int
    channel_id: int
    user_id: int
    emoji: PartialEmoji
    event_type: Literal['REACTION_ADD', 'REACTION_REMOVE']
    member: Member | None
    message_author_id: int | None
    burst: bool
    burst_colours: list[discord.Colour]
    type: discord.ReactionType
    guild_id: int | None
    @property
    def burst_colors(self) -> list[discord.Colour]: ...

class RawReactionClearEmojiEvent(_View):
    """Blocking view of ``discord.RawReactionClearEmojiEvent``."""

    @property
    def _discordha_object(self) -> discord.RawReactionClearEmojiEvent: ...
    emoji: PartialEmoji
    message_id: int
    channel_id: int
    guild_id: int | None

class RawReactionClearEvent(_View):
    """Blocking view of ``discord.RawReactionClearEvent``."""

    @property
    def _discordha_object(self) -> discord.RawReactionClearEvent: ...
    message_id: int
    channel_id: int
    guild_id: int | None

class RawThreadDeleteEvent(_View):
    """Blocking view of ``discord.RawThreadDeleteEvent``."""

    @property
    def _discordha_object(self) -> discord.RawThreadDeleteEvent: ...
    thread_id: int
    thread_type: discord.ChannelType
    guild_id: int
    parent_id: int
    thread: Thread | None

class RawThreadMembersUpdate(_View):
    """Blocking view of ``discord.RawThreadMembersUpdate``."""

    @property
    def _discordha_object(self) -> discord.RawThreadMembersUpdate: ...
    thread_id: int
    guild_id: int
    member_count: int
    data: discord.types.gateway.ThreadMembersUpdate

class RawThreadUpdateEvent(_View):
    """Blocking view of ``discord.RawThreadUpdateEvent``."""

    @property
    def _discordha_object(self) -> discord.RawThreadUpdateEvent: ...
    thread_id: int
    thread_type: discord.ChannelType
    guild_id: int
    parent_id: int
    data: discord.types.gateway.ThreadUpdateEvent
    thread: Thread | None

class RawTypingEvent(_View):
    """Blocking view of ``discord.RawTypingEvent``."""

    @property
    def _discordha_object(self) -> discord.RawTypingEvent: ...
    channel_id: int
    user_id: int
    user: User | Member | None
    timestamp: datetime.datetime
    guild_id: int | None

class Reaction(_View):
    """Blocking view of ``discord.Reaction``."""

    @property
    def _discordha_object(self) -> discord.Reaction: ...
    message: Message
    emoji: PartialEmoji | Emoji | str
    count: int
    me: bool
    normal_count: int
    burst_count: int
    me_burst: bool
    def is_custom_emoji(self) -> bool: ...
    def remove(self, user: discord.abc.Snowflake) -> None: ...
    def clear(self) -> None: ...
    def users(
        self,
        *,
        limit: int | None = None,
        after: discord.abc.Snowflake | None = None,
        type: discord.ReactionType | None = None,
    ) -> BlockingIterator[User | Member]: ...

class Role(_View):
    """Blocking view of ``discord.Role``."""

    @property
    def _discordha_object(self) -> discord.Role: ...
    guild: Guild
    id: int
    name: str
    position: int
    hoist: bool
    unicode_emoji: str | None
    managed: bool
    mentionable: bool
    tags: RoleTags | None
    def __lt__(self, other: object) -> bool: ...
    def __le__(self, other: Any) -> bool: ...
    def __gt__(self, other: Any) -> bool: ...
    def __ge__(self, other: object) -> bool: ...
    def is_default(self) -> bool: ...
    def is_bot_managed(self) -> bool: ...
    def is_premium_subscriber(self) -> bool: ...
    def is_integration(self) -> bool: ...
    def is_assignable(self) -> bool: ...
    @property
    def secondary_colour(self) -> discord.Colour | None: ...
    @property
    def secondary_color(self) -> discord.Colour | None: ...
    @property
    def tertiary_colour(self) -> discord.Colour | None: ...
    @property
    def tertiary_color(self) -> discord.Colour | None: ...
    @property
    def permissions(self) -> discord.Permissions: ...
    @property
    def colour(self) -> discord.Colour: ...
    @property
    def color(self) -> discord.Colour: ...
    @property
    def icon(self) -> Asset | None: ...
    @property
    def display_icon(self) -> str | Asset | None: ...
    @property
    def created_at(self) -> datetime.datetime: ...
    @property
    def mention(self) -> str: ...
    @property
    def members(self) -> list[Member]: ...
    @property
    def flags(self) -> discord.RoleFlags: ...
    def edit(
        self,
        *,
        name: str = ...,
        permissions: discord.Permissions = ...,
        colour: discord.Colour | int = ...,
        color: discord.Colour | int = ...,
        hoist: bool = ...,
        display_icon: bytes | str | None = ...,
        mentionable: bool = ...,
        position: int = ...,
        reason: str | None = ...,
        secondary_color: discord.Colour | int | None = ...,
        tertiary_color: discord.Colour | int | None = ...,
        secondary_colour: discord.Colour | int | None = ...,
        tertiary_colour: discord.Colour | int | None = ...,
    ) -> Role | None: ...
    @overload
    def move(self, *, beginning: bool, offset: int = ..., reason: str | None = ...) -> None: ...
    @overload
    def move(self, *, end: bool, offset: int = ..., reason: str | None = ...) -> None: ...
    @overload
    def move(self, *, above: Role, offset: int = ..., reason: str | None = ...) -> None: ...
    @overload
    def move(self, *, below: Role, offset: int = ..., reason: str | None = ...) -> None: ...
    def delete(self, *, reason: str | None = None) -> None: ...

class RoleSubscriptionInfo(_View):
    """Blocking view of ``discord.RoleSubscriptionInfo``."""

    @property
    def _discordha_object(self) -> discord.RoleSubscriptionInfo: ...
    role_subscription_listing_id: int
    tier_name: str
    total_months_subscribed: int
    is_renewal: bool

class RoleTags(_View):
    """Blocking view of ``discord.RoleTags``."""

    @property
    def _discordha_object(self) -> discord.RoleTags: ...
    bot_id: int | None
    integration_id: int | None
    subscription_listing_id: int | None
    def is_bot_managed(self) -> bool: ...
    def is_premium_subscriber(self) -> bool: ...
    def is_integration(self) -> bool: ...
    def is_available_for_purchase(self) -> bool: ...
    def is_guild_connection(self) -> bool: ...

class SKU(_View):
    """Blocking view of ``discord.SKU``."""

    @property
    def _discordha_object(self) -> discord.SKU: ...
    id: int
    type: discord.SKUType
    application_id: int
    name: str
    slug: str
    @property
    def flags(self) -> discord.SKUFlags: ...
    @property
    def created_at(self) -> datetime.datetime: ...
    def fetch_subscription(self, subscription_id: int, /) -> Subscription: ...
    def subscriptions(
        self,
        *,
        limit: int | None = 50,
        before: discord.abc.Snowflake | datetime.datetime | None = None,
        after: discord.abc.Snowflake | datetime.datetime | None = None,
        user: discord.abc.Snowflake,
    ) -> BlockingIterator[Subscription]: ...

class ScheduledEvent(_View):
    """Blocking view of ``discord.ScheduledEvent``."""

    @property
    def _discordha_object(self) -> discord.ScheduledEvent: ...
    id: int
    guild_id: int
    name: str
    description: str | None
    entity_type: discord.EntityType
    entity_id: int | None
    start_time: datetime.datetime
    privacy_level: discord.PrivacyLevel
    status: discord.EventStatus
    user_count: int
    creator_id: int | None
    creator: User | None
    end_time: datetime.datetime | None
    channel_id: int | None
    location: str | None
    @property
    def cover_image(self) -> Asset | None: ...
    @property
    def guild(self) -> Guild | None: ...
    @property
    def channel(self) -> VoiceChannel | StageChannel | None: ...
    @property
    def url(self) -> str: ...
    def start(self, *, reason: str | None = None) -> ScheduledEvent: ...
    def end(self, *, reason: str | None = None) -> ScheduledEvent: ...
    def cancel(self, *, reason: str | None = None) -> ScheduledEvent: ...
    @overload
    def edit(
        self,
        *,
        name: str = ...,
        description: str = ...,
        start_time: datetime.datetime = ...,
        end_time: datetime.datetime | None = ...,
        privacy_level: discord.PrivacyLevel = ...,
        status: discord.EventStatus = ...,
        image: bytes = ...,
        reason: str | None = ...,
    ) -> ScheduledEvent: ...
    @overload
    def edit(
        self,
        *,
        name: str = ...,
        description: str = ...,
        channel: discord.abc.Snowflake,
        start_time: datetime.datetime = ...,
        end_time: datetime.datetime | None = ...,
        privacy_level: discord.PrivacyLevel = ...,
        entity_type: Literal[discord.EntityType.voice, discord.EntityType.stage_instance],
        status: discord.EventStatus = ...,
        image: bytes = ...,
        reason: str | None = ...,
    ) -> ScheduledEvent: ...
    @overload
    def edit(
        self,
        *,
        name: str = ...,
        description: str = ...,
        start_time: datetime.datetime = ...,
        end_time: datetime.datetime = ...,
        privacy_level: discord.PrivacyLevel = ...,
        entity_type: Literal['external', 3],
        status: discord.EventStatus = ...,
        image: bytes = ...,
        location: str,
        reason: str | None = ...,
    ) -> ScheduledEvent: ...
    @overload
    def edit(
        self,
        *,
        name: str = ...,
        description: str = ...,
        channel: VoiceChannel | StageChannel,
        start_time: datetime.datetime = ...,
        end_time: datetime.datetime | None = ...,
        privacy_level: discord.PrivacyLevel = ...,
        status: discord.EventStatus = ...,
        image: bytes = ...,
        reason: str | None = ...,
    ) -> ScheduledEvent: ...
    @overload
    def edit(
        self,
        *,
        name: str = ...,
        description: str = ...,
        start_time: datetime.datetime = ...,
        end_time: datetime.datetime = ...,
        privacy_level: discord.PrivacyLevel = ...,
        status: discord.EventStatus = ...,
        image: bytes = ...,
        location: str,
        reason: str | None = ...,
    ) -> ScheduledEvent: ...
    def delete(self, *, reason: str | None = None) -> None: ...
    def users(
        self,
        *,
        limit: int | None = None,
        before: discord.abc.Snowflake | None = None,
        after: discord.abc.Snowflake | None = None,
        oldest_first: bool = ...,
    ) -> BlockingIterator[User]: ...

class SectionComponent(Component):
    """Blocking view of ``discord.SectionComponent``."""

    @property
    def _discordha_object(self) -> discord.SectionComponent: ...
    children: list[TextDisplay]
    accessory: Component
    id: int | None
    @property
    def type(self) -> Literal['section', 9]: ...
    def to_dict(self) -> discord.types.components.SectionComponent: ...

class SelectDefaultValue(_View):
    """Blocking view of ``discord.SelectDefaultValue``."""

    @property
    def _discordha_object(self) -> discord.SelectDefaultValue: ...
    def __new__(cls, *, id: int, type: discord.SelectDefaultValueType) -> discord.SelectDefaultValue: ...
    id: int
    @property
    def type(self) -> discord.SelectDefaultValueType: ...
    @type.setter
    def type(self, value: discord.SelectDefaultValueType) -> None: ...
    @classmethod
    def from_dict(cls, data: discord.types.components.SelectDefaultValues) -> discord.SelectDefaultValue: ...
    def to_dict(self) -> discord.types.components.SelectDefaultValues: ...
    @classmethod
    def from_channel(cls, channel: discord.abc.Snowflake, /) -> discord.SelectDefaultValue: ...
    @classmethod
    def from_role(cls, role: discord.abc.Snowflake, /) -> discord.SelectDefaultValue: ...
    @classmethod
    def from_user(cls, user: discord.abc.Snowflake, /) -> discord.SelectDefaultValue: ...

class SelectMenu(Component):
    """Blocking view of ``discord.SelectMenu``."""

    @property
    def _discordha_object(self) -> discord.SelectMenu: ...
    type: discord.ComponentType
    custom_id: str
    placeholder: str | None
    min_values: int
    max_values: int
    required: bool
    options: list[SelectOption]
    disabled: bool
    channel_types: list[discord.ChannelType]
    default_values: list[SelectDefaultValue]
    id: int | None
    def to_dict(self) -> discord.types.components.SelectMenu: ...

class SelectOption(BaseOption):
    """Blocking view of ``discord.SelectOption``."""

    @property
    def _discordha_object(self) -> discord.SelectOption: ...
    def __new__(
        cls,
        *,
        label: str,
        value: str = ...,
        description: str | None = None,
        emoji: discord.Emoji | discord.PartialEmoji | str | None = None,
        default: bool = False,
    ) -> discord.SelectOption: ...
    @property
    def emoji(self) -> PartialEmoji | None: ...
    @emoji.setter
    def emoji(self, value: Emoji | PartialEmoji | discord.PartialEmoji | str | None) -> None: ...
    @classmethod
    def from_dict(cls, data: discord.types.components.SelectOption) -> discord.SelectOption: ...
    def to_dict(self) -> discord.types.components.SelectOption: ...

class SeparatorComponent(Component):
    """Blocking view of ``discord.SeparatorComponent``."""

    @property
    def _discordha_object(self) -> discord.SeparatorComponent: ...
    spacing: discord.SeparatorSpacing
    visible: bool
    id: int | None
    @property
    def type(self) -> Literal['separator', 14]: ...
    def to_dict(self) -> discord.types.components.SeparatorComponent: ...

class SessionStartLimits(_View):
    """Blocking view of ``discord.SessionStartLimits``."""

    @property
    def _discordha_object(self) -> discord.SessionStartLimits: ...
    def __new__(
        cls,
        **kwargs: Unpack[discord.types.gateway.SessionStartLimit],
    ) -> discord.SessionStartLimits: ...
    total: int
    remaining: int
    reset_after: int
    max_concurrency: int

class ShardInfo(_View):
    """Blocking view of ``discord.ShardInfo``."""

    @property
    def _discordha_object(self) -> discord.ShardInfo: ...
    id: int
    shard_count: int | None
    def is_closed(self) -> bool: ...
    def disconnect(self) -> None: ...
    def reconnect(self) -> None: ...
    def connect(self) -> None: ...
    @property
    def latency(self) -> float: ...
    def is_ws_ratelimited(self) -> bool: ...

class SoundboardDefaultSound(BaseSoundboardSound):
    """Blocking view of ``discord.SoundboardDefaultSound``."""

    @property
    def _discordha_object(self) -> discord.SoundboardDefaultSound: ...
    name: str
    emoji: PartialEmoji

class SoundboardSound(BaseSoundboardSound):
    """Blocking view of ``discord.SoundboardSound``."""

    @property
    def _discordha_object(self) -> discord.SoundboardSound: ...
    guild: Guild
    name: str
    emoji: PartialEmoji | None
    available: bool
    @property
    def created_at(self) -> datetime.datetime: ...
    @property
    def user(self) -> User | None: ...
    def edit(
        self,
        *,
        name: str = ...,
        volume: float | None = ...,
        emoji: Emoji | PartialEmoji | discord.PartialEmoji | str | None = ...,
        reason: str | None = None,
    ) -> SoundboardSound: ...
    def delete(self, *, reason: str | None = None) -> None: ...

class StageChannel(VocalGuildChannel):
    """Blocking view of ``discord.StageChannel``."""

    @property
    def _discordha_object(self) -> discord.StageChannel: ...
    topic: str | None
    @property
    def requesting_to_speak(self) -> list[Member]: ...
    @property
    def speakers(self) -> list[Member]: ...
    @property
    def listeners(self) -> list[Member]: ...
    @property
    def moderators(self) -> list[Member]: ...
    @property
    def type(self) -> Literal['stage_voice', 13]: ...
    @property
    def instance(self) -> StageInstance | None: ...
    def create_instance(
        self,
        *,
        topic: str,
        privacy_level: discord.PrivacyLevel = ...,
        send_start_notification: bool = False,
        scheduled_event: discord.abc.Snowflake = ...,
        reason: str | None = None,
    ) -> StageInstance: ...
    def fetch_instance(self) -> StageInstance: ...
    @overload
    def edit(self) -> None: ...
    @overload
    def edit(self, *, position: int, reason: str | None = ...) -> None: ...
    @overload
    def edit(
        self,
        *,
        name: str = ...,
        nsfw: bool = ...,
        bitrate: int = ...,
        user_limit: int = ...,
        position: int = ...,
        sync_permissions: int = ...,
        category: CategoryChannel | None = ...,
        overwrites: Mapping[OverwriteKeyT, discord.PermissionOverwrite] = ...,
        rtc_region: str | None = ...,
        video_quality_mode: discord.VideoQualityMode = ...,
        slowmode_delay: int = ...,
        reason: str | None = ...,
    ) -> StageChannel: ...

class StageInstance(_View):
    """Blocking view of ``discord.StageInstance``."""

    @property
    def _discordha_object(self) -> discord.StageInstance: ...
    guild: Guild
    id: int
    channel_id: int
    topic: str
    privacy_level: discord.PrivacyLevel
    discoverable_disabled: bool
    scheduled_event_id: int | None
    @property
    def channel(self) -> StageChannel | None: ...
    @property
    def scheduled_event(self) -> ScheduledEvent | None: ...
    def edit(
        self,
        *,
        topic: str = ...,
        privacy_level: discord.PrivacyLevel = ...,
        reason: str | None = None,
    ) -> None: ...
    def delete(self, *, reason: str | None = None) -> None: ...

class StandardSticker(Sticker):
    """Blocking view of ``discord.StandardSticker``."""

    @property
    def _discordha_object(self) -> discord.StandardSticker: ...
    sort_value: int
    pack_id: int
    type: discord.StickerType
    tags: list[str]
    def pack(self) -> StickerPack: ...

class Sticker(_StickerTag):
    """Blocking view of ``discord.Sticker``."""

    @property
    def _discordha_object(self) -> discord.Sticker: ...
    id: int
    name: str
    description: str
    format: discord.StickerFormatType
    url: str
    @property
    def created_at(self) -> datetime.datetime: ...

class StickerItem(_StickerTag):
    """Blocking view of ``discord.StickerItem``."""

    @property
    def _discordha_object(self) -> discord.StickerItem: ...
    name: str
    id: int
    format: discord.StickerFormatType
    url: str
    def fetch(self) -> Sticker | StandardSticker | GuildSticker: ...

class StickerPack(_View):
    """Blocking view of ``discord.StickerPack``."""

    @property
    def _discordha_object(self) -> discord.StickerPack: ...
    id: int
    stickers: list[StandardSticker]
    name: str
    sku_id: int
    cover_sticker_id: int | None
    cover_sticker: StandardSticker | None
    description: str
    @property
    def banner(self) -> Asset | None: ...

class StreamIntegration(Integration):
    """Blocking view of ``discord.StreamIntegration``."""

    @property
    def _discordha_object(self) -> discord.StreamIntegration: ...
    revoked: bool
    expire_behaviour: discord.ExpireBehaviour
    expire_grace_period: int
    synced_at: datetime.datetime
    syncing: bool
    enable_emoticons: bool
    subscriber_count: int
    @property
    def expire_behavior(self) -> discord.ExpireBehaviour: ...
    @property
    def role(self) -> Role | None: ...
    def edit(
        self,
        *,
        expire_behaviour: discord.ExpireBehaviour = ...,
        expire_grace_period: int = ...,
        enable_emoticons: bool = ...,
    ) -> None: ...
    def sync(self) -> None: ...

class Subscription(_View):
    """Blocking view of ``discord.Subscription``."""

    @property
    def _discordha_object(self) -> discord.Subscription: ...
    id: int
    user_id: int
    sku_ids: list[int]
    entitlement_ids: list[int]
    current_period_start: datetime.datetime
    current_period_end: datetime.datetime
    status: discord.SubscriptionStatus
    canceled_at: datetime.datetime | None
    renewal_sku_ids: list[int]
    @property
    def created_at(self) -> datetime.datetime: ...
    @property
    def user(self) -> User | None: ...

class Team(_View):
    """Blocking view of ``discord.Team``."""

    @property
    def _discordha_object(self) -> discord.Team: ...
    id: int
    name: str
    owner_id: int | None
    members: list[TeamMember]
    @property
    def icon(self) -> Asset | None: ...
    @property
    def owner(self) -> TeamMember | None: ...

class TeamMember(BaseUser):
    """Blocking view of ``discord.TeamMember``."""

    @property
    def _discordha_object(self) -> discord.TeamMember: ...
    team: Team
    membership_state: discord.TeamMembershipState
    permissions: list[str]
    role: discord.TeamMemberRole

class Template(_View):
    """Blocking view of ``discord.Template``."""

    @property
    def _discordha_object(self) -> discord.Template: ...
    code: str
    uses: int
    name: str
    description: str | None
    creator: User | None
    created_at: datetime.datetime | None
    updated_at: datetime.datetime | None
    source_guild: Guild
    is_dirty: bool | None
    def create_guild(self, name: str, icon: bytes = ...) -> Guild: ...
    def sync(self) -> Template: ...
    def edit(self, *, name: str = ..., description: str | None = ...) -> Template: ...
    def delete(self) -> None: ...
    @property
    def url(self) -> str: ...

class TextChannel(Messageable, GuildChannel):
    """Blocking view of ``discord.TextChannel``."""

    @property
    def _discordha_object(self) -> discord.TextChannel: ...
    id: int
    guild: Guild
    name: str
    category_id: int | None
    topic: str | None
    position: int
    nsfw: bool
    slowmode_delay: int
    default_auto_archive_duration: discord.types.threads.ThreadArchiveDuration
    default_thread_slowmode_delay: int
    last_message_id: int | None
    @property
    def type(self) -> Literal[discord.ChannelType.text, discord.ChannelType.news]: ...
    def permissions_for(self, obj: Member | Role, /) -> discord.Permissions: ...
    @property
    def members(self) -> list[Member]: ...
    @property
    def threads(self) -> list[Thread]: ...
    def is_nsfw(self) -> bool: ...
    def is_news(self) -> bool: ...
    @property
    def last_message(self) -> Message | None: ...
    @overload
    def edit(self) -> TextChannel | None: ...
    @overload
    def edit(self, *, position: int, reason: str | None = ...) -> None: ...
    @overload
    def edit(
        self,
        *,
        reason: str | None = ...,
        name: str = ...,
        topic: str = ...,
        position: int = ...,
        nsfw: bool = ...,
        sync_permissions: bool = ...,
        category: CategoryChannel | None = ...,
        slowmode_delay: int = ...,
        default_auto_archive_duration: discord.types.threads.ThreadArchiveDuration = ...,
        default_thread_slowmode_delay: int = ...,
        type: discord.ChannelType = ...,
        overwrites: Mapping[OverwriteKeyT, discord.PermissionOverwrite] = ...,
    ) -> TextChannel: ...
    def clone(
        self,
        *,
        name: str | None = None,
        category: CategoryChannel | None = None,
        reason: str | None = None,
    ) -> TextChannel: ...
    def delete_messages(
        self,
        messages: Iterable[discord.abc.Snowflake],
        *,
        reason: str | None = None,
    ) -> None: ...
    def purge(
        self,
        *,
        limit: int | None = 100,
        check: Callable[[Message], bool] = ...,
        before: discord.abc.Snowflake | datetime.datetime | None = None,
        after: discord.abc.Snowflake | datetime.datetime | None = None,
        around: discord.abc.Snowflake | datetime.datetime | None = None,
        oldest_first: bool | None = None,
        bulk: bool = True,
        reason: str | None = None,
    ) -> list[Message]: ...
    def webhooks(self) -> list[Webhook]: ...
    def create_webhook(
        self,
        *,
        name: str,
        avatar: bytes | None = None,
        reason: str | None = None,
    ) -> Webhook: ...
    def follow(self, *, destination: TextChannel, reason: str | None = None) -> Webhook: ...
    def get_partial_message(self, message_id: int, /) -> PartialMessage: ...
    def get_thread(self, thread_id: int, /) -> Thread | None: ...
    def create_thread(
        self,
        *,
        name: str,
        message: discord.abc.Snowflake | None = None,
        auto_archive_duration: discord.types.threads.ThreadArchiveDuration = ...,
        type: discord.ChannelType | None = None,
        reason: str | None = None,
        invitable: bool = True,
        slowmode_delay: int | None = None,
    ) -> Thread: ...
    def archived_threads(
        self,
        *,
        private: bool = False,
        joined: bool = False,
        limit: int | None = 100,
        before: discord.abc.Snowflake | datetime.datetime | None = None,
    ) -> BlockingIterator[Thread]: ...

class TextDisplay(Component):
    """Blocking view of ``discord.TextDisplay``."""

    @property
    def _discordha_object(self) -> discord.TextDisplay: ...
    content: str
    id: int | None
    @property
    def type(self) -> Literal['text_display', 10]: ...
    def to_dict(self) -> discord.types.components.TextComponent: ...

class TextInput(Component):
    """Blocking view of ``discord.TextInput``."""

    @property
    def _discordha_object(self) -> discord.TextInput: ...
    style: discord.TextStyle
    label: str | None
    custom_id: str
    placeholder: str | None
    value: str | None
    required: bool
    min_length: int | None
    max_length: int | None
    id: int | None
    @property
    def type(self) -> Literal['text_input', 4]: ...
    def to_dict(self) -> discord.types.components.TextInput: ...
    @property
    def default(self) -> str | None: ...

class Thread(Messageable):
    """Blocking view of ``discord.Thread``."""

    @property
    def _discordha_object(self) -> discord.Thread: ...
    guild: Guild
    id: int
    parent_id: int
    owner_id: int
    name: str
    last_message_id: int | None
    slowmode_delay: int
    message_count: int
    member_count: int
    total_message_sent: int
    me: ThreadMember | None
    archived: bool
    archiver_id: int | None
    auto_archive_duration: int
    archive_timestamp: datetime.datetime
    locked: bool
    invitable: bool
    @property
    def type(
        self,
    ) -> Literal[discord.ChannelType.news_thread, discord.ChannelType.public_thread, discord.ChannelType.private_thread]: ...
    @property
    def parent(self) -> ForumChannel | TextChannel | None: ...
    @property
    def flags(self) -> discord.ChannelFlags: ...
    @property
    def owner(self) -> Member | None: ...
    @property
    def mention(self) -> str: ...
    @property
    def jump_url(self) -> str: ...
    @property
    def members(self) -> list[ThreadMember]: ...
    @property
    def applied_tags(self) -> list[ForumTag]: ...
    @property
    def starter_message(self) -> Message | None: ...
    @property
    def last_message(self) -> Message | None: ...
    @property
    def category(self) -> CategoryChannel | None: ...
    @property
    def category_id(self) -> int | None: ...
    @property
    def created_at(self) -> datetime.datetime | None: ...
    def is_private(self) -> bool: ...
    def is_news(self) -> bool: ...
    def is_nsfw(self) -> bool: ...
    def permissions_for(self, obj: Member | Role, /) -> discord.Permissions: ...
    def delete_messages(
        self,
        messages: Iterable[discord.abc.Snowflake],
        /,
        *,
        reason: str | None = None,
    ) -> None: ...
    def purge(
        self,
        *,
        limit: int | None = 100,
        check: Callable[[Message], bool] = ...,
        before: discord.abc.Snowflake | datetime.datetime | None = None,
        after: discord.abc.Snowflake | datetime.datetime | None = None,
        around: discord.abc.Snowflake | datetime.datetime | None = None,
        oldest_first: bool | None = None,
        bulk: bool = True,
        reason: str | None = None,
    ) -> list[Message]: ...
    def edit(
        self,
        *,
        name: str = ...,
        archived: bool = ...,
        locked: bool = ...,
        invitable: bool = ...,
        pinned: bool = ...,
        slowmode_delay: int = ...,
        auto_archive_duration: discord.types.threads.ThreadArchiveDuration = ...,
        applied_tags: Sequence[ForumTag | discord.ForumTag] = ...,
        reason: str | None = None,
    ) -> Thread: ...
    def add_tags(self, *tags: discord.abc.Snowflake, reason: str | None = None) -> None: ...
    def remove_tags(self, *tags: discord.abc.Snowflake, reason: str | None = None) -> None: ...
    def join(self) -> None: ...
    def leave(self) -> None: ...
    def add_user(self, user: discord.abc.Snowflake, /) -> None: ...
    def remove_user(self, user: discord.abc.Snowflake, /) -> None: ...
    def fetch_member(self, user_id: int, /) -> ThreadMember: ...
    def fetch_members(self) -> list[ThreadMember]: ...
    def delete(self, *, reason: str | None = None) -> None: ...
    def get_partial_message(self, message_id: int, /) -> PartialMessage: ...

class ThreadMember(_View):
    """Blocking view of ``discord.ThreadMember``."""

    @property
    def _discordha_object(self) -> discord.ThreadMember: ...
    parent: Thread
    id: int
    thread_id: int
    joined_at: datetime.datetime
    flags: int
    @property
    def thread(self) -> Thread: ...

class ThreadWithMessage(NamedTuple):
    thread: Thread
    message: Message

class ThumbnailComponent(Component):
    """Blocking view of ``discord.ThumbnailComponent``."""

    @property
    def _discordha_object(self) -> discord.ThumbnailComponent: ...
    media: UnfurledMediaItem
    description: str | None
    spoiler: bool
    id: int | None
    @property
    def type(self) -> Literal['thumbnail', 11]: ...
    def to_dict(self) -> discord.types.components.ThumbnailComponent: ...

class Typing(_View):
    """Blocking view of ``discord.context_managers.Typing``."""

    @property
    def _discordha_object(self) -> discord.context_managers.Typing: ...
    loop: asyncio.AbstractEventLoop
    messageable: Messageable
    channel: TextChannel | VoiceChannel | StageChannel | Thread | DMChannel | PartialMessageable | GroupChannel | None
    task: asyncio.Task[None]
    def wrapped_typer(self) -> None: ...
    def do_typing(self) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(
        self,
        exc_type: builtins.type[BE] | None,
        exc: BE | None,
        traceback: types.TracebackType | None,
    ) -> None: ...

class UnfurledMediaItem(AssetMixin):
    """Blocking view of ``discord.UnfurledMediaItem``."""

    @property
    def _discordha_object(self) -> discord.UnfurledMediaItem: ...
    def __new__(cls, url: str) -> discord.UnfurledMediaItem: ...
    url: str
    proxy_url: str | None
    height: int | None
    width: int | None
    content_type: str | None
    placeholder: str | None
    loading_state: discord.MediaItemLoadingState | None
    attachment_id: int | None
    @property
    def flags(self) -> discord.AttachmentFlags: ...
    def to_dict(self) -> Any: ...

class User(BaseUser, Messageable):
    """Blocking view of ``discord.User``."""

    @property
    def _discordha_object(self) -> discord.User: ...
    @property
    def dm_channel(self) -> DMChannel | None: ...
    @property
    def mutual_guilds(self) -> list[Guild]: ...
    def create_dm(self) -> DMChannel: ...

class VocalGuildChannel(Messageable, Connectable, GuildChannel):
    """Blocking view of ``discord.channel.VocalGuildChannel``."""

    @property
    def _discordha_object(self) -> discord.channel.VocalGuildChannel: ...
    id: int
    guild: Guild
    name: str
    nsfw: bool
    rtc_region: str | None
    video_quality_mode: discord.VideoQualityMode
    category_id: int | None
    last_message_id: int | None
    position: int
    slowmode_delay: int
    bitrate: int
    user_limit: int
    def is_nsfw(self) -> bool: ...
    @property
    def members(self) -> list[Member]: ...
    @property
    def voice_states(self) -> dict[int, VoiceState]: ...
    @property
    def scheduled_events(self) -> list[ScheduledEvent]: ...
    def permissions_for(self, obj: Member | Role, /) -> discord.Permissions: ...
    @property
    def last_message(self) -> Message | None: ...
    def get_partial_message(self, message_id: int, /) -> PartialMessage: ...
    def delete_messages(
        self,
        messages: Iterable[discord.abc.Snowflake],
        *,
        reason: str | None = None,
    ) -> None: ...
    def purge(
        self,
        *,
        limit: int | None = 100,
        check: Callable[[Message], bool] = ...,
        before: discord.abc.Snowflake | datetime.datetime | None = None,
        after: discord.abc.Snowflake | datetime.datetime | None = None,
        around: discord.abc.Snowflake | datetime.datetime | None = None,
        oldest_first: bool | None = None,
        bulk: bool = True,
        reason: str | None = None,
    ) -> list[Message]: ...
    def webhooks(self) -> list[Webhook]: ...
    def create_webhook(
        self,
        *,
        name: str,
        avatar: bytes | None = None,
        reason: str | None = None,
    ) -> Webhook: ...
    def clone(
        self,
        *,
        name: str | None = None,
        category: CategoryChannel | None = None,
        reason: str | None = None,
    ) -> Self: ...

class VoiceChannel(VocalGuildChannel):
    """Blocking view of ``discord.VoiceChannel``."""

    @property
    def _discordha_object(self) -> discord.VoiceChannel: ...
    @property
    def type(self) -> Literal['voice', 2]: ...
    @overload
    def edit(self) -> None: ...
    @overload
    def edit(self, *, position: int, reason: str | None = ...) -> None: ...
    @overload
    def edit(
        self,
        *,
        name: str = ...,
        nsfw: bool = ...,
        bitrate: int = ...,
        user_limit: int = ...,
        position: int = ...,
        sync_permissions: int = ...,
        category: CategoryChannel | None = ...,
        overwrites: Mapping[OverwriteKeyT, discord.PermissionOverwrite] = ...,
        rtc_region: str | None = ...,
        video_quality_mode: discord.VideoQualityMode = ...,
        slowmode_delay: int = ...,
        status: str | None = ...,
        reason: str | None = ...,
    ) -> VoiceChannel: ...
    def send_sound(self, sound: SoundboardSound | SoundboardDefaultSound, /) -> None: ...

class VoiceChannelEffect(_View):
    """Blocking view of ``discord.VoiceChannelEffect``."""

    @property
    def _discordha_object(self) -> discord.VoiceChannelEffect: ...
    channel: VoiceChannel
    user: Member | None
    animation: VoiceChannelEffectAnimation | None
    emoji: PartialEmoji | None
    sound: VoiceChannelSoundEffect | None
    def is_sound(self) -> bool: ...

class VoiceChannelEffectAnimation(NamedTuple):
    id: int
    type: discord.VoiceChannelEffectAnimationType

class VoiceChannelSoundEffect(BaseSoundboardSound):
    """Blocking view of ``discord.VoiceChannelSoundEffect``."""

    @property
    def _discordha_object(self) -> discord.VoiceChannelSoundEffect: ...
    @property
    def created_at(self) -> datetime.datetime | None: ...
    def is_default(self) -> bool: ...

class VoiceClient(_View, discord.VoiceProtocol):
    """Blocking view of ``discord.VoiceClient``."""

    @property
    def _discordha_object(self) -> discord.VoiceClient: ...
    channel: VoiceChannel | StageChannel
    server_id: int
    socket: Any
    loop: asyncio.AbstractEventLoop
    sequence: int
    timestamp: int
    encoder: discord.opus.Encoder
    warn_nacl: bool
    warn_dave: bool
    supported_modes: tuple[discord.types.voice.SupportedModes, ...]
    @property
    def guild(self) -> Guild: ...
    @property
    def user(self) -> ClientUser: ...
    @property
    def session_id(self) -> str | None: ...
    @property
    def token(self) -> str | None: ...
    @property
    def endpoint(self) -> str | None: ...
    @property
    def ssrc(self) -> int: ...
    @property
    def mode(self) -> discord.types.voice.SupportedModes: ...
    @property
    def secret_key(self) -> list[int]: ...
    @property
    def ws(self) -> discord.gateway.DiscordVoiceWebSocket: ...
    @property
    def timeout(self) -> float: ...
    @property
    def voice_privacy_code(self) -> str | None: ...
    def checked_add(self, attr: str, value: int, limit: int) -> None: ...
    def create_connection_state(self) -> discord.voice_state.VoiceConnectionState: ...
    def on_voice_state_update(self, data: discord.types.voice.GuildVoiceState) -> None: ...
    def on_voice_server_update(self, data: discord.types.voice.VoiceServerUpdate) -> None: ...
    def connect(
        self,
        *,
        reconnect: bool,
        timeout: float,
        self_deaf: bool = False,
        self_mute: bool = False,
    ) -> None: ...
    def wait_until_connected(self, timeout: float | None = 30.0) -> bool: ...
    @property
    def latency(self) -> float: ...
    @property
    def average_latency(self) -> float: ...
    def disconnect(self, *, force: bool = False) -> None: ...
    def move_to(self, channel: discord.abc.Snowflake | None, *, timeout: float | None = 30.0) -> None: ...
    def is_connected(self) -> bool: ...
    def play(
        self,
        source: discord.AudioSource,
        *,
        after: Callable[[Exception | None], Any] | None = None,
        application: Literal['audio', 'voip', 'lowdelay'] = 'audio',
        bitrate: int = 128,
        fec: bool = True,
        expected_packet_loss: float = 0.15,
        bandwidth: Literal['narrow', 'medium', 'wide', 'superwide', 'full'] = 'full',
        signal_type: Literal['auto', 'voice', 'music'] = 'auto',
    ) -> None: ...
    def is_playing(self) -> bool: ...
    def is_paused(self) -> bool: ...
    def stop(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    @property
    def source(self) -> discord.AudioSource | None: ...
    @source.setter
    def source(self, value: discord.AudioSource) -> None: ...
    def send_audio_packet(self, data: bytes, *, encode: bool = True) -> None: ...

class VoiceState(_View):
    """Blocking view of ``discord.VoiceState``."""

    @property
    def _discordha_object(self) -> discord.VoiceState: ...
    session_id: str | None
    self_mute: bool
    self_deaf: bool
    self_stream: bool
    self_video: bool
    afk: bool
    mute: bool
    deaf: bool
    suppress: bool
    requested_to_speak_at: datetime.datetime | None
    channel: VoiceChannel | StageChannel | None

class Webhook(BaseWebhook):
    """Blocking view of ``discord.Webhook``."""

    @property
    def _discordha_object(self) -> discord.Webhook: ...
    session: aiohttp.ClientSession
    proxy: str | None
    proxy_auth: aiohttp.BasicAuth | None
    @property
    def url(self) -> str: ...
    @classmethod
    def partial(
        cls,
        id: int,
        token: str,
        *,
        session: aiohttp.ClientSession = ...,
        client: discord.Client = ...,
        bot_token: str | None = None,
    ) -> discord.Webhook: ...
    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        session: aiohttp.ClientSession = ...,
        client: discord.Client = ...,
        bot_token: str | None = None,
    ) -> discord.Webhook: ...
    @classmethod
    def from_state(
        cls,
        data: discord.types.webhook.Webhook,
        state: discord.state.ConnectionState,
    ) -> discord.Webhook: ...
    def fetch(self, *, prefer_auth: bool = True) -> Webhook: ...
    def delete(self, *, reason: str | None = None, prefer_auth: bool = True) -> None: ...
    def edit(
        self,
        *,
        reason: str | None = None,
        name: str | None = ...,
        avatar: bytes | None = ...,
        channel: discord.abc.Snowflake | None = None,
        prefer_auth: bool = True,
    ) -> Webhook: ...
    @overload
    def send(
        self,
        *,
        username: str = ...,
        avatar_url: Any = ...,
        ephemeral: bool = ...,
        file: discord.File = ...,
        files: Sequence[discord.File] = ...,
        allowed_mentions: discord.AllowedMentions = ...,
        view: discord.ui.LayoutView,
        wait: Literal[True],
        thread: discord.abc.Snowflake = ...,
        thread_name: str = ...,
        suppress_embeds: bool = ...,
        silent: bool = ...,
        applied_tags: list[ForumTag | discord.ForumTag] = ...,
    ) -> WebhookMessage: ...
    @overload
    def send(
        self,
        *,
        username: str = ...,
        avatar_url: Any = ...,
        ephemeral: bool = ...,
        file: discord.File = ...,
        files: Sequence[discord.File] = ...,
        allowed_mentions: discord.AllowedMentions = ...,
        view: discord.ui.LayoutView,
        wait: Literal[False] = ...,
        thread: discord.abc.Snowflake = ...,
        thread_name: str = ...,
        suppress_embeds: bool = ...,
        silent: bool = ...,
        applied_tags: list[ForumTag | discord.ForumTag] = ...,
    ) -> None: ...
    @overload
    def send(
        self,
        content: str = ...,
        *,
        username: str = ...,
        avatar_url: Any = ...,
        tts: bool = ...,
        ephemeral: bool = ...,
        file: discord.File = ...,
        files: Sequence[discord.File] = ...,
        embed: discord.Embed = ...,
        embeds: Sequence[discord.Embed] = ...,
        allowed_mentions: discord.AllowedMentions = ...,
        view: discord.ui.View = ...,
        thread: discord.abc.Snowflake = ...,
        thread_name: str = ...,
        wait: Literal[True],
        suppress_embeds: bool = ...,
        silent: bool = ...,
        applied_tags: list[ForumTag | discord.ForumTag] = ...,
        poll: Poll | discord.Poll = ...,
    ) -> WebhookMessage: ...
    @overload
    def send(
        self,
        content: str = ...,
        *,
        username: str = ...,
        avatar_url: Any = ...,
        tts: bool = ...,
        ephemeral: bool = ...,
        file: discord.File = ...,
        files: Sequence[discord.File] = ...,
        embed: discord.Embed = ...,
        embeds: Sequence[discord.Embed] = ...,
        allowed_mentions: discord.AllowedMentions = ...,
        view: discord.ui.View = ...,
        thread: discord.abc.Snowflake = ...,
        thread_name: str = ...,
        wait: Literal[False] = ...,
        suppress_embeds: bool = ...,
        silent: bool = ...,
        applied_tags: list[ForumTag | discord.ForumTag] = ...,
        poll: Poll | discord.Poll = ...,
    ) -> None: ...
    def fetch_message(self, id: int, /, *, thread: discord.abc.Snowflake = ...) -> WebhookMessage: ...
    @overload
    def edit_message(
        self,
        message_id: int,
        *,
        attachments: Sequence[Attachment | discord.File] = ...,
        view: discord.ui.LayoutView,
        allowed_mentions: discord.AllowedMentions | None = ...,
        thread: discord.abc.Snowflake = ...,
    ) -> WebhookMessage: ...
    @overload
    def edit_message(
        self,
        message_id: int,
        *,
        content: str | None = ...,
        embeds: Sequence[discord.Embed] = ...,
        embed: discord.Embed | None = ...,
        attachments: Sequence[Attachment | discord.File] = ...,
        view: discord.ui.View | None = ...,
        allowed_mentions: discord.AllowedMentions | None = ...,
        thread: discord.abc.Snowflake = ...,
    ) -> WebhookMessage: ...
    def delete_message(self, message_id: int, /, *, thread: discord.abc.Snowflake = ...) -> None: ...

class WebhookMessage(Message):
    """Blocking view of ``discord.WebhookMessage``."""

    @property
    def _discordha_object(self) -> discord.WebhookMessage: ...
    def edit(
        self,
        *,
        content: str | None = ...,
        embeds: Sequence[discord.Embed] = ...,
        embed: discord.Embed | None = ...,
        attachments: Sequence[Attachment | discord.File] = ...,
        view: discord.ui.view.BaseView | None = ...,
        allowed_mentions: discord.AllowedMentions | None = None,
    ) -> WebhookMessage: ...
    def add_files(self, *files: discord.File) -> WebhookMessage: ...
    def remove_attachments(self, *attachments: Attachment) -> WebhookMessage: ...
    def delete(self, *, delay: float | None = None) -> None: ...

class WelcomeChannel(_View):
    """Blocking view of ``discord.WelcomeChannel``."""

    @property
    def _discordha_object(self) -> discord.WelcomeChannel: ...
    def __new__(
        cls,
        *,
        channel: discord.abc.Snowflake,
        description: str,
        emoji: discord.Emoji | discord.PartialEmoji | str | None = None,
    ) -> discord.WelcomeChannel: ...
    channel: discord.abc.Snowflake
    description: str
    emoji: Emoji | PartialEmoji | None
    def to_dict(self) -> discord.types.welcome_screen.WelcomeScreenChannel: ...

class WelcomeScreen(_View):
    """Blocking view of ``discord.WelcomeScreen``."""

    @property
    def _discordha_object(self) -> discord.WelcomeScreen: ...
    description: str
    welcome_channels: list[WelcomeChannel]
    @property
    def enabled(self) -> bool: ...
    def edit(
        self,
        *,
        description: str = ...,
        welcome_channels: list[WelcomeChannel | discord.WelcomeChannel] = ...,
        enabled: bool = ...,
        reason: str | None = None,
    ) -> Self: ...

class Widget(_View):
    """Blocking view of ``discord.Widget``."""

    @property
    def _discordha_object(self) -> discord.Widget: ...
    name: str
    id: int
    channels: list[WidgetChannel]
    members: list[WidgetMember]
    presence_count: int
    @property
    def created_at(self) -> datetime.datetime: ...
    @property
    def json_url(self) -> str: ...
    @property
    def invite_url(self) -> str | None: ...
    def fetch_invite(self, *, with_counts: bool = True) -> Invite | None: ...

class WidgetChannel(_View):
    """Blocking view of ``discord.WidgetChannel``."""

    @property
    def _discordha_object(self) -> discord.WidgetChannel: ...
    def __new__(cls, id: int, name: str, position: int) -> discord.WidgetChannel: ...
    id: int
    name: str
    position: int
    @property
    def mention(self) -> str: ...
    @property
    def created_at(self) -> datetime.datetime: ...

class WidgetMember(BaseUser):
    """Blocking view of ``discord.WidgetMember``."""

    @property
    def _discordha_object(self) -> discord.WidgetMember: ...
    activity: discord.BaseActivity | discord.Spotify | None
    nick: str | None
    status: discord.Status
    deafened: bool | None
    muted: bool | None
    suppress: bool | None
    connected_channel: WidgetChannel | None
    @property
    def display_name(self) -> str: ...

class _AbcUser(_View, discord.abc.Snowflake):
    """Blocking view of ``discord.abc.User``."""

    @property
    def _discordha_object(self) -> discord.abc.User: ...
    name: str
    discriminator: str
    global_name: str | None
    bot: bool
    system: bool
    @property
    def display_name(self) -> str: ...
    @property
    def mention(self) -> str: ...
    @property
    def avatar(self) -> Asset | None: ...
    @property
    def avatar_decoration(self) -> Asset | None: ...
    @property
    def avatar_decoration_sku_id(self) -> int | None: ...
    @property
    def default_avatar(self) -> Asset: ...
    @property
    def display_avatar(self) -> Asset: ...
    def mentioned_in(self, message: Message) -> bool: ...

class _AuditLogProxy(_View):
    """Blocking view of ``discord.audit_logs._AuditLogProxy``."""

    @property
    def _discordha_object(self) -> discord.audit_logs._AuditLogProxy: ...

class _AuditLogProxyAutoModAction(_AuditLogProxy):
    """Blocking view of ``discord.audit_logs._AuditLogProxyAutoModAction``."""

    @property
    def _discordha_object(self) -> discord.audit_logs._AuditLogProxyAutoModAction: ...
    automod_rule_name: str
    automod_rule_trigger_type: str
    channel: GuildChannel | Thread | None

class _AuditLogProxyMemberDisconnect(_AuditLogProxy):
    """Blocking view of ``discord.audit_logs._AuditLogProxyMemberDisconnect``."""

    @property
    def _discordha_object(self) -> discord.audit_logs._AuditLogProxyMemberDisconnect: ...
    count: int

class _AuditLogProxyMemberKickOrMemberRoleUpdate(_AuditLogProxy):
    """Blocking view of ``discord.audit_logs._AuditLogProxyMemberKickOrMemberRoleUpdate``."""

    @property
    def _discordha_object(self) -> discord.audit_logs._AuditLogProxyMemberKickOrMemberRoleUpdate: ...
    integration_type: str | None

class _AuditLogProxyMemberMoveOrMessageDelete(_AuditLogProxy):
    """Blocking view of ``discord.audit_logs._AuditLogProxyMemberMoveOrMessageDelete``."""

    @property
    def _discordha_object(self) -> discord.audit_logs._AuditLogProxyMemberMoveOrMessageDelete: ...
    channel: GuildChannel | Thread
    count: int

class _AuditLogProxyMemberPrune(_AuditLogProxy):
    """Blocking view of ``discord.audit_logs._AuditLogProxyMemberPrune``."""

    @property
    def _discordha_object(self) -> discord.audit_logs._AuditLogProxyMemberPrune: ...
    delete_member_days: int
    members_removed: int

class _AuditLogProxyMessageBulkDelete(_AuditLogProxy):
    """Blocking view of ``discord.audit_logs._AuditLogProxyMessageBulkDelete``."""

    @property
    def _discordha_object(self) -> discord.audit_logs._AuditLogProxyMessageBulkDelete: ...
    count: int

class _AuditLogProxyPinAction(_AuditLogProxy):
    """Blocking view of ``discord.audit_logs._AuditLogProxyPinAction``."""

    @property
    def _discordha_object(self) -> discord.audit_logs._AuditLogProxyPinAction: ...
    channel: GuildChannel | Thread
    message_id: int

class _AuditLogProxyStageInstanceAction(_AuditLogProxy):
    """Blocking view of ``discord.audit_logs._AuditLogProxyStageInstanceAction``."""

    @property
    def _discordha_object(self) -> discord.audit_logs._AuditLogProxyStageInstanceAction: ...
    channel: GuildChannel

class _BaseCreateChannelOptions(TypedDict, total=False):
    reason: str | None
    position: int

class _CreateForumChannelOptions(_CreateTextChannelOptions, total=False):
    topic: str
    slowmode_delay: int
    nsfw: bool
    overwrites: Mapping[Role | Member | discord.Object, discord.PermissionOverwrite]
    default_auto_archive_duration: int
    default_thread_slowmode_delay: int
    default_sort_order: discord.ForumOrderType
    default_reaction_emoji: Emoji | PartialEmoji | discord.PartialEmoji | str
    default_layout: discord.ForumLayoutType
    available_tags: Sequence[ForumTag | discord.ForumTag]

class _CreateStageChannelOptions(_CreateVoiceChannelOptions, total=False):
    bitrate: int
    user_limit: int
    rtc_region: str | None
    video_quality_mode: discord.VideoQualityMode
    overwrites: Mapping[Role | Member | discord.Object, discord.PermissionOverwrite]

class _CreateTextChannelOptions(_BaseCreateChannelOptions, total=False):
    topic: str
    slowmode_delay: int
    nsfw: bool
    overwrites: Mapping[Role | Member | discord.Object, discord.PermissionOverwrite]
    default_auto_archive_duration: int
    default_thread_slowmode_delay: int

class _CreateVoiceChannelOptions(_BaseCreateChannelOptions, total=False):
    bitrate: int
    user_limit: int
    rtc_region: str | None
    video_quality_mode: discord.VideoQualityMode
    overwrites: Mapping[Role | Member | discord.Object, discord.PermissionOverwrite]

class _EmojiTag(_View):
    """Blocking view of ``discord.partial_emoji._EmojiTag``."""

    @property
    def _discordha_object(self) -> discord.partial_emoji._EmojiTag: ...
    id: int

class _Overwrites(_View):
    """Blocking view of ``discord.abc._Overwrites``."""

    @property
    def _discordha_object(self) -> discord.abc._Overwrites: ...
    id: int
    allow: int
    deny: int
    type: discord.types.channel.OverwriteType
    def is_role(self) -> bool: ...
    def is_member(self) -> bool: ...

class _PinsIterator(_View):
    """Blocking view of ``discord.abc._PinsIterator``."""

    @property
    def _discordha_object(self) -> discord.abc._PinsIterator: ...
    def __iter__(self) -> BlockingIterator[PinnedMessage]: ...

class _StickerTag(AssetMixin):
    """Blocking view of ``discord.sticker._StickerTag``."""

    @property
    def _discordha_object(self) -> discord.sticker._StickerTag: ...
    id: int
    format: discord.StickerFormatType
    def read(self) -> bytes: ...

class _Undefined(_View):
    """Blocking view of ``discord.abc._Undefined``."""

    @property
    def _discordha_object(self) -> discord.abc._Undefined: ...

class _UserTag(_View):
    """Blocking view of ``discord.user._UserTag``."""

    @property
    def _discordha_object(self) -> discord.user._UserTag: ...
    id: int

class Wrap(Protocol):
    """From discord.py's object to its view."""

    @overload
    def __call__(self, value: discord.StageChannel, /) -> StageChannel: ...
    @overload
    def __call__(self, value: discord.VoiceChannel, /) -> VoiceChannel: ...
    @overload
    def __call__(self, value: discord.channel.VocalGuildChannel, /) -> VocalGuildChannel: ...
    @overload
    def __call__(self, value: discord.GuildSticker, /) -> GuildSticker: ...
    @overload
    def __call__(self, value: discord.StandardSticker, /) -> StandardSticker: ...
    @overload
    def __call__(self, value: discord.DMChannel, /) -> DMChannel: ...
    @overload
    def __call__(self, value: discord.GroupChannel, /) -> GroupChannel: ...
    @overload
    def __call__(self, value: discord.TextChannel, /) -> TextChannel: ...
    @overload
    def __call__(self, value: discord.VoiceChannelSoundEffect, /) -> VoiceChannelSoundEffect: ...
    @overload
    def __call__(self, value: discord.InteractionMessage, /) -> InteractionMessage: ...
    @overload
    def __call__(self, value: discord.SoundboardDefaultSound, /) -> SoundboardDefaultSound: ...
    @overload
    def __call__(self, value: discord.SoundboardSound, /) -> SoundboardSound: ...
    @overload
    def __call__(self, value: discord.Sticker, /) -> Sticker: ...
    @overload
    def __call__(self, value: discord.StickerItem, /) -> StickerItem: ...
    @overload
    def __call__(self, value: discord.WebhookMessage, /) -> WebhookMessage: ...
    @overload
    def __call__(self, value: discord.CategoryChannel, /) -> CategoryChannel: ...
    @overload
    def __call__(self, value: discord.ForumChannel, /) -> ForumChannel: ...
    @overload
    def __call__(self, value: discord.PartialMessageable, /) -> PartialMessageable: ...
    @overload
    def __call__(self, value: discord.Message, /) -> Message: ...
    @overload
    def __call__(self, value: discord.BaseSoundboardSound, /) -> BaseSoundboardSound: ...
    @overload
    def __call__(self, value: discord.sticker._StickerTag, /) -> _StickerTag: ...
    @overload
    def __call__(self, value: discord.Thread, /) -> Thread: ...
    @overload
    def __call__(self, value: discord.User, /) -> User: ...
    @overload
    def __call__(self, value: discord.Webhook, /) -> Webhook: ...
    @overload
    def __call__(self, value: discord.app_commands.AppCommand, /) -> AppCommand: ...
    @overload
    def __call__(self, value: discord.app_commands.AppCommandChannel, /) -> AppCommandChannel: ...
    @overload
    def __call__(self, value: discord.app_commands.AppCommandThread, /) -> AppCommandThread: ...
    @overload
    def __call__(self, value: discord.AuditLogEntry, /) -> AuditLogEntry: ...
    @overload
    def __call__(self, value: discord.ForumTag, /) -> ForumTag: ...
    @overload
    def __call__(self, value: discord.Emoji, /) -> Emoji: ...
    @overload
    def __call__(self, value: discord.Guild, /) -> Guild: ...
    @overload
    def __call__(self, value: discord.GuildPreview, /) -> GuildPreview: ...
    @overload
    def __call__(self, value: discord.Invite, /) -> Invite: ...
    @overload
    def __call__(self, value: discord.Member, /) -> Member: ...
    @overload
    def __call__(self, value: discord.Attachment, /) -> Attachment: ...
    @overload
    def __call__(self, value: discord.MessageInteraction, /) -> MessageInteraction: ...
    @overload
    def __call__(self, value: discord.MessageInteractionMetadata, /) -> MessageInteractionMetadata: ...
    @overload
    def __call__(self, value: discord.PartialMessage, /) -> PartialMessage: ...
    @overload
    def __call__(self, value: discord.OnboardingPromptOption, /) -> OnboardingPromptOption: ...
    @overload
    def __call__(self, value: discord.PartialEmoji, /) -> PartialEmoji: ...
    @overload
    def __call__(self, value: discord.Role, /) -> Role: ...
    @overload
    def __call__(self, value: discord.ScheduledEvent, /) -> ScheduledEvent: ...
    @overload
    def __call__(self, value: discord.StageInstance, /) -> StageInstance: ...
    @overload
    def __call__(self, value: discord.StickerPack, /) -> StickerPack: ...
    @overload
    def __call__(self, value: discord.Subscription, /) -> Subscription: ...
    @overload
    def __call__(self, value: discord.TeamMember, /) -> TeamMember: ...
    @overload
    def __call__(self, value: discord.ThreadMember, /) -> ThreadMember: ...
    @overload
    def __call__(self, value: discord.ClientUser, /) -> ClientUser: ...
    @overload
    def __call__(self, value: discord.webhook.async_.BaseWebhook, /) -> BaseWebhook: ...
    @overload
    def __call__(self, value: discord.PartialWebhookChannel, /) -> PartialWebhookChannel: ...
    @overload
    def __call__(self, value: discord.PartialWebhookGuild, /) -> PartialWebhookGuild: ...
    @overload
    def __call__(self, value: discord.WidgetMember, /) -> WidgetMember: ...
    @overload
    def __call__(self, value: discord.Asset, /) -> Asset: ...
    @overload
    def __call__(self, value: discord.audit_logs._AuditLogProxyAutoModAction, /) -> _AuditLogProxyAutoModAction: ...
    @overload
    def __call__(self, value: discord.audit_logs._AuditLogProxyMemberDisconnect, /) -> _AuditLogProxyMemberDisconnect: ...
    @overload
    def __call__(self, value: discord.audit_logs._AuditLogProxyMemberKickOrMemberRoleUpdate, /) -> _AuditLogProxyMemberKickOrMemberRoleUpdate: ...
    @overload
    def __call__(self, value: discord.audit_logs._AuditLogProxyMemberMoveOrMessageDelete, /) -> _AuditLogProxyMemberMoveOrMessageDelete: ...
    @overload
    def __call__(self, value: discord.audit_logs._AuditLogProxyMemberPrune, /) -> _AuditLogProxyMemberPrune: ...
    @overload
    def __call__(self, value: discord.audit_logs._AuditLogProxyMessageBulkDelete, /) -> _AuditLogProxyMessageBulkDelete: ...
    @overload
    def __call__(self, value: discord.audit_logs._AuditLogProxyPinAction, /) -> _AuditLogProxyPinAction: ...
    @overload
    def __call__(self, value: discord.audit_logs._AuditLogProxyStageInstanceAction, /) -> _AuditLogProxyStageInstanceAction: ...
    @overload
    def __call__(self, value: discord.ActionRow, /) -> ActionRow: ...
    @overload
    def __call__(self, value: discord.Button, /) -> Button: ...
    @overload
    def __call__(self, value: discord.CheckboxComponent, /) -> CheckboxComponent: ...
    @overload
    def __call__(self, value: discord.CheckboxGroupComponent, /) -> CheckboxGroupComponent: ...
    @overload
    def __call__(self, value: discord.CheckboxGroupOption, /) -> CheckboxGroupOption: ...
    @overload
    def __call__(self, value: discord.Container, /) -> Container: ...
    @overload
    def __call__(self, value: discord.FileComponent, /) -> FileComponent: ...
    @overload
    def __call__(self, value: discord.FileUploadComponent, /) -> FileUploadComponent: ...
    @overload
    def __call__(self, value: discord.LabelComponent, /) -> LabelComponent: ...
    @overload
    def __call__(self, value: discord.MediaGalleryComponent, /) -> MediaGalleryComponent: ...
    @overload
    def __call__(self, value: discord.RadioGroupComponent, /) -> RadioGroupComponent: ...
    @overload
    def __call__(self, value: discord.RadioGroupOption, /) -> RadioGroupOption: ...
    @overload
    def __call__(self, value: discord.SectionComponent, /) -> SectionComponent: ...
    @overload
    def __call__(self, value: discord.SelectMenu, /) -> SelectMenu: ...
    @overload
    def __call__(self, value: discord.SelectOption, /) -> SelectOption: ...
    @overload
    def __call__(self, value: discord.SeparatorComponent, /) -> SeparatorComponent: ...
    @overload
    def __call__(self, value: discord.TextDisplay, /) -> TextDisplay: ...
    @overload
    def __call__(self, value: discord.TextInput, /) -> TextInput: ...
    @overload
    def __call__(self, value: discord.ThumbnailComponent, /) -> ThumbnailComponent: ...
    @overload
    def __call__(self, value: discord.UnfurledMediaItem, /) -> UnfurledMediaItem: ...
    @overload
    def __call__(self, value: discord.BotIntegration, /) -> BotIntegration: ...
    @overload
    def __call__(self, value: discord.StreamIntegration, /) -> StreamIntegration: ...
    @overload
    def __call__(self, value: discord.Interaction, /) -> Interaction: ...
    @overload
    def __call__(self, value: discord.InteractionCallbackResponse, /) -> InteractionCallbackResponse: ...
    @overload
    def __call__(self, value: discord.InteractionResponse, /) -> InteractionResponse: ...
    @overload
    def __call__(self, value: discord.RawPresenceUpdateEvent, /) -> RawPresenceUpdateEvent: ...
    @overload
    def __call__(self, value: discord.RawAppCommandPermissionsUpdateEvent, /) -> RawAppCommandPermissionsUpdateEvent: ...
    @overload
    def __call__(self, value: discord.RawBulkMessageDeleteEvent, /) -> RawBulkMessageDeleteEvent: ...
    @overload
    def __call__(self, value: discord.RawIntegrationDeleteEvent, /) -> RawIntegrationDeleteEvent: ...
    @overload
    def __call__(self, value: discord.RawMemberRemoveEvent, /) -> RawMemberRemoveEvent: ...
    @overload
    def __call__(self, value: discord.RawMessageDeleteEvent, /) -> RawMessageDeleteEvent: ...
    @overload
    def __call__(self, value: discord.RawMessageUpdateEvent, /) -> RawMessageUpdateEvent: ...
    @overload
    def __call__(self, value: discord.RawPollVoteActionEvent, /) -> RawPollVoteActionEvent: ...
    @overload
    def __call__(self, value: discord.RawReactionActionEvent, /) -> RawReactionActionEvent: ...
    @overload
    def __call__(self, value: discord.RawReactionClearEmojiEvent, /) -> RawReactionClearEmojiEvent: ...
    @overload
    def __call__(self, value: discord.RawReactionClearEvent, /) -> RawReactionClearEvent: ...
    @overload
    def __call__(self, value: discord.RawThreadDeleteEvent, /) -> RawThreadDeleteEvent: ...
    @overload
    def __call__(self, value: discord.RawThreadMembersUpdate, /) -> RawThreadMembersUpdate: ...
    @overload
    def __call__(self, value: discord.RawThreadUpdateEvent, /) -> RawThreadUpdateEvent: ...
    @overload
    def __call__(self, value: discord.RawTypingEvent, /) -> RawTypingEvent: ...
    @overload
    def __call__(self, value: discord.AutoShardedClient, /) -> AutoShardedClient: ...
    @overload
    def __call__(self, value: discord.user.BaseUser, /) -> BaseUser: ...
    @overload
    def __call__(self, value: discord.VoiceClient, /) -> VoiceClient: ...
    @overload
    def __call__(self, value: discord.abc.GuildChannel, /) -> GuildChannel: ...
    @overload
    def __call__(self, value: discord.abc.Messageable, /) -> Messageable: ...
    @overload
    def __call__(self, value: discord.abc.PrivateChannel, /) -> PrivateChannel: ...
    @overload
    def __call__(self, value: discord.abc._Overwrites, /) -> _Overwrites: ...
    @overload
    def __call__(self, value: discord.abc._PinsIterator, /) -> _PinsIterator: ...
    @overload
    def __call__(self, value: discord.abc._Undefined, /) -> _Undefined: ...
    @overload
    def __call__(self, value: discord.app_commands.AllChannels, /) -> AllChannels: ...
    @overload
    def __call__(self, value: discord.app_commands.AppCommandGroup, /) -> AppCommandGroup: ...
    @overload
    def __call__(self, value: discord.app_commands.AppCommandPermissions, /) -> AppCommandPermissions: ...
    @overload
    def __call__(self, value: discord.app_commands.Argument, /) -> Argument: ...
    @overload
    def __call__(self, value: discord.app_commands.GuildAppCommandPermissions, /) -> GuildAppCommandPermissions: ...
    @overload
    def __call__(self, value: discord.app_commands.Namespace, /) -> Namespace: ...
    @overload
    def __call__(self, value: discord.AppInfo, /) -> AppInfo: ...
    @overload
    def __call__(self, value: discord.AppInstallParams, /) -> AppInstallParams: ...
    @overload
    def __call__(self, value: discord.IntegrationTypeConfig, /) -> IntegrationTypeConfig: ...
    @overload
    def __call__(self, value: discord.PartialAppInfo, /) -> PartialAppInfo: ...
    @overload
    def __call__(self, value: discord.asset.AssetMixin, /) -> AssetMixin: ...
    @overload
    def __call__(self, value: discord.AuditLogChanges, /) -> AuditLogChanges: ...
    @overload
    def __call__(self, value: discord.AuditLogDiff, /) -> AuditLogDiff: ...
    @overload
    def __call__(self, value: discord.audit_logs._AuditLogProxy, /) -> _AuditLogProxy: ...
    @overload
    def __call__(self, value: discord.AutoModAction, /) -> AutoModAction: ...
    @overload
    def __call__(self, value: discord.AutoModRule, /) -> AutoModRule: ...
    @overload
    def __call__(self, value: discord.AutoModRuleAction, /) -> AutoModRuleAction: ...
    @overload
    def __call__(self, value: discord.AutoModTrigger, /) -> AutoModTrigger: ...
    @overload
    def __call__(self, value: discord.VoiceChannelEffect, /) -> VoiceChannelEffect: ...
    @overload
    def __call__(self, value: discord.Client, /) -> Client: ...
    @overload
    def __call__(self, value: discord.Collectible, /) -> Collectible: ...
    @overload
    def __call__(self, value: discord.components.BaseOption, /) -> BaseOption: ...
    @overload
    def __call__(self, value: discord.Component, /) -> Component: ...
    @overload
    def __call__(self, value: discord.MediaGalleryItem, /) -> MediaGalleryItem: ...
    @overload
    def __call__(self, value: discord.SelectDefaultValue, /) -> SelectDefaultValue: ...
    @overload
    def __call__(self, value: discord.context_managers.Typing, /) -> Typing: ...
    @overload
    def __call__(self, value: discord.Integration, /) -> Integration: ...
    @overload
    def __call__(self, value: discord.IntegrationAccount, /) -> IntegrationAccount: ...
    @overload
    def __call__(self, value: discord.IntegrationApplication, /) -> IntegrationApplication: ...
    @overload
    def __call__(self, value: discord.PartialIntegration, /) -> PartialIntegration: ...
    @overload
    def __call__(self, value: discord.InteractionCallbackActivityInstance, /) -> InteractionCallbackActivityInstance: ...
    @overload
    def __call__(self, value: discord.PartialInviteChannel, /) -> PartialInviteChannel: ...
    @overload
    def __call__(self, value: discord.PartialInviteGuild, /) -> PartialInviteGuild: ...
    @overload
    def __call__(self, value: discord.VoiceState, /) -> VoiceState: ...
    @overload
    def __call__(self, value: discord.CallMessage, /) -> CallMessage: ...
    @overload
    def __call__(self, value: discord.DeletedReferencedMessage, /) -> DeletedReferencedMessage: ...
    @overload
    def __call__(self, value: discord.GuildProductPurchase, /) -> GuildProductPurchase: ...
    @overload
    def __call__(self, value: discord.MessageApplication, /) -> MessageApplication: ...
    @overload
    def __call__(self, value: discord.MessageReference, /) -> MessageReference: ...
    @overload
    def __call__(self, value: discord.MessageSnapshot, /) -> MessageSnapshot: ...
    @overload
    def __call__(self, value: discord.PurchaseNotification, /) -> PurchaseNotification: ...
    @overload
    def __call__(self, value: discord.RoleSubscriptionInfo, /) -> RoleSubscriptionInfo: ...
    @overload
    def __call__(self, value: discord.Onboarding, /) -> Onboarding: ...
    @overload
    def __call__(self, value: discord.OnboardingPrompt, /) -> OnboardingPrompt: ...
    @overload
    def __call__(self, value: discord.partial_emoji._EmojiTag, /) -> _EmojiTag: ...
    @overload
    def __call__(self, value: discord.Poll, /) -> Poll: ...
    @overload
    def __call__(self, value: discord.PollAnswer, /) -> PollAnswer: ...
    @overload
    def __call__(self, value: discord.PollMedia, /) -> PollMedia: ...
    @overload
    def __call__(self, value: discord.ClientStatus, /) -> ClientStatus: ...
    @overload
    def __call__(self, value: discord.PrimaryGuild, /) -> PrimaryGuild: ...
    @overload
    def __call__(self, value: discord.Reaction, /) -> Reaction: ...
    @overload
    def __call__(self, value: discord.RoleTags, /) -> RoleTags: ...
    @overload
    def __call__(self, value: discord.SessionStartLimits, /) -> SessionStartLimits: ...
    @overload
    def __call__(self, value: discord.ShardInfo, /) -> ShardInfo: ...
    @overload
    def __call__(self, value: discord.Entitlement, /) -> Entitlement: ...
    @overload
    def __call__(self, value: discord.SKU, /) -> SKU: ...
    @overload
    def __call__(self, value: discord.Team, /) -> Team: ...
    @overload
    def __call__(self, value: discord.Template, /) -> Template: ...
    @overload
    def __call__(self, value: discord.user._UserTag, /) -> _UserTag: ...
    @overload
    def __call__(self, value: discord.WelcomeChannel, /) -> WelcomeChannel: ...
    @overload
    def __call__(self, value: discord.WelcomeScreen, /) -> WelcomeScreen: ...
    @overload
    def __call__(self, value: discord.Widget, /) -> Widget: ...
    @overload
    def __call__(self, value: discord.WidgetChannel, /) -> WidgetChannel: ...
    @overload
    def __call__(self, value: discord.abc.User, /) -> _AbcUser: ...
    @overload
    def __call__(self, value: discord.abc.Connectable, /) -> Connectable: ...
    @overload
    def __call__(self, value: None, /) -> None: ...
    @overload
    def __call__(self, value: object, /) -> Any: ...
