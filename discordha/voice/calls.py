"""The voice calls of ``DiscordHA``: lock a guild's voice, queue a sound, watch the queue.

Guarantees: see ``coordination.voice.queue``. A command that a handler sends is queued once, even if the
handler runs again after a crash, since its id is a function of the event, like a message's nonce.

Threads and locks: the calls block for round trips to etcd, on any thread but the gateway's. Inside a handler
that may have lost its event they raise ``LockLost``. One thread declares workers before ``start``.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from discordha.api.client import ReplicaAccess
from discordha.blocking.nonces import with_token
from discordha.context import check_fence
from discordha.coordination.voice.consumer import VoiceConsumer
from discordha.coordination.voice.records import ACTIONS, VoiceCommand, check_module
from discordha.errors import ConfigError, VoiceCommandExpired

if TYPE_CHECKING:
    from discordha.voice.worker import VoiceWorker

__all__ = ["VoiceCalls"]


class VoiceCalls(ReplicaAccess):
    """The voice calls of ``DiscordHA``."""

    def __init__(self) -> None:
        super().__init__()
        self._voice_workers: list[VoiceWorker] = []

    def add_voice_worker(self, worker: VoiceWorker) -> None:
        """Adds a worker, before ``start``. ``VoiceWorker`` calls it.

        :raises ConfigError: the module has a worker already, or the bot runs.
        """
        self._refuse_late(f"the voice worker of {worker.module_id!r}")
        if any(known.module_id == worker.module_id for known in self._voice_workers):
            raise ConfigError(f"there is a voice worker for {worker.module_id!r} already", field="module_id")
        self._voice_workers.append(worker)

    def lock_voice(self, module_id: str, guild_id: int) -> bool:
        """Locks a guild's voice for a module on this replica: no other module or replica plays there until
        ``unlock_voice``, or until this replica dies. False if another has it. Blocks for a round trip; any
        thread.

        :raises ConfigError: an argument is impossible.
        :raises SessionExpired: this replica has lost its session.
        :raises StoreUnavailable: etcd does not answer.
        """
        check_fence("lock_voice")
        return self._blocking("lock_voice").voice.lock(*_guild(module_id, guild_id))

    def unlock_voice(self, module_id: str, guild_id: int) -> bool:
        """Releases the lock of ``lock_voice``; the current sound plays to its end. False if the module has
        no lock. Blocks for a round trip; any thread.

        :raises ConfigError: an argument is impossible.
        :raises StoreUnavailable: etcd does not answer.
        """
        return self._blocking("unlock_voice").voice.unlock(*_guild(module_id, guild_id))

    def send_voice_command(self, command: VoiceCommand, wait: bool = False, *, action: str = "play") -> None:
        """Queues a command for the workers of its module, on whichever replica. Blocks for a round trip; with
        ``wait`` until a worker has taken the command, for at most 30 s. Any thread.

        :param action: ``"play"`` queues ``file``; ``"overlay"`` plays it over the current sound; ``"skip"``,
            ``"stop"`` (which also empties the queue), ``"pause"`` and ``"resume"`` act on the current sound;
            ``"volume"`` sets the factor in ``file``, 0 to 2.
        :raises VoiceCommandExpired: with ``wait``: no worker took the command; none will.
        :raises ConfigError: the action is unknown.
        :raises StoreUnavailable: etcd does not answer; ``maybe_applied`` says whether the command may be
            queued.
        :raises LockLost: this replica may have lost the handler's event.
        """
        if not isinstance(command, VoiceCommand):
            raise ConfigError(f"a VoiceCommand is needed, not {type(command).__name__}", field="command")
        if action not in ACTIONS:
            raise ConfigError(f"action must be one of {', '.join(ACTIONS)}, not {action!r}", field="action")
        if action == "volume":
            _check_volume(command.file)
        elif action in {"play", "overlay"} and not command.file:
            raise ConfigError(f"{action} needs a file", field="file")
        check_fence("send_voice_command")
        voice = self._blocking("send_voice_command").voice
        expired: VoiceCommandExpired | None = None
        with with_token("send_voice_command", command, action) as token:
            command_id = None if token is None else f"e{token}"
            try:
                voice.send(**asdict(command), action=action, wait=wait, command_id=command_id)
            except VoiceCommandExpired as error:  # it is gone: an equal one after it is another
                expired = error
        if expired is not None:
            raise expired

    def watch_voice_commands(self, module_id: str) -> VoiceConsumer:
        """Takes a module's commands on this replica. Iterate, carry each command out, ``ack`` it, and close
        the consumer at the end, as ``with`` does::

            with ha.watch_voice_commands("music") as deliveries:
                for delivery in deliveries:
                    play(delivery.command, start=delivery.position)
                    delivery.ack()

        With shards, only of guilds whose shard this replica hosts. A guild's next ``play`` comes after the
        acknowledgement of the one before. Iterating blocks, and ends when the bot stops, which waits for
        acknowledgements, for 2 s at the most. Several threads may iterate at once.

        :raises ConfigError: the name is impossible.
        :raises DiscordHAError: this replica watches the module already.
        :raises StoreUnavailable: etcd does not answer.
        """
        return self._blocking("watch_voice_commands").voice.consume(check_module(module_id))


def _guild(module_id: str, guild_id: int) -> tuple[str, int]:
    command = VoiceCommand(module_id, guild_id, 1, "")
    return command.module_id, command.guild_id


def _check_volume(text: str) -> None:
    try:
        volume = float(text)
    except ValueError:
        volume = -1.0
    if not 0.0 <= volume <= 2.0:
        raise ConfigError(f"a volume is a number from 0 to 2, not {text!r}", field="file")
