"""What shared caches may hold, and dataclasses out of JSON."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Literal

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discordha.coordination.shared.values import (
    LARGEST,
    Record,
    check_ttl,
    decode_value,
    encode_value,
    key_text,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), inner)
    ),
    max_leaves=20,
)


@given(JSON, st.sampled_from([None, "abc"]), st.floats(0.1, 1e8), st.lists(st.text("abc01=")))
def test_what_is_read_is_what_was_written(
    value: Any, stamp: str | None, ttl: float, marks: list[str]
) -> None:
    data = Record(encode_value(value), stamp, ttl, marks).data()
    read, record = Record.read(data)
    assert read == value
    assert type(read) is type(value)
    assert (record.stamp, record.ttl if stamp else ttl, list(record.marks)) == (stamp, ttl, marks)


def test_ids_are_exact() -> None:
    for number in (2**53 + 1, 2**63 - 1, 1_419_999_999_999_999_999, 10**40):
        assert Record.read(Record(encode_value({"id": number})).data())[0] == {"id": number}
        assert key_text(number) == str(number)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"a": [1, {2}]}, "the value['a'][1] is a set, which JSON can't hold: make it a list"),
        ({1: "x"}, "has the key 1, and keys in JSON are text"),
        (datetime.now(UTC), "is a datetime, which JSON can't hold: keep its isoformat()"),
        (b"x", "is a bytes"),
        (discord.Object(77), "is a Object, which JSON can't hold: keep its id, 77"),
        (int, "is a type"),
    ],
)
def test_what_json_can_not_hold_is_refused(value: Any, says: str) -> None:
    with pytest.raises(TypeError) as error:
        encode_value(value)
    assert says in str(error.value)


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        encode_value([float("nan")])
    with pytest.raises(ValueError, match="UTF-8"):
        encode_value("\ud800")
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="contains itself"):
        encode_value(endless)
    assert len(encode_value("x" * (LARGEST - 2))) == LARGEST
    with pytest.raises(ValueError, match=r"1,048,577 bytes .* 1,048,576 at most"):
        encode_value("x" * (LARGEST - 1))
    for ttl in (0, -1, True, "5", 1e9, float("nan")):
        with pytest.raises(ValueError, match="ttl must be seconds"):
            check_ttl(ttl)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["", None, True, 1.5, b"x", "x" * 1025, "\ud800"])
def test_bad_keys_are_refused(key: Any) -> None:
    with pytest.raises(ValueError):
        key_text(key)


def test_a_model_is_no_key_but_its_id_is() -> None:
    with pytest.raises(ValueError, match="use its id, 5"):
        key_text(SimpleNamespace(id=5))  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [b"", b"5", b"[]", b"{}", b'{"v":1,"x":3}', b"\xff"])
def test_what_others_have_written_is_named(data: bytes) -> None:
    with pytest.raises(ValueError, match="no value of a shared cache"):
        Record.read(data)


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Word:
    text: str
    level: Level = Level.LOW


@dataclass
class Filter:
    guild_id: int
    words: list[Word] = field(default_factory=list)
    by: dict[str, Word] = field(default_factory=dict)
    pair: tuple[int, str] = (0, "")
    many: tuple[int, ...] = ()
    note: str | None = None
    mode: Literal["soft", "hard"] = "soft"
    weight: float = 1.0
    anything: Any = None


def test_dataclasses_come_back() -> None:
    value = Filter(
        2**60 + 1,
        [Word("a", Level.HIGH), Word("b")],
        {"c": Word("c")},
        (1, "x"),
        (1, 2, 3),
        "n",
        "hard",
        2,
        [1],
    )
    assert decode_value(Filter, json.loads(encode_value(value))) == value
    assert decode_value(list[Filter], json.loads(encode_value([value, value]))) == [value, value]
    assert decode_value(Filter | None, None) is None
    assert decode_value(list, [1, [2]]) == [1, [2]]
    assert decode_value(tuple, [1, 2]) == (1, 2)
    assert decode_value(float, 2) == 2
    assert type(decode_value(Filter, json.loads(encode_value(value))).words[0].level) is Level


def test_other_versions_of_a_dataclass_are_read() -> None:
    assert decode_value(Word, {"text": "a", "later": 5}) == Word("a")
    with pytest.raises(ValueError, match=r"the value\.text is missing"):
        decode_value(Word, {"level": 1})


@pytest.mark.parametrize(
    ("kind", "plain", "says"),
    [
        (Word, 5, "is 5, which is no Word"),
        (Word, {"text": 5}, "the value.text is 5, which is no str"),
        (list[int], [1, "x"], r"the value\[1\] is 'x', which is no int"),
        (int, True, "which is no int"),
        (bool, 1, "which is no bool"),
        (tuple[int, int], [1], "which is no tuple"),
        (int | str, [], "which is no int | str"),
        (Level, 9, "9 is not a valid"),
        (dict[str, int], {"a": None}, r"the value\['a'\] is None, which is no int"),
        (list[Word], [{"text": "a"}, {"text": 1}], r"the value\[1\].text is 1, which is no str"),
        (tuple[int, ...], [1, "x"], r"the value\[1\] is 'x', which is no int"),
        (tuple[int, str], [1, 2], "is 2, which is no str"),
        (list, {}, "is {}, which is no list"),
        (int, "5", "is '5', which is no int"),
        (float, True, "is True, which is no float"),
        (str | None, 5, "is 5, which is no str | None"),
        (Literal["soft", "hard"], "x", "the value is refused: x not in literal"),
    ],
)
def test_what_does_not_fit_is_named(kind: Any, plain: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        decode_value(kind, plain)
