"""The format of the keys in etcd, and which versions may work side by side. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from discordha._version import __version__

__all__ = ["FORMAT", "READS", "incompatibility"]

#: The format of everything that this version writes into etcd, and the oldest format that it can work beside.
#: All formats share the member record's ``version``, ``format`` and ``reads``.
FORMAT = 1
READS = 1


def incompatibility(replica: str, record: Mapping[str, object]) -> str | None:
    """Why this version can't work beside a replica; ``None`` if it can.

    Each record says which format its replica writes and the oldest that it reads; neighbouring versions
    overlap. A record that says neither belongs to a replica that is just starting, or to something else."""
    writes, reads = record.get("format", FORMAT), record.get("reads", record.get("format", READS))
    if not isinstance(writes, int) or not isinstance(reads, int):
        writes = reads = -1
    if writes >= READS and reads <= FORMAT:
        return None
    return (
        f"replica {replica} (version {record.get('version', '?')}) writes format {record.get('format')!r} "
        f"into etcd, and this version ({__version__}) can only work beside formats {READS} to {FORMAT}: run "
        "neighbouring versions, or let all replicas of the other one end first"
    )
