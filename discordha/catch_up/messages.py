"""A channel's or a thread's messages, and their edits.

The history is read upwards from ``since``. An edit is seen by the time that Discord notes on the message: the
last edit of each message in the pages, and in the one page before ``since``. Earlier edits of the same
message, edits of older messages, and what changes a message without that time (an embed that is resolved, a
pin) are lost. A message comes with its content of now.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import discord

from discordha.catch_up.missed import Missed, moment_of
from discordha.catch_up.paging import Pages, Timeline
from discordha.catch_up.source import GaveUp, Run, Source

__all__ = ["MessageSource"]

#: Messages of a page, the most that Discord allows.
PAGE = 100


class MessageSource(Source):
    """The messages of one channel.

    :param guild: ``None`` for direct messages.
    :param last_message_id: the channel's last message; ``None``: unknown.
    """

    def __init__(
        self, run: Run, channel_id: int, guild: discord.Guild | None, last_message_id: int | None
    ) -> None:
        super().__init__(run, f"channel:{channel_id}", guild)
        self._channel_id = channel_id
        self._guild = guild
        self.newest = last_message_id or math.inf
        self._edits = Timeline() if "MESSAGE_UPDATE" in run.wanted else None
        # Edits of messages before the cursor may be later than it, so their pages are read again.
        begin = self.cursor if self._edits is None else self.since
        self._pages = Pages(begin, run.until, limit=run.limit, size=PAGE)
        if last_message_id is not None and last_message_id <= self.since:
            self._pages.over = True
        self._looks_back = self._edits is not None

    async def step(self) -> bool:
        if self._looks_back:
            await self._look_back()
        else:
            await self._read_on()
        if not self._pages.over:
            return False
        if self._edits is not None:
            await self.hand_on(self._edits.merge(()))
        if self._pages.cut:
            raise GaveUp(f"more than {self._run.limit} messages: catch_up_limit")
        return True

    async def _look_back(self) -> None:
        page = await self._ask(PAGE, before=self.since + 1)
        await self._keep_edits(page)
        self._looks_back = False

    async def _read_on(self) -> None:
        after, limit = self._pages.next()
        page = self._pages.take(await self._ask(limit, after=after))
        messages = await self._run.members.complete(page, self._guild)
        created = [
            self.event("MESSAGE_CREATE", message, int(message["id"]), self._channel_id)
            for message in messages
        ]
        if self._edits is None:
            await self.hand_on(created)
            return
        for message in messages:
            self._keep_edit(message)
        wanted = created if "MESSAGE_CREATE" in self._run.wanted else []
        await self.hand_on(self._edits.merge(wanted, upto=self._pages.position))

    async def _ask(self, limit: int, **where: int) -> Any:
        http: Any = self._run.client.http
        return await self._run.ask(lambda: http.logs_from(self._channel_id, limit, **where))

    async def _keep_edits(self, page: list[dict[str, Any]]) -> None:
        edited = [message for message in page if self._edited_at(message) is not None]
        for message in await self._run.members.complete(edited, self._guild):
            self._keep_edit(message)

    def _keep_edit(self, message: Mapping[str, Any]) -> None:
        moment = self._edited_at(message)
        if moment is not None and self._edits is not None:
            self._edits.keep(Missed("MESSAGE_UPDATE", dict(message), moment, str(self._channel_id), self.key))

    def _edited_at(self, message: Mapping[str, Any]) -> int | None:
        """The moment of a message's edit, if it was missed."""
        if not message.get("edited_timestamp"):
            return None
        moment = moment_of(message["edited_timestamp"])
        return moment if self.begins_at <= moment <= self._run.until else None
