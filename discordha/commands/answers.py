"""Answers an interaction once, although the handler is late, on another replica, or runs again.

Discord wants the first answer within 3 s, takes one only, and gives it no nonce. ``Answer`` stands in for
discord.py's ``InteractionResponse``.

Guarantees
- After ``DEFER_AFTER`` seconds without an answer it defers for the handler. The handler's own answer becomes
  the follow-up that Discord shows in place of the placeholder; until then ``is_done()`` is false.
- A placeholder that is still empty when the handler ends is removed, and no other.
- If Discord says that the interaction is acknowledged (40060), an earlier owner of the event has answered or
  deferred before it died. Its answer counts as this one's; its placeholder is completed by this answer.
- Not guaranteed: that a follow-up appears once. Follow-ups have no nonce.

Threads and locks: everything runs on the loop. ``_lock`` admits one action on the interaction at a time, also
while Discord is asked, so that a defer and an answer do not overlap.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import discord

from discordha.commands.trampoline import is_unanswerable
from discordha.context import CurrentEvent
from discordha.errors import DiscordHAError, reason_of
from discordha.gateway.requests import BROKEN

__all__ = ["Answer", "install"]

_log = logging.getLogger(__name__)

#: Seconds after the reception for which Discord waits for the first answer.
ANSWER_TIMEOUT = 3.0
#: Seconds after the reception at which an unanswered interaction is deferred.
DEFER_AFTER = 2.0
#: Pause before an answer is sent again whose connection broke, seconds.
RETRY_PAUSE = 0.1
#: Seconds that discord.py keeps a modal without a timeout of its own; most are never submitted.
MODAL_TIMEOUT = 3600.0
#: Discord's error code for an interaction that has its first answer.
ALREADY_ACKNOWLEDGED = 40060
#: Shown for a moment when a private answer replaces a public placeholder, or the reverse.
PLACEHOLDER = "\N{HORIZONTAL ELLIPSIS}"

_ResponseType = discord.InteractionResponseType
_HAS_AN_ANSWER: Any = object()


class _Prior(enum.Enum):
    """The interaction's state before the handler's own answer."""

    NOTHING = 0
    THINKING = 1  # deferred: a placeholder says that the bot thinks
    SILENT = 2  # deferred without a trace: the component's message stays as it is
    ANSWERED = 3  # an earlier owner has answered


class Answer(discord.InteractionResponse[Any]):
    """The response of one interaction, made at its reception.

    What the library alone calls is private, since a view shows handlers the public names.

    :param note: counts ``late``, ``deferred`` and ``resumed``.
    """

    def __init__(self, interaction: discord.Interaction[Any], note: Callable[[str], None]) -> None:
        super().__init__(interaction)
        self._received_at = time.monotonic()
        self._note = note
        self._lock = asyncio.Lock()
        self._prior = _Prior.NOTHING
        self._private = False  # the placeholder is for the user alone
        self._original: discord.InteractionMessage | None = None
        self._claim: tuple[int, int] | None = None

    # -- called by Interactions ------------------------------------------------------------------------------

    async def _begin(self, event: CurrentEvent | None) -> None:
        """A handler begins. If the replica has claimed the event anew, an answer under its earlier claim
        counts as an earlier owner's, and Discord is asked for it.
        """
        claim = (event.attempt, event.fencing_token) if event is not None else None
        async with self._lock:
            if self._claim not in (None, claim):
                self._response_type = None
                self._prior = _Prior.NOTHING
            self._claim = claim

    async def _defer_in_time(self, ephemeral: bool) -> None:
        """Waits until it is time, then defers unless the handler has answered."""
        await asyncio.sleep(max(self._received_at + DEFER_AFTER - time.monotonic(), 0.0))
        async with self._lock:
            if self._response_type is not None or self._prior is not _Prior.NOTHING:
                return
            interaction = self._parent
            thinking = interaction.type is discord.InteractionType.application_command or (
                interaction.type is discord.InteractionType.modal_submit and interaction.message is None
            )
            try:
                await super().defer(ephemeral=ephemeral, thinking=thinking)
            except discord.HTTPException as error:
                if error.code == ALREADY_ACKNOWLEDGED:
                    await self._find_prior()
                else:  # the handler meets the same error, if it answers at all
                    _log.debug("interaction %d could not be deferred: %s", interaction.id, error)
                return
            self._note("deferred")
            self._response_type = None
            self._prior = _Prior.THINKING if thinking else _Prior.SILENT
            self._private = ephemeral

    async def _settle(self, deferring: asyncio.Task[None] | None) -> None:
        """Removes the placeholder if the handler has ended and left it empty."""
        async with self._lock:
            if deferring is not None:
                deferring.cancel()
            if self._response_type is not None or self._prior is not _Prior.THINKING:
                return
            self._prior = _Prior.SILENT  # a later answer is a message of its own
            try:
                if await self._still_thinks():
                    await self._parent.delete_original_response()
            except discord.HTTPException as error:
                _log.debug("interaction %d: the placeholder stays: %s", self._parent.id, error)

    # -- called by handlers ----------------------------------------------------------------------------------

    async def send_message(self, content: Any = None, **kwargs: Any) -> Any:
        """See ``discord.InteractionResponse.send_message``; after a defer, the follow-up in its place."""
        async with self._lock:
            first = await self._first(super().send_message, content, **kwargs)
            if first is not _HAS_AN_ANSWER:
                return first
            message: Any = self._original
            if self._prior is not _Prior.ANSWERED:
                message = await self._follow_up(content, **kwargs)
            return self._answered(_ResponseType.channel_message, message)

    async def defer(self, *, ephemeral: bool = False, thinking: bool = False) -> Any:
        """See ``discord.InteractionResponse.defer``; does nothing more after an earlier defer."""
        async with self._lock:
            first = await self._first(super().defer, ephemeral=ephemeral, thinking=thinking)
            if first is not _HAS_AN_ANSWER:
                return first
            thinks = self._prior is _Prior.THINKING
            if thinks and ephemeral != self._private:
                raise DiscordHAError(
                    f"the interaction was deferred after {DEFER_AFTER:g} s, "
                    f"{'for its user alone' if self._private else 'for all to see'}, which can't be changed: "
                    f"defer earlier, or declare the command with ephemeral={ephemeral} or defer=None"
                )
            kind = _ResponseType.deferred_channel_message if thinks else _ResponseType.deferred_message_update
            return self._answered(kind, None)

    async def edit_message(self, **kwargs: Any) -> Any:
        """See ``discord.InteractionResponse.edit_message``; after a defer, an edit of the same message."""
        async with self._lock:
            first = await self._first(super().edit_message, **kwargs)
            if first is not _HAS_AN_ANSWER:
                return first
            delay = kwargs.pop("delete_after", None)
            kwargs.pop("suppress_embeds", None)
            message = await self._parent.edit_original_response(**kwargs)
            if delay is not None:
                await message.delete(delay=delay)
            return self._answered(_ResponseType.message_update, message)

    async def send_modal(self, modal: Any, /) -> Any:
        """See ``discord.InteractionResponse.send_modal``.

        :raises DiscordHAError: the interaction was deferred, after which Discord shows no modal.
        """
        async with self._lock:
            if modal.timeout is None:
                modal.timeout = MODAL_TIMEOUT
            deferred = self._prior is not _Prior.NOTHING
            first = await self._first(super().send_modal, modal)
            if first is not _HAS_AN_ANSWER:
                return first
            if not deferred and self._prior is not _Prior.THINKING:  # an earlier owner has shown the modal
                return self._answered(_ResponseType.modal, None)
            raise DiscordHAError(
                f"no modal can be shown: the interaction was deferred after {DEFER_AFTER:g} s unanswered. "
                "Send the modal first, or declare the handler with defer=None"
            )

    async def autocomplete(self, choices: Any) -> None:
        """See ``discord.InteractionResponse.autocomplete``; late choices are dropped and counted."""
        try:
            await super().autocomplete(choices)
        except discord.HTTPException as error:
            if not is_unanswerable(error, self._parent.token) and error.code != ALREADY_ACKNOWLEDGED:
                raise
            self._note("late")

    async def _first(self, respond: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """Sends the first answer and returns Discord's, or ``_HAS_AN_ANSWER``; then ``_prior`` says which."""
        if self._response_type is not None:
            raise discord.InteractionResponded(self._parent)
        if self._prior is _Prior.NOTHING:
            try:
                return await self._respond(respond, *args, **kwargs)
            except discord.HTTPException as error:
                if error.code != ALREADY_ACKNOWLEDGED:
                    raise
            await self._find_prior()
        return _HAS_AN_ANSWER

    async def _respond(self, respond: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """Sends the first answer, and again if the connection breaks, since Discord takes one only. Not with
        files, which are read once.
        """
        while True:
            try:
                return await respond(*args, **kwargs)
            except BROKEN as error:
                late = time.monotonic() + RETRY_PAUSE >= self._received_at + ANSWER_TIMEOUT
                if late or "file" in kwargs or "files" in kwargs:
                    raise
                _log.info("interaction %d is answered again: %s", self._parent.id, reason_of(error))
            await asyncio.sleep(RETRY_PAUSE)

    async def _find_prior(self) -> None:
        """Asks Discord what an earlier owner of the event has done to the interaction."""
        self._note("resumed")
        interaction = self._parent
        try:
            original = await self._fetch_original()
        except discord.NotFound as error:
            if is_unanswerable(error, interaction.token):
                raise
            self._prior = _Prior.SILENT
            return
        if interaction.message is not None and original.id == interaction.message.id:
            self._prior = _Prior.SILENT
        elif original.flags.loading:
            self._prior = _Prior.THINKING
            self._private = original.flags.ephemeral
        else:
            self._prior = _Prior.ANSWERED
            self._original = original

    async def _fetch_original(self) -> discord.InteractionMessage:
        """The first answer as Discord has it now; discord.py would give the one that it has seen."""
        self._parent._original_response = None
        return await self._parent.original_response()

    async def _still_thinks(self) -> bool:
        """Whether the placeholder is empty. ``followup.send`` and ``edit_original_response`` fill it without
        this object's knowledge.
        """
        return (await self._fetch_original()).flags.loading

    async def _follow_up(self, content: Any, **kwargs: Any) -> Any:
        interaction = self._parent
        delay = kwargs.pop("delete_after", None)
        if content is not None:
            kwargs["content"] = content
        replaces = self._prior is _Prior.THINKING and kwargs.get("ephemeral", False) != self._private
        if replaces and (replaces := await self._still_thinks()):
            # The first follow-up is as visible as the placeholder, so an empty one completes that.
            await interaction.edit_original_response(content=PLACEHOLDER)
        message = await interaction.followup.send(**kwargs, wait=True)
        if replaces:
            await interaction.delete_original_response()
        if delay is not None:
            await message.delete(delay=delay)
        return message

    def _answered(self, kind: Any, message: Any) -> Any:
        self._prior = _Prior.NOTHING
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
    """Gives an interaction its ``Answer``, unless it has one. On the gateway thread, before any answer."""
    known = interaction.response
    if isinstance(known, Answer):
        return known
    answer = interaction._cs_response = Answer(interaction, note)  # type: ignore[attr-defined]
    return answer
