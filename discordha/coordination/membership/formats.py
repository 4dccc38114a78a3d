"""The format of the keys in etcd, and which versions may work side by side. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from discordha._version import __version__

__all__ = ["FORMAT", "PARTITIONED", "READS", "incompatibility", "reading", "writing"]

#: The format of everything that this version writes into etcd, and the oldest format that it can work beside.
#: All formats share the member record's ``version``, ``format`` and ``reads``.
FORMAT = 2
READS = 1
#: States whose names in etcd are those of 0.1, which counts on a replica in any state that it does not know.
_IN_ETCD = {"unready": "deaf"}
_HERE = {stored: name for name, stored in _IN_ETCD.items()}
#: The oldest format beside which a replica of a bot can work whose claims are partitioned.
PARTITIONED = 2


def incompatibility(replica: str, record: Mapping[str, object], is_partitioned: bool = False) -> str | None:
    """Why this version can't work beside a replica; ``None`` if it can.

    Each record says which format its replica writes and the oldest that it reads; neighbouring versions
    overlap. A record that says neither belongs to a replica that is just starting, or to something else.

    :param is_partitioned: whether the bot's claims are."""
    oldest = PARTITIONED if is_partitioned else READS
    writes, reads = record.get("format", FORMAT), record.get("reads", record.get("format", READS))
    if not isinstance(writes, int) or not isinstance(reads, int):
        writes = reads = -1
    if writes >= oldest and reads <= FORMAT:
        return None
    return (
        f"replica {replica} (version {record.get('version', '?')}) writes format {record.get('format')!r} "
        f"into etcd, and this version ({__version__}) can only work beside formats {oldest} to {FORMAT}: run "
        "neighbouring versions, or let all replicas of the other one end first"
    )


def writing(record: Mapping[str, Any]) -> dict[str, Any]:
    """A member record as it is stored."""
    return _renamed(record, _IN_ETCD)


def reading(record: Mapping[str, Any]) -> dict[str, Any]:
    """A member record as it was stored, of any version, by this version's names."""
    return _renamed(record, _HERE)


def _renamed(record: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    state = record.get("state")
    return {**record, "state": names[state]} if isinstance(state, str) and state in names else dict(record)
