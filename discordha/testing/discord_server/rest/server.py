"""The REST API: simcord's router with nonces, faults, and a record of every call.

As Discord documents: with ``enforce_nonce``, a message whose nonce its author used in the last few minutes is
not created again, and the first one is returned.
"""

from __future__ import annotations

import asyncio
import fnmatch
import io
import json
import time
from collections import deque
from typing import Any

import aiohttp
from aiohttp import web
from simcord.backend.errors import BackendError
from simcord.http import router
from simcord.http import routes as _routes  # noqa: F401 - importing it registers every route

from discordha.testing.discord_server.gateway import GatewayServer, host_of
from discordha.testing.discord_server.options import Options
from discordha.testing.discord_server.rest.limits import Limits
from discordha.testing.discord_server.rest.listings import Listings
from discordha.testing.discord_server.sessions import dumps
from discordha.testing.discord_server.world import World

__all__ = ["RestServer"]

#: The flags of an application with all privileged intents, for less than 100 guilds.
ALL_INTENTS_FLAGS = (1 << 13) | (1 << 15) | (1 << 19)
#: What Discord says with a status.
_ERRORS = {403: (50001, "Missing Access"), 404: (10003, "Unknown Channel")}


class _Upload:
    """A file of a multipart request, in simcord's form."""

    def __init__(self, filename: str, data: bytes) -> None:
        self.filename = filename
        self.fp = io.BytesIO(data)
        self.description = None
        self.spoiler = False


class RestServer:
    """Answers ``/api/v10/...``, and the same below ``/r/<replica>``."""

    def __init__(self, options: Options, world: World, gateway: GatewayServer) -> None:
        self.options = options
        self.world = world
        self.gateway = gateway
        self.records: deque[dict[str, Any]] = deque(maxlen=options.max_records)
        self.messages: deque[dict[str, Any]] = deque(maxlen=options.max_records)
        self.count = 0
        self.message_count = 0
        self.unknown: list[str] = []
        self.faults: list[dict[str, Any]] = []
        self.nonces: dict[str, tuple[float, int, int]] = {}  # nonce: when, channel, message
        self.pending_nonce: str | None = None
        self.limits = Limits(options)
        self.listings = Listings(options, world)

    async def handle(self, request: web.Request) -> web.Response:
        """Answers one request."""
        replica = request.match_info.get("replica", "")
        path = "/" + request.match_info["path"]
        body, files = await self._read(request)
        record: dict[str, Any] = {
            "number": self.count,
            "at": time.monotonic(),
            "method": request.method,
            "path": path,
            "replica": replica,
            "body": body,
            "duplicate": False,
            "status": 0,
        }
        self.count += 1
        self.records.append(record)
        fault = self._fault_of(request.method, path, replica)
        if fault is not None and fault.get("when") != "after":
            answer = await self._fail(fault)
            if answer is not None:
                record["status"] = answer.status
                return answer
        headers, refusal = self.limits.check(request.method, path)
        if refusal is not None:
            status, payload = 429, refusal
        else:
            status, payload, more = self._serve(request, path, body, files, record)
            headers |= more
        record["status"] = status
        record["answered_at"] = time.monotonic()
        if fault is not None and fault.get("when") == "after":
            answer = await self._fail(fault)
            if answer is not None:
                return answer
        if status == 204:
            return web.Response(status=204, headers=headers)
        return web.Response(
            status=status,
            body=dumps(payload).encode(),
            headers={**headers, "Content-Type": "application/json"},
        )

    @staticmethod
    async def _read(request: web.Request) -> tuple[Any, list[_Upload]]:
        if request.content_type == "application/json":
            raw = await request.read()
            return (json.loads(raw) if raw else None), []
        if not request.content_type.startswith("multipart/"):
            return None, []
        body: Any = None
        files: list[_Upload] = []
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if not isinstance(part, aiohttp.BodyPartReader):
                continue
            data = bytes(await part.read())
            if part.name == "payload_json":
                body = json.loads(data)
            elif part.filename:
                files.append(_Upload(part.filename, data))
        return body, files

    # -- faults ----------------------------------------------------------------------------------------------

    def _fault_of(self, method: str, path: str, replica: str) -> dict[str, Any] | None:
        for fault in self.faults:
            if fault["method"] not in ("*", method) or not fnmatch.fnmatch(path, fault["path"]):
                continue
            if fault["replica"] not in ("*", replica):
                continue
            if fault["count"] is not None:
                fault["count"] -= 1
                if fault["count"] <= 0:
                    self.faults.remove(fault)
            return fault
        return None

    @staticmethod
    async def _fail(fault: dict[str, Any]) -> web.Response | None:
        if fault["delay"]:
            await asyncio.sleep(fault["delay"])
        status = fault["status"]
        if not status:
            return None
        headers = {"Content-Type": "application/json"}
        code, message = _ERRORS.get(status, (0, "fault"))
        payload: dict[str, Any] = {"message": message, "code": code}
        if status == 429:
            payload = {
                "message": "You are being rate limited.",
                "retry_after": fault["retry_after"],
                "global": fault["is_global"],
            }
            headers["Retry-After"] = str(fault["retry_after"])
            headers["Via"] = "1.1 local"
            headers["X-RateLimit-Scope"] = "global" if fault["is_global"] else "user"
            if fault["is_global"]:
                headers["X-RateLimit-Global"] = "true"
        return web.Response(status=status, body=dumps(payload).encode(), headers=headers)

    # -- serving ---------------------------------------------------------------------------------------------

    def _serve(
        self, request: web.Request, path: str, body: Any, files: list[_Upload], record: dict[str, Any]
    ) -> tuple[int, Any, dict[str, str]]:
        public = path.startswith(("/interactions/", "/webhooks/")) or path == "/gateway"
        if not public and request.headers.get("Authorization") != f"Bot {self.options.token}":
            return 401, {"message": "401: Unauthorized", "code": 0}, {}
        if path in ("/gateway", "/gateway/bot"):
            answer: dict[str, Any] = {"url": f"ws://{host_of(request)}/gateway/{record['replica']}"}
            if path == "/gateway/bot":
                answer.update(
                    shards=self.options.shards, session_start_limit=self.gateway.session_start_limit()
                )
            return 200, answer, {}
        if request.method == "POST" and path.endswith("/typing") and path.startswith("/channels/"):
            return 204, None, {}
        nonce = self._nonce_of(request.method, path, body)
        if nonce is not None:
            known = self._known_nonce(nonce)
            if known is not None:
                record["duplicate"] = True
                return 200, {**known, "nonce": nonce}, {}
        self.pending_nonce = body.get("nonce") if isinstance(body, dict) else None
        listing = self.listings.find(request.method, path, request.query)
        try:
            payload = (
                listing()
                if listing is not None
                else router.dispatch(
                    self.world.backend,
                    request.method,
                    path,
                    json=body,
                    params=dict(request.query),
                    files=files,
                    reason=request.headers.get("X-Audit-Log-Reason"),
                )
            )
        except (router.RouteNotImplemented, router.UnsupportedField) as error:
            self.unknown.append(str(error))
            return 501, {"message": str(error), "code": 0}, {}
        except BackendError as error:
            return error.status, error.to_json(), {}
        finally:
            self.pending_nonce = None
        if path == "/oauth2/applications/@me" and isinstance(payload, dict):
            payload = {**payload, "flags": ALL_INTENTS_FLAGS if self.options.privileged_intents else 0}
        self._note_message(request.method, path, payload, record)
        if nonce is not None and isinstance(payload, dict):
            payload = {**payload, "nonce": nonce}
            self.nonces[nonce] = (time.monotonic(), int(payload["channel_id"]), int(payload["id"]))
        return (204, None, {}) if payload is None else (200, payload, {})

    def _nonce_of(self, method: str, path: str, body: Any) -> str | None:
        if method != "POST" or not path.endswith("/messages") or not isinstance(body, dict):
            return None
        nonce = body.get("nonce")
        return str(nonce) if nonce and body.get("enforce_nonce") else None

    def _known_nonce(self, nonce: str) -> dict[str, Any] | None:
        oldest = time.monotonic() - self.options.nonce_window
        while self.nonces:
            first = next(iter(self.nonces))
            if self.nonces[first][0] >= oldest:
                break
            del self.nonces[first]
        known = self.nonces.get(nonce)
        if known is None:
            return None
        _, channel_id, message_id = known
        try:
            payload: dict[str, Any] = router.dispatch(
                self.world.backend, "GET", f"/channels/{channel_id}/messages/{message_id}"
            )
        except BackendError:
            return {"id": str(message_id), "channel_id": str(channel_id)}
        return payload

    def _note_message(self, method: str, path: str, payload: Any, record: dict[str, Any]) -> None:
        if method != "POST" or not isinstance(payload, dict):
            return
        message: Any = payload
        if path.endswith("/callback"):
            message = (payload.get("resource") or {}).get("message")
        if not isinstance(message, dict) or "content" not in message or "channel_id" not in message:
            return
        reference = message.get("message_reference") or {}
        self.messages.append(
            {
                "number": self.message_count,
                "id": int(message["id"]),
                "channel_id": int(message["channel_id"]),
                "content": message["content"],
                "at": record["at"],
                "replica": record["replica"],
                "reference": int(reference["message_id"]) if reference.get("message_id") else None,
            }
        )
        self.message_count += 1
        self.world.trim(int(message["channel_id"]))
