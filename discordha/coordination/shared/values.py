"""The values of shared caches: JSON, exactly. Pure functions.

Guarantees: what is read equals what was written, whole numbers of any size included, with two exceptions that
JSON does not know: a tuple is read as a list, and a dataclass as the object of its fields, which
``decode_value`` makes a dataclass again. What JSON cannot hold is refused, with its place in the value.

A stored value is a JSON object. ``v`` is the value itself; with a time to live, ``x`` is its stamp and its
length in seconds; ``o`` is what a counter remembers of its last writers.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import secrets
from collections.abc import Callable, MutableMapping, MutableSequence, Sequence
from contextlib import suppress
from types import GenericAlias, NoneType, UnionType
from typing import Any, Final, NamedTuple, Union, get_args, get_origin

__all__ = [
    "LARGEST",
    "MISSING",
    "Missing",
    "Record",
    "check_name",
    "check_ttl",
    "decode_value",
    "encode_value",
    "key_text",
    "new_stamp",
]

#: The largest value, bytes of JSON.
LARGEST = 1024 * 1024
#: The longest name of a cache and the longest key, bytes.
LONGEST_NAME = 1024


class Missing(enum.Enum):
    """The absence of a value; ``None`` is a value."""

    MISSING = enum.auto()


MISSING: Final = Missing.MISSING


class Record(NamedTuple):
    """A stored value.

    :param value: JSON of the value itself.
    :param stamp: identifies one time to live; ``None``: the value has none.
    :param ttl: seconds.
    :param marks: what a counter remembers of its last writers; see ``Counter``.
    """

    value: bytes
    stamp: str | None = None
    ttl: float = 0.0
    marks: Sequence[Any] = ()

    def data(self) -> bytes:
        """The stored form."""
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

        :raises ValueError: something else wrote the key.
        """
        try:
            found = json.loads(data)
            stamp, ttl = found.get("x", (None, 0.0))
            return found["v"], cls(b"", stamp, float(ttl), tuple(found.get("o", ())))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"this is no value of a shared cache: {data[:40]!r}") from error


def new_stamp() -> str:
    """A stamp for one time to live."""
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

    :raises ValueError: no cache can have this name.
    """
    if not isinstance(cache, str) or not cache or len(_utf8(cache)) > LONGEST_NAME:
        raise ValueError(f"a cache's name must be a text of 1 to {LONGEST_NAME} bytes, not {cache!r:.80}")
    return cache


def key_text(key: str | int) -> str:
    """A key as text. Discord's ids may be given as numbers.

    :raises ValueError: no value can have this key.
    """
    if isinstance(key, int) and not isinstance(key, bool):
        return str(int(key))
    if not isinstance(key, str) or not key or len(_utf8(key)) > LONGEST_NAME:
        number = getattr(key, "id", None)
        hint = f": use its id, {number}" if isinstance(number, int) else ""
        raise ValueError(
            f"a key must be a text of 1 to {LONGEST_NAME} bytes or a whole number, not {key!r:.80}{hint}"
        )
    return key


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the text can't be written as UTF-8: {error}") from None


# -- writing -------------------------------------------------------------------------------------------------


def encode_value(value: Any) -> bytes:
    """The JSON of a value.

    :raises TypeError: JSON cannot hold the value, or would change it; names the place.
    :raises ValueError: the value is too large, contains itself, or has a number that JSON does not have.
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


# -- reading -------------------------------------------------------------------------------------------------


class _Misfit(ValueError):
    def __init__(self, plain: Any, kind: Any) -> None:
        super().__init__(f"is {plain!r:.60}, which is no {getattr(kind, '__name__', kind)}")


def decode_value(kind: Any, plain: Any) -> Any:
    """Makes a ``kind`` of JSON: a dataclass, ``list[...]``, ``dict[str, ...]``, ``tuple[...]``, an enum, a
    union of them, or a plain type.

    Types must match exactly. Fields that a dataclass does not know are left out, and missing ones take their
    default: during a rolling deploy old and new replicas read each other's values.

    :raises ValueError: the value does not fit; names the place.
    """
    from cattrs.v import transform_error  # here and below: most bots have no use for cattrs

    try:
        return _converter().structure(plain, kind)
    except Exception as error:  # noqa: BLE001 - cattrs raises many kinds, in groups
        told = (each.rpartition(" @ ") for each in transform_error(error, "the value", _reason))
        raise ValueError("; ".join(f"{place} {reason}" for reason, _, place in told)) from None


def _reason(error: BaseException, _: type | None) -> str:
    if isinstance(error, KeyError):
        return "is missing"
    return str(error) if isinstance(error, _Misfit) else f"is refused: {error}"


_CHECKED: frozenset[Any] = frozenset({int, float, str, bool, NoneType, list, dict, tuple})
_UNIONS: frozenset[Any] = frozenset({Union, UnionType})


@functools.cache
def _converter() -> Any:
    from cattrs import Converter

    converter: Any = Converter()
    for kind in (int, float, str, bool):
        converter.register_structure_hook(kind, _checked(kind, converter))
    converter.register_structure_hook_factory(
        lambda kind: kind in _CHECKED or get_origin(kind) in _CHECKED or dataclasses.is_dataclass(kind),
        lambda kind: _checked(kind, converter),
    )
    converter.register_structure_hook_factory(
        lambda kind: get_origin(kind) in _UNIONS, lambda kind: _first_that_fits(kind, converter)
    )
    return converter


def _checked(kind: Any, converter: Any) -> Callable[[Any, Any], Any]:
    """A hook that refuses JSON of another type, which cattrs would convert."""
    origin = get_origin(kind) or kind
    shapes = {float: (int, float), tuple: list}
    wanted: Any = dict if dataclasses.is_dataclass(kind) else shapes.get(origin, origin)
    structure = _structure(kind, origin, converter)

    def hook(plain: Any, asked: Any) -> Any:
        if asked != kind:
            return asked(plain)  # an enum of this type
        if not isinstance(plain, wanted) or isinstance(plain, bool) != (kind is bool):
            raise _Misfit(plain, kind)
        return structure(plain)

    return hook


def _structure(kind: Any, origin: Any, converter: Any) -> Callable[[Any], Any]:
    arguments = get_args(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        from cattrs.gen import make_dict_structure_fn

        fields = make_dict_structure_fn(kind, converter)
        return lambda plain: fields(plain, kind)
    if origin is tuple and arguments[1:] != (...,) and arguments:

        def structure(plain: list[Any]) -> tuple[Any, ...]:
            if len(plain) != len(arguments):
                raise _Misfit(plain, kind)
            return tuple(map(converter.structure, plain, arguments))

        return structure
    if origin in (list, tuple, dict):  # cattrs structures these likes of them without our check
        alike, defaults = (MutableMapping, (Any, Any)) if origin is dict else (MutableSequence, (Any,))
        like = GenericAlias(alike, (arguments or defaults)[: len(defaults)])
        items = converter.get_structure_hook(like)
        return lambda plain: origin(items(plain, like))
    return lambda plain: plain


def _first_that_fits(kind: Any, converter: Any) -> Callable[[Any, Any], Any]:
    def hook(plain: Any, _: Any) -> Any:
        for each in get_args(kind):
            with suppress(Exception):  # the next one may fit
                return converter.structure(plain, each)
        raise _Misfit(plain, kind)

    return hook
