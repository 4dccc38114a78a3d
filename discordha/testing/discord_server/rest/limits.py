"""Rate limits of the REST API: the bot's over all routes, and each route's.

Both are sliding windows, the strictest reading of "N requests in T seconds". Requests with a token of their
own, such as answers to interactions, do not count towards the bot's.

Source: Discord's documentation, "Rate Limits".
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter, deque
from typing import Any

from discordha.testing.discord_server.options import Options

__all__ = ["Limits"]

_WITH_TOKEN = re.compile(r"/(interactions|webhooks)/\d+/[^/]+")
_MAJOR = re.compile(r"/(channels|guilds|webhooks)/(\d+)")
_ID = re.compile(r"\d{15,}")


class _Window:
    """A limit of requests within some seconds."""

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self.seconds = seconds
        self._times: deque[float] = deque()

    def take(self, now: float) -> bool:
        """Counts a request. False if there are too many."""
        while self._times and self._times[0] <= now - self.seconds:
            self._times.popleft()
        if len(self._times) >= self.limit:
            return False
        self._times.append(now)
        return True

    @property
    def remaining(self) -> int:
        """The number of requests left."""
        return self.limit - len(self._times)

    def free_in(self, now: float) -> float:
        """Seconds until one more is allowed."""
        return max(self._times[0] + self.seconds - now, 0.0) if self._times else 0.0

    def reset_in(self, now: float) -> float:
        """Seconds until all are allowed."""
        return max(self._times[-1] + self.seconds - now, 0.0) if self._times else 0.0


class Limits:
    """The limits of the bot and of all routes."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._global = _Window(options.global_limit, 1.0)
        self._routes: dict[str, _Window] = {}
        self.exceeded: Counter[str] = Counter()

    def check(self, method: str, path: str) -> tuple[dict[str, str], dict[str, Any] | None]:
        """Counts a request. Returns headers for its answer, and the body of a 429 if it is one too many."""
        options, now = self._options, time.monotonic()
        counted = _WITH_TOKEN.match(path) is None
        if options.global_limit and counted and not self._global.take(now):
            wait = self._global.free_in(now)
            headers = {"X-RateLimit-Global": "true", "X-RateLimit-Scope": "global"}
            return self._refuse("global", headers, wait)
        if not options.route_limit:
            return {}, None
        route = f"{method} {_ID.sub('{id}', path)}"
        major = _MAJOR.match(path)
        key = f"{route} {major[2] if major else ''}"
        window = self._routes.get(key)
        if window is None:
            window = self._routes[key] = _Window(options.route_limit, options.route_window)
        taken = window.take(now)
        wait = window.reset_in(now) if taken else window.free_in(now)
        headers = {
            "X-RateLimit-Limit": str(window.limit),
            "X-RateLimit-Remaining": str(window.remaining),
            "X-RateLimit-Reset": f"{time.time() + wait:.3f}",
            "X-RateLimit-Reset-After": f"{wait:.3f}",
            "X-RateLimit-Bucket": hashlib.sha256(route.encode()).hexdigest()[:16],
        }
        if taken:
            return headers, None
        return self._refuse("user", {**headers, "X-RateLimit-Scope": "user"}, wait)

    def _refuse(
        self, scope: str, headers: dict[str, str], wait: float
    ) -> tuple[dict[str, str], dict[str, Any]]:
        self.exceeded[scope] += 1
        wait = round(wait + 0.001, 3)
        # Discord's edge adds Via; discord.py takes a 429 without it for a ban.
        headers = {**headers, "Retry-After": str(wait), "Via": "1.1 local"}
        return headers, {
            "message": "You are being rate limited.",
            "retry_after": wait,
            "global": scope == "global",
        }
