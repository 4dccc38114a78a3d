"""The local socket by which ``discordha reload`` reaches a ``discordha run`` on the same machine.

One line asks, ``reload``. The answer is one JSON object a line: ``{"said": ...}`` as things go on, and
``{"ok": ...}`` at the end.

Guarantees
- Only the user who runs the bot, and root, can ask: the socket lies in a folder of that user's alone.
- A process that asks and does not read is cut off; it holds nothing up.

Threads and locks: the server's side belongs to the parent's main thread and never blocks. The client's side
blocks.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from discordha.errors import DiscordHAError

__all__ = ["RELOAD", "ControlServer", "Reply", "ask", "runs"]

_log = logging.getLogger("discordha.run")

#: The request for a reload.
RELOAD = b"reload\n"


def _folder(environ: Mapping[str, str]) -> Path:
    """systemd's folder for the service, or the user's, or one of the user's own below /tmp."""
    if environ.get("RUNTIME_DIRECTORY"):
        return Path(environ["RUNTIME_DIRECTORY"].split(":")[0])
    if environ.get("XDG_RUNTIME_DIR"):
        return Path(environ["XDG_RUNTIME_DIR"]) / "discordha"
    return Path(tempfile.gettempdir()) / f"discordha-{os.getuid()}"


class Reply:
    """Where the answer to one request goes; closed by ``end``."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def say(self, text: str) -> None:
        """A line of what goes on. Does not block."""
        self._send({"said": text})

    def end(self, ok: bool, text: str) -> None:
        """The result, and the end. Does not block."""
        self._send({"ok": ok, "said": text})
        self._connection.close()

    def _send(self, message: dict[str, object]) -> None:
        with contextlib.suppress(OSError):
            self._connection.send(json.dumps(message).encode() + b"\n")


class ControlServer:
    """Listens for requests. Where no socket can be made, a warning says so, and SIGHUP is left.

    :param on_reload: called for each request to reload; ends the reply, now or later.
    """

    def __init__(self, environ: Mapping[str, str], on_reload: Callable[[Reply], None]) -> None:
        self._on_reload = on_reload
        self._path: Path | None = None
        self.socket: socket.socket | None = None
        try:
            folder = _folder(environ)
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            owner = folder.stat()
            if owner.st_uid != os.getuid() or owner.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise PermissionError(f"others may write to {folder}")
            path = folder / f"run-{os.getpid()}.sock"
            path.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX)
            listener.setblocking(False)
            listener.bind(str(path))
            path.chmod(0o600)
            listener.listen(8)
        except OSError as error:
            _log.warning("discordha reload can't reach this process (%s); SIGHUP can", error)
            return
        self._path, self.socket = path, listener

    def accept(self) -> socket.socket | None:
        """A new connection, to be watched for reading; then ``read``."""
        assert self.socket is not None
        try:
            connection, _ = self.socket.accept()
        except OSError:
            return None
        connection.setblocking(False)
        return connection

    def read(self, connection: socket.socket) -> None:
        """A connection has something to read: it asks, or has gone."""
        try:
            asked = connection.recv(64)
        except OSError:
            asked = b""
        if asked == RELOAD:
            self._on_reload(Reply(connection))
        else:
            connection.close()

    def close(self) -> None:
        """Ends. Idempotent."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)


def runs(environ: Mapping[str, str]) -> dict[int, Path]:
    """The sockets of every ``discordha run`` of this user, by process id; those of dead ones are removed."""
    found = {}
    for path in sorted(_folder(environ).glob("run-*.sock")):
        number = path.stem.removeprefix("run-")
        if not number.isdigit():
            continue
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.settimeout(1.0)
                probe.connect(str(path))
            except ConnectionRefusedError:
                with contextlib.suppress(OSError):
                    path.unlink()
                continue
            except OSError:
                continue
        found[int(number)] = path
    return found


def ask(path: Path, said: Callable[[str], None], timeout: float) -> bool:
    """Asks for a reload and waits for its end; whether the new version runs. Blocks.

    :param said: called with each line of what goes on.
    :param timeout: seconds between two lines.
    :raises DiscordHAError: the other side is gone, or says nothing for so long.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
            connection.sendall(RELOAD)
            with connection.makefile("rb") as lines:
                for line in lines:
                    message = json.loads(line)
                    said(str(message["said"]))
                    if "ok" in message:
                        return bool(message["ok"])
        except (OSError, ValueError, KeyError) as error:
            raise DiscordHAError(f"discordha run does not answer: {error}") from None
    raise DiscordHAError("discordha run ended before the reload did")
