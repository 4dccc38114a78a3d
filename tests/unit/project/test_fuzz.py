"""Foreign or unforeseen data gives a clear error or a log line, and no crash."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kept_journal import Kept

from discordha import Config, ConfigError
from discordha.commands.components import Components
from discordha.coordination.claims.hints import ClaimHints
from discordha.coordination.claims.records import Attempts, marked_at, parse_claim
from discordha.coordination.etcd.store import KeyValue, Snapshot, WatchEvent
from discordha.coordination.journal.entries import NEVER, AttemptRecord, JournalKeys, JournalMark
from discordha.coordination.journal.questions import QuestionExchange
from discordha.coordination.journal.tally import Tally
from discordha.events import EVENTS, Scope, identify
from discordha.operations.cli.fleet_commands import status_table
from discordha.operations.fleet import Fleet

TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4.secret.very-secret"
FIELDS = [field.upper() for field in Config.__dataclass_fields__ if field not in ("token", "intents")]
#: Possible values of an environment variable.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
NUMBERS = st.one_of(
    st.integers().map(str), st.floats().map(str), st.sampled_from(["", "²", "٣", "1e9", "0x1"])
)
WORDS = st.sampled_from(
    ["true", "no", "auto", "all", "none", "hold", "channel", "127.0.0.1:1", ":0", "a:1,b:2"]
)

JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
RECORD_FIELDS = st.sampled_from(
    [
        "attempt",
        "payload",
        "shard",
        "history",
        "replica",
        "event",
        "state",
        "queue",
        "started",
        "leads",
        "error",
    ]
)
RECORDS = st.dictionaries(RECORD_FIELDS, JSONS, max_size=6)
VALUES = st.one_of(
    st.binary(max_size=40),
    JSONS.map(lambda value: json.dumps(value).encode()),
    RECORDS.map(lambda value: json.dumps(value).encode()),
    st.sampled_from([b"r", b"r a", b"d a b", b"r a 1 2 3 4 5", b"d a 1 x", b"d \xff 1", b"[" * 5000]),
)


@given(
    st.dictionaries(
        st.one_of(
            st.sampled_from([f"DISCORDHA_{field}" for field in [*FIELDS, "INTENTS", "TOKEN"]]),
            TEXT.map(lambda text: f"DISCORDHA_{text.upper()}"),
        ),
        TEXT | NUMBERS | WORDS,
        max_size=6,
    )
)
@example({"DISCORDHA_SHARD_COUNT": "²"})
@example({"DISCORDHA_INTENTS": "9" * 5000})
@example({"DISCORDHA_ETCD_TIMEOUT": "nan"})
def test_any_environment_is_a_configuration_or_a_clear_error(environment: dict[str, str]) -> None:
    environment = {"BOT_TOKEN": TOKEN, "DISCORDHA_ETCD_ENDPOINTS": "127.0.0.1:2379", **environment}
    said = ""
    try:
        config = Config.from_env(environment)
        said = repr(config)
        if config.name is not None:
            assert config.root == f"/discordha/v1/{config.name}/"
    except ConfigError as error:
        said = str(error)
    assert said
    assert "secret" not in said


@given(VALUES)
def test_foreign_values_are_read_or_ignored(value: bytes) -> None:
    parsed = parse_claim(value)
    assert parsed is None or (parsed[0] in "rd" and isinstance(parsed[2], int))
    assert marked_at(value) is None or parsed is None or parsed[0] == "d"
    attempts = Attempts.parse(value)
    assert attempts is None or isinstance(attempts.payload, str | None)
    attempted = AttemptRecord.parse(value)
    assert attempted is None or isinstance(attempted.payload, str | None)


class Listener:
    def on_done(self, keys: Any) -> None: ...
    def on_free(self, freed: Any) -> None: ...
    def on_orphan(self, key: str, attempts: Attempts) -> None: ...
    def on_looked(self, keys: Any) -> None: ...
    def on_resync(self, attempted: Any) -> None: ...


def kv(key: str, value: bytes, revision: int) -> KeyValue:
    return KeyValue(key, value, revision, revision, 1, 0)


@given(
    st.lists(st.tuples(st.sampled_from(["e/m/1", "a/m/1", "e/m/2", "a/", "e/", "a/m/2"]), VALUES), max_size=8)
)
def test_hints_survive_foreign_claims_and_name_the_key(written: list[tuple[str, bytes]]) -> None:
    hints = ClaimHints("/x/", retention=60)
    hints.set_listener(Listener())
    items = [kv(f"/x/{key}", value, number) for number, (key, value) in enumerate(written, 1)]
    hints.on_snapshot(Snapshot(len(items), items))
    hints.on_events(99, [WatchEvent("put", item) for item in items])
    hints.on_events(100, [WatchEvent("delete", item) for item in items])


#: Possible values of a mark in the place of a number.
PARTS = st.one_of(st.integers(-5, 2**70).map(str), NUMBERS, TEXT, st.just("-"), st.just("9" * 5000))
MARKS = st.one_of(
    VALUES, st.lists(PARTS, max_size=4).map(lambda parts: " ".join(["leader", *parts]).encode())
)


@given(st.lists(st.tuples(st.sampled_from(["0/a", "0/b"]), MARKS), max_size=8))
@example([("0/a", b"leader " + b"9" * 5000)])
@example([("0/a", "leader ² ٣".encode())])
@example([("0/a", b"leader 7 " + b"9" * 5000)])
def test_a_tally_survives_any_marks(written: list[tuple[str, bytes]]) -> None:
    tally = Tally("/j/", "/jc/", "/ja/", replica_id="me")
    tally.snapshot([])
    tally.sessions.note(5)
    for number, (name, value) in enumerate(written, 1):
        mark = KeyValue(f"/j/{name}", value, number, number, number, 0)
        tally.apply([WatchEvent("put", mark)])
        other = KeyValue(f"/ja/{name}/{number}{'9' * number * 700}", value, number, number, 1, 0)
        tally.snapshot([mark, other])
        read = JournalMark.parse(value)
        assert read.revision >= 0
        assert 0 <= read.session <= NEVER
        if number == 4:
            tally.new_session()


def test_an_unreadable_claim_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    hints = ClaimHints("/x/", retention=60)
    with caplog.at_level(logging.WARNING):
        hints.on_events(1, [WatchEvent("put", kv("/x/e/message/1", b"nonsense", 1))])
    assert hints.unreadable == 1
    assert "/x/e/message/1" in caplog.text


QUESTION: dict[str, Any] = {"number": 1, "names": {"0/a": 5}, "guilds": {"7": {"0/a": 5}}}
ANSWER: dict[str, Any] = {"number": 1, "left": {"0/a": 1}, "landmarks": {"8": {"0/a": 2}}}
ASKED = st.one_of(
    VALUES,
    st.builds(
        lambda record, changes: json.dumps({**record, **changes}).encode(),
        st.sampled_from([QUESTION, ANSWER]),
        st.dictionaries(
            st.sampled_from(["number", "names", "left", "guilds", "landmarks"]), JSONS, max_size=2
        ),
    ),
)
SHARDS = st.sampled_from(["0", "1", "", "-1", "00", "²", "٣", "1.5", "x", "9" * 5000]) | st.text(max_size=4)
REPLICAS = st.sampled_from(["me", "other", "", "me/", "/me", "a/b", "\ud800"]) | st.text(max_size=4)


@given(st.lists(st.tuples(st.sampled_from(["jq", "jr"]), SHARDS, REPLICAS, ASKED), max_size=8))
@example([("jr", "0", "me", json.dumps(ANSWER).encode())])
def test_foreign_questions_and_answers_acknowledge_nothing(
    written: list[tuple[str, str, str, bytes]],
) -> None:
    """An answer fits only the number that was asked with."""
    kept = Kept()
    kept.new_session(10)
    kept.receive("add", "remove", "add")
    for key in ("add", "remove", "add"):
        kept.mark(key, certain=False)
    number, names = kept.ask()
    told: list[int] = []

    def on_answer(answered: int, left: Any, landmarks: Any) -> None:
        for counts in (left, *landmarks.values()):
            assert all(type(count) is int and count >= 0 for count in counts.values())
        told.append(answered)
        kept.journal.questions.on_answer(answered, left, landmarks)

    exchange = QuestionExchange(Shelf(b""), JournalKeys("/x/"), "me")  # type: ignore[arg-type]
    exchange.listen(0, on_question=lambda revision: None, on_answer=on_answer)
    items = [kv(f"/x/{kind}/{shard}/{name}", value, 1) for kind, shard, name, value in written]
    exchange.on_snapshot(Snapshot(len(items), items))
    exchange.on_events(99, [WatchEvent("put", item) for item in items])
    for question in [*exchange.questions(0), *exchange.questions(1)]:
        assert question.replica != "me"
        assert all(type(since) is int and since >= 0 for since in question.names.values())
        assert kept.journal.questions.may_answer(question.names) is False  # it leads nothing
        assert kept.journal.questions.answer(question.names) is None
        kept.journal.questions.want([question])
        kept.journal.questions.passes("7", "9")
        assert kept.journal.questions.landmarks(question.names) == {}
    assert number not in told
    assert len(kept.journal) == 3
    exchange.on_events(100, [WatchEvent("delete", item._replace(value=b"")) for item in items])
    assert exchange.questions(0) == exchange.questions(1) == ()
    kept.journal.questions.on_answer(number, dict.fromkeys(names, 0), {})
    assert len(kept.journal) == 0


BAD = [
    b"",
    b"nonsense",
    b"\xff",
    b"[]",
    b"null",
    b"1",
    b"{}",
    b"[" * 5000,
    b'{"number": 1' + b"0" * 5000 + b"}",
]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, value) for key in ("jq/0/other", "jr/0/me") for value in BAD),
        *(
            ("jq/0/other", json.dumps({**QUESTION, **wrong}).encode())
            for wrong in (
                {"number": "1"},
                {"number": True},
                {"number": -1},
                {"names": None},
                {"names": "0/a"},
                {"names": ["0/a"]},
                {"names": {"0/a": -1}},
                {"names": {"0/a": 0.5}},
                {"names": {"0/a": True}},
                {"names": {"0/a": None}},
                {"names": {"0/a": 1, "0/b": "2"}},
                {"guilds": None},
                {"guilds": {"7": ["0/a"]}},
                {"guilds": {"7": {"0/a": "5"}}},
            )
        ),
        *(
            ("jr/0/me", json.dumps({**ANSWER, **wrong}).encode())
            for wrong in (
                {"number": None},
                {"number": 1.0},
                {"number": True},
                {"left": None},
                {"left": ["0/a"]},
                {"left": {"0/a": -1}},
                {"left": {"0/a": 0.5}},
                {"left": {"0/a": False}},
                {"left": {"0/a": None}},
                {"landmarks": ["8"]},
                {"landmarks": {"8": 2}},
                {"landmarks": {"8": {"0/a": True}}},
                {"landmarks": {"8": {"0/a": -1}}},
            )
        ),
    ],
)
def test_an_unreadable_question_or_answer_is_logged(
    key: str, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    exchange = QuestionExchange(Shelf(b""), JournalKeys("/x/"), "me")  # type: ignore[arg-type]
    told: list[int] = []
    asked: list[int] = []
    exchange.listen(0, on_question=asked.append, on_answer=lambda number, *_: told.append(number))
    good = kv(f"/x/{key}", json.dumps({**QUESTION, **ANSWER}).encode(), 1)
    exchange.on_events(1, [WatchEvent("put", good)])
    assert len(exchange.questions(0)) + len(told) == 1
    told.clear()
    asked.clear()
    with caplog.at_level(logging.WARNING):
        exchange.on_events(2, [WatchEvent("put", kv(f"/x/{key}", value, 2))])
    assert f"/x/{key}" in caplog.text
    assert not told
    # Something was put there, so somebody greets, though it be of a version that speaks otherwise.
    assert asked == ([2] if key.startswith("jq/") else [])
    assert exchange.questions(0) == ()


class Shelf:
    """A store with one value under every key."""

    names = ("0/odd", "day", "g/0", "serving", "p/0", "h/0/r")

    def __init__(self, value: bytes) -> None:
        self._value = value

    def range(self, prefix: str, **_: Any) -> Snapshot:
        return self.look([prefix + name for name in self.names])

    def get(self, key: str) -> KeyValue:
        return kv(key, self._value, 1)

    def look(self, keys: Sequence[str], **_: Any) -> Snapshot:
        return Snapshot(1, [kv(key, self._value, 1)._replace(lease=1) for key in keys])


@given(VALUES)
def test_the_command_line_shows_whatever_it_finds(value: bytes) -> None:
    fleet = Fleet(Shelf(value), "/x/")  # type: ignore[arg-type]
    json.dumps(fleet.status())
    status_table(fleet.status())
    assert [letter.event for letter in fleet.letters()] == list(Shelf.names)
    assert fleet.letter("message/1").event == "message/1"


class Anything:
    """An argument of discord.py's without some attributes."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.__dict__.update(fields)


NAMES = [
    "id",
    "guild_id",
    "channel_id",
    "message_id",
    "user_id",
    "timestamp",
    "guild",
    "channel",
    "edited_at",
]


@given(
    st.sampled_from(sorted(EVENTS)),
    st.dictionaries(st.sampled_from(NAMES), JSONS, max_size=5),
    st.dictionaries(st.sampled_from(NAMES), JSONS, max_size=5),
    st.sampled_from(["channel", "guild", "none"]),
    st.sampled_from([None, *Scope]),
)
def test_any_payload_has_an_identity(
    name: str, fields: dict[str, Any], payload: dict[str, Any], ordering: str, scope: Scope | None
) -> None:
    args = (Anything(fields), Anything(fields), Anything(fields))
    identity = identify(name, args, payload, ordering=ordering, scope=scope)
    assert identity.key.isascii()
    assert identity.key or not EVENTS[name].id
    assert " " not in identity.key
    assert identity == identify(name, args, dict(reversed(payload.items())), ordering=ordering, scope=scope)


def test_events_without_their_identitys_fields_are_told_apart_by_the_payload() -> None:
    name = next(
        name for name, spec in EVENTS.items() if spec.scope is Scope.CLAIM and spec.needs_payload and spec.id
    )
    keys = {identify(name, (), {"unforeseen": number}, ordering="channel").key for number in range(3)}
    assert len(keys) == 3


PATTERNS = st.one_of(
    st.text(max_size=20),
    st.lists(
        st.sampled_from(["*", "{name}", "{other}", "{1}", "vote", ":", "(", "\\", "[", "$"]), max_size=6
    ).map("".join),
)


@given(PATTERNS, st.text(max_size=100))
@example("{name}{name}", "a")
@example("{1}", "a")
def test_any_custom_id_finds_a_component_or_none(pattern: str, custom_id: str) -> None:
    def component(interaction: Any, **names: str) -> None: ...

    components = Components()
    try:
        components.add(pattern, component, None)
    except ConfigError as error:
        assert "component" in str(error)  # noqa: PT017
        return
    found = components.find(custom_id)
    assert found is None or set(found[1]) <= {"name", "other", *found[0].expression.groupindex}
    if "*" not in pattern and "{" not in pattern:
        assert components.find(pattern) is not None
        assert (found is not None) == (custom_id == pattern)
