"""The configuration: what it takes, what it refuses, and the words for each."""

from __future__ import annotations

import base64
import logging
from typing import Any

import pytest

from discordha.bot import DiscordHA
from discordha.config import Config, bot_id_from_token
from discordha.errors import ConfigError

TOKEN = base64.b64encode(b"1234567890").decode() + ".a.b"
GOOD: dict[str, Any] = {"token": TOKEN, "etcd_endpoints": ["etcd:2379"]}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("token", " ", "token is empty"),
        ("token", "Bot abc", "without the word 'Bot'"),
        ("token", "abc\n", "white space"),
        ("etcd_timeout", 0.01, "etcd_timeout must be a number of seconds, 0.1 or more, not 0.01"),
        ("session_ttl", True, "session_ttl must be a number of seconds"),
        ("retention", float("nan"), "retention must be a number of seconds"),
        ("retention", 5.0, "at least twice session_ttl"),
        ("workers", 0, "workers must be a whole number, 1 or more, not 0"),
        ("queue_size", 1.5, "queue_size must be a whole number"),
        ("handler_timeout", 0, "handler_timeout must be seconds above 0"),
        ("requests_per_second", -1, "requests_per_second must be a whole number, 0 or more"),
        ("shard_count", "many", "shard_count must be a whole number, 1 or more, or 'auto'"),
        ("ordering", "user", "ordering must be 'channel' or 'guild' or 'none', not 'user'"),
        ("on_store_loss", "panic", "on_store_loss must be 'hold' or 'handle'"),
        ("ha", 1, "ha must be True or False, not 1"),
        ("name", "a/b", "name may hold letters, digits"),
        ("name", "bot.data", "name may not end in '.data'"),
        ("replica_id", "", "replica_id may hold letters, digits"),
        ("etcd_endpoints", "etcd:2379", "etcd_endpoints must be a list"),
        ("etcd_endpoints", ["etcd"], "not of the form host:port"),
        ("etcd_endpoints", [], "etcd_endpoints is empty"),
        ("etcd_user", "root", "etcd_password is missing"),
        ("etcd_ca_cert", "/nowhere/ca.pem", "etcd_ca_cert: there is no file"),
        ("api_url", "discord.com", "api_url must begin with https://"),
        ("gateway_url", "https://discord.gg", "gateway_url must begin with wss://"),
        ("http_address", "8080", "http_address must be host:port or :port"),
        ("http_address", ":80800", "http_address must be host:port or :port"),
        ("intents", 7, "intents must be a discord.Intents"),
    ],
)
def test_impossible_values_name_their_field(field: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.build(**{**GOOD, field: value})
    assert words in str(caught.value)


def test_unknown_options_name_the_nearest() -> None:
    with pytest.raises(ConfigError, match="worker is not an option; did you mean workers"):
        Config.build(worker=1)
    with pytest.raises(ConfigError, match="token is missing"):
        Config.build(workers=1)


def test_the_environment(caplog: pytest.LogCaptureFixture) -> None:
    environ = {
        "BOT_TOKEN": TOKEN,
        "DISCORDHA_ETCD_ENDPOINTS": "a:1, b:2,",
        "DISCORDHA_HA": "no",
        "DISCORDHA_WORKERS": "3",
        "DISCORDHA_GRACE": "0.5",
        "DISCORDHA_SHARD_COUNT": "auto",
        "DISCORDHA_INTENTS": "guilds,guild_messages",
        "DISCORDHA_NAME": " ",
        "DISCORDHA_LOG_LEVEL": "debug",
        "DISCORDHA_WORKRES": "3",
        "HOME": "/",
    }
    with caplog.at_level(logging.WARNING):
        config = Config.from_env(environ, retention=60.0)
    assert config.etcd_endpoints == ("a:1", "b:2")
    assert (config.ha, config.workers, config.grace, config.retention) == (False, 3, 0.5, 60.0)
    assert (config.shard_count, config.name) == ("auto", None)
    assert config.intents is not None
    assert config.intents.value == 1 | 1 << 9
    (line,) = caplog.messages
    assert line == "DISCORDHA_WORKRES is set, but there is no such option; did you mean workers?"


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("DISCORDHA_HA", "maybe", "DISCORDHA_HA must be true or false"),
        ("DISCORDHA_WORKERS", "three", "DISCORDHA_WORKERS must be a whole number"),
        ("DISCORDHA_GRACE", "soon", "DISCORDHA_GRACE must be a number"),
        ("DISCORDHA_INTENTS", "guild", "'guild' is no intent; did you mean guilds"),
    ],
)
def test_unreadable_variables_are_named(variable: str, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Config.from_env({"BOT_TOKEN": TOKEN, variable: text}, ha=False)


def test_secrets_do_not_show() -> None:
    config = Config.build(**GOOD, etcd_user="root", etcd_password="secret")
    assert "secret" not in repr(config)
    assert TOKEN not in repr(config)


def test_the_name_in_etcd_is_the_bots_id_unless_set() -> None:
    assert Config.build(**GOOD).root == "/discordha/v1/1234567890/"
    assert Config.build(**GOOD, name="bot").root == "/discordha/v1/bot/"
    assert bot_id_from_token("abc") is None
    with pytest.raises(ConfigError, match="name is missing"):
        _ = Config.build(token="abc", ha=False).root


def test_a_proxy_keeps_the_limit_of_requests() -> None:
    assert Config.build(**GOOD).rest_limit == 50
    assert Config.build(**GOOD, api_url="http://proxy").rest_limit == 0
    assert Config.build(**GOOD, api_url="http://proxy", requests_per_second=20).rest_limit == 20


@pytest.mark.parametrize(
    ("host", "begins"),
    [
        ("bot-7d9f", "bot-7d9f-"),
        ("my host", "my-host-"),
        (" spaced ", "spaced-"),
        ("Müller's Rechner", "M-ller-s-Rechner-"),
        ("a/b\nc", "a-b-c-"),
        (".hidden", "hidden-"),
        ("\N{SNOWMAN}", "replica-"),
        ("", "replica-"),
        ("x" * 300, "x" * 63 + "-"),
    ],
)
def test_the_default_replica_id_is_valid_on_every_host(
    monkeypatch: pytest.MonkeyPatch, host: str, begins: str
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    name = DiscordHA(**GOOD).replica_id
    assert name.startswith(begins)
    assert Config(**GOOD, replica_id=name).replica_id == name


@pytest.mark.parametrize("field", ["name", "replica_id"])
@pytest.mark.parametrize(
    "value", ["my bot", " bot", "bot ", "bot\n", "a\tb", '"bot"', "ü", "-bot", "x" * 101, 5]
)
def test_a_name_with_other_characters_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^{field} may hold letters"):
        Config(**{**GOOD, field: value})
