"""What the parts of ``DiscordHA`` ask of the replica that runs.

``SharedState``, ``VoiceCalls`` and ``ClientView`` are written for authors of bots, and know nothing of how a
replica is put together: each needs one thing of it, while it runs.

Concurrency: no state. ``_running`` reads a single value; any thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

from discordha.coordination.shared.facade import Shared
from discordha.coordination.voice.queue import VoiceQueue

if TYPE_CHECKING:
    from discordha import views

__all__ = ["Part", "Running"]


class Running(Protocol):
    """The part of ``Replica`` that is used here."""

    @property
    def shared(self) -> Shared:
        """What all replicas share."""

    @property
    def voice(self) -> VoiceQueue:
        """The queue of voice commands."""

    @property
    def client_view(self) -> views.Client:
        """discord.py's client, as a blocking view."""


class Part(ABC):
    """Base of the parts of ``DiscordHA``."""

    @abstractmethod
    def _running(self) -> Running:
        """The replica, which ``DiscordHA`` has.

        :raises DiscordHAError: the bot does not run.
        """
