"""The options of a local Discord, which its handle passes to the server as JSON."""

from __future__ import annotations

import base64
from dataclasses import dataclass

__all__ = ["DEFAULT_BOT_ID", "Options", "names_of", "token_of"]

DEFAULT_BOT_ID = 1_000_000_000_000_000_001


def token_of(bot_id: int) -> str:
    """A token in Discord's form: its first part is the bot's user id."""
    first = base64.urlsafe_b64encode(str(bot_id).encode()).decode().rstrip("=")
    return f"{first}.local.discord"


def names_of(given: int | list[str], kind: str) -> list[str]:
    """The names of guilds, channels or users, where a number or their names are given."""
    return [f"{kind}{index}" for index in range(given)] if isinstance(given, int) else list(given)


@dataclass(frozen=True)
class Options:
    """The options of ``LocalDiscord``; see there."""

    guilds: int | list[str] = 1
    channels: int | list[str] = 8
    users: int | list[str] = 5
    shards: int = 1
    max_concurrency: int = 1
    identify_interval: float = 0.0
    session_limit: int = 100_000
    heartbeat_interval: float = 41.25
    privileged_intents: bool = True
    sign_attachments: bool = False
    resume_buffer: int = 20_000
    session_lifetime: float = 300.0
    nonce_window: float = 300.0
    global_limit: int = 0
    route_limit: int = 0
    route_window: float = 5.0
    max_records: int = 200_000
    max_messages: int = 5_000
    bot_id: int = DEFAULT_BOT_ID
    port: int = 0
    max_voice_packets: int = 60_000
    voice_resume_window: float = 15.0
    voice_heartbeat_interval: float = 13.75
    voice_cert: str = ""
    voice_key: str = ""
    token: str = token_of(DEFAULT_BOT_ID)
