"""Every impossible value is refused before anything connects, by an error that names the field."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from discordha import Config, ConfigError

TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4.secret.very-secret"
VALID: dict[str, Any] = {"token": TOKEN, "etcd_endpoints": ["etcd-0.etcd:2379"]}
REFUSED = [
    ("token", ""),
    ("token", f"Bot {TOKEN}"),
    ("token", f"{TOKEN}\n"),
    ("intents", 5),
    ("ha", "yes"),
    ("name", "a/b"),
    ("name", "bot.data"),
    ("replica_id", ""),
    ("etcd_endpoints", []),
    ("etcd_endpoints", "etcd-0.etcd:2379"),
    ("etcd_endpoints", ["etcd-0.etcd"]),
    ("etcd_endpoints", ["etcd-0.etcd:70000"]),
    ("etcd_ca_cert", "no/such/file.pem"),
    ("etcd_timeout", 0),
    ("session_ttl", 1.9),
    ("session_ttl", float("nan")),
    ("retention", 9.0),  # below twice the TTL
    ("catch_up", -1),
    ("catch_up", float("inf")),
    ("catch_up_limit", 0),
    ("grace", "1"),
    ("workers", 0),
    ("workers", 1.5),
    ("queue_size", True),
    ("ordering", "user"),
    ("max_attempts", 0),
    ("handler_timeout", 0),
    ("on_store_loss", "wait"),
    ("participate_in_election", 1),
    ("telemetry", "yes"),
    ("deaf_after", 0.1),
    ("drain_timeout", -1),
    ("call_timeout", float("inf")),
    ("shard_count", 0),
    ("shard_count", "some"),
    ("replication", 0),
    ("http_address", "8080"),
    ("http_address", ":70000"),
    ("http_token", "short-secret"),
    ("http_token", "a secret with white space"),
    ("http_token", 1234567890123456),
    ("api_url", "localhost:1"),
    ("gateway_url", "http://localhost:1"),
    ("requests_per_second", -1),
    ("client_options", {"status": "idle"}),
]
#: Any text will do, or another field is the one that is missing.
NEVER_REFUSED = {"etcd_cert", "etcd_key", "etcd_user", "etcd_password"}


@pytest.mark.parametrize(("field", "value"), REFUSED, ids=lambda value: str(value)[:20].strip())
def test_an_impossible_value_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^{field}\b") as refused:
        Config(**(VALID | {field: value}))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("token", "remedy"),
    [
        (f'"{TOKEN}"', "quotes.*give the bare token"),
        (f"'{TOKEN}'", "quotes.*give the bare token"),
        (f"\u201c{TOKEN}\u201d", "quotes.*give the bare token"),
        (f"`{TOKEN}`", "quotes.*give the bare token"),
        (f'"Bot {TOKEN}"', "quotes.*give the bare token"),
        ('""', "empty.*developer portal"),
        (f"Bot {TOKEN}", "without the word"),
        (f" bot\t{TOKEN}", "without the word"),
        (f"Bearer {TOKEN}", "without the word"),
        (f"{TOKEN}\r\n", "white space.*copy it again"),
        (f" {TOKEN}", "white space.*copy it again"),
        (TOKEN.replace(".", ". "), "white space.*copy it again"),
        (f"\ufeff{TOKEN}", "character that no token has.*copy it again"),
        (f"{TOKEN}\u200b", "character that no token has.*copy it again"),
        (f"{TOKEN}\x00", "character that no token has.*copy it again"),
    ],
)
def test_a_token_with_additions_is_refused_with_the_remedy(token: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=rf"^token .*{remedy}") as refused:
        Config(**(VALID | {"token": token}))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("variable", ["BOT_TOKEN", "DISCORDHA_TOKEN"])
def test_white_space_around_a_token_of_the_environment_is_dropped(variable: str) -> None:
    assert Config.from_env({variable: f" {TOKEN}\r\n"}, ha=False).token == TOKEN
    with pytest.raises(ConfigError, match=r"^token holds quotes"):
        Config.from_env({variable: f'"{TOKEN}"'}, ha=False)


def test_every_field_has_a_value_that_is_refused() -> None:
    fields = {field.name for field in dataclasses.fields(Config)}
    assert fields - NEVER_REFUSED == {field for field, _ in REFUSED}


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ("etcd_cert", "etcd_key"),
        ("etcd_key", "etcd_cert"),
        ("etcd_user", "etcd_password"),
        ("etcd_password", "etcd_user"),
    ],
)
def test_of_two_that_belong_together_the_missing_one_is_named(
    given: str, missing: str, tmp_path: Path
) -> None:
    path = tmp_path / "file.pem"
    path.touch()
    with pytest.raises(ConfigError, match=f"^{missing} is missing"):
        Config(**(VALID | {given: str(path)}))


def test_a_misspelt_option_is_refused_and_the_nearest_one_named() -> None:
    with pytest.raises(ConfigError, match="etcd_endpoint is not an option; did you mean etcd_endpoints"):
        Config.build(token=TOKEN, etcd_endpoint=[])


def test_every_field_is_read_from_the_environment() -> None:
    environment = {
        "BOT_TOKEN": TOKEN,
        "DISCORDHA_ETCD_ENDPOINTS": "a:1, b:2",
        "DISCORDHA_HA": "false",
        "DISCORDHA_WORKERS": "4",
        "DISCORDHA_GRACE": "0.5",
        "DISCORDHA_SHARD_COUNT": "auto",
        "DISCORDHA_INTENTS": "guilds,guild_messages",
    }
    config = Config.from_env(environment)
    assert config.etcd_endpoints == ("a:1", "b:2")
    assert (config.ha, config.workers, config.grace, config.shard_count) == (False, 4, 0.5, "auto")
    assert config.intents is not None
    assert config.intents.guilds
    assert not config.intents.members


def test_neither_token_nor_password_is_shown() -> None:
    config = Config(**VALID, etcd_user="bot", etcd_password="very-secret")
    assert "secret" not in repr(config)
