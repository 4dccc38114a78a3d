"""Puts Discord's limits and the fence around each REST request of discord.py's.

Guarantees
- A request of a lost event does not leave, whether it waited for the limits or not.
- Each request that entered the limits leaves them, also when it fails.
- Sockets and downloads pass untouched.

Threads and locks: everything runs on the gateway's loop and needs no lock.
"""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import aiohttp
import yarl
from discord.http import Route

from discordha.blocking import refuse_if_lost
from discordha.limits.rest import RestLimits

__all__ = ["request_trace"]

#: Requests with a token of their own, which Discord does not count against the bot.
_WITH_TOKEN = re.compile(r"/(interactions|webhooks)/\d+/[^/]+")


def request_trace(limits: RestLimits | None, own: aiohttp.TraceConfig | None = None) -> aiohttp.TraceConfig:
    """For ``discord.Client(http_trace=...)``: the fence, and the limits unless ``None``.

    :param own: the author's, whose functions are called after these.
    """
    trace = aiohttp.TraceConfig()

    async def on_start(
        _session: Any, context: SimpleNamespace, params: aiohttp.TraceRequestStartParams
    ) -> None:
        refuse_if_lost(params.method, params.url.path)
        counted = _is_counted(params.url)
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

    def end(context: SimpleNamespace) -> bool:
        counted, context.counted = getattr(context, "counted", None), None
        if limits is not None and counted:
            limits.end()
        return counted is not None

    async def on_end(_session: Any, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
        if end(context) and limits is not None:
            limits.answered(params.response.status, params.response.headers)

    async def on_exception(_session: Any, context: SimpleNamespace, _params: Any) -> None:
        end(context)

    trace.on_request_start.append(on_start)
    trace.on_request_end.append(on_end)
    trace.on_request_exception.append(on_exception)
    for name in dir(own) if own is not None else ():
        if name.startswith("on_"):
            getattr(trace, name).extend(getattr(own, name))
    return trace


def _is_counted(url: yarl.URL) -> bool | None:
    """Whether Discord counts a request against the bot; ``None``: the request does not go to the API."""
    address = str(url)
    if not address.startswith(f"{Route.BASE}/"):
        return None
    return _WITH_TOKEN.match(address, len(Route.BASE)) is None
