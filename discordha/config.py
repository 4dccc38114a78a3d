"""Config: every setting of a replica, checked before anything connects."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import logging
import math
import os
import re
import string
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from discordha.environment import nearest, read_variable
from discordha.errors import ConfigError

if TYPE_CHECKING:
    import discord

__all__ = ["ORDERINGS", "Config", "bot_id_from_token"]

_log = logging.getLogger(__name__)

_PREFIX = "DISCORDHA_"
#: First words of variables with the prefix that are no fields.
_FOREIGN = frozenset({"CACHE", "LOG", "TEST"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ENDPOINT = re.compile(r"(https?://)?(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):(\d{1,5})")
_HTTP_TOKEN = re.compile(r"[!-~]{16,}")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]*):(\d{1,5})")
#: An event's mark outlives ``catch_up`` by so many seconds: the time that a fleet needs to start again.
CATCH_UP_MARGIN = 60.0
#: What text editors, shells and copied pages put around a token.
_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb"

#: Fields in seconds, and fields that are whole numbers, each with its smallest value.
_SECONDS = {
    **{"etcd_timeout": 0.1, "session_ttl": 2.0, "retention": 1.0, "grace": 0.001, "drain_timeout": 0.0},
    **{"call_timeout": 0.1, "deaf_after": 0.5, "catch_up": 0.0},
}
_COUNTS = {"workers": 1, "queue_size": 1, "max_attempts": 1, "replication": 1, "catch_up_limit": 1}
#: discord.py's options of a client that are passed through.
_CLIENT_OPTIONS = frozenset({
    *("activity", "allowed_mentions", "assume_unsync_clock", "chunk_guilds_at_startup", "proxy", "status"),
    *("enable_raw_presences", "guild_ready_timeout", "heartbeat_timeout", "http_trace", "max_messages"),
    *("max_ratelimit_timeout", "member_cache_flags", "proxy_auth"),
})  # fmt: skip
#: discord.py's other options, each with the reason why it is none here.
_NOT_TAKEN = {
    **dict.fromkeys(("shard_id", "shard_ids"), "the plan of shards places them: set shard_count"),
    "connector": "it belongs to one loop, and each shard's client makes its own",
    "enable_debug_events": "every client has them switched on",
    "application_id": "Discord tells it at login",
}
ORDERINGS = ("channel", "guild", "none")
_CHOICES = {"ordering": ORDERINGS, "on_store_loss": ("hold", "handle")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The configuration of one replica. Immutable: any thread. All durations are seconds.

    :param token: the bot's token.
    :param intents: the events that Discord sends; by default all that need no approval.
    :param ha: false for a single replica without etcd.
    :param name: the bot's namespace in etcd; by default its user id, which the token contains.
    :param replica_id: this replica's name; by default host, process id and a random part. No two live
        replicas may have the same.
    :param etcd_endpoints: ``host:port`` of each member; ``https://`` before it, or ``etcd_ca_cert``, means
        TLS.
    :param etcd_ca_cert: PEM file of the certificate authority.
    :param etcd_cert: PEM file of the client's certificate, with ``etcd_key``.
    :param etcd_key: PEM file of the client's private key.
    :param etcd_user: the user in etcd, with ``etcd_password``.
    :param etcd_password: the user's password; never shown.
    :param etcd_timeout: how long a request to etcd may take.
    :param session_ttl: how long after its last sign of life a replica counts as dead, 2 or more.
    :param retention: how long an event is remembered as done, and may wait for etcd.
    :param catch_up: how far back events are fetched from Discord that happened while no replica was
        connected; 0: not at all. Marks live for as long.
    :param catch_up_limit: the number of messages of one channel that are fetched at the most.
    :param grace: how long the next replica waits for the preferred one.
    :param workers: the number of handler threads.
    :param queue_size: how many events may wait in this replica.
    :param ordering: events of one ``channel`` or ``guild`` run one after another; ``none``: all at once.
    :param max_attempts: how often an event may start before it becomes a dead letter. A replica makes last
        attempts one at a time, so that an event that ends its process does not bury the events beside it.
        With 1, every event that runs on a dying replica becomes a dead letter.
    :param handler_timeout: after how long a running handler is reported with its stack; ``None``: never.
    :param on_store_loss: without etcd, ``hold`` events, or ``handle`` them, possibly twice.
    :param participate_in_election: false for a replica that must not lead.
    :param deaf_after: how long a leader may be without a connection to Discord.
    :param drain_timeout: how long a stopping replica waits for its handlers.
    :param call_timeout: how long a blocking call may go without Discord carrying a request out.
    :param shard_count: the number of shards, or ``auto`` for Discord's recommendation; ``None``: no shards.
    :param replication: the number of replicas for each shard.
    :param http_address: ``host:port`` for health, metrics and the operator's page.
    :param http_token: lets those who know it act on the operator's page; never shown. ``None``: nobody acts.
    :param telemetry: make spans and metrics with OpenTelemetry's API.
    :param api_url: another address of Discord's REST API, such as a proxy's.
    :param gateway_url: another address of Discord's gateway.
    :param requests_per_second: Discord's limit for the bot, shared by all replicas; 0: something else keeps
        the limit. By default 50, or 0 with ``api_url``.
    :param client_options: options of ``discord.Client``, which ``build`` and ``DiscordHA`` take by name.
    """

    token: str = dataclasses.field(repr=False)
    intents: discord.Intents | None = None
    ha: bool = True
    name: str | None = None
    replica_id: str | None = None
    etcd_endpoints: Sequence[str] = ()
    etcd_ca_cert: str | None = None
    etcd_cert: str | None = None
    etcd_key: str | None = None
    etcd_user: str | None = None
    etcd_password: str | None = dataclasses.field(default=None, repr=False)
    etcd_timeout: float = 5.0
    session_ttl: float = 5.0
    retention: float = 600.0
    catch_up: float = 600.0
    catch_up_limit: int = 1000
    grace: float = 0.05
    workers: int = 16
    queue_size: int = 10_000
    ordering: str = "channel"
    max_attempts: int = 3
    handler_timeout: float | None = None
    on_store_loss: str = "hold"
    participate_in_election: bool = True
    deaf_after: float = 5.0
    drain_timeout: float = 25.0
    call_timeout: float = 60.0
    shard_count: int | str | None = None
    replication: int = 2
    http_address: str | None = None
    http_token: str | None = dataclasses.field(default=None, repr=False)
    telemetry: bool = False
    api_url: str | None = None
    gateway_url: str | None = None
    requests_per_second: int | None = None
    client_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def build(cls, config: Config | None = None, /, **options: Any) -> Config:
        """A configuration from options, or ``config`` with some options changed. No I/O.

        :raises ConfigError: an option is unknown (names the nearest) or impossible.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        client = {name: options.pop(name) for name in _CLIENT_OPTIONS & options.keys()}
        if client:
            before = config.client_options if config is not None else {}
            options["client_options"] = {**before, **options.get("client_options", {}), **client}
        for option in options:
            if why := _NOT_TAKEN.get(option):
                raise ConfigError(f"{option} is an option of discord.py's, but not here: {why}")
            if option not in known:
                raise ConfigError(f"{option} is not an option{nearest(option, [*known, *_CLIENT_OPTIONS])}")
        if config is not None:
            return dataclasses.replace(config, **options)
        if "token" not in options:
            raise ConfigError("token is missing: it is the bot's token from Discord's developer portal")
        return cls(**options)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> Config:
        """A configuration from the environment: every field from ``DISCORDHA_<FIELD>``, the token also from
        ``BOT_TOKEN``, lists separated by commas, intents as ``all``, ``default``, a number, or names.

        :param environ: the environment; by default the process's own.
        :raises ConfigError: a variable is impossible; names it.
        """
        environ = os.environ if environ is None else environ
        fields = {f.name: str(f.type) for f in dataclasses.fields(cls) if f.name != "client_options"}
        options: dict[str, Any] = {}
        if environ.get("BOT_TOKEN", "").strip():
            options["token"] = environ["BOT_TOKEN"].strip()
        for variable, text in environ.items():
            if not variable.startswith(_PREFIX):
                continue
            name = variable.removeprefix(_PREFIX).lower()
            if name not in fields:
                if name.upper().split("_")[0] not in _FOREIGN:
                    close = nearest(name, list(fields))
                    _log.warning("%s is set, but there is no such option%s", variable, close)
            elif text.strip():
                options[name] = read_variable(variable, name, fields[name], text.strip())
        options.update(overrides)
        if "token" not in options:
            raise ConfigError("no token: set BOT_TOKEN (or DISCORDHA_TOKEN) to the bot's token")
        return cls.build(**options)

    def __post_init__(self) -> None:
        """Checks every field, and turns lists into tuples."""
        self._check_token()
        self._check_numbers()
        for field, choices in _CHOICES.items():
            value = getattr(self, field)
            if value not in choices:
                raise ConfigError(f"{field} must be {' or '.join(map(repr, choices))}, not {value!r}")
        for field in ("ha", "participate_in_election", "telemetry"):
            if not isinstance(getattr(self, field), bool):
                raise ConfigError(f"{field} must be True or False, not {getattr(self, field)!r}")
        for field in ("name", "replica_id"):
            value = getattr(self, field)
            if value is not None and (not isinstance(value, str) or not _NAME.fullmatch(value)):
                raise ConfigError(
                    f"{field} may hold letters, digits, '.', '_' and '-', up to 100 of them, not {value!r}"
                )
        if self.name is not None and self.name.endswith(".data"):
            raise ConfigError("name may not end in '.data': that is where the bot's caches live")
        self._check_etcd()
        self._check_addresses()
        if self.intents is None:
            import discord

            object.__setattr__(self, "intents", discord.Intents.default())
        elif type(self.intents).__name__ != "Intents":
            raise ConfigError(
                f"intents must be a discord.Intents, such as discord.Intents.all(), not {self.intents!r}"
            )
        self._check_client_options()

    def _check_client_options(self) -> None:
        """Lets discord.py check each option, in a client that is thrown away."""
        import discord

        for name, value in self.client_options.items():
            try:
                if name == "status" and not isinstance(value, discord.Status | None):
                    raise TypeError("it must be a discord.Status")
                discord.Client(intents=self.intents or discord.Intents.none(), **{name: value})
            except (TypeError, ValueError, AttributeError) as error:
                raise ConfigError(f"client_options: {name} can't be {value!r}: {error}") from None

    @property
    def rest_limit(self) -> int:
        """Requests a second that all replicas share; 0: something else keeps the limit."""
        if self.requests_per_second is None:
            return 50 if self.api_url is None else 0
        return self.requests_per_second

    @property
    def marked_for(self) -> float:
        """Seconds that marks live at the least: an event that is fetched again must find its own."""
        return max(self.retention, self.catch_up + CATCH_UP_MARGIN) if self.catch_up else self.retention

    @property
    def root(self) -> str:
        """The prefix of the bot's keys in etcd, with a slash at its end.

        :raises ConfigError: ``name`` is unset, and the token does not contain the bot's id.
        """
        name = self.name or bot_id_from_token(self.token)
        if name is None:
            raise ConfigError(
                "name is missing: the token does not tell the bot's id, so give the bot a name in etcd"
            )
        return f"/discordha/v1/{name}/"

    def _check_token(self) -> None:
        token = self.token
        if not isinstance(token, str) or not token.strip(_QUOTES + string.whitespace):
            raise ConfigError("token is empty: it is the bot's token from Discord's developer portal")
        if any(quote in token for quote in _QUOTES):
            raise ConfigError(
                "token holds quotes, which are no part of it: give the bare token (Docker's --env-file and "
                "systemd's Environment= pass quotes on)"
            )
        first, *more = token.split()
        if more and first.lower() in ("bot", "bearer"):
            raise ConfigError(f"token must be given without the word {first!r} before it")
        if not all("!" <= character <= "~" for character in token):
            raise ConfigError(
                "token holds white space or a character that no token has: copy it again, without the line "
                "end after it"
            )

    def _check_numbers(self) -> None:
        for field, least in _SECONDS.items():
            value = getattr(self, field)
            if not _is_number(value) or not math.isfinite(value) or value < least:
                raise ConfigError(f"{field} must be a number of seconds, {least:g} or more, not {value!r}")
        for field, at_least in _COUNTS.items():
            value = getattr(self, field)
            if not _is_count(value, at_least):
                raise ConfigError(f"{field} must be a whole number, {at_least} or more, not {value!r}")
        timeout, rate = self.handler_timeout, self.requests_per_second
        if timeout is not None and not (_is_number(timeout) and timeout > 0):
            raise ConfigError(f"handler_timeout must be seconds above 0, or None, not {timeout!r}")
        if rate is not None and not _is_count(rate, 0):
            raise ConfigError(f"requests_per_second must be a whole number, 0 or more, not {rate!r}")
        if self.ha and self.retention < 2 * self.session_ttl:
            raise ConfigError(
                f"retention ({self.retention:g}) must be at least twice session_ttl ({self.session_ttl:g}): "
                "an event has to be remembered until its owner's death is known"
            )
        count = self.shard_count
        if count is not None and count != "auto" and not _is_count(count, 1):
            raise ConfigError(f"shard_count must be a whole number, 1 or more, or 'auto', not {count!r}")

    def _check_etcd(self) -> None:
        endpoints = self.etcd_endpoints
        if isinstance(endpoints, str):
            raise ConfigError(f"etcd_endpoints must be a list, such as [{endpoints!r}]")
        object.__setattr__(self, "etcd_endpoints", tuple(endpoints))
        for endpoint in self.etcd_endpoints:
            match = _ENDPOINT.fullmatch(endpoint) if isinstance(endpoint, str) else None
            if match is None or not 0 < int(match[3]) < 65536:
                raise ConfigError(
                    f"etcd_endpoints: {endpoint!r} is not of the form host:port, as in 'etcd-0.etcd:2379'"
                )
        if self.ha and not self.etcd_endpoints:
            raise ConfigError(
                "etcd_endpoints is empty: name etcd's addresses, or set ha=False for a single replica "
                "(in the environment: DISCORDHA_ETCD_ENDPOINTS, or DISCORDHA_HA=false)"
            )
        for one, other in (("etcd_cert", "etcd_key"), ("etcd_user", "etcd_password")):
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                missing = other if getattr(self, other) is None else one
                raise ConfigError(f"{missing} is missing: {one} and {other} belong together")
        for field in ("etcd_ca_cert", "etcd_cert", "etcd_key"):
            path = getattr(self, field)
            if path is not None and not os.path.isfile(path):
                raise ConfigError(f"{field}: there is no file {os.fspath(path)!r}")

    def _check_addresses(self) -> None:
        for field, schemes in (("api_url", ("http", "https")), ("gateway_url", ("ws", "wss"))):
            url = getattr(self, field)
            if url is not None and not (
                isinstance(url, str) and re.match(rf"({'|'.join(schemes)})://[^/\s]+", url)
            ):
                raise ConfigError(f"{field} must begin with {schemes[1]}:// and name a host, not {url!r}")
        address = self.http_address
        if address is not None:
            match = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
            if match is None or int(match[2]) > 65535:
                raise ConfigError(f"http_address must be host:port or :port, as in ':8080', not {address!r}")
        if (secret := self.http_token) is not None and not (
            isinstance(secret, str) and _HTTP_TOKEN.fullmatch(secret)
        ):
            raise ConfigError("http_token must be 16 or more letters and digits: try `openssl rand -hex 16`")


def bot_id_from_token(token: str) -> int | None:
    """The bot's user id, the first part of its token; ``None`` when it is unreadable."""
    first = token.split(".", maxsplit=1)[0]
    try:
        text = base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    return int(text) if text.isdigit() else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
