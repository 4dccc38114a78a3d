"""What a shared cache may hold: JSON, exactly. Pure functions, no I/O.

Promises: what comes back equals what was put in, whole numbers of any size included, but for two things that
JSON does not know: a tuple comes back as a list, and a dataclass as the object of its fields (``restore``
makes it a dataclass again). What JSON can't hold is refused with the place where it stands.

A stored value is a JSON object: the value is ``v``; with a time to live there are its mark and its length in
seconds, ``x``; a counter remembers its last writers as ``o``.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import secrets
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

__all__ = [
    "LARGEST",
    "MISSING",
    "Missing",
    "Record",
    "check_name",
    "check_ttl",
    "encode_value",
    "key_text",
    "new_stamp",
]

#: The largest value, bytes of JSON.
LARGEST = 1024 * 1024
#: The longest name of a cache and the longest key, bytes.
LONGEST = 1024


class Missing(enum.Enum):
    """There is no value; ``None`` is one."""

    MISSING = enum.auto()


MISSING: Final = Missing.MISSING


class Record(NamedTuple):
    """A stored value.

    :param value: JSON of the value itself.
    :param stamp: mark of one time to live; ``None``: it has none.
    :param ttl: seconds.
    :param marks: what a counter remembers of its last writers; see ``counter_values``.
    """

    value: bytes
    stamp: str | None = None
    ttl: float = 0.0
    marks: Sequence[Any] = ()

    def data(self) -> bytes:
        """As it lies in etcd."""
        parts = [b'{"v":', self.value]
        if self.stamp is not None:
            parts.append(b',"x":["%s",%s]' % (self.stamp.encode(), repr(self.ttl).encode()))
        if self.marks:
            parts.append(b',"o":' + json.dumps(self.marks, separators=(",", ":")).encode())
        parts.append(b"}")
        return b"".join(parts)

    @classmethod
    def read(cls, data: bytes) -> tuple[Any, Record]:
        """The value, and the record without it.

        :raises ValueError: something else has written it.
        """
        try:
            found = json.loads(data)
            stamp, ttl = found.get("x", (None, 0.0))
            return found["v"], cls(b"", stamp, float(ttl), tuple(found.get("o", ())))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"this is no value of a shared cache: {data[:40]!r}") from error


def new_stamp() -> str:
    """A mark for one time to live."""
    return secrets.token_hex(6)


def check_ttl(ttl: float | None) -> float | None:
    """A time to live in seconds, or ``None``.

    :raises ValueError: it is neither.
    """
    if ttl is None:
        return None
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl < 1e9:
        raise ValueError(f"ttl must be seconds above 0, or None for ever, not {ttl!r}")
    return float(ttl)


def check_name(cache: str) -> str:
    """The name of a cache.

    :raises ValueError: it can't be one.
    """
    if not isinstance(cache, str) or not cache or len(_utf8(cache)) > LONGEST:
        raise ValueError(f"a cache's name must be a text of 1 to {LONGEST} bytes, not {cache!r:.80}")
    return cache


def key_text(key: str | int) -> str:
    """A key as text: an id of Discord's may be given as the number it is.

    :raises ValueError: it can't be a key.
    """
    if isinstance(key, int) and not isinstance(key, bool):
        return str(int(key))
    if not isinstance(key, str) or not key or len(_utf8(key)) > LONGEST:
        number = getattr(key, "id", None)
        hint = f": use its id, {number}" if isinstance(number, int) else ""
        raise ValueError(
            f"a key must be a text of 1 to {LONGEST} bytes or a whole number, not {key!r:.80}{hint}"
        )
    return key


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the text can't be written as UTF-8: {error}") from None


def encode_value(value: Any) -> bytes:
    """Writes a value.

    :raises TypeError: JSON can't hold it, or would change it; says where.
    :raises ValueError: it is too large, contains itself, or a number that JSON does not have.
    """
    try:
        plain = _plain(value, "the value")
        data = json.dumps(plain, allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("the value contains itself, or is nested too deeply for JSON") from None
    except UnicodeEncodeError as error:
        raise ValueError(f"the value holds text that can't be written as UTF-8: {error}") from None
    except ValueError as error:
        raise ValueError(f"the value holds what JSON does not have, NaN or an infinity: {error}") from None
    if len(data) > LARGEST:
        raise ValueError(
            f"the value is {len(data):,} bytes of JSON, and a shared cache takes {LARGEST:,} at most: keep "
            "large things elsewhere, and their address here"
        )
    return data


def _plain(value: Any, where: str) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{number}]") for number, item in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{where} has the key {key!r}, and keys in JSON are text: write str({key!r})")
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: _plain(getattr(value, field.name), f"{where}.{field.name}") for field in fields}
    hint = ""
    if isinstance(getattr(value, "id", None), int):
        hint = f": keep its id, {value.id}"
    elif isinstance(value, set | frozenset):
        hint = ": make it a list"
    elif hasattr(value, "isoformat"):
        hint = ": keep its isoformat()"
    raise TypeError(f"{where} is a {type(value).__name__}, which JSON can't hold{hint}")
