"""Who may act on the operator's page: those who send the token, from the page itself or from a program.

Guarantees
- Without a token in the configuration nobody acts. Tokens are compared in constant time. Wrong ones are
  logged, ``MOST_WRONG`` within ``WRONG_WINDOW`` seconds at the most. Nobody is locked out: whoever guesses
  would lock the operator out, and a token is too long to be guessed.
- The token comes in a header. No browser adds that one by itself, and the page sets no cookie, so another
  site can't use a viewer's rights. A request of a browser must come from the page's own origin, too.
- The token is in no message and in no log line.

Threads and locks: the HTTP server's loop; no lock, no I/O.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections import deque
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from aiohttp import web

__all__ = ["Access", "Denied", "who"]

_log = logging.getLogger(__name__)

#: Wrong tokens that are logged within so many seconds.
MOST_WRONG, WRONG_WINDOW = 10, 60.0
#: Characters of a name that somebody gives.
MOST_NAME = 60


class Denied(Exception):
    """Somebody may not do something. ``status``: of HTTP."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Access:
    """Checks requests.

    :param token: the one that allows actions; ``None``: nothing does.
    """

    def __init__(self, token: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._token = token.encode() if token is not None else None
        self._clock = clock
        self._wrong: deque[float] = deque(maxlen=MOST_WRONG)

    @property
    def can_act(self) -> bool:
        """Whether there is a token."""
        return self._token is not None

    def check(self, request: web.Request) -> None:
        """Whether a request may act.

        :raises Denied: it may not.
        """
        if self._token is None:
            raise Denied(403, "this page is read-only: to act on it, start its server with http_token")
        if not _is_own(request):
            raise Denied(403, "the request comes from another site")
        self._check_token(request)

    def may_read_contents(self, request: web.Request) -> bool:
        """Whether a request may see what users wrote: all may, unless there is a token.

        :raises Denied: it sends a wrong one.
        """
        if self._token is None:
            return True
        if "Authorization" not in request.headers:
            return False
        self._check_token(request)
        return True

    def _check_token(self, request: web.Request) -> None:
        assert self._token is not None
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        right = hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token)
        if scheme.lower() == "bearer" and right:
            return
        now = self._clock()
        if given and (len(self._wrong) < MOST_WRONG or now - self._wrong[0] > WRONG_WINDOW):
            self._wrong.append(now)
            _log.warning("the operator's page: a wrong token from %s", who(request))
        raise Denied(401, "the token is wrong or missing")


def who(request: web.Request) -> str:
    """Who sends a request, for the log: the name that they give, their address, and what a proxy says."""
    name = _plain(unquote(request.headers.get("X-Operator", "")))
    through = _plain(request.headers.get("X-Forwarded-For", ""))
    found = request.remote or "an unknown address"
    if through:
        found = f"{found} for {through}"
    return f"{name} at {found}" if name else found


def _plain(text: str) -> str:
    """Text that can't break a log line."""
    return "".join(c if c.isprintable() else "?" for c in text.strip())[:MOST_NAME]


def _is_own(request: web.Request) -> bool:
    """Whether a request comes from the page itself, or from no browser."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    asked = {request.headers.get(name, "").lower() for name in ("Host", "X-Forwarded-Host")}
    return bool(origin != "null" and urlsplit(origin).netloc.lower() in asked - {""})
