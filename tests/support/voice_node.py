"""The voice queue of one replica, and what it needs."""

from __future__ import annotations

from collections.abc import Callable

from discordha.coordination.etcd.group_commit import GroupCommit
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.store import Store
from discordha.coordination.session import Session
from discordha.coordination.shared.backoff import Backoff
from discordha.coordination.voice.deliveries import VoiceBackend
from discordha.coordination.voice.queue import VoiceQueue
from discordha.coordination.voice.records import VoiceKeys
from discordha.coordination.voice.releases import Releases

__all__ = ["GUILD", "Node", "NodeFactory", "send"]

GUILD = 11


class Node:
    """The coordination parts of one replica that voice uses."""

    def __init__(
        self, store: Store, root: str, name: str, *, ttl: float = 30.0, session_ttl: float = 30.0
    ) -> None:
        self.store = store
        self.session = Session(self.store, ttl=session_ttl)
        self.commit = GroupCommit(self.store)
        self.leases = RetentionLeases(self.store, retention=60)
        self.voice = VoiceQueue(
            VoiceBackend(
                self.store,
                self.session,
                self.commit,
                self.leases,
                VoiceKeys(root),
                name,
                retention=60.0,
                timeout=5.0,
                silence=5.0,
                max_attempts=3,
                grace=0.05,
                backoff=Backoff(),
                releases=Releases(self.commit),
            ),
            ttl=ttl,
        )
        self.session.start(10)
        self.commit.start()
        self.leases.start()
        self.dead = False

    def die(self) -> None:
        """As kill -9, but for the lease, which ends at once: nothing is given back."""
        grant = self.session.require()
        self.session.stop(revoke=False)
        self.store.revoke(grant.lease_id)

    def stop(self) -> None:
        self.voice.stop()
        self.commit.stop()
        self.leases.stop()
        self.session.stop()
        self.store.close()


NodeFactory = Callable[..., Node]


def send(voice: VoiceQueue, file: str, guild_id: int = GUILD, **options: object) -> str:
    defaults = {"module_id": "music", "channel_id": 12, "user_id": 13}
    return voice.send(guild_id=guild_id, file=file, **{**defaults, **options})  # type: ignore[arg-type]
