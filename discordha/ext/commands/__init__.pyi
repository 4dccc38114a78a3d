"""The names of ``discordha.ext.commands`` as type checkers see them: methods block, and objects are views.

Written by hand. ``tests/unit/project/test_command_stubs.py`` compares it with the package.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any, ClassVar, Generic, Protocol, Self

import discord
from discord.ext.commands import (
    ArgumentParsingError as ArgumentParsingError,
)
from discord.ext.commands import (
    Author as Author,
)
from discord.ext.commands import (
    BadArgument as BadArgument,
)
from discord.ext.commands import (
    BadBoolArgument as BadBoolArgument,
)
from discord.ext.commands import (
    BadColorArgument as BadColorArgument,
)
from discord.ext.commands import (
    BadColourArgument as BadColourArgument,
)
from discord.ext.commands import (
    BadFlagArgument as BadFlagArgument,
)
from discord.ext.commands import (
    BadInviteArgument as BadInviteArgument,
)
from discord.ext.commands import (
    BadLiteralArgument as BadLiteralArgument,
)
from discord.ext.commands import (
    BadTimestampArgument as BadTimestampArgument,
)
from discord.ext.commands import (
    BadUnionArgument as BadUnionArgument,
)
from discord.ext.commands import (
    BotMissingAnyRole as BotMissingAnyRole,
)
from discord.ext.commands import (
    BotMissingPermissions as BotMissingPermissions,
)
from discord.ext.commands import (
    BotMissingRole as BotMissingRole,
)
from discord.ext.commands import (
    BucketType as BucketType,
)
from discord.ext.commands import (
    ChannelNotFound as ChannelNotFound,
)
from discord.ext.commands import (
    ChannelNotReadable as ChannelNotReadable,
)
from discord.ext.commands import (
    CheckAnyFailure as CheckAnyFailure,
)
from discord.ext.commands import (
    CheckFailure as CheckFailure,
)
from discord.ext.commands import (
    CommandError as CommandError,
)
from discord.ext.commands import (
    CommandInvokeError as CommandInvokeError,
)
from discord.ext.commands import (
    CommandNotFound as CommandNotFound,
)
from discord.ext.commands import (
    CommandOnCooldown as CommandOnCooldown,
)
from discord.ext.commands import (
    CommandRegistrationError as CommandRegistrationError,
)
from discord.ext.commands import (
    ConversionError as ConversionError,
)
from discord.ext.commands import (
    Cooldown as Cooldown,
)
from discord.ext.commands import (
    CooldownMapping as CooldownMapping,
)
from discord.ext.commands import (
    CurrentChannel as CurrentChannel,
)
from discord.ext.commands import (
    CurrentGuild as CurrentGuild,
)
from discord.ext.commands import (
    DisabledCommand as DisabledCommand,
)
from discord.ext.commands import (
    DynamicCooldownMapping as DynamicCooldownMapping,
)
from discord.ext.commands import (
    EmojiNotFound as EmojiNotFound,
)
from discord.ext.commands import (
    ExpectedClosingQuoteError as ExpectedClosingQuoteError,
)
from discord.ext.commands import (
    ExtensionAlreadyLoaded as ExtensionAlreadyLoaded,
)
from discord.ext.commands import (
    ExtensionError as ExtensionError,
)
from discord.ext.commands import (
    ExtensionFailed as ExtensionFailed,
)
from discord.ext.commands import (
    ExtensionNotFound as ExtensionNotFound,
)
from discord.ext.commands import (
    ExtensionNotLoaded as ExtensionNotLoaded,
)
from discord.ext.commands import (
    Flag as Flag,
)
from discord.ext.commands import FlagConverter as _FlagConverter
from discord.ext.commands import (
    FlagError as FlagError,
)
from discord.ext.commands import (
    Greedy as Greedy,
)
from discord.ext.commands import (
    GuildNotFound as GuildNotFound,
)
from discord.ext.commands import (
    GuildStickerNotFound as GuildStickerNotFound,
)
from discord.ext.commands import (
    HybridCommandError as HybridCommandError,
)
from discord.ext.commands import IDConverter as IDConverter
from discord.ext.commands import (
    InvalidEndOfQuotedStringError as InvalidEndOfQuotedStringError,
)
from discord.ext.commands import (
    MaxConcurrencyReached as MaxConcurrencyReached,
)
from discord.ext.commands import (
    MemberNotFound as MemberNotFound,
)
from discord.ext.commands import (
    MessageNotFound as MessageNotFound,
)
from discord.ext.commands import (
    MissingAnyRole as MissingAnyRole,
)
from discord.ext.commands import (
    MissingFlagArgument as MissingFlagArgument,
)
from discord.ext.commands import (
    MissingPermissions as MissingPermissions,
)
from discord.ext.commands import (
    MissingRequiredArgument as MissingRequiredArgument,
)
from discord.ext.commands import (
    MissingRequiredAttachment as MissingRequiredAttachment,
)
from discord.ext.commands import (
    MissingRequiredFlag as MissingRequiredFlag,
)
from discord.ext.commands import (
    MissingRole as MissingRole,
)
from discord.ext.commands import (
    NoEntryPointError as NoEntryPointError,
)
from discord.ext.commands import (
    NoPrivateMessage as NoPrivateMessage,
)
from discord.ext.commands import (
    NotOwner as NotOwner,
)
from discord.ext.commands import (
    NSFWChannelRequired as NSFWChannelRequired,
)
from discord.ext.commands import (
    ObjectNotFound as ObjectNotFound,
)
from discord.ext.commands import (
    Paginator as Paginator,
)
from discord.ext.commands import (
    Parameter as Parameter,
)
from discord.ext.commands import (
    PartialEmojiConversionFailure as PartialEmojiConversionFailure,
)
from discord.ext.commands import (
    PrivateMessageOnly as PrivateMessageOnly,
)
from discord.ext.commands import (
    Range as Range,
)
from discord.ext.commands import (
    RangeError as RangeError,
)
from discord.ext.commands import (
    RoleNotFound as RoleNotFound,
)
from discord.ext.commands import (
    ScheduledEventNotFound as ScheduledEventNotFound,
)
from discord.ext.commands import (
    SoundboardSoundNotFound as SoundboardSoundNotFound,
)
from discord.ext.commands import (
    ThreadNotFound as ThreadNotFound,
)
from discord.ext.commands import (
    Timestamp as Timestamp,
)
from discord.ext.commands import (
    TooManyArguments as TooManyArguments,
)
from discord.ext.commands import (
    TooManyFlags as TooManyFlags,
)
from discord.ext.commands import (
    UnexpectedQuoteError as UnexpectedQuoteError,
)
from discord.ext.commands import (
    UserInputError as UserInputError,
)
from discord.ext.commands import (
    UserNotFound as UserNotFound,
)
from discord.ext.commands import (
    flag as flag,
)
from discord.ext.commands import (
    param as param,
)
from discord.ext.commands import (
    parameter as parameter,
)
from discord.ext.commands import (
    when_mentioned as when_mentioned,
)
from discord.ext.commands import (
    when_mentioned_or as when_mentioned_or,
)
from typing_extensions import TypeVar

from discordha import DiscordHA, app_commands, views
from discordha.config import Config

_F = TypeVar("_F", bound=Callable[..., Any])
_C = TypeVar("_C")
_T_co = TypeVar("_T_co", default=Any, covariant=True)
_BotT_co = TypeVar("_BotT_co", bound=Bot, default=Any, covariant=True)
_ContextT = TypeVar("_ContextT", bound=Context)
_CogT = TypeVar("_CogT", bound=Cog)
_CommandT = TypeVar("_CommandT", bound=Command)

class _Check(Protocol):
    """A decorator that adds a check."""

    predicate: Callable[[Context], bool]
    def __call__(self, target: _C, /) -> _C: ...

class Context(Generic[_BotT_co]):
    """See ``discordha.ext.commands.Context``."""

    args: list[Any]
    author: views.User | views.Member
    bot: _BotT_co
    channel: (
        views.TextChannel
        | views.VoiceChannel
        | views.StageChannel
        | views.Thread
        | views.DMChannel
        | views.PartialMessageable
        | views.GroupChannel
    )
    command: Command | None
    command_failed: bool
    current_argument: str | None
    current_parameter: Parameter | None
    guild: views.Guild | None
    interaction: views.Interaction | None
    invoked_parents: list[str]
    invoked_subcommand: Command | None
    invoked_with: str | None
    kwargs: dict[str, Any]
    me: views.Member | views.ClientUser
    message: views.Message
    prefix: str | None
    subcommand_passed: str | None
    @property
    def bot_permissions(self) -> discord.Permissions: ...
    @property
    def clean_prefix(self) -> str: ...
    @property
    def cog(self) -> Cog | None: ...
    @property
    def filesize_limit(self) -> int: ...
    @property
    def permissions(self) -> discord.Permissions: ...
    @property
    def valid(self) -> bool: ...
    @property
    def voice_client(self) -> Any: ...
    def defer(self, *, ephemeral: bool = False) -> None: ...
    def fetch_message(self, id: int, /) -> views.Message: ...
    def from_interaction(self, interaction: Any, /) -> Self: ...
    def history(self, *, limit: int | None = 100, **options: Any) -> Iterator[views.Message]: ...
    def invoke(self, command: Command, /, *args: Any, **kwargs: Any) -> Any: ...
    def pins(self, *, limit: int | None = 50, **options: Any) -> Iterator[views.Message]: ...
    def reinvoke(self, *, call_hooks: bool = False, restart: bool = True) -> None: ...
    def reply(self, content: Any = None, **options: Any) -> views.Message: ...
    def send(self, content: Any = None, **options: Any) -> views.Message: ...
    def send_help(self, *args: Any) -> Any: ...
    def typing(self, *, ephemeral: bool = False) -> AbstractContextManager[None]: ...

class Command:
    """See ``discordha.ext.commands.Command``."""

    aliases: list[str] | tuple[str, ...]
    brief: str | None
    callback: Callable[..., Any]
    checks: list[Callable[..., Any]]
    description: str
    enabled: bool
    extras: dict[Any, Any]
    help: str | None
    hidden: bool
    name: str
    ordering: str | None
    params: dict[str, Parameter]
    parent: Group | None
    usage: str | None
    def __init__(self, func: Callable[..., Any], /, **kwargs: Any) -> None: ...
    def __call__(self, context: Context, /, *args: Any, **kwargs: Any) -> Any: ...
    @property
    def clean_params(self) -> dict[str, Parameter]: ...
    @property
    def cog(self) -> Any: ...
    @property
    def cog_name(self) -> str | None: ...
    @property
    def cooldown(self) -> Cooldown | None: ...
    @property
    def full_parent_name(self) -> str: ...
    @property
    def parents(self) -> list[Group]: ...
    @property
    def qualified_name(self) -> str: ...
    @property
    def root_parent(self) -> Group | None: ...
    @property
    def short_doc(self) -> str: ...
    @property
    def signature(self) -> str: ...
    def add_check(self, func: Callable[..., Any], /) -> None: ...
    def after_invoke(self, coro: _F, /) -> _F: ...
    def before_invoke(self, coro: _F, /) -> _F: ...
    def can_run(self, ctx: Context, /) -> bool: ...
    def copy(self) -> Self: ...
    def error(self, coro: _F, /) -> _F: ...
    def get_cooldown_retry_after(self, ctx: Context, /) -> float: ...
    def has_error_handler(self) -> bool: ...
    def is_on_cooldown(self, ctx: Context, /) -> bool: ...
    def remove_check(self, func: Callable[..., Any], /) -> None: ...
    def reset_cooldown(self, ctx: Context, /) -> None: ...
    def update(self, **kwargs: Any) -> None: ...

class GroupMixin:
    """See ``discordha.ext.commands.GroupMixin``."""

    all_commands: dict[str, Command]
    case_insensitive: bool
    @property
    def commands(self) -> set[Command]: ...
    def add_command(self, command: Command, /) -> None: ...
    def command(
        self, name: str = ..., cls: Any = ..., **attrs: Any
    ) -> Callable[[Callable[..., Any]], Command]: ...
    def get_command(self, name: str, /) -> Command | None: ...
    def group(
        self, name: str = ..., cls: Any = ..., **attrs: Any
    ) -> Callable[[Callable[..., Any]], Group]: ...
    def remove_command(self, name: str, /) -> Command | None: ...
    def walk_commands(self) -> Iterator[Command]: ...

class Group(GroupMixin, Command):
    """See ``discordha.ext.commands.Group``."""

    invoke_without_command: bool

class HybridCommand(Command):
    """See ``discordha.ext.commands.HybridCommand``."""

    app_command: Any
    with_app_command: bool
    def autocomplete(self, name: str) -> Callable[[_F], _F]: ...

class HybridGroup(HybridCommand, Group):
    """See ``discordha.ext.commands.HybridGroup``."""

    fallback: str | None
    def command(  # type: ignore[override]
        self, name: Any = ..., *, with_app_command: bool = True, **kwargs: Any
    ) -> Callable[[Callable[..., Any]], HybridCommand]: ...
    def group(  # type: ignore[override]
        self, name: Any = ..., *, with_app_command: bool = True, **kwargs: Any
    ) -> Callable[[Callable[..., Any]], HybridGroup]: ...

class CogMeta(type): ...

class Cog(metaclass=CogMeta):
    """See ``discordha.ext.commands.Cog``."""

    __cog_name__: str
    def __init_subclass__(
        cls,
        *,
        name: str = ...,
        description: str = ...,
        command_attrs: Mapping[str, Any] = ...,
        group_name: Any = ...,
        group_description: Any = ...,
        group_nsfw: bool = ...,
        group_auto_locale_strings: bool = ...,
        group_extras: Mapping[Any, Any] = ...,
    ) -> None: ...
    @property
    def app_command(self) -> app_commands.Group | None: ...
    @property
    def description(self) -> str: ...
    @property
    def qualified_name(self) -> str: ...
    @classmethod
    def listener(cls, name: str = ..., *, ordering: str | None = None) -> Callable[[_F], _F]: ...
    def bot_check(self, ctx: Context, /) -> bool: ...
    def bot_check_once(self, ctx: Context, /) -> bool: ...
    def cog_after_invoke(self, ctx: Context, /) -> None: ...
    def cog_app_command_error(self, interaction: views.Interaction, error: Exception, /) -> None: ...
    def cog_before_invoke(self, ctx: Context, /) -> None: ...
    def cog_check(self, ctx: Context, /) -> bool: ...
    def cog_command_error(self, ctx: Context, error: Exception, /) -> None: ...
    def cog_load(self) -> None: ...
    def cog_unload(self) -> None: ...
    def get_app_commands(self) -> list[Any]: ...
    def get_commands(self) -> list[Command]: ...
    def get_listeners(self) -> list[tuple[str, Callable[..., Any]]]: ...
    def has_app_command_error_handler(self) -> bool: ...
    def has_error_handler(self) -> bool: ...
    def interaction_check(self, interaction: views.Interaction, /) -> bool: ...
    def walk_app_commands(self) -> Iterator[Any]: ...
    def walk_commands(self) -> Iterator[Command]: ...

class GroupCog(Cog): ...

class Bot(DiscordHA):
    """See ``discordha.ext.commands.Bot``."""

    all_commands: dict[str, Command]
    case_insensitive: bool
    command_prefix: Any
    description: str
    extra_events: dict[str, list[Callable[..., Any]]]
    help_command: HelpCommand | None
    owner_id: int | None
    owner_ids: Iterable[int] | None
    strip_after_prefix: bool
    def __init__(
        self,
        command_prefix: str | Iterable[str] | Callable[..., Any],
        *,
        config: Config | None = None,
        help_command: HelpCommand | None = ...,
        description: str | None = None,
        tree_cls: type[app_commands.CommandTree] | None = None,
        allowed_contexts: Any = ...,
        allowed_installs: Any = ...,
        **options: Any,
    ) -> None: ...
    @classmethod
    def from_env(cls, command_prefix: Any = None, **options: Any) -> Self: ...
    @property
    def cogs(self) -> Mapping[str, Cog]: ...
    @property
    def commands(self) -> set[Command]: ...
    @property
    def extensions(self) -> Mapping[str, ModuleType]: ...
    def add_check(self, func: _F, /, *, call_once: bool = False) -> None: ...
    def add_cog(
        self, cog: Cog, /, *, override: bool = False, guild: Any = ..., guilds: Any = ...
    ) -> None: ...
    def add_command(self, command: Command, /) -> None: ...
    def add_listener(self, func: Callable[..., Any], /, name: str = ...) -> None: ...
    def after_invoke(self, coro: _F, /) -> _F: ...
    def before_invoke(self, coro: _F, /) -> _F: ...
    def can_run(self, ctx: Context, /, *, call_once: bool = False) -> bool: ...
    def check(self, func: _F, /) -> _F: ...
    def check_once(self, func: _F, /) -> _F: ...
    def close(self) -> None: ...
    def command(  # type: ignore[override] # of prefix commands
        self, name: str = ..., cls: Any = ..., **attrs: Any
    ) -> Callable[[Callable[..., Any]], Command]: ...
    def dispatch(self, event_name: str, /, *args: Any, **kwargs: Any) -> None: ...
    def get_cog(self, name: str, /) -> Cog | None: ...
    def get_command(self, name: str, /) -> Command | None: ...
    def get_context(self, origin: Any, /, *, cls: Any = ...) -> Any: ...
    def get_prefix(self, message: views.Message, /) -> list[str] | str: ...
    def group(
        self, name: str = ..., cls: Any = ..., **attrs: Any
    ) -> Callable[[Callable[..., Any]], Group]: ...
    def hybrid_command(
        self, name: Any = ..., with_app_command: bool = True, **kwargs: Any
    ) -> Callable[[Callable[..., Any]], HybridCommand]: ...
    def hybrid_group(
        self, name: Any = ..., with_app_command: bool = True, **kwargs: Any
    ) -> Callable[[Callable[..., Any]], HybridGroup]: ...
    def invoke(self, ctx: Context, /) -> None: ...
    def is_owner(self, user: views.User | views.Member, /) -> bool: ...
    def load_extension(self, name: str, *, package: str | None = None) -> None: ...
    def process_commands(self, message: views.Message, /) -> None: ...
    def reload_extension(self, name: str, *, package: str | None = None) -> None: ...
    def remove_check(self, func: Callable[..., Any], /, *, call_once: bool = False) -> None: ...
    def remove_cog(self, name: str, /, *, guild: Any = ..., guilds: Any = ...) -> Cog | None: ...
    def remove_command(self, name: str, /) -> Command | None: ...
    def remove_listener(self, func: Callable[..., Any], /, name: str = ...) -> None: ...
    def run(self, token: str | None = None, **options: Any) -> None: ...
    def setup_hook(self) -> None: ...
    def unload_extension(self, name: str, *, package: str | None = None) -> None: ...
    def walk_commands(self) -> Iterator[Command]: ...

class AutoShardedBot(Bot): ...

class Converter(Generic[_T_co]):
    """See ``discordha.ext.commands.Converter``."""

    def convert(self, ctx: Context, argument: str) -> _T_co: ...

class FlagConverter(_FlagConverter): ...
class CategoryChannelConverter(Converter[views.CategoryChannel]): ...
class ColorConverter(Converter[discord.Colour]): ...
class ColourConverter(Converter[discord.Colour]): ...
class EmojiConverter(Converter[views.Emoji]): ...
class ForumChannelConverter(Converter[views.ForumChannel]): ...
class GameConverter(Converter[discord.Game]): ...
class GuildChannelConverter(Converter[views.GuildChannel]): ...
class GuildConverter(Converter[views.Guild]): ...
class GuildStickerConverter(Converter[views.GuildSticker]): ...
class InviteConverter(Converter[views.Invite]): ...
class MemberConverter(Converter[views.Member]): ...
class MessageConverter(Converter[views.Message]): ...
class ObjectConverter(Converter[discord.Object]): ...
class PartialEmojiConverter(Converter[views.PartialEmoji]): ...
class PartialMessageConverter(Converter[views.PartialMessage]): ...
class RoleConverter(Converter[views.Role]): ...
class ScheduledEventConverter(Converter[views.ScheduledEvent]): ...
class SoundboardSoundConverter(Converter[views.SoundboardSound]): ...
class StageChannelConverter(Converter[views.StageChannel]): ...
class TextChannelConverter(Converter[views.TextChannel]): ...
class ThreadConverter(Converter[views.Thread]): ...
class UserConverter(Converter[views.User]): ...
class VoiceChannelConverter(Converter[views.VoiceChannel]): ...

class clean_content(Converter[str]):
    """See ``discord.ext.commands.clean_content``."""

    def __init__(
        self,
        *,
        fix_channel_mentions: bool = False,
        use_nicknames: bool = True,
        escape_markdown: bool = False,
        remove_markdown: bool = False,
    ) -> None: ...

class HelpCommand:
    """See ``discord.ext.commands.HelpCommand``."""

    MENTION_PATTERN: ClassVar[Any]
    MENTION_TRANSFORMS: ClassVar[Mapping[str, str]]
    cog: Cog | None
    command_attrs: dict[str, Any]
    context: Context
    show_hidden: bool
    verify_checks: bool | None
    def __init__(self, **options: Any) -> None: ...
    @property
    def invoked_with(self) -> str | None: ...
    def add_check(self, func: Callable[..., Any], /) -> None: ...
    def command_callback(self, ctx: Context, /, *, command: str | None = None) -> None: ...
    def command_not_found(self, string: str, /) -> str: ...
    def copy(self) -> Self: ...
    def filter_commands(
        self,
        commands: Iterable[Command],
        /,
        *,
        sort: bool = False,
        key: Callable[[Command], Any] | None = None,
    ) -> list[Command]: ...
    def get_bot_mapping(self) -> dict[Cog | None, list[Command]]: ...
    def get_command_signature(self, command: Command, /) -> str: ...
    def get_destination(self) -> Any: ...
    def get_max_size(self, commands: Sequence[Command], /) -> int: ...
    def on_help_command_error(self, ctx: Context, error: CommandError, /) -> None: ...
    def prepare_help_command(self, ctx: Context, command: str | None = None, /) -> None: ...
    def remove_check(self, func: Callable[..., Any], /) -> None: ...
    def remove_mentions(self, string: str, /) -> str: ...
    def send_bot_help(self, mapping: Mapping[Cog | None, list[Command]], /) -> None: ...
    def send_cog_help(self, cog: Cog, /) -> None: ...
    def send_command_help(self, command: Command, /) -> None: ...
    def send_error_message(self, error: str, /) -> None: ...
    def send_group_help(self, group: Group, /) -> None: ...
    def subcommand_not_found(self, command: Command, string: str, /) -> str: ...

class _Paged(HelpCommand):
    paginator: Paginator
    def get_ending_note(self) -> str: ...
    def add_command_formatting(self, command: Command, /) -> None: ...
    def send_pages(self) -> None: ...

class DefaultHelpCommand(_Paged):
    """See ``discord.ext.commands.DefaultHelpCommand``."""

    def add_command_arguments(self, command: Command, /) -> None: ...
    def add_indented_commands(
        self, commands: Sequence[Command], /, *, heading: str, max_size: int | None = None
    ) -> None: ...
    def shorten_text(self, text: str, /) -> str: ...

class MinimalHelpCommand(_Paged):
    """See ``discord.ext.commands.MinimalHelpCommand``."""

    def add_aliases_formatting(self, aliases: Sequence[str], /) -> None: ...
    def add_bot_commands_formatting(self, commands: Sequence[Command], heading: str, /) -> None: ...
    def add_subcommand_formatting(self, command: Command, /) -> None: ...
    def get_opening_note(self) -> str: ...

class MaxConcurrency:
    """See ``discord.ext.commands.MaxConcurrency``."""

    number: int
    per: BucketType
    wait: bool
    def __init__(self, number: int, *, per: BucketType, wait: bool) -> None: ...

def after_invoke(coro: Callable[..., Any], /) -> Callable[[_C], _C]: ...
def before_invoke(coro: Callable[..., Any], /) -> Callable[[_C], _C]: ...
def check(predicate: Callable[..., Any], /) -> _Check: ...
def check_any(*checks: _Check) -> _Check: ...
def command(name: str = ..., cls: Any = ..., **attrs: Any) -> Callable[[Callable[..., Any]], Command]: ...
def cooldown(
    rate: int, per: float, type: BucketType | Callable[[Any], Any] = ..., *, per_replica: bool = False
) -> Callable[[_C], _C]: ...
def dynamic_cooldown(
    cooldown: Callable[[Any], Cooldown | None],
    type: BucketType | Callable[[Any], Any],
    *,
    per_replica: bool = False,
) -> Callable[[_C], _C]: ...
def group(name: str = ..., cls: Any = ..., **attrs: Any) -> Callable[[Callable[..., Any]], Group]: ...
def hybrid_command(
    name: Any = ..., *, with_app_command: bool = True, **attrs: Any
) -> Callable[[Callable[..., Any]], HybridCommand]: ...
def hybrid_group(
    name: Any = ..., *, with_app_command: bool = True, **attrs: Any
) -> Callable[[Callable[..., Any]], HybridGroup]: ...
def max_concurrency(
    number: int, per: BucketType = ..., *, wait: bool = False, per_replica: bool = False
) -> Callable[[_C], _C]: ...
def run_converters(ctx: Context, converter: Any, argument: str, param: Parameter) -> Any: ...
def bot_has_any_role(*items: int | str) -> _Check: ...
def bot_has_guild_permissions(**perms: bool) -> _Check: ...
def bot_has_permissions(**perms: bool) -> _Check: ...
def bot_has_role(item: int | str, /) -> _Check: ...
def dm_only() -> _Check: ...
def guild_only() -> _Check: ...
def has_any_role(*items: int | str) -> _Check: ...
def has_guild_permissions(**perms: bool) -> _Check: ...
def has_permissions(**perms: bool) -> _Check: ...
def has_role(item: int | str, /) -> _Check: ...
def is_nsfw() -> _Check: ...
def is_owner() -> _Check: ...
