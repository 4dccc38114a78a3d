"""Puts Discord's limits and the fence around each REST request of discord.py's, and repeats requests whose
connection broke.

Guarantees
- A request of a lost event does not leave, whether it waited for the limits or not.
- Each request that entered the limits leaves them, also when it fails.
- Sockets and downloads pass untouched.
- A request that Discord carries out once however often it comes (``GET``, ``PUT``, ``DELETE``, a message with
  an enforced nonce) is sent again after a connection error. Other requests raise the error: Discord may have
  carried them out.

Threads and locks: everything runs on the gateway's loop and needs no lock.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import discord
import yarl
from discord.http import Route

from discordha.blocking import note_progress, refuse_if_lost
from discordha.errors import reason_of
from discordha.gateway.clock import DiscordClock
from discordha.limits.rest import RestLimits

__all__ = ["BROKEN", "repeat_broken", "request_trace"]

_log = logging.getLogger(__name__)

#: Pauses between two tries of a request, seconds: doubled from the first to the last.
FIRST_PAUSE = 0.1
LAST_PAUSE = 5.0
#: Errors of a connection that ended, or could not be made.
BROKEN = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError)

#: Requests with a token of their own, which Discord does not count against the bot.
_WITH_TOKEN = re.compile(r"/(interactions|webhooks)/\d+/[^/]+")


def request_trace(
    limits: RestLimits | None, *more: aiohttp.TraceConfig | None, dates: DiscordClock | None = None
) -> aiohttp.TraceConfig:
    """For ``discord.Client(http_trace=...)``: the fence, and the limits unless ``None``.

    :param more: others, whose functions are called after these: the author's.
    :param dates: learns Discord's time from the answers.
    """
    trace = aiohttp.TraceConfig()

    async def on_start(
        _session: Any, context: SimpleNamespace, params: aiohttp.TraceRequestStartParams
    ) -> None:
        refuse_if_lost(params.method, params.url.path)
        counted = _is_counted(params.url)
        if counted is not None:
            context.began = time.monotonic()
        if limits is None or counted is None:
            return
        await limits.begin(counted=counted)
        try:
            refuse_if_lost(params.method, params.url.path)
        except BaseException:
            if counted:
                limits.end(sent=False)
            raise
        context.counted = counted
        context.began = time.monotonic()

    def end(context: SimpleNamespace) -> bool:
        counted, context.counted = getattr(context, "counted", None), None
        if limits is not None and counted:
            limits.end()
        return counted is not None

    async def on_end(_session: Any, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
        if params.response.status < 300:
            note_progress()
        began = getattr(context, "began", None)
        if dates is not None and began is not None and "Date" in params.response.headers:
            dates.note(params.response.headers["Date"], began)
        if end(context) and limits is not None:
            limits.answered(params.response.status, params.response.headers)

    async def on_exception(_session: Any, context: SimpleNamespace, _params: Any) -> None:
        end(context)

    trace.on_request_start.append(on_start)
    trace.on_request_end.append(on_end)
    trace.on_request_exception.append(on_exception)
    for own in filter(None, more):
        for name in dir(own):
            if name.startswith("on_"):
                getattr(trace, name).extend(getattr(own, name))
    return trace


def _is_counted(url: yarl.URL) -> bool | None:
    """Whether Discord counts a request against the bot; ``None``: the request does not go to the API."""
    address = str(url)
    if not address.startswith(f"{Route.BASE}/"):
        return None
    return _WITH_TOKEN.match(address, len(Route.BASE)) is None


def repeat_broken(
    request: Callable[..., Awaitable[Any]], timeout: float, *, clock: Callable[[], float] = time.monotonic
) -> Callable[..., Awaitable[Any]]:
    """``discord.http.HTTPClient.request`` that tries again when a connection breaks; see the module.

    :param timeout: seconds after which a request is not begun again.
    """

    async def send(route: Route, *, files: Any = None, form: Any = None, **kwargs: Any) -> Any:
        deadline = clock() + timeout
        pause = FIRST_PAUSE
        while True:
            try:
                return await request(route, files=files, form=form, **kwargs)
            except discord.NotFound:
                if route.method == "DELETE" and pause > FIRST_PAUSE:
                    return None  # a try whose answer was lost has deleted it
                raise
            except BROKEN as error:
                hopeless = isinstance(error, aiohttp.ClientSSLError) or clock() + pause >= deadline
                if hopeless or not _is_repeatable(route.method, form, kwargs):
                    raise
                if pause == FIRST_PAUSE:
                    _log.info("%s %s is sent again: %s", route.method, route.path, reason_of(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_PAUSE)
            for file in files or ():
                file.reset()

    return send


def _is_repeatable(method: str, form: Any, kwargs: dict[str, Any]) -> bool:
    """Whether Discord carries a request out once, however often it comes."""
    if method in {"GET", "PUT", "DELETE"}:
        return True
    body = kwargs.get("json")
    for field in form or ():
        if field.get("name") == "payload_json":
            body = json.loads(field["value"])
    return isinstance(body, dict) and bool(body.get("nonce")) and bool(body.get("enforce_nonce"))
