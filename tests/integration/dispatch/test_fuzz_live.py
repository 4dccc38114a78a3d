"""A real replica among strange payloads and strange keys: it goes on, loses nothing, and says so."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import discord
import hypothesis.internal.conjecture.optimiser  # noqa: F401 - else imported in the middle, beside threads that
import pytest  # compile code, which Python 3.11's parser does not bear
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discordha import Config, DiscordHA
from discordha.events import EVENTS
from discordha.operations.cli.fleet_commands import cli
from discordha.testing import LocalDiscord, LocalEtcd, wait_for

LIVE = settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
#: The log line of a listener of the watch that raises an error.
LISTENER_FAILED = "a listener of the coordination watch failed"
#: What may not be taken from under the bot that is asked questions.
KEPT = {"READY", "RESUMED", "GUILD_CREATE", "GUILD_DELETE", "GUILD_UPDATE", "CHANNEL_DELETE", "USER_UPDATE"}
FIELDS = [
    "id",
    "channel_id",
    "guild_id",
    "message_id",
    "user_id",
    "author",
    "member",
    "user",
    "emoji",
    "content",
    "type",
    "timestamp",
    "data",
    "token",
    "application_id",
    "channel",
    "members",
    "roles",
    "name",
    "status",
    "activities",
    "thread_metadata",
    "parent_id",
    "ids",
    "position",
    "owner_id",
    "action_type",
    "target_id",
    "components",
    "embeds",
    "attachments",
    "mentions",
    "edited_timestamp",
    "entity_type",
]
SNOWFLAKES = st.integers(1 << 60, 1 << 62).map(str)
ATOMS = st.one_of(SNOWFLAKES, st.none(), st.booleans(), st.integers(-5, 40), st.text(max_size=6))
JSONS = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.sampled_from([*FIELDS, "unforeseen"]), JSONS, max_size=10)


@contextmanager
def replica(etcd: LocalEtcd, discord_: LocalDiscord, namespace: str) -> Iterator[DiscordHA]:
    """One that wants every event there is, and answers questions."""
    config = Config.from_env(
        {**etcd.env(), **discord_.env()}, name=namespace, intents=discord.Intents.all(), session_ttl=10.0
    )
    ha = DiscordHA(config)
    ha.on_error(lambda event, handler, error: None)
    for name in EVENTS:
        ha.add_handler(lambda *args: None, name)

    @ha.listen("message", where=lambda message: message.content.startswith("!ping"))
    def answer(message: Any) -> None:
        message.channel.send(message.content.replace("!ping", "pong"))

    with ha:
        assert ha.wait_until_ready(20)
        yield ha


def asked(discord_: LocalDiscord, number: int) -> None:
    """One more question is answered, as all before were."""
    discord_.send(discord_.channel_ids[0], f"!ping {number}")
    expected = sorted(f"pong {each}" for each in range(1, number + 1))
    wait_for(
        lambda: sorted(message.content for message in discord_.messages()) == expected,
        15,
        lambda: f"{expected}, not {[message.content for message in discord_.messages()]}",
    )


def test_payloads_with_missing_and_strange_fields(
    local_etcd: LocalEtcd, local_discord: LocalDiscord, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with replica(local_etcd, local_discord, namespace) as ha:
        asked(local_discord, 1)
        client: Any = ha.client
        kinds = sorted(set(client._connection.parsers) - KEPT)
        message = {
            "id": "1",
            "channel_id": str(local_discord.channel_ids[0]),
            "guild_id": str(local_discord.guild_ids[0]),
        }

        @LIVE
        @given(st.sampled_from(kinds), OBJECTS, st.booleans())
        def send(kind: str, payload: dict[str, Any], near: bool) -> None:
            about_messages = kind.startswith("MESSAGE") or kind == "TYPING_START"
            # The local Discord itself wants to know which guild's members get it.
            with contextlib.suppress(RuntimeError):
                local_discord.emit(kind, {**message, **payload} if near and about_messages else payload)

        send()
        for kind in kinds:
            local_discord.emit(kind, {})
        asked(local_discord, 2)
        state = ha.status()["gateway"][0]
        assert (state["disconnects"], state["identifies"]) == (0, 1)
        assert caplog.text.count("discord.py can't read this") > 10
        assert ha.status()["ready"]


KEYS = st.one_of(
    st.tuples(
        st.sampled_from(
            ["e", "a", "m", "l", "l/0", "j", "j/0", "jc/0", "ja/0", "lp", "x", "s", "i", "k", "dead"]
        ),
        st.sampled_from(["odd", "message/1", "0", "f00/1", "", "x/y/z/1", "\u00e9"]),
    ).map(lambda parts: "/".join(parts).encode()),
    st.binary(min_size=1, max_size=6),
)
VALUES = st.one_of(
    st.binary(max_size=20),
    st.dictionaries(
        st.sampled_from(["attempt", "payload", "shard", "history", "replica", "state", "resign", "event"]),
        JSONS,
    ).map(lambda value: json.dumps(value).encode()),
    st.sampled_from([b"r", b"r odd 1", b"d odd 1", b"r odd x", b"[]", b"[" * 3000]),
)


def test_keys_that_something_else_wrote(
    local_etcd: LocalEtcd,
    local_discord: LocalDiscord,
    namespace: str,
    root: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)

    def put(key: bytes, value: bytes) -> None:
        body = {
            "key": base64.b64encode(root.encode() + key).decode(),
            "value": base64.b64encode(value).decode(),
        }
        local_etcd.api.call(local_etcd.url(), "kv/put", body)

    with replica(local_etcd, local_discord, namespace) as ha:
        asked(local_discord, 1)
        replica_parts: Any = ha._replica.parts
        watch = replica_parts.coordination.watch

        @LIVE
        @given(KEYS, VALUES)
        def write(key: bytes, value: bytes) -> None:
            put(key, value)

        write()
        put(b"e/message/\xff\xfe", b"\xff")
        put(b"m/odd", b"nonsense")
        asked(local_discord, 2)
        assert LISTENER_FAILED not in caplog.text
        assert watch.losses == 0
        assert ha.status()["ready"]
        wait_for(ha.is_leader, 20, "leadership")
        assert f"{root}m/odd" in caplog.text
        assert ha.status()["etcd"]["unreadable"] > 0

    # One that starts among them, and leads.
    with replica(local_etcd, local_discord, namespace) as ha:
        wait_for(ha.is_leader, 20, "leadership")
        asked(local_discord, 3)
        assert LISTENER_FAILED not in caplog.text
        environment = {**local_etcd.env(), "DISCORDHA_NAME": namespace}
        for arguments in (["status"], ["status", "--json"], ["dead-letters", "list"], ["event", "1"]):
            result = CliRunner().invoke(cli, arguments, env=environment)
            assert result.exception is None or isinstance(result.exception, SystemExit), result.output
