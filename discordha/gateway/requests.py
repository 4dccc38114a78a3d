"""What happens around each REST request of discord.py's: the limits before it, the fence right before it
leaves, and a look at its answer.

Promises: a request of a lost event is not sent, whether it waited or not; each request that passed the
limits ends there, too, also when it fails. Sockets and downloads pass untouched.

Concurrency: runs on the gateway's loop.
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

#: Whatever carries a token of its own: Discord does not count it to the bot.
_WITH_TOKEN = re.compile(r"/(interactions|webhooks)/\d+/[^/]+")


def request_trace(limits: RestLimits | None) -> aiohttp.TraceConfig:
    """For ``discord.Client(http_trace=...)``: the fence, and the limits where there are any."""
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
            limits.end(counted=counted, sent=False)
            raise
        context.counted = counted

    def end(context: SimpleNamespace) -> bool:
        counted = getattr(context, "counted", None)
        if limits is None or counted is None:
            return False
        context.counted = None
        limits.end(counted=counted)
        return True

    async def on_end(_session: Any, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
        if end(context) and limits is not None:
            limits.answered(params.response.status, params.response.headers)

    async def on_exception(_session: Any, context: SimpleNamespace, _params: Any) -> None:
        end(context)

    trace.on_request_start.append(on_start)
    trace.on_request_end.append(on_end)
    trace.on_request_exception.append(on_exception)
    return trace


def _is_counted(url: yarl.URL) -> bool | None:
    """Whether Discord counts a request to the bot; ``None``: it does not go to the API."""
    address = str(url)
    if not address.startswith(f"{Route.BASE}/"):
        return None
    return _WITH_TOKEN.match(address, len(Route.BASE)) is None
