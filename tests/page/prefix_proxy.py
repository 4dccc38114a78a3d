"""A reverse proxy that serves a page below a path, as an ingress does."""

from __future__ import annotations

import aiohttp
from aiohttp import web

__all__ = ["PrefixProxy"]


class PrefixProxy:
    """``Routes`` that hand everything below ``prefix`` on to ``target``, which ends in a slash."""

    def __init__(self, prefix: str, target: str) -> None:
        self._prefix, self._target = prefix, target

    def add_to(self, app: web.Application) -> None:
        app.router.add_route("*", self._prefix + "{rest:.*}", self._pass)

    async def close(self) -> None:
        """Nothing runs beside the requests."""

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        rest = request.match_info["rest"].lstrip("/")
        headers = {
            name: value for name, value in request.headers.items() if name not in ("Host", "Connection")
        }
        headers["X-Forwarded-Host"] = request.host
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            call = session.request(
                request.method,
                self._target + rest,
                params=request.query,
                headers=headers,
                data=await request.read(),
                timeout=aiohttp.ClientTimeout(),
            )
            async with call as answer:
                skipped = ("Content-Length", "Transfer-Encoding", "Connection")
                kept = {name: value for name, value in answer.headers.items() if name not in skipped}
                response = web.StreamResponse(status=answer.status, headers=kept)
                await response.prepare(request)
                async for part in answer.content.iter_any():
                    await response.write(part)
                return response
