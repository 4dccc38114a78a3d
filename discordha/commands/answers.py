"""One answer to an interaction, though it comes late, from another replica, or again.

Discord wants the first answer within 3 s, takes one only, and gives it no nonce. ``Answer`` stands in for
discord.py's ``InteractionResponse``:

- After ``PATIENCE`` seconds without an answer it defers for the handler. What the handler then sends as its
  answer becomes the follow-up that Discord shows in its place; until then ``is_done()`` says no.
- When Discord says that the interaction was acknowledged before (40060), an earlier owner of the event has
  answered, or deferred, before it died. If its answer stands there, it is this one's, too; if it only
  deferred, this answer completes it.

Does not promise that a follow-up appears once: they have no nonce.

Concurrency: everything runs on the loop. ``_lock`` lets one thing at a time happen to the interaction, also
while Discord is asked, so that a handler that answers at the moment of deferring gets one or the other. At a
lost lease the requests are refused as all of a handler's are.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections.abc import Callable
from typing import Any

import discord

from discordha.commands.trampoline import is_unanswerable
from discordha.errors import DiscordHAError

__all__ = ["Answer", "install"]

_log = logging.getLogger(__name__)

#: Discord gives up after 3 s; seconds.
PATIENCE = 2.0
#: discord.py keeps a modal until it is submitted here, or this old, seconds; most are never submitted.
MODAL_TIMEOUT = 3600.0
#: Discord's code for an interaction that was answered before.
ACKNOWLEDGED = 40060
#: Shown for a moment where a public answer gives way to one for the user alone, or the other way round.
PLACEHOLDER = "\N{HORIZONTAL ELLIPSIS}"

_Kind = discord.InteractionResponseType


class _Before(enum.Enum):
    """What has happened to the interaction, other than by the handler's own doing."""

    NOTHING = 0
    THINKING = 1  # deferred: an answer of the bot's shows that it thinks
    UPDATE = 2  # deferred, with nothing to be seen: the component's message stands as it is
    ANSWERED = 3  # an earlier owner's answer stands


class Answer(discord.InteractionResponse[Any]):
    """See the module. Made at reception.

    :param note: counts: late, deferred, resumed.
    """

    def __init__(self, interaction: discord.Interaction[Any], note: Callable[[str], None]) -> None:
        super().__init__(interaction)
        self._received_at = time.monotonic()
        self._note = note
        self._lock = asyncio.Lock()
        self._before = _Before.NOTHING
        self._private = False  # what shows that the bot thinks is for the user alone
        self._original: discord.InteractionMessage | None = None

    # -- deferring -------------------------------------------------------------------------------------------

    async def _defer_in_time(self, ephemeral: bool) -> None:
        """Defers for the handler when the time has come."""
        await asyncio.sleep(max(self._received_at + PATIENCE - time.monotonic(), 0.0))
        async with self._lock:
            if self._response_type is not None or self._before is not _Before.NOTHING:
                return
            interaction = self._parent
            thinking = interaction.type is discord.InteractionType.application_command or (
                interaction.type is discord.InteractionType.modal_submit and interaction.message is None
            )
            try:
                await super().defer(ephemeral=ephemeral, thinking=thinking)
            except discord.HTTPException as error:
                if error.code == ACKNOWLEDGED:
                    await self._look()
                else:  # the handler will hear of it, if it answers at all
                    _log.debug("interaction %d could not be deferred: %s", interaction.id, error)
                return
            self._note("deferred")
            self._response_type = None
            self._before = _Before.THINKING if thinking else _Before.UPDATE
            self._private = ephemeral

    async def _settle(self, deferring: asyncio.Task[None] | None) -> None:
        """The handler has ended. What shows that the bot thinks, though nothing more comes, is taken away."""
        async with self._lock:
            if deferring is not None:
                deferring.cancel()
            if self._response_type is not None or self._before is not _Before.THINKING:
                return
            self._before = _Before.UPDATE  # whoever answers later sends a message of its own
            try:
                await self._parent.delete_original_response()
            except discord.HTTPException as error:
                _log.debug("what shows that the bot thinks could not be taken away: %s", error)

    async def _look(self) -> None:
        """Finds out what an earlier owner of the event has made of the interaction."""
        self._note("resumed")
        interaction = self._parent
        try:
            original = await interaction.original_response()
        except discord.NotFound as error:
            if is_unanswerable(error, self._parent.token):
                raise
            self._before = _Before.UPDATE
            return
        if interaction.message is not None and original.id == interaction.message.id:
            self._before = _Before.UPDATE
        elif original.flags.loading:
            self._before = _Before.THINKING
            self._private = original.flags.ephemeral
        else:
            self._before = _Before.ANSWERED
            self._original = original

    # -- what handlers call ----------------------------------------------------------------------------------

    async def send_message(self, content: Any = None, **kwargs: Any) -> Any:
        """See ``discord.InteractionResponse.send_message``; after a defer, the follow-up in its place."""
        async with self._lock:
            if self._response_type is None and self._before is _Before.NOTHING:
                try:
                    return await super().send_message(content, **kwargs)
                except discord.HTTPException as error:
                    await self._resume(error)
            elif self._response_type is not None:
                raise discord.InteractionResponded(self._parent)
            if self._before is _Before.ANSWERED:
                message: Any = self._original
            else:
                message = await self._follow_up(content, **kwargs)
            return self._answered(_Kind.channel_message, message)

    async def defer(self, *, ephemeral: bool = False, thinking: bool = False) -> Any:
        """See ``discord.InteractionResponse.defer``; nothing more happens where it was deferred already."""
        async with self._lock:
            if self._response_type is None and self._before is _Before.NOTHING:
                try:
                    return await super().defer(ephemeral=ephemeral, thinking=thinking)
                except discord.HTTPException as error:
                    await self._resume(error)
            elif self._response_type is not None:
                raise discord.InteractionResponded(self._parent)
            if self._before is _Before.THINKING and ephemeral != self._private:
                raise DiscordHAError(
                    f"the interaction was deferred after {PATIENCE:g} s, "
                    f"{'for its user alone' if self._private else 'for all to see'}, which can't be changed: "
                    "defer earlier, or declare the command with "
                    f"ephemeral={ephemeral} or defer=None"
                )
            thinks = self._before is _Before.THINKING
            return self._answered(
                _Kind.deferred_channel_message if thinks else _Kind.deferred_message_update, None
            )

    async def edit_message(self, **kwargs: Any) -> Any:
        """See ``discord.InteractionResponse.edit_message``; after a defer, an edit of the same message."""
        async with self._lock:
            if self._response_type is None and self._before is _Before.NOTHING:
                try:
                    return await super().edit_message(**kwargs)
                except discord.HTTPException as error:
                    await self._resume(error)
            elif self._response_type is not None:
                raise discord.InteractionResponded(self._parent)
            delay = kwargs.pop("delete_after", None)
            kwargs.pop("suppress_embeds", None)
            message = await self._parent.edit_original_response(**kwargs)
            if delay is not None:
                await message.delete(delay=delay)
            return self._answered(_Kind.message_update, message)

    async def send_modal(self, modal: Any, /) -> Any:
        """See ``discord.InteractionResponse.send_modal``.

        :raises DiscordHAError: the interaction was deferred: Discord shows no modal after that.
        """
        async with self._lock:
            if modal.timeout is None:
                modal.timeout = MODAL_TIMEOUT
            if self._response_type is None and self._before is _Before.NOTHING:
                try:
                    return await super().send_modal(modal)
                except discord.HTTPException as error:
                    await self._resume(error)
                if not self._thinks():  # an earlier owner has shown it
                    return self._answered(_Kind.modal, None)
            elif self._response_type is not None:
                raise discord.InteractionResponded(self._parent)
            raise DiscordHAError(
                f"no modal can be shown: the interaction was deferred after {PATIENCE:g} s unanswered. "
                "Send the modal first, or declare the handler with defer=None"
            )

    async def autocomplete(self, choices: Any) -> None:
        """See ``discord.InteractionResponse.autocomplete``; what comes too late is dropped, and counted."""
        try:
            await super().autocomplete(choices)
        except discord.HTTPException as error:
            if not is_unanswerable(error, self._parent.token) and error.code != ACKNOWLEDGED:
                raise
            self._note("late")

    # -- how -------------------------------------------------------------------------------------------------

    async def _resume(self, error: discord.HTTPException) -> None:
        if error.code != ACKNOWLEDGED:
            raise error
        await self._look()

    def _thinks(self) -> bool:
        return self._before is _Before.THINKING

    async def _follow_up(self, content: Any, **kwargs: Any) -> Any:
        interaction = self._parent
        delay = kwargs.pop("delete_after", None)
        if content is not None:
            kwargs["content"] = content
        wanted = kwargs.get("ephemeral", False)
        replaces = self._before is _Before.THINKING and wanted != self._private
        if replaces:
            # The first follow-up is as visible as what it completes: that one is completed with nothing.
            await interaction.edit_original_response(content=PLACEHOLDER)
        message = await interaction.followup.send(**kwargs, wait=True)
        if replaces:
            await interaction.delete_original_response()
        if delay is not None:
            await message.delete(delay=delay)
        return message

    def _answered(self, kind: Any, message: Any) -> Any:
        self._before = _Before.NOTHING
        self._response_type = kind
        interaction = self._parent
        data: Any = {
            "interaction": {
                "id": str(interaction.id),
                "type": interaction.type.value,
                "response_message_id": str(message.id) if message is not None else None,
                "response_message_ephemeral": message is not None and message.flags.ephemeral,
            }
        }
        response = discord.InteractionCallbackResponse(
            data=data, parent=interaction, state=interaction._state, type=kind
        )
        response.resource = message
        return response


def install(interaction: discord.Interaction[Any], note: Callable[[str], None]) -> Answer:
    """Gives an interaction its answer, unless it has one. Gateway thread, before anybody answers."""
    known = interaction.response
    if isinstance(known, Answer):
        return known
    answer = interaction._cs_response = Answer(interaction, note)  # type: ignore[attr-defined]
    return answer
