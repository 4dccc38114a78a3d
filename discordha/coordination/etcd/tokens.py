"""etcd's token of one user, shared by all threads of a store. A part of the store; see there.

Promises: one thread asks for a token while the others wait for its answer, within their own time-outs; a
token is dropped only by those that were refused with it, so none is asked for twice.

Concurrency
- Every method may be called from any thread. ``obtain`` blocks; the others never do.
- ``_lock`` guards ``_token``; ``_turn`` is held while etcd is asked. ``_turn`` is taken before ``_lock`` and
  the store's lock, never under them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from discordha.errors import StoreUnavailable

__all__ = ["Metadata", "Tokens"]

#: What goes with a request.
Metadata = tuple[tuple[str, str], ...]


class Tokens:
    """See the module.

    :param request: asks etcd for a token until a deadline, by ``clock``; an empty one when none is needed.
    """

    def __init__(
        self, request: Callable[[float], str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._request = request
        self._clock = clock
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._token: str | None = None

    def obtain(self, deadline: float) -> None:
        """Sees to it that there is a token.

        :raises StoreUnavailable: there was none in time.
        """
        if self._token is not None:
            return
        if not self._turn.acquire(timeout=max(deadline - self._clock(), 0.001)):
            raise StoreUnavailable("etcd did not authenticate the replica in time")
        try:
            if self._token is None:
                token = self._request(deadline)
                with self._lock:
                    self._token = token
        finally:
            self._turn.release()

    def metadata(self) -> Metadata:
        """The token, if there is one, as plain metadata: gRPC's call credentials are refused on connections
        without TLS.
        """
        token = self._token
        return (("token", token),) if token else ()

    def expire(self, head: Metadata) -> None:
        """Drops the token that a call was made with, unless another thread has a new one already."""
        with self._lock:
            if self._token is not None and ("token", self._token) in head:
                self._token = None

    def forget(self) -> None:
        """Drops whatever token there is."""
        with self._lock:
            self._token = None
