"""LocalDiscord: a Discord on this machine, which discord.py can't tell from the real one.

Guarantees
- A process of its own speaks Discord's REST API and gateway v10 over real sockets, and ends with the test
  process. Every REST call is on record with its time, ``time.monotonic()`` of this machine.
- simcord decides what the REST API does. An unknown call is answered with 501 and listed in
  ``unknown_requests``.
- Voice has a gateway over TLS and a UDP port. The bot's sound is decrypted and recorded. End-to-end
  encryption (DAVE) is off. discord.py insists on TLS there, so ``env`` has ``SSL_CERT_FILE`` with this
  Discord's authority and the system's.
- Not guaranteed: the order of events of different channels, or, unless asked for, Discord's rate limits.

Threads and locks: ``_lock`` lets one thread at a time use a handle.
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from discordha.testing.certificates import Certificates
from discordha.testing.discord.records import BotMessage, BotMessages, Load, Request, Sent
from discordha.testing.discord.users import DiscordUsers
from discordha.testing.discord.voice_records import VoiceRecording
from discordha.testing.discord_server.options import DEFAULT_BOT_ID, Options, token_of
from discordha.testing.ports import ReservedPort
from discordha.testing.processes import ChildProcess
from discordha.testing.waiting import WaitTimeout, wait_for

__all__ = ["BotMessage", "Load", "LocalDiscord", "Request", "Sent"]


class LocalDiscord(DiscordUsers):
    """A local Discord. A context manager, or ``start`` and ``close`` by hand. Methods block; any thread.

    :param guilds: the bot's guilds, spread over the shards: their number, or a list of their names.
    :param channels: number or names of the text channels of each guild, which has a voice channel, too.
    :param users: number or names of the users, all of them members of all guilds.
    :param shards: recommended number of shards.
    :param max_concurrency: IDENTIFYs at once.
    :param identify_interval: seconds between two IDENTIFYs of a bucket; 5 at the real Discord, 0 for none.
        ``/gateway/bot`` tells it, unlike the real one.
    :param session_limit: IDENTIFYs a day; 1,000 or more at the real Discord. The default is so high that
        tests which kill replicas do not look like a crash loop.
    :param heartbeat_interval: seconds.
    :param privileged_intents: whether the bot may ask for them.
    :param sign_attachments: whether attachment addresses differ between sessions.
    :param resume_buffer: events that a session keeps for RESUME.
    :param nonce_window: seconds for which a nonce is remembered.
    :param global_limit: requests answered within a second, 50 at the real Discord; 0 for any number.
    :param route_limit: the same for each route and channel, within ``route_window`` seconds.
    :param max_voice_packets: packets of 20 ms that the record of a voice session keeps.
    :param voice_resume_window: seconds after which a voice session without a socket ends.
    :param voice_heartbeat_interval: seconds.
    """

    def __init__(self, *, bot_id: int = DEFAULT_BOT_ID, **options: Any) -> None:
        self._port = ReservedPort()
        self.token = token_of(bot_id)
        self._holder = tempfile.TemporaryDirectory(prefix="discordha-discord-", ignore_cleanup_errors=True)
        certificates = Certificates(Path(self._holder.name))
        self._authorities = Path(self._holder.name) / "authorities.pem"
        system = ssl.get_default_verify_paths().cafile
        known = Path(system).read_bytes() if system else b""
        self._authorities.write_bytes(known + b"\n" + certificates.ca_cert.read_bytes())
        self._fixed: dict[str, Any] = {
            "bot_id": bot_id,
            "token": self.token,
            "port": self._port.number,
            "voice_cert": str(certificates.server_cert),
            "voice_key": str(certificates.server_key),
        }
        self._options = Options(**self._fixed, **options)
        self._log = Path(self._holder.name) / "server.log"
        self._lock = threading.Lock()
        self._messages = BotMessages(self)
        self._connection: http.client.HTTPConnection | None = None
        self._process: ChildProcess | None = None
        self._about: dict[str, Any] = {}

    # -- life ------------------------------------------------------------------------------------------------

    def start(self, timeout: float = 30.0) -> Self:
        """Starts the server, and blocks until it answers, for ``timeout`` seconds at the most.

        :raises WaitTimeout: it does not answer in time; the error has the end of its log.
        """
        options = json.dumps(asdict(self._options))
        command = [sys.executable, "-m", "discordha.testing.discord_server", options]
        self._process = ChildProcess(command, self._log)
        offset = len(self.log_text())

        def ready() -> bool:
            assert self._process is not None
            if not self._process.alive:
                raise WaitTimeout(f"the local Discord has ended:\n{self.log_text()[-3000:]}")
            return "local discord ready" in self.log_text()[offset:]

        wait_for(ready, timeout, "the local Discord", interval=0.01)
        self._about = self.control("describe")
        return self

    def close(self) -> None:
        """Ends the server. Idempotent."""
        self.kill()
        self._port.release()
        self._holder.cleanup()

    def kill(self) -> None:
        """Kills the server, and with it all sessions and messages."""
        self._disconnect()
        if self._process is not None:
            self._process.kill()
            self._process = None
        self._messages.forget()

    def restart(self) -> None:
        """Starts the server anew at the same address, with nothing remembered."""
        self.kill()
        self.start()

    def reset(self, **options: Any) -> None:
        """Begins anew with these options, in the same process and at the same address.

        Sessions, messages, loads, faults and the record are gone, and all gateway and voice sockets are
        closed. Blocks for milliseconds, where a start takes half a second. A killed server starts again, a
        paused one goes on.

        :param options: as for ``LocalDiscord``; an option that is left out has its default.
        """
        self._options = Options(**self._fixed, **options)
        if self._process is None or not self._process.alive:
            self.kill()
            self.start()
            return
        self._process.resume()
        self.control("reset", **asdict(self._options))
        self._messages.forget()
        self._about = self.control("describe")

    def pause(self) -> None:
        """Stops the server with SIGSTOP: its sockets stay open, and nothing is answered."""
        assert self._process is not None
        self._process.pause()

    def resume(self) -> None:
        """Continues the server."""
        assert self._process is not None
        self._process.resume()

    def __enter__(self) -> Self:
        """Starts the server."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the server."""
        self.close()

    def log_text(self) -> str:
        """The server's output."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    # -- how to reach it -------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return self._port.number

    def api_url(self, replica: str = "", *, endpoint: str | None = None) -> str:
        """The address of the REST API. A replica's name in it appears in the record.

        :param endpoint: ``host:port`` of a proxy in front.
        """
        base = f"http://{endpoint or f'127.0.0.1:{self.port}'}"
        return f"{base}/r/{replica}" if replica else base

    def gateway_url(self, replica: str = "", *, endpoint: str | None = None) -> str:
        """The address of the gateway; see ``api_url``."""
        return f"ws://{endpoint or f'127.0.0.1:{self.port}'}/gateway/{replica}"

    def env(self, replica: str = "", *, endpoint: str | None = None) -> dict[str, str]:
        """The ``DISCORDHA_*`` variables for a bot, or for one replica of it."""
        return {
            "BOT_TOKEN": self.token,
            "DISCORDHA_API_URL": self.api_url(replica, endpoint=endpoint),
            "DISCORDHA_GATEWAY_URL": self.gateway_url(replica, endpoint=endpoint),
            "SSL_CERT_FILE": str(self._authorities),
        }

    @property
    def bot_id(self) -> int:
        """The bot's user id."""
        return self._options.bot_id

    @property
    def guild_ids(self) -> list[int]:
        """All guilds."""
        return list(self._about["guilds"])

    @property
    def channel_ids(self) -> list[int]:
        """All text channels."""
        return list(self._about["channels"])

    @property
    def voice_channel_ids(self) -> list[int]:
        """All voice channels."""
        return list(self._about["voice_channels"])

    @property
    def user_ids(self) -> list[int]:
        """The users that are in all guilds."""
        return list(self._about["users"])

    # -- what the bot did ------------------------------------------------------------------------------------

    def requests(self, since: int = 0) -> list[Request]:
        """The recorded REST calls, from number ``since`` on."""
        return [Request(*(r[f] for f in Request._fields)) for r in self.control("requests", since=since)]

    def messages(self, since: int = 0) -> list[BotMessage]:
        """The messages that the bot created, from number ``since`` on."""
        return self._messages.since(since)

    def unknown_requests(self) -> list[str]:
        """The calls that were answered with 501, as this Discord does not know them."""
        return list(self.control("unknown"))

    def sessions(self) -> list[dict[str, Any]]:
        """All gateway sessions, also those without a socket that can be resumed; with their ``presence``."""
        return list(self.control("sessions"))

    def identifies(self) -> list[dict[str, Any]]:
        """All IDENTIFYs: ``at``, ``replica``, ``shard_id``, ``accepted``, ``presence``."""
        return list(self.control("identifies"))

    def commands(self, guild_id: int | None = None) -> list[dict[str, Any]]:
        """The application commands that the bot has registered."""
        return list(self.control("commands", guild_id=guild_id))

    def voice_sessions(self) -> list[dict[str, Any]]:
        """All voice sessions of the bot, in the order in which they began."""
        return list(self.control("voice_sessions"))

    def voice_recordings(self, guild_id: int | None = None) -> list[VoiceRecording]:
        """The sound of each voice session, of one guild or of all."""
        return [
            VoiceRecording.of(session, self.control("voice_packets", number=session["number"], since=0))
            for session in self.voice_sessions()
            if guild_id in (None, session["guild_id"])
        ]

    def counters(self) -> dict[str, int]:
        """The numbers of ``events``, ``requests``, ``messages``, ``violations`` of IDENTIFY's rules,
        IDENTIFYs ``remaining``, and 429s by scope: ``limited_global`` and ``limited_route``.
        """
        about = self.control("describe")
        names = ("events", "requests", "messages", "violations", "remaining")
        return {name: about[name] for name in (*names, "limited_global", "limited_route")}

    def wait_sessions(self, count: int, timeout: float = 20.0) -> None:
        """Blocks until ``count`` sessions have a socket.

        :raises WaitTimeout: it takes longer than ``timeout`` seconds.
        """
        wait_for(lambda: sum(s["attached"] for s in self.sessions()) >= count, timeout, f"{count} sessions")

    def trim(self) -> None:
        """Clears the record."""
        self.control("trim")
        self._messages.forget()

    # -- faults ----------------------------------------------------------------------------------------------

    def fault(self, replica: str = "*", **changes: Any) -> None:
        """Adds a fault between a replica's sessions and the gateway, also future ones.

        :param changes: ``delay`` (seconds), ``drop`` (share of events), ``duplicate``, ``silent`` (nothing
            arrives), ``deaf`` (heartbeats are answered, events do not arrive), ``refuse`` (no new
            connections), ``cut_resume`` (each RESUME ends its connection).
        """
        self.control("fault", replica=replica, changes=changes)

    def frame(self, frame: str | bytes, replica: str | None = None) -> int:
        """Sends a frame as it is, outside the sequence; returns how many sessions it went to."""
        binary = frame.hex() if isinstance(frame, bytes) else None
        text = frame if isinstance(frame, str) else None
        sent: int = self.control("frame", replica=replica, text=text, binary=binary)
        return sent

    def fault_rest(
        self,
        *,
        method: str = "*",
        path: str = "*",
        replica: str = "*",
        status: int = 0,
        delay: float = 0.0,
        retry_after: float = 1.0,
        is_global: bool = False,
        count: int | None = None,
        when: str = "before",
    ) -> None:
        """Adds a fault of REST calls.

        :param status: the answer's status; 0 only delays.
        :param count: number of calls; ``None`` for all until ``clear_faults``.
        :param when: ``before`` the call is carried out, or ``after``, when only its answer is replaced.
        """
        self.control(
            "fault_rest",
            fault={
                "method": method,
                "path": path,
                "replica": replica,
                "status": status,
                "delay": delay,
                "retry_after": retry_after,
                "is_global": is_global,
                "count": count,
                "when": when,
            },
        )

    def clear_faults(self, replica: str | None = None) -> None:
        """Removes the faults of a replica, or all."""
        self.control("clear_faults", replica=replica)

    def disconnect(self, replica: str | None = None, *, code: int = 4000, end: bool = False) -> int:
        """Closes sockets and returns their number. The sessions can be resumed unless they ``end``."""
        return int(self.control("close", replica=replica, code=code, end=end))

    def reconnect(self, replica: str | None = None) -> int:
        """Asks clients to reconnect (opcode 7). Returns their number."""
        return int(self.control("reconnect", replica=replica))

    def invalidate(self, replica: str | None = None, *, resumable: bool = False) -> int:
        """Tells clients that their session is invalid (opcode 9). Returns their number."""
        return int(self.control("invalidate", replica=replica, resumable=resumable))

    def voice_kick(self, guild_id: int) -> None:
        """Takes the bot out of its voice channel, as a moderator."""
        self.control("voice_kick", guild_id=guild_id)

    def voice_disconnect(self, guild_id: int, *, code: int = 4000) -> int:
        """Closes a guild's voice socket and returns the number of sockets. The session can be resumed."""
        return int(self.control("voice_close", guild_id=guild_id, code=code))

    def set_identify_limit(self, remaining: int) -> None:
        """Sets the rest of the day's IDENTIFYs."""
        self.control("set_limit", remaining=remaining)

    def set_resume_host(self, host: str | None) -> None:
        """Sets the ``host:port`` at which new sessions are told to resume."""
        self.control("set_resume_host", host=host)

    # -- the call --------------------------------------------------------------------------------------------

    def control(self, name: str, /, **arguments: Any) -> Any:
        """Calls the server.

        :raises RuntimeError: the server refuses; the error says why.
        """
        body = json.dumps(arguments)
        with self._lock:
            for fresh in (False, True):
                if self._connection is None or fresh:
                    self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30.0)
                try:
                    self._connection.request(
                        "POST", f"/control/{name}", body, {"Content-Type": "application/json"}
                    )
                    response = self._connection.getresponse()
                    answer = response.read()
                    break
                except (ConnectionError, http.client.HTTPException):
                    self._connection.close()
                    self._connection = None
                    if fresh:
                        raise
        if response.status != 200:
            raise RuntimeError(f"{name}: {answer.decode()}")
        return json.loads(answer)

    def _disconnect(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
