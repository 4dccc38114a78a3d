"""A counter as it lies in etcd, and whether an increment whose answer got lost was done. Pure.

A counter remembers, for each of the last ``WRITERS`` processes that wrote it, its last write and the value
after it; and since which version it has only been counted up. Whoever comes back to a counter can tell from
that what became of its own write, unless somebody has set it, or begun it anew, or too many others have
written since.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from discordha.coordination.etcd.store import KeyValue
from discordha.coordination.shared.values import Record
from discordha.errors import StoreUnavailable

__all__ = ["WRITERS", "Counter", "count_up", "value_after"]

#: How many processes a counter remembers.
WRITERS = 12


def count_up(value: Any, by: int) -> int:
    """The value and ``by``.

    :raises TypeError: it is no whole number.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"the cache holds {value!r:.60} under this key, which can't be counted up")
    return value + by


class Counter(NamedTuple):
    """A counter as it lies in etcd; ``version`` 0: it is not there.

    :param since: the first version of those that were only counted up.
    :param writers: who, its number of the write, the value after it; the last writer comes last.
    """

    value: int = 0
    version: int = 0
    create_revision: int = 0
    mod_revision: int = 0
    lease: int = 0
    stamp: str | None = None
    ttl: float = 0.0
    since: int = 0
    writers: Sequence[tuple[str, int, int]] = ()

    @classmethod
    def read(cls, kv: KeyValue | None) -> Counter:
        """What etcd holds.

        :raises TypeError: it is no whole number.
        """
        if kv is None:
            return cls()
        value, record = Record.read(kv.value)
        marks = record.marks
        return cls(
            count_up(value, 0),
            kv.version,
            kv.create_revision,
            kv.mod_revision,
            kv.lease,
            record.stamp,
            record.ttl,
            marks[0] if marks else 0,
            [(who, number, after) for who, number, after in marks[1:]],
        )

    def counted(self, by: int, writer: str, number: int) -> Counter:
        """The counter after a write."""
        value, version = self.value + by, self.version + 1
        others = [each for each in self.writers if each[0] != writer]
        writers = [*others, (writer, number, value)][-WRITERS:]
        return self._replace(
            value=value, version=version, since=self.since if self.writers else version, writers=writers
        )

    def data(self) -> bytes:
        """As it lies in etcd."""
        value = json.dumps(self.value).encode()
        return Record(value, self.stamp, self.ttl, (self.since, *self.writers)).data()


def value_after(writer: str, number: int, found: Counter, before: Counter) -> int | None:
    """The value after a write; ``None`` when it was not done since ``before`` was read, and never will be,
    because others have written since.

    :raises StoreUnavailable: nobody can know any more.
    """
    for who, last, value in found.writers:
        if who == writer and last == number:
            return value
    same = before.version == 0 or found.create_revision == before.create_revision
    pushed_out = len(found.writers) >= WRITERS and all(who != writer for who, _, _ in found.writers)
    if found.version and same and found.since <= before.version + 1 and found.writers and not pushed_out:
        return None
    raise StoreUnavailable(
        "etcd did not answer, and the counter was written by others since: whether it was counted up "
        "can't be found out",
        maybe_applied=True,
    )
