"""Dataclasses out of JSON, as their annotations say. Pure.

Promises: what ``dataclasses`` can describe with plain values, lists, tuples, dicts, unions and other
dataclasses comes back equal. Fields that the class does not know are left out, missing ones take their
default: during a rolling deploy old and new replicas read each other's values.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

__all__ = ["restore"]

T = TypeVar("T")


def restore(kind: type[T] | Any, plain: Any) -> Any:
    """``plain`` as a ``kind``: a dataclass, ``list[...]``, ``dict[str, ...]``, ``tuple[...]``, a union of
    them, or a plain type.

    :raises ValueError: it does not fit; says where.
    """
    return _restore(kind, plain, "the value")


@functools.cache
def _fields(kind: type) -> dict[str, tuple[Any, bool]]:
    """Name to annotation, and whether it must be there."""
    hints = get_type_hints(kind)
    missing = dataclasses.MISSING
    return {
        field.name: (hints[field.name], field.default is missing and field.default_factory is missing)
        for field in dataclasses.fields(kind)
        if field.init
    }


def _restore(kind: Any, plain: Any, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return plain
    if origin is Union or origin is types.UnionType:
        return _restore_union(arguments, plain, where)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _restore_dataclass(kind, plain, where)
    if origin is list and isinstance(plain, list):
        return [_restore(arguments[0], item, f"{where}[{number}]") for number, item in enumerate(plain)]
    if origin is tuple and isinstance(plain, list):
        kinds = arguments[:1] * len(plain) if arguments[1:] == (Ellipsis,) else arguments
        if len(kinds) == len(plain):
            pairs = enumerate(zip(kinds, plain, strict=True))
            return tuple(_restore(kind, item, f"{where}[{number}]") for number, (kind, item) in pairs)
    if origin is dict and isinstance(plain, dict):
        return {key: _restore(arguments[1], item, f"{where}[{key!r}]") for key, item in plain.items()}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        try:
            return kind(plain)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    if origin is Literal:
        fits = plain in arguments
    elif kind is None or kind is types.NoneType:
        fits = plain is None
    elif kind is float:
        fits = isinstance(plain, int | float) and not isinstance(plain, bool)
    elif kind is tuple and isinstance(plain, list):
        return tuple(plain)
    else:
        fits = (
            isinstance(kind, type) and isinstance(plain, kind) and (kind is bool) == isinstance(plain, bool)
        )
    if not fits:
        name = getattr(kind, "__name__", kind)
        raise ValueError(f"{where} is {plain!r:.60}, which is no {name}")
    return plain


def _restore_union(kinds: tuple[Any, ...], plain: Any, where: str) -> Any:
    for kind in kinds:
        try:
            return _restore(kind, plain, where)
        except ValueError:
            continue
    names = " | ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
    raise ValueError(f"{where} is {plain!r:.60}, which is no {names}")


def _restore_dataclass(kind: type, plain: Any, where: str) -> Any:
    if not isinstance(plain, dict):
        raise ValueError(f"{where} is {plain!r:.60}, which is no {kind.__name__}")
    given = {}
    for name, (hint, needed) in _fields(kind).items():
        if name in plain:
            given[name] = _restore(hint, plain[name], f"{where}.{name}")
        elif needed:
            raise ValueError(f"{where} has no {name!r}, which a {kind.__name__} needs")
    return kind(**given)
