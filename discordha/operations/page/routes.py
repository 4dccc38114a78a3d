"""The addresses of the operator's page, as ``Routes`` of the HTTP server.

======================  ======================================================================
``GET /``               the page
``GET /stream``         server-sent events: the fleet's state at each change
``GET /api/status``     the same once, as JSON
``GET /api/event``      the outcome of an event, ``?id=``
``GET /api/letters``    dead letters; with ``?id=`` one with its payload and history
``POST /api/<action>``  drain, resign, reshard, replay, drop, reload; see ``actions`` and ``access``
======================  ======================================================================

All addresses in the page are relative, so that a proxy may serve it below any path.

Threads and locks: the HTTP server's loop; see ``Live`` for what blocks. ``close`` ends viewers' streams.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web

from discordha.errors import DiscordHAError, StoreUnavailable
from discordha.operations.fleet import Fleet
from discordha.operations.page.access import Access, Denied, who
from discordha.operations.page.actions import ACTIONS, Invalid, reload, reloadable
from discordha.operations.page.document import document
from discordha.operations.page.live import Busy, Live

__all__ = ["MAX_VIEWERS", "PageRoutes"]

_log = logging.getLogger(__name__)

#: Viewers at once.
MAX_VIEWERS = 100
#: How long a viewer may take to read a message, seconds; then its stream ends, and its browser comes back.
SLOWEST_VIEWER = 10.0
#: Dead letters that are listed.
LETTERS_SHOWN = 100
#: Characters of an event's id.
MOST_ID = 300
#: After how many milliseconds a browser comes back.
RETRY = 1000

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PageRoutes:
    """The page of one fleet.

    :param open_fleet: opens the fleet when it is first looked at.
    :param token: allows actions; ``None``: the page is read-only.
    :param members: the records of the replicas, where etcd has none.
    :param served_by: whoever serves the page, to be shown.
    """

    def __init__(
        self,
        open_fleet: Callable[[], Fleet],
        *,
        token: str | None = None,
        members: Callable[[], Mapping[str, Mapping[str, Any]]] | None = None,
        served_by: str = "",
    ) -> None:
        self._access = Access(token)
        self._extra = {"served_by": served_by, "can_act": self._access.can_act}
        self._live = Live(open_fleet, members, self._extra)
        self._reloads: set[asyncio.Task[None]] = set()

    def add_to(self, app: web.Application) -> None:
        add = app.router.add_get
        add("/", self._page)
        add("/stream", self._stream, allow_head=False)
        add("/api/status", _answering(self._status))
        add("/api/event", _answering(self._event))
        add("/api/letters", _answering(self._letters))
        app.router.add_post("/api/{action}", _answering(self._act))

    async def close(self) -> None:
        for task in self._reloads:
            task.cancel()
        await self._live.close()

    # -- looking ---------------------------------------------------------------------------------------------

    async def _page(self, request: web.Request) -> web.Response:
        page = document()
        return web.Response(body=page.body, headers=page.headers)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if self._live.viewers >= MAX_VIEWERS:
            return web.Response(status=503, text="too many viewers\n", headers={"Retry-After": "10"})
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # nginx must not collect the messages
            }
        )
        await response.prepare(request)
        messages = self._live.messages()
        try:
            await response.write(b"retry: %d\n\n" % RETRY)
            async for kind, data in messages:
                text = b"event: %b\ndata: %b\n\n" % (kind.encode(), data) if kind else b": still here\n\n"
                async with asyncio.timeout(SLOWEST_VIEWER):
                    await response.write(text)
        except ConnectionError:
            pass
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        finally:
            await messages.aclose()
        return response

    async def _status(self, request: web.Request) -> web.Response:
        return _json(await self._live.status())

    async def _event(self, request: web.Request) -> web.Response:
        identity = _identity(request)
        found = await self._live.look_up(("event", identity), lambda fleet: fleet.events(identity))
        return _json([asdict(each) for each in found])

    async def _letters(self, request: web.Request) -> web.Response:
        contents = self._access.may_read_contents(request)
        if "id" not in request.query:
            letters = await self._live.look_up(("letters",), lambda fleet: fleet.letters(LETTERS_SHOWN))
            return _json([asdict(each) | {"payload": None, "history": ()} for each in letters])
        identity = _identity(request)
        found = await self._live.look_up(("letter", identity), lambda fleet: fleet.letter(identity))
        letter = asdict(found)
        if not contents:
            letter["payload"] = None
        return _json(letter | {"withheld": not contents})

    # -- acting ----------------------------------------------------------------------------------------------

    async def _act(self, request: web.Request) -> web.Response:
        action = request.match_info["action"]
        self._access.check(request)
        if action != "reload" and action not in ACTIONS:
            raise web.HTTPNotFound(text=f"there is no action {action!r}\n")
        if request.content_type != "application/json":
            raise Denied(415, "an action takes a JSON object")
        given = await request.json()
        if not isinstance(given, dict):
            raise Invalid("an action takes a JSON object")
        # Whoever closes the tab meanwhile has acted all the same, and the log has to say so.
        return _json({"text": await asyncio.shield(self._perform(action, given, who(request)))})

    async def _perform(self, action: str, given: Mapping[str, Any], asker: str) -> str:
        told = json.dumps(given)
        try:
            text = await (self._reload() if action == "reload" else self._live.call(_bound(action, given)))
        except DiscordHAError as error:
            _log.warning("the operator's page: %s %s by %s failed: %s", action, told, asker, error)
            raise
        _log.warning("the operator's page: %s %s by %s: %s", action, told, asker, text)
        return text

    async def _reload(self) -> str:
        path = await self._live.aside(reloadable)
        if path is None:
            raise DiscordHAError(
                "there is no discordha run to reload where this page is served from, or there are several"
            )
        text, task = await reload(path)
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)
        return text


def _bound(action: str, given: Mapping[str, Any]) -> Callable[[Fleet], str]:
    return lambda fleet: ACTIONS[action](fleet, given)


def _identity(request: web.Request) -> str:
    identity = request.query.get("id", "").strip()
    if not 0 < len(identity) <= MOST_ID or not identity.isprintable():
        raise Invalid("id must be an event's id, or event/id")
    return identity


def _answering(handler: Callable[[web.Request], Awaitable[web.Response]]) -> _Handler:
    """Turns errors into answers."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Denied as error:
            return _json({"error": str(error)}, error.status)
        except (Invalid, ValueError, RecursionError) as error:
            return _json({"error": str(error)}, 400)
        except Busy as error:
            return _json({"error": str(error)}, 429)
        except StoreUnavailable as error:
            return _json({"error": str(error)}, 503)
        except DiscordHAError as error:
            return _json({"error": str(error)}, 409)

    return answer


def _json(value: object, status: int = 200) -> web.Response:
    return web.json_response(value, status=status, headers={"Cache-Control": "no-store"})
