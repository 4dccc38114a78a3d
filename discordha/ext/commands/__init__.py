"""``discord.ext.commands`` with plain functions: import it in place of discord.py's.

How a command runs: every replica receives the message, and its gateway thread decides whether it calls a
command (``routing``). Only then is the message claimed, like every event. The handler thread that owns it
drives discord.py's own ``Bot.process_commands`` on the loop: parser, converters, checks, cooldowns, help and
error flow are discord.py's. Where those await a function of the author's, a coroutine function stands in that
hands the plain function to the handler thread (``discordha.commands.trampoline``). So commands, checks,
converters, hooks and error handlers run under the claim, with its fence and nonces.

A ``Context`` or ``Bot`` is one object for both: coroutines and discord.py's objects on the loop's thread,
blocking methods and views on all others (``sides``).

Code belongs here if it stands in for a class of ``discord.ext.commands``; what slash commands need, too,
belongs to ``discordha.commands``. Users import it.
"""

from __future__ import annotations

from typing import Any

from discord.ext import commands as _theirs

from discordha.ext.commands.bot import AutoShardedBot, Bot
from discordha.ext.commands.cog import Cog, CogMeta, GroupCog
from discordha.ext.commands.context import Context
from discordha.ext.commands.converters import CONVERTERS, Converter, FlagConverter
from discordha.ext.commands.core import (
    CHECK_FACTORIES,
    Command,
    Group,
    GroupMixin,
    after_invoke,
    before_invoke,
    check,
    check_any,
    command,
    group,
)
from discordha.ext.commands.help import DefaultHelpCommand, HelpCommand, MinimalHelpCommand
from discordha.ext.commands.hybrid import HybridCommand, HybridGroup, hybrid_command, hybrid_group
from discordha.ext.commands.limits import MaxConcurrency, cooldown, dynamic_cooldown, max_concurrency

__all__ = [
    "ArgumentParsingError",
    "Author",
    "AutoShardedBot",
    "BadArgument",
    "BadBoolArgument",
    "BadColorArgument",
    "BadColourArgument",
    "BadFlagArgument",
    "BadInviteArgument",
    "BadLiteralArgument",
    "BadTimestampArgument",
    "BadUnionArgument",
    "Bot",
    "BotMissingAnyRole",
    "BotMissingPermissions",
    "BotMissingRole",
    "BucketType",
    "CategoryChannelConverter",
    "ChannelNotFound",
    "ChannelNotReadable",
    "CheckAnyFailure",
    "CheckFailure",
    "Cog",
    "CogMeta",
    "ColorConverter",
    "ColourConverter",
    "Command",
    "CommandError",
    "CommandInvokeError",
    "CommandNotFound",
    "CommandOnCooldown",
    "CommandRegistrationError",
    "Context",
    "ConversionError",
    "Converter",
    "Cooldown",
    "CooldownMapping",
    "CurrentChannel",
    "CurrentGuild",
    "DefaultHelpCommand",
    "DisabledCommand",
    "DynamicCooldownMapping",
    "EmojiConverter",
    "EmojiNotFound",
    "ExpectedClosingQuoteError",
    "ExtensionAlreadyLoaded",
    "ExtensionError",
    "ExtensionFailed",
    "ExtensionNotFound",
    "ExtensionNotLoaded",
    "Flag",
    "FlagConverter",
    "FlagError",
    "ForumChannelConverter",
    "GameConverter",
    "Greedy",
    "Group",
    "GroupCog",
    "GroupMixin",
    "GuildChannelConverter",
    "GuildConverter",
    "GuildNotFound",
    "GuildStickerConverter",
    "GuildStickerNotFound",
    "HelpCommand",
    "HybridCommand",
    "HybridCommandError",
    "HybridGroup",
    "IDConverter",
    "InvalidEndOfQuotedStringError",
    "InviteConverter",
    "MaxConcurrency",
    "MaxConcurrencyReached",
    "MemberConverter",
    "MemberNotFound",
    "MessageConverter",
    "MessageNotFound",
    "MinimalHelpCommand",
    "MissingAnyRole",
    "MissingFlagArgument",
    "MissingPermissions",
    "MissingRequiredArgument",
    "MissingRequiredAttachment",
    "MissingRequiredFlag",
    "MissingRole",
    "NSFWChannelRequired",
    "NoEntryPointError",
    "NoPrivateMessage",
    "NotOwner",
    "ObjectConverter",
    "ObjectNotFound",
    "Paginator",
    "Parameter",
    "PartialEmojiConversionFailure",
    "PartialEmojiConverter",
    "PartialMessageConverter",
    "PrivateMessageOnly",
    "Range",
    "RangeError",
    "RoleConverter",
    "RoleNotFound",
    "ScheduledEventConverter",
    "ScheduledEventNotFound",
    "SoundboardSoundConverter",
    "SoundboardSoundNotFound",
    "StageChannelConverter",
    "TextChannelConverter",
    "ThreadConverter",
    "ThreadNotFound",
    "Timestamp",
    "TooManyArguments",
    "TooManyFlags",
    "UnexpectedQuoteError",
    "UserConverter",
    "UserInputError",
    "UserNotFound",
    "VoiceChannelConverter",
    "after_invoke",
    "before_invoke",
    "bot_has_any_role",
    "bot_has_guild_permissions",
    "bot_has_permissions",
    "bot_has_role",
    "check",
    "check_any",
    "clean_content",
    "command",
    "cooldown",
    "dm_only",
    "dynamic_cooldown",
    "flag",
    "group",
    "guild_only",
    "has_any_role",
    "has_guild_permissions",
    "has_permissions",
    "has_role",
    "hybrid_command",
    "hybrid_group",
    "is_nsfw",
    "is_owner",
    "max_concurrency",
    "param",
    "parameter",
    "run_converters",
    "when_mentioned",
    "when_mentioned_or",
]


def __getattr__(name: str) -> Any:
    if name in CONVERTERS:
        return CONVERTERS[name]
    if name in CHECK_FACTORIES:
        return CHECK_FACTORIES[name]
    return getattr(_theirs, name)
