"""VoiceWorker: plays a module's commands, in several guilds at once, and goes on where another worker died.

Guarantees: see ``player`` for a guild, and ``coordination.voice.consumer`` for who owns it. If a worker dies
or is cut off, another follows within the session's TTL and 2 seconds, about a second off the position
reached. A worker that drains hands over at once. Not guaranteed: two sounds in two channels of one guild. A
bot has one voice state in a guild.

Threads and locks
- The thread ``discordha-voice-worker`` gives commands to the guilds' threads, which it makes. ``_lock``
  guards ``_players``; nothing blocks under it.
- The replica calls ``start`` and ``stop``; ``stop`` hands over and joins all threads.
- After a lost session each player gives up by itself; after a lost watch the players go on.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import discord

from discordha.config import Config
from discordha.coordination.voice.consumer import VoiceConsumer
from discordha.coordination.voice.deliveries import VoiceDelivery
from discordha.coordination.voice.queue import VoiceQueue
from discordha.coordination.voice.records import check_module
from discordha.dispatch.handlers.callables import check_arguments, refuse_coroutine
from discordha.errors import ConfigError, DiscordHAError
from discordha.voice.codec import check_voice
from discordha.voice.connection import VoiceHost
from discordha.voice.player import GuildPlayer, Resolve

__all__ = ["VoiceWorker"]

_log = logging.getLogger(__name__)

#: Seconds between two looks whether the replica is ready, or the worker stops.
READY_INTERVAL = 0.5


class _Bot(Protocol):
    @property
    def config(self) -> Config: ...
    def add_voice_worker(self, worker: VoiceWorker) -> None: ...


class VoiceWorker:
    """Makes a bot's replica play a module's voice commands. Before ``start``::

        worker = discordha.VoiceWorker(ha, "soundboard", folder="sounds")

    :param ha: the bot.
    :param module_id: the module whose commands it takes.
    :param folder: the folder of the files; files outside can't be played.
    :param resolve: makes a sound of a delivery (``delivery.command``) instead: a path, an http(s) address, or
        an ``AudioSource`` of discord.py's, PCM or Opus. Runs on a thread of the guild's; may block.
    :param linger: seconds that the bot stays in a channel with nothing to play.
    :param allow_urls: whether ``file`` may be an http(s) address; ffmpeg opens it from this machine.
    :raises ConfigError: a package or ffmpeg is missing, or an argument is impossible.
    """

    def __init__(
        self,
        ha: _Bot,
        module_id: str,
        *,
        folder: str | Path = ".",
        resolve: Resolve | None = None,
        linger: float = 5.0,
        allow_urls: bool = True,
    ) -> None:
        self.module_id = check_module(module_id)
        if linger < 0:
            raise ConfigError(f"linger must be at least 0, not {linger!r}", field="linger")
        if resolve is not None:
            refuse_coroutine(resolve, "Resolvers")
            check_arguments(resolve, ("delivery",), "resolve sounds")
        check_voice()
        intents = ha.config.intents
        if intents is not None and not (intents.guilds and intents.voice_states):
            raise ConfigError("a voice worker needs the intents guilds and voice_states", field="intents")
        self._folder = Path(folder).resolve()
        self._allow_urls = allow_urls
        self._resolve = resolve or self._from_folder
        self._linger = linger
        self._lock = threading.Lock()
        self._players: dict[int, GuildPlayer] = {}
        self._consumer: VoiceConsumer | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        ha.add_voice_worker(self)

    # -- called by the replica -------------------------------------------------------------------------------

    def start(self, host: VoiceHost, voice: VoiceQueue, wait_ready: Callable[[float], bool]) -> None:
        """Starts to take commands once the replica is ready. Does not block.

        :param wait_ready: blocks for at most the given seconds; whether the replica is ready.
        """
        self._stop = threading.Event()
        self._consumer = None
        run = functools.partial(self._run, host, voice, wait_ready, self._stop)
        self._thread = threading.Thread(target=run, name="discordha-voice-worker", daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Hands over the current sounds and ends. Blocks for at most about ``timeout``; idempotent."""
        deadline = time.monotonic() + timeout
        self._stop.set()
        consumer = self._consumer
        if consumer is not None:
            consumer.drain()
        with self._lock:
            players = list(self._players.values())
        for player in players:
            player.stop()
        for player in players:
            if not player.join(max(deadline - time.monotonic(), 0.1)):
                _log.warning("guild %d: the voice player did not end in time", player.guild_id)
        if consumer is not None:
            consumer.close()
        if self._thread is not None:
            self._thread.join(max(deadline - time.monotonic(), 1.0))

    def describe(self) -> dict[int, dict[str, Any]]:
        """The players of this replica, by guild. No I/O; any thread."""
        with self._lock:
            players = dict(self._players)
        return {guild_id: player.describe() for guild_id, player in players.items()}

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(
        self, host: VoiceHost, voice: VoiceQueue, wait_ready: Callable[[float], bool], stop: threading.Event
    ) -> None:
        while not stop.is_set() and not wait_ready(READY_INTERVAL):
            stop.wait(READY_INTERVAL / 10)
        consumer: VoiceConsumer | None = None
        while not stop.is_set() and consumer is None:
            try:
                consumer = self._consumer = voice.consume(self.module_id, patience=0.0)
            except DiscordHAError as error:
                _log.warning("the voice worker of module %s waits: %s", self.module_id, error)
                stop.wait(READY_INTERVAL)
        if consumer is None:
            return
        if stop.is_set():
            consumer.close()
        for delivery in consumer:
            try:
                self._give(delivery, host, consumer)
            except Exception:  # noqa: BLE001 - the other guilds go on
                _log.exception("guild %d: a voice command has no player", delivery.guild_id)

    def _give(self, delivery: VoiceDelivery, host: VoiceHost, consumer: VoiceConsumer) -> None:
        with self._lock:
            if self._stop.is_set():
                return  # the consumer gives the guild back
            player = self._players.get(delivery.guild_id)
            if player is None:
                player = GuildPlayer(
                    delivery.guild_id,
                    host,
                    consumer,
                    resolve=self._resolve,
                    linger=self._linger,
                    on_end=self._ended,
                )
                self._players[delivery.guild_id] = player
                player.put(delivery)
                player.start()
            else:
                player.put(delivery)

    def _ended(self, player: GuildPlayer) -> None:
        """Gives the commands that a guild's thread left behind to a new thread."""
        with self._lock:
            if self._players.get(player.guild_id) is player:
                del self._players[player.guild_id]
            left = player.take_unhandled()
            host, consumer = player.host, player.consumer
        for delivery in left:
            if not delivery.lost:
                self._give(delivery, host, consumer)

    def _from_folder(self, delivery: VoiceDelivery) -> str | Path | discord.AudioSource:
        file = delivery.file
        if file.startswith(("http://", "https://")):
            if not self._allow_urls:
                raise DiscordHAError("the worker allows no http(s) addresses")
            return file
        path = (self._folder / file).resolve()
        if not path.is_relative_to(self._folder):
            raise DiscordHAError(f"the file {file!r} is outside of the worker's folder")
        return path
