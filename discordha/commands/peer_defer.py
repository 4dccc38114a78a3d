"""Defers an interaction whose owner is silent, so that whoever takes it over can still complete it.

Discord wants a first answer within 3 s; an owner that is paused, cut off or on a machine that has gone keeps
its claim until its lease runs out. Every replica has the interaction's token, so a peer can defer in the
owner's place. Then the next owner has 15 minutes.

Guarantees
- A peer asks Discord only when another replica holds the claim and has been silent for longer than its
  rhythm: a slow handler on a living replica costs no request.
- Discord takes one first answer. Where there is one already, by the owner or by another peer, its refusal
  changes nothing and is not reported.
- Handlers that defer for themselves (``defer=None``) and autocompletes are left alone.

Does not promise to be in time where ``session_ttl`` is longer than about 5 s: silence takes a third of it to
show.

Threads and locks: everything runs on the gateway's loop. No lock; a timer for each interaction for 3 s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import discord

from discordha.commands.tree import Tree

__all__ = ["PeerDefer"]

_log = logging.getLogger(__name__)

#: When a peer looks, seconds after reception: after the owner's own defer, before Discord gives up at 3 s.
LOOKS = (2.2, 2.5, 2.75)
_Type = discord.InteractionType


class PeerDefer:
    """See the module.

    :param tree: says whether another replica holds the claim of an event and is silent.
    :param note: counts ``deferred_for_peer``.
    """

    def __init__(self, tree: Tree, note: Callable[[str], None]) -> None:
        self._tree = tree
        self._note = note
        self._tasks: set[asyncio.Task[None]] = set()

    def watch(self, interaction: discord.Interaction[Any], *, ephemeral: bool) -> None:
        """Defers an interaction that has just come in, should its owner fall silent. On the gateway's loop.

        :param ephemeral: the placeholder is for the user alone.
        """
        asyncio.get_running_loop().call_later(LOOKS[0], self._look, interaction, ephemeral, 0)

    def _look(self, interaction: discord.Interaction[Any], ephemeral: bool, look: int) -> None:
        loop = asyncio.get_running_loop()
        if self._tree.silent_owner(f"interaction/{interaction.id}"):
            task = loop.create_task(self._defer(interaction, ephemeral))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif look + 1 < len(LOOKS):
            loop.call_later(LOOKS[look + 1] - LOOKS[look], self._look, interaction, ephemeral, look + 1)

    async def _defer(self, interaction: discord.Interaction[Any], ephemeral: bool) -> None:
        thinking = interaction.type is _Type.application_command or (
            interaction.type is _Type.modal_submit and interaction.message is None
        )
        # Not the interaction's own response: a handler that runs here later finds the defer as any other's.
        response: discord.InteractionResponse[Any] = discord.InteractionResponse(interaction)
        try:
            await response.defer(ephemeral=ephemeral, thinking=thinking)
        except (discord.HTTPException, OSError) as error:
            _log.debug("interaction %d was not deferred for its owner: %s", interaction.id, error)
            return
        self._note("deferred_for_peer")
        _log.info("interaction %d is deferred: the replica that claimed it is silent", interaction.id)
