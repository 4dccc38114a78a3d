"""Voice in a simulated cluster: commands that wait for a guild's owner, and their record. ``verdict_voice``
judges.

Replicas send commands, and so do some handlers, whose second run must not queue a second one. Each replica
takes commands, plays each for a while, and acknowledges it; a sound that takes longer goes on where another
replica left it.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from discordha.coordination.voice.records import VoiceCommand
from discordha.errors import DiscordHAError, LockLost, StoreUnavailable
from simulation.primitives import sleep
from simulation.threads import Thread

if TYPE_CHECKING:
    from discordha.bot import DiscordHA
    from simulation.discord_side import SimulatedDiscord
    from simulation.record import Record
    from simulation.scheduler import Machine, Scheduler, Task

__all__ = ["Command", "Playing", "VoiceRecord", "Voicing"]

MODULE = "music"
CHANNEL = 99
#: How many guilds have voice commands, at most.
GUILDS = 3
#: How often one plays on, and acknowledges again while etcd does not answer, seconds.
STEP, AGAIN = 0.1, 0.2


@dataclasses.dataclass
class Playing:
    """One delivery. ``asked``: when the last acknowledgement was sent; ``acknowledged``: when etcd had surely
    taken one.
    """

    machine: str
    attempt: int
    token: int
    begun: float
    position: float
    asked: float = math.inf
    acknowledged: float = math.inf


@dataclasses.dataclass
class Command:
    """One command. ``sent``: when the first call that queued it surely returned."""

    name: str
    guild: int
    asked: float
    sent: float = math.inf
    playings: list[Playing] = dataclasses.field(default_factory=list)

    @property
    def asked_done(self) -> float:
        """When the acknowledgement was sent that was taken; one of unknown fate counts, too."""
        return min((each.asked for each in self.playings), default=math.inf)

    @property
    def done(self) -> float:
        """When it was acknowledged."""
        return min((each.acknowledged for each in self.playings), default=math.inf)


@dataclasses.dataclass
class VoiceRecord:
    """All commands, by name."""

    commands: dict[str, Command] = dataclasses.field(default_factory=dict)


class Voicing(ABC):
    """The part of a cluster that has a voice."""

    scheduler: Scheduler
    record: Record
    discord: SimulatedDiscord
    _plays: dict[int, tuple[str, Any, Task, Playing]]  # what plays in a guild: command, delivery, thread

    @abstractmethod
    def _note(self, text: str) -> None:
        """Adds a line to the history."""

    @abstractmethod
    def _as(self, task: Task, ask: Callable[[], Any], busy: Any = None) -> Any:
        """Asks as another thread would; ``busy`` if a lock is held."""

    def _voice_guilds(self) -> list[int]:
        return sorted(set(self.discord.channels.values()))[:GUILDS]

    def _send_voice(self, bot: DiscordHA, name: str) -> None:
        """Queues a command; a handler's second run asks for the same one."""
        guilds, record = self._voice_guilds(), self.record.voice
        known = record.commands.get(name)
        if known is None:
            guild = guilds[self.scheduler.random.randrange(len(guilds))]
            known = record.commands[name] = Command(name, guild, self.scheduler.now)
        try:
            bot.send_voice_command(VoiceCommand(MODULE, known.guild, CHANNEL, name))
        except LockLost:
            raise
        except DiscordHAError as error:
            self._note(f"voice command {name} failed: {type(error).__name__}")
            return
        known.sent = min(known.sent, self.scheduler.now)
        self._note(f"voice command {name} waits for guild {known.guild}")

    def _listen(self, bot: DiscordHA, machine: Machine) -> None:
        """Takes commands, until the replica ends."""
        while not bot._replica or not self._consume(bot, machine):
            sleep(0.5)

    def _consume(self, bot: DiscordHA, machine: Machine) -> bool:
        try:
            consumer = bot.watch_voice_commands(MODULE)
        except StoreUnavailable as error:
            self._note(f"{machine.name} cannot take voice commands: {error}")
            return False
        except DiscordHAError:  # the bot stops
            return True
        for delivery in consumer:
            play = lambda delivery=delivery: self._play(machine, delivery)  # noqa: E731
            Thread(target=play, name="player", daemon=True).start()
        return True

    def _play(self, machine: Machine, delivery: Any) -> None:
        chance, scheduler, name = self.scheduler.random, self.scheduler, delivery.file
        command = self.record.voice.commands[name]
        if delivery.lost:
            return
        playing = Playing(
            machine.name, delivery.attempt, delivery.fencing_token, scheduler.now, delivery.position
        )
        self._check_owner(delivery, playing, name)
        command.playings.append(playing)
        self._note(
            f"{machine.name} plays {name} in {delivery.guild_id} from {delivery.position:.1f} "
            f"attempt {playing.attempt} token {playing.token}"
        )
        length = chance.uniform(0.2, 1.5) if hash_of(name) % 4 == 0 else 0.1
        at = delivery.position
        while at < length:
            sleep(STEP)
            at += STEP
            if delivery.lost:
                self._note(f"{machine.name} has lost {name}")
                return
            delivery.progress(at)
        while not delivery.lost:
            playing.asked = scheduler.now
            try:
                delivery.ack()
            except (StoreUnavailable, LockLost):
                sleep(AGAIN)
                continue
            playing.acknowledged = scheduler.now
            self._note(f"{machine.name} has played {name}")
            return
        self._note(f"{machine.name} has lost {name}")

    def _check_owner(self, delivery: Any, playing: Playing, name: str) -> None:
        """No two replicas play in a guild; nor does an earlier owner after a later one."""
        guild, task, who = delivery.guild_id, self.scheduler.current, playing.machine
        assert task is not None
        before = self._plays.get(guild)
        if before is not None:
            other, theirs, holder, their = before
            if theirs.fencing_token > delivery.fencing_token and not delivery.lost:
                text = f"{name} in {guild} by {who}: {delivery.fencing_token} after {other}"
                self.record.violation(self.scheduler.now, "token went back", text)
            alive = holder.machine.alive and their.asked == math.inf and not holder.over
            if alive and not self._as(holder, lambda: theirs.lost, True):
                text = f"{other} and {name} in guild {guild} by {who}"
                self.record.violation(self.scheduler.now, "two voices", text)
        self._plays[guild] = (name, delivery, task, playing)


def hash_of(name: str) -> int:
    """A number for a name, the same in every process."""
    return sum(map(ord, name))
