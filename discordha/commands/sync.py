"""Registers the bot's commands with Discord when they have changed, from one replica.

Guarantees
- Replicas that start together register once; a restart without changes registers nothing.
- While two versions of the bot run side by side, the one whose commands were registered last leads: a replica
  of an earlier version that restarts leaves them alone. It registers its own once no replica with the later
  ones has lived for ``patience``, as after a rollback.
- If Discord or etcd fails, the replica tries again, with a line in the log each time. Commands that Discord
  refuses are tried by one replica, and by another one only after that has ended.
- Not guaranteed: that commands changed by other means are noticed. etcd keeps a digest of the registered
  commands; Discord's own list counts only where there is no digest, or no etcd.

Threads and locks: owns the thread ``discordha-commands``, which ``start`` starts once Discord has accepted
the token, and ``stop`` and ``join`` end. It blocks on etcd, on Discord and on the stop event. ``digests`` is
replaced as a whole and read by any thread. A lost session frees the lock for other replicas.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import discord

from discordha.commands.tree import Tree, fetch_commands, overwrite_commands
from discordha.coordination.quotas.command_records import CommandRecord, CommandRecords
from discordha.errors import reason_of
from discordha.gateway import Gateway
from discordha.stats import Stats

__all__ = ["CommandSync", "comparable", "digest_of"]

_log = logging.getLogger(__name__)

#: Seconds between two looks whether another replica has registered, or a later version is gone.
SYNC_INTERVAL = 0.5
#: Seconds between two tries after a failure; each pause is twice the one before.
SYNC_RETRY_FIRST = 1.0
SYNC_RETRY_LAST = 30.0
#: HTTP statuses after which another try is useless.
_REFUSALS = frozenset({400, 401, 403, 404})


class CommandSync:
    """Keeps the commands of one replica registered; see the module.

    :param records: ``None`` without etcd.
    :param peers: the member records of the live replicas, by name, as this replica knows them.
    :param announce: writes this replica's member record anew.
    :param patience: seconds without a replica of the later version; more than the loss of a session takes.
    :param stats: counts ``command_syncs`` by scope.
    """

    def __init__(
        self,
        tree: Tree,
        gateway: Gateway,
        records: CommandRecords | None,
        *,
        replica_id: str,
        peers: Callable[[], Mapping[str, Mapping[str, Any]]],
        announce: Callable[[], None],
        patience: float,
        stats: Stats,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tree = tree
        self._gateway = gateway
        self._records = records
        self._replica_id = replica_id
        self._peers = peers
        self._announce = announce
        self._patience = patience
        self._clock = clock
        self._alone_since: dict[str, float] = {}
        self._stats = stats
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="discordha-commands", daemon=True)
        #: The digest of this replica's commands by scope; part of its member record.
        self.digests: Mapping[str, str] = {}

    def start(self) -> None:
        """Starts the thread. Does not block."""
        if self._tree.sync_on_start:
            self._thread.start()

    def stop(self) -> None:
        """Keeps the thread from beginning anything more. Does not block; idempotent."""
        self._stop.set()

    def join(self) -> None:
        """Waits for the thread. The gateway and the store must have ended its calls before."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        left: list[str] | None = None
        pause = SYNC_RETRY_FIRST
        while not self._stop.is_set():
            try:
                if left is None:
                    left = self._begin()
                left = [scope for scope in left if not self._sync(scope)]
                if not left:
                    return
                pause = SYNC_RETRY_FIRST
                self._stop.wait(SYNC_INTERVAL)
            except Exception as error:  # noqa: BLE001 - whatever it is, it may pass
                if self._stop.is_set():
                    return
                text = "the commands could not be registered: %s; trying again in %g s"
                _log.warning(text, reason_of(error), pause)
                self._stop.wait(pause)
                pause = min(pause * 2, SYNC_RETRY_LAST)

    def _begin(self) -> list[str]:
        translator = self._tree.translator
        if translator is not None:
            self._gateway.call(translator.load())
        scopes = {_name(guild_id) for guild_id in self._tree.scopes()}
        if self._records is not None:
            scopes |= set(self._records.scopes())  # this version may have none of their commands
        self.digests = {scope: digest_of(self._payload(scope)) for scope in scopes}
        if scopes and self._records is not None:
            # Before registering, so that replicas of earlier versions know of this one from then on.
            self._announce()
            while self._peers().get(self._replica_id, {}).get("commands") != self.digests:
                if self._stop.wait(SYNC_INTERVAL / 10):
                    break
        return sorted(scopes)

    def _payload(self, scope: str) -> list[dict[str, Any]]:
        return self._gateway.call(self._tree.payload(_guild_id(scope)))

    def _sync(self, scope: str) -> bool:
        """One step towards registering a scope's commands. True when they are, or never will be."""
        if self._records is not None:
            return self._sync_once(scope, self._records)
        try:
            self._register_if_different(scope)
        except discord.HTTPException as error:
            _raise_unless_refused(scope, error)
        return True

    def _sync_once(self, scope: str, records: CommandRecords) -> bool:
        record = records.read(scope)
        if not self._is_due(scope, record):
            return record is not None and record.digest == self.digests[scope]
        if records.is_refused(scope, self.digests[scope]):
            _log.info("another replica knows that Discord refuses the commands of scope %s", scope)
            return True
        lock = records.lock(scope)
        if lock is None:
            return False  # another replica registers them
        written = False
        try:
            record = records.read(scope)
            if records.is_refused(scope, self.digests[scope]):
                return False  # since the look above; the next one tells
            if not self._is_due(scope, record):
                return record is not None and record.digest == self.digests[scope]
            if record is None:
                self._register_if_different(scope)
                record = CommandRecord(self.digests[scope])
            else:
                self._register(scope)
                record = record.followed_by(self.digests[scope])
            written = records.write(scope, record, lock)
            return written
        except discord.HTTPException as error:
            _raise_unless_refused(scope, error)
            records.refuse(scope, self.digests[scope], lock)
            written = True
            return True
        finally:
            if not written:
                records.unlock(scope, lock)

    def _is_due(self, scope: str, record: CommandRecord | None) -> bool:
        own = self.digests[scope]
        if record is None:
            return True
        if record.digest == own:
            return False
        if own not in record.older:
            return True
        # This replica has an earlier version's commands. A live replica with the later ones comes first.
        now = self._clock()
        if any(_announces(member, scope, record.digest) for member in self._peers().values()):
            self._alone_since.pop(scope, None)
            return False
        return now - self._alone_since.setdefault(scope, now) >= self._patience

    def _register_if_different(self, scope: str) -> None:
        known = self._gateway.call(fetch_commands(self._gateway, _guild_id(scope)))
        if comparable(known) != comparable(self._payload(scope)):
            self._register(scope)

    def _register(self, scope: str) -> None:
        payload = self._payload(scope)
        self._gateway.call(overwrite_commands(self._gateway, _guild_id(scope), payload))
        self._stats.add("command_syncs", scope)
        _log.info("registered %d commands of scope %s", len(payload), scope)


def _raise_unless_refused(scope: str, error: discord.HTTPException) -> None:
    if error.status not in _REFUSALS:
        raise error
    text = "Discord refuses the commands of scope %s (%s) and keeps the old ones: change them, or "
    _log.error(text + "invite the bot with the scope applications.commands", scope, error)


def _name(guild_id: int | None) -> str:
    return "global" if guild_id is None else str(guild_id)


def _guild_id(scope: str) -> int | None:
    return None if scope == "global" else int(scope)


def _announces(member: Mapping[str, Any], scope: str, digest: str) -> bool:
    digests = member.get("commands")
    return isinstance(digests, Mapping) and digests.get(scope) == digest


def digest_of(payload: Sequence[Mapping[str, Any]]) -> str:
    """The digest of a scope's commands, in whichever order they were declared."""
    text = json.dumps(sorted(payload, key=_key), sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def comparable(payload: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A scope's commands, as sent or as Discord returns them, without Discord's own fields and defaults."""
    return [_comparable(each) for each in sorted(payload, key=_key)]


def _key(command: Mapping[str, Any]) -> tuple[int, str]:
    return command.get("type", 1), command["name"]


#: The fields that are compared, with their defaults.
_FIELDS: dict[str, Any] = {
    **dict.fromkeys(("name", "description"), ""),
    **dict.fromkeys(("required", "autocomplete", "nsfw"), False),
    **dict.fromkeys(("min_value", "max_value", "min_length", "max_length", "value")),
    **dict.fromkeys(("contexts", "default_member_permissions")),
    **{name: {} for name in ("name_localizations", "description_localizations")},
    **{name: [] for name in ("options", "choices", "channel_types")},
    "type": 1,
    "integration_types": [0],
}


def _comparable(part: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, default in _FIELDS.items():
        value = part.get(name)
        if value is None or value == default:
            continue
        if name in ("options", "choices"):
            value = [_comparable(each) for each in value]
        elif name in ("contexts", "integration_types", "channel_types"):
            value = sorted(value)
        elif name == "default_member_permissions":
            value = str(value)
        found[name] = value
    return found
