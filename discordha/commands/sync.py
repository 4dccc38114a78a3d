"""Sync: Discord is told of the bot's commands when they have changed, by one replica.

Promises
- Replicas that start at once tell Discord once; a restart without changes tells nothing.
- While two versions of the bot run side by side, the one whose commands were told last leads: a replica of an
  earlier version that restarts meanwhile leaves things as they are. It tells Discord its own commands once no
  replica with the later ones has been left for ``patience``, which is what a rollback looks like.
- When Discord or etcd does not answer, it is tried again, with a line in the log each time.

Does not promise to notice commands that were changed by other means: what was told is kept in etcd, and
compared with what Discord says only where nothing is kept, or without etcd.

Concurrency: the thread ``discordha-commands``, owned here: started by ``start`` once Discord has accepted the
token, ended by ``stop`` and ``join``. ``digests`` is replaced as a whole and read by any thread. It blocks on
etcd and on Discord, and waits on the stop event only. At a lost session what it held is free for others.
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

from discordha.commands.tree import Tree
from discordha.coordination.quotas.command_records import CommandRecord, CommandRecords
from discordha.gateway import Gateway
from discordha.stats import Stats

__all__ = ["CommandSync", "comparable", "digest_of"]

_log = logging.getLogger(__name__)

#: How often it looks whether another replica has finished, or a later version has gone, seconds.
LOOK = 0.5
#: Pauses between two tries while somebody does not answer, seconds: doubled from the first to the last.
FIRST_PAUSE = 1.0
LAST_PAUSE = 30.0
#: Discord's answers after which trying again is useless.
_REFUSALS = frozenset({400, 401, 403, 404})


class CommandSync:
    """See the module.

    :param records: ``None`` without etcd.
    :param peers: the live replicas' member records, as far as this one knows.
    :param announce: has this replica's record written anew.
    :param patience: seconds that later commands must have been gone for; more than a session's loss takes.
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
        #: What this replica's commands are, by scope; part of its member record.
        self.digests: Mapping[str, str] = {}

    def start(self) -> None:
        """Starts the thread. Does not block."""
        if self._tree.sync_on_start:
            self._thread.start()

    def stop(self) -> None:
        """Begins nothing more. Does not block; idempotent."""
        self._stop.set()

    def join(self) -> None:
        """Waits for the thread, whose calls must have been ended: the gateway's, and etcd's."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        left: list[str] | None = None
        pause = FIRST_PAUSE
        while not self._stop.is_set():
            try:
                if left is None:
                    left = self._begin()
                left = [scope for scope in left if not self._sync(scope)]
                if not left:
                    return
                pause = FIRST_PAUSE
                self._stop.wait(LOOK)
            except Exception as error:  # noqa: BLE001 - whatever it is, it may pass
                if self._stop.is_set():
                    return
                _log.warning(
                    "Discord could not be told of the commands: %s; trying again in %g s",
                    error or type(error).__name__,
                    pause,
                )
                self._stop.wait(pause)
                pause = min(pause * 2, LAST_PAUSE)

    def _begin(self) -> list[str]:
        translator = self._tree.translator
        if translator is not None:
            self._gateway.call(translator.load())
        scopes = {_name(guild_id) for guild_id in self._tree.scopes()}
        if self._records is not None:
            scopes |= set(self._records.scopes())  # whose commands may all be gone
        self.digests = {scope: digest_of(self._payload(scope)) for scope in scopes}
        if scopes and self._records is not None:
            # Before Discord is told, so that earlier versions know of this one from then on.
            self._announce()
            while not self._stop.is_set() and not self._is_announced():
                self._stop.wait(LOOK / 10)
        return sorted(scopes)

    def _is_announced(self) -> bool:
        record = self._peers().get(self._replica_id, {})
        return record.get("commands") == self.digests

    def _payload(self, scope: str) -> list[dict[str, Any]]:
        return self._gateway.call(self._tree.payload(_guild_id(scope)))

    def _sync(self, scope: str) -> bool:
        """One step towards Discord knowing the commands of a scope; whether it does, or never will."""
        try:
            if self._records is None:
                self._tell_if_different(scope)
                return True
            return self._sync_once(scope, self._records)
        except discord.HTTPException as error:
            if error.status not in _REFUSALS:
                raise
            _log.error(
                "Discord refuses the %s commands (%s): change them, or invite the bot with the scope "
                "applications.commands; they stay as they are",
                scope if scope == "global" else f"guild {scope}'s",
                error,
            )
            return True

    def _sync_once(self, scope: str, records: CommandRecords) -> bool:
        record = records.read(scope)
        if not self._is_due(scope, record):
            return record is not None and record.digest == self.digests[scope]
        lock = records.lock(scope)
        if lock is None:
            return False  # another replica is about it
        written = False
        try:
            record = records.read(scope)
            if not self._is_due(scope, record):
                return record is not None and record.digest == self.digests[scope]
            if record is None:
                self._tell_if_different(scope)
                record = CommandRecord(self.digests[scope])
            else:
                self._tell(scope)
                record = record.followed_by(self.digests[scope])
            written = records.write(scope, record, lock)
            return written
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
        # An earlier version's commands: not while a replica with the later ones lives.
        now = self._clock()
        if any(_announces(member, scope, record.digest) for member in self._peers().values()):
            self._alone_since.pop(scope, None)
            return False
        return now - self._alone_since.setdefault(scope, now) >= self._patience

    def _tell_if_different(self, scope: str) -> None:
        payload = self._payload(scope)
        if comparable(self._gateway.call(self._known(_guild_id(scope)))) != comparable(payload):
            self._tell(scope)

    def _tell(self, scope: str) -> None:
        payload = self._payload(scope)
        self._gateway.call(self._overwrite(_guild_id(scope), payload))
        self._stats.add("command_syncs", scope)
        _log.info("Discord was told of %d %s commands", len(payload), scope)

    async def _overwrite(self, guild_id: int | None, payload: Any) -> None:
        client = self._gateway.client
        application: Any = client.application_id
        if guild_id is None:
            await client.http.bulk_upsert_global_commands(application, payload=payload)
        else:
            await client.http.bulk_upsert_guild_commands(application, guild_id, payload=payload)

    async def _known(self, guild_id: int | None) -> Any:
        client = self._gateway.client
        application: Any = client.application_id
        if guild_id is None:
            return await client.http.get_global_commands(application)
        return await client.http.get_guild_commands(application, guild_id)


def _name(guild_id: int | None) -> str:
    return "global" if guild_id is None else str(guild_id)


def _guild_id(scope: str) -> int | None:
    return None if scope == "global" else int(scope)


def _announces(member: Mapping[str, Any], scope: str, digest: str) -> bool:
    digests = member.get("commands")
    return isinstance(digests, Mapping) and digests.get(scope) == digest


def digest_of(payload: Sequence[Mapping[str, Any]]) -> str:
    """Of the commands of one scope, whatever the order in which they were declared."""
    text = json.dumps(sorted(payload, key=_key), sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def comparable(payload: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Commands as they are sent, or as Discord returns them, without what is Discord's own and what says
    nothing.
    """
    return [_comparable(each) for each in sorted(payload, key=_key)]


def _key(command: Mapping[str, Any]) -> tuple[int, str]:
    return command.get("type", 1), command["name"]


#: What counts, and what it is when it is not there.
_FIELDS: dict[str, Any] = {
    "name": "",
    "type": 1,
    "description": "",
    "required": False,
    "autocomplete": False,
    "nsfw": False,
    "min_value": None,
    "max_value": None,
    "min_length": None,
    "max_length": None,
    "value": None,
    "contexts": None,
    "integration_types": [0],
    "channel_types": [],
    "default_member_permissions": None,
    "name_localizations": {},
    "description_localizations": {},
    "options": [],
    "choices": [],
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
