"""VoiceWorker: plays what is queued for a module, in several guilds at once, and goes on where another died.

Promises: see ``player`` (one guild) and ``coordination.voice_consumer`` (whose guild it is). A worker that
dies, is cut off or drains is followed by another within the session's TTL and 2 seconds, at the position
reached, a second more or less; one that drains hands over at once.

Does not promise two sounds in two channels of one guild: a bot has one voice state a guild.

Concurrency
- The thread ``discordha-voice-worker`` hands commands to the guilds' threads, which it makes; ``_lock``
  guards ``_players``; nothing blocks under it.
- ``start`` and ``stop`` are the replica's; ``stop`` hands over and joins all threads.
- At a lost session each player gives up by itself; at a lost watch they go on.
"""

from __future__ import annotations

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
from discordha.errors import ConfigError, DiscordHAError
from discordha.voice.codec import check_voice
from discordha.voice.player import GuildPlayer, Resolve
from discordha.voice.seat import Host

__all__ = ["VoiceWorker"]

_log = logging.getLogger(__name__)

#: How often the thread looks whether it should end while there is nothing to do, seconds.
LOOK = 0.5


class _Bot(Protocol):
    @property
    def config(self) -> Config: ...
    def add_voice_worker(self, worker: VoiceWorker) -> None: ...


class VoiceWorker:
    """Makes a bot's replica play a module's voice commands. Before ``start``::

        worker = discordha.VoiceWorker(ha, "soundboard", folder="sounds")

    :param ha: the bot.
    :param module_id: whose commands.
    :param folder: where files are; what lies outside can't be played.
    :param resolve: makes a sound of a delivery (``delivery.command``) instead: a path, an http(s) address, or
        an ``AudioSource`` of discord.py's, PCM or Opus. Runs on a thread of the guild's; may block.
    :param linger: seconds that it stays in the channel when there is nothing to play.
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
        self._host: Host | None = None
        self._consumer: VoiceConsumer | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        ha.add_voice_worker(self)

    # -- the replica's ---------------------------------------------------------------------------------------

    def start(self, host: Host, voice: VoiceQueue, wait_ready: Callable[[float], bool]) -> None:
        """Begins to take commands once the replica is ready. Does not block.

        :param wait_ready: blocks for at most so many seconds; whether the replica is ready.
        """
        self._stop = threading.Event()
        self._consumer = None
        self._thread = threading.Thread(
            target=self._run,
            args=(host, voice, wait_ready, self._stop),
            name="discordha-voice-worker",
            daemon=True,
        )
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Hands over what it plays, and ends. Blocks for at most about ``timeout`` seconds. Idempotent."""
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
                _log.warning("the voice of guild %d did not end in time", player.guild_id)
        if consumer is not None:
            consumer.close()
        if self._thread is not None:
            self._thread.join(max(deadline - time.monotonic(), 1.0))

    def describe(self) -> dict[int, dict[str, Any]]:
        """What plays in which guild on this replica. No I/O; any thread."""
        with self._lock:
            players = dict(self._players)
        return {guild_id: player.describe() for guild_id, player in players.items()}

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(
        self, host: Host, voice: VoiceQueue, wait_ready: Callable[[float], bool], stop: threading.Event
    ) -> None:
        while not stop.is_set() and not wait_ready(LOOK):
            stop.wait(LOOK / 10)
        consumer: VoiceConsumer | None = None
        while not stop.is_set() and consumer is None:
            try:
                consumer = self._consumer = voice.consume(self.module_id)
            except DiscordHAError as error:
                _log.warning("the voice worker of %s waits: %s", self.module_id, error)
                stop.wait(LOOK)
        if consumer is None:
            return
        if stop.is_set():
            consumer.close()
        for delivery in consumer:
            try:
                self._give(delivery, host, consumer)
            except Exception:  # noqa: BLE001 - the others must be played all the same
                _log.exception("a voice command could not be given to its guild's player")

    def _give(self, delivery: VoiceDelivery, host: Host, consumer: VoiceConsumer) -> None:
        with self._lock:
            if self._stop.is_set():
                return  # its guild is given back
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
        """A guild's thread ends; what came since goes to a new one."""
        with self._lock:
            if self._players.get(player.guild_id) is player:
                del self._players[player.guild_id]
            left = player.take_left()
            host, consumer = player.host, player.consumer
        for delivery in left:
            if not delivery.lost:
                self._give(delivery, host, consumer)

    # -- sounds ----------------------------------------------------------------------------------------------

    def _from_folder(self, delivery: VoiceDelivery) -> str | Path | discord.AudioSource:
        file = delivery.file
        if file.startswith(("http://", "https://")):
            if not self._allow_urls:
                raise DiscordHAError("this worker plays no addresses")
            return file
        path = (self._folder / file).resolve()
        if not path.is_relative_to(self._folder):
            raise DiscordHAError(f"{file!r} lies outside of the worker's folder")
        return path
