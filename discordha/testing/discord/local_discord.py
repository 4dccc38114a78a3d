"""LocalDiscord: a Discord on this machine, which discord.py can't tell from the real one.

Promises: a process of its own that speaks Discord's REST API and gateway v10 over real sockets; every REST
call is on record with its time; ends with the test process. What the REST API does comes from simcord; what
that does not know is answered with 501 and noted in ``unknown_requests``. Times are ``time.monotonic()`` of
this machine.

Voice is a gateway of its own over TLS and a UDP port; what the bot plays is decrypted and on record
(``voice_recordings``); end-to-end encryption (DAVE) is off (version 0). discord.py always asks for TLS there,
so ``env`` has ``SSL_CERT_FILE``: the system's authorities and this Discord's own, for the bot's process.

Does not promise the order of events between channels, or, unless asked for, Discord's rate limits.

Concurrency: a handle is used by one thread at a time; ``_lock`` makes sure of it.
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

from ..certificates import Certificates
from ..discord_server.options import DEFAULT_BOT_ID, Options, token_of
from ..ports import ReservedPort
from ..processes import ChildProcess
from ..waiting import WaitTimeout, wait_for
from .records import BotMessage, Load, Request, Sent
from .users import DiscordUsers
from .voice_records import VoiceRecording

__all__ = ["BotMessage", "Load", "LocalDiscord", "Request", "Sent"]


class LocalDiscord(DiscordUsers):
    """A local Discord. A context manager; ``start`` and ``close`` do the same by hand.

    :param guilds: how many guilds the bot is in, spread over the shards.
    :param channels: text channels in each; there is a voice channel besides.
    :param users: users that are in all guilds.
    :param shards: how many shards it recommends.
    :param max_concurrency: how many IDENTIFYs at once.
    :param identify_interval: seconds between two IDENTIFYs of a bucket: 5 at the real one, 0 switches it off.
        ``/gateway/bot`` says it, unlike the real one.
    :param session_limit: IDENTIFYs a day: 1,000 or more at the real one; so many here that tests which kill
        replicas are not taken for a crash loop.
    :param heartbeat_interval: seconds.
    :param privileged_intents: whether the bot may ask for them.
    :param sign_attachments: attachment addresses differ from session to session.
    :param resume_buffer: events that a session keeps for RESUME.
    :param nonce_window: seconds for which a nonce is remembered.
    :param global_limit: requests within a second that are answered, 50 at the real one; 0: any number.
    :param route_limit: the same for each route and channel, within ``route_window`` seconds; 0: any number.
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
        self._connection: http.client.HTTPConnection | None = None
        self._process: ChildProcess | None = None
        self._about: dict[str, Any] = {}

    # -- life ------------------------------------------------------------------------------------------------

    def start(self, timeout: float = 30.0) -> Self:
        """Starts the server and waits until it answers.

        :raises WaitTimeout: with the end of its log.
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
        """Kills the server: every session and message is gone with it."""
        self._disconnect()
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self) -> None:
        """Kills it and starts it again at the same address, with nothing remembered."""
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
        self._about = self.control("describe")

    def pause(self) -> None:
        """Stops the server as it stands: its sockets stay open, nothing is answered."""
        assert self._process is not None
        self._process.pause()

    def resume(self) -> None:
        """Lets it go on."""
        assert self._process is not None
        self._process.resume()

    def __enter__(self) -> Self:
        """Starts it."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends it."""
        self.close()

    def log_text(self) -> str:
        """What the server printed."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    # -- how to reach it -------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return self._port.number

    def api_url(self, replica: str = "", *, endpoint: str | None = None) -> str:
        """Address of the REST API; with a replica's name in it, the record knows who called.

        :param endpoint: ``host:port`` of a proxy in front.
        """
        base = f"http://{endpoint or f'127.0.0.1:{self.port}'}"
        return f"{base}/r/{replica}" if replica else base

    def gateway_url(self, replica: str = "", *, endpoint: str | None = None) -> str:
        """Address of the gateway; see ``api_url``."""
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
        """The REST calls on record, from one's index on."""
        fields = Request._fields
        return [Request(*(r[field] for field in fields)) for r in self.control("requests", since=since)]

    def messages(self, since: int = 0) -> list[BotMessage]:
        """The messages that the bot created, from one's index on."""
        fields = BotMessage._fields
        return [BotMessage(*(m[field] for field in fields)) for m in self.control("messages", since=since)]

    def unknown_requests(self) -> list[str]:
        """Calls that this Discord does not know: they were answered with 501."""
        return list(self.control("unknown"))

    def sessions(self) -> list[dict[str, Any]]:
        """All gateway sessions, also those without a socket that can still be resumed."""
        return list(self.control("sessions"))

    def identifies(self) -> list[dict[str, Any]]:
        """Each IDENTIFY: ``at``, ``replica``, ``shard_id``, ``accepted``."""
        return list(self.control("identifies"))

    def commands(self, guild_id: int | None = None) -> list[dict[str, Any]]:
        """The application commands that the bot has registered."""
        return list(self.control("commands", guild_id=guild_id))

    def voice_sessions(self) -> list[dict[str, Any]]:
        """The bot's voice sessions, in the order of their beginning, also those that have ended."""
        return list(self.control("voice_sessions"))

    def voice_recordings(self, guild_id: int | None = None) -> list[VoiceRecording]:
        """What was heard in each voice session, of one guild or of all."""
        return [
            VoiceRecording.of(session, self.control("voice_packets", number=session["number"], since=0))
            for session in self.voice_sessions()
            if guild_id in (None, session["guild_id"])
        ]

    def counters(self) -> dict[str, int]:
        """``events``, ``requests``, ``messages``, identify ``violations``, identifies ``remaining``, 429s by
        scope: ``limited_global`` and ``limited_route``.
        """
        about = self.control("describe")
        names = ("events", "requests", "messages", "violations", "remaining")
        return {name: about[name] for name in (*names, "limited_global", "limited_route")}

    def wait_sessions(self, count: int, timeout: float = 20.0) -> None:
        """Blocks until so many sessions have a socket.

        :raises WaitTimeout: it takes longer.
        """
        wait_for(
            lambda: sum(1 for s in self.sessions() if s["attached"]) >= count, timeout, f"{count} sessions"
        )

    def trim(self) -> None:
        """Forgets the record so far."""
        self.control("trim")

    # -- faults ----------------------------------------------------------------------------------------------

    def fault(self, replica: str = "*", **changes: Any) -> None:
        """Lets something go wrong between a replica's sessions and the gateway, now and later.

        :param changes: ``delay`` (seconds), ``drop`` (share of events), ``duplicate``, ``silent`` (nothing
            arrives), ``deaf`` (heartbeats are answered, events do not arrive), ``refuse`` (no new
            connections).
        """
        self.control("fault", replica=replica, changes=changes)

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
        """Lets REST calls go wrong.

        :param status: answered instead; 0 only delays.
        :param count: so many calls; ``None``: all, until ``clear_faults``.
        :param when: ``after``: the call is carried out, and its answer is replaced.
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
        """Everything is well again."""
        self.control("clear_faults", replica=replica)

    def disconnect(self, replica: str | None = None, *, code: int = 4000, end: bool = False) -> int:
        """Closes sockets; the sessions can be resumed unless they ``end``. How many."""
        return int(self.control("close", replica=replica, code=code, end=end))

    def reconnect(self, replica: str | None = None) -> int:
        """Asks clients to reconnect (opcode 7). How many."""
        return int(self.control("reconnect", replica=replica))

    def invalidate(self, replica: str | None = None, *, resumable: bool = False) -> int:
        """Tells clients that their session is invalid (opcode 9). How many."""
        return int(self.control("invalidate", replica=replica, resumable=resumable))

    def voice_kick(self, guild_id: int) -> None:
        """A moderator takes the bot out of its voice channel."""
        self.control("voice_kick", guild_id=guild_id)

    def voice_disconnect(self, guild_id: int, *, code: int = 4000) -> int:
        """Closes a guild's voice socket; the session can be resumed. How many."""
        return int(self.control("voice_close", guild_id=guild_id, code=code))

    def set_identify_limit(self, remaining: int) -> None:
        """What is left of the day's IDENTIFYs."""
        self.control("set_limit", remaining=remaining)

    def set_resume_host(self, host: str | None) -> None:
        """Which ``host:port`` new sessions are told to resume at."""
        self.control("set_resume_host", host=host)

    # -- the call --------------------------------------------------------------------------------------------

    def control(self, name: str, /, **arguments: Any) -> Any:
        """One call to the server.

        :raises RuntimeError: it refuses; says why.
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
