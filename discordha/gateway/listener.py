"""The gateway's view of its replica, and the permission to IDENTIFY that it asks for."""

from __future__ import annotations

from typing import Any, Protocol

import discord

from discordha.events import CaughtUp

__all__ = ["GatewayListener", "IdentifyPermit"]


class IdentifyPermit(Protocol):
    """The permission to send one IDENTIFY. Neither call blocks; gateway thread."""

    def sent(self) -> bool:
        """Notes that the IDENTIFY leaves now. False when the permit has expired: it must not leave."""

    def over(self) -> None:
        """Notes that Discord answered, or will not: the pause before the next IDENTIFY begins. Idempotent."""


class GatewayListener(Protocol):
    """A replica, as its gateway calls it: on the gateway thread, and no call may block."""

    def on_client(self, client: discord.Client) -> None:
        """Prepares a new client before it logs in."""

    async def before_identify(self, shard_id: int) -> IdentifyPermit | None:
        """Waits until a shard may identify; ``None``: nothing limits IDENTIFYs."""

    def on_identify(self, shard_id: int) -> None:
        """Takes note that an IDENTIFY leaves; a session that begins by it receives only what happens now."""

    def on_new_session(self, shard_id: int) -> None:
        """Takes note that a shard begins a session; its first event follows."""

    def on_dispatch(
        self,
        event: str,
        args: tuple[Any, ...],
        raw: str | None,
        shard_id: int,
        acknowledged_revision: int,
        *,
        guild: int,
    ) -> None:
        """Takes an event of discord.py, with the text of its frame, a revision older than the event, and the
        guild that the frame names; 0: none."""

    def on_message(self, shard_id: int, guild: int, message: int) -> None:
        """Takes note of a message, in its place among the events of its guild."""

    def on_burst(self) -> None:
        """Takes note that frames come at once: ``on_burst_over`` follows once the loop waits for more."""

    def on_burst_over(self) -> float | None:
        """Takes note that the frames that came at once have been taken. Returns after how many seconds
        ``on_burst_settled`` is to be called, if it is."""

    def on_burst_settled(self) -> None:
        """What came at once has had a moment for itself."""

    def on_caught_up(
        self, event: str, args: tuple[Any, ...], raw: str, shard_id: int, caught_up: CaughtUp, *, guild: int
    ) -> None:
        """Takes an event of discord.py that happened while no replica was connected."""

    def on_change(self) -> None:
        """Takes note that a connection was made or lost, or became ready."""

    def on_fatal(self, error: BaseException) -> None:
        """Takes the error that this replica cannot go on with."""

    def on_close_asked(self) -> None:
        """Takes note that the bot's code closes a client, which ends the bot in discord.py."""

    def known_revision(self) -> int:
        """The latest revision of etcd that this replica knows."""
