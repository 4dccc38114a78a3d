"""Health and metrics over HTTP, of a real replica."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator

import discord
import pytest
from prometheus_client.parser import text_string_to_metric_families
from scrape import get

from discordha import Config, ConfigError, DiscordHA
from discordha.operations.health import HealthServer
from discordha.operations.logs import JsonFormatter
from discordha.stats import Stats
from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.ports import ReservedPort


@pytest.fixture
def port() -> Iterator[int]:
    reserved = ReservedPort()
    yield reserved.number
    reserved.release()


def test_a_replica_from_start_to_outage(local_discord: LocalDiscord, namespace: str, port: int) -> None:
    with LocalEtcd() as etcd:
        config = Config.from_env(
            {**etcd.env(), **local_discord.env()},
            name=namespace,
            intents=discord.Intents.all(),
            http_address=f"127.0.0.1:{port}",
            session_ttl=5.0,
        )
        ha = DiscordHA(config)

        @ha.event
        def on_message(message):  # type: ignore[no-untyped-def]
            if message.content == "fail":
                raise RuntimeError("on purpose")

        ha.on_error(lambda event, handler, error: None)
        with ha:
            assert ha.wait_until_ready(20)
            assert get(port, "/livez")[0] == 200
            status, body = get(port, "/readyz")
            assert (status, json.loads(body)["reasons"]) == (200, [])
            local_discord.send(local_discord.channel_ids[0], "hello")
            local_discord.send(local_discord.channel_ids[0], "fail")
            wait_for(lambda: value(port, "discordha_events_failed_total") == 1, 10, "both to be handled")
            assert value(port, "discordha_events_received_total") == 2
            assert value(port, "discordha_event_seconds_count") == 2
            assert value(port, "discordha_session_alive") == 1
            wait_for(lambda: value(port, "discordha_leads") == 1, 10, "leadership")
            assert get(port, "/nothing")[0] == 404
            etcd.stop_all()
            wait_for(lambda: get(port, "/readyz")[0] == 503, 20, "the outage to show")
            assert any("etcd" in reason for reason in json.loads(get(port, "/readyz")[1])["reasons"])
            assert get(port, "/livez")[0] == 200
            etcd.start_all()
            wait_for(lambda: get(port, "/readyz")[0] == 200, 20, "the replica to be ready again")
        assert get(port, "/livez")[0] == 0, "nobody listens any more"


def value(port: int, name: str) -> float:
    """The sum of all samples of that name."""
    families = text_string_to_metric_families(get(port, "/metrics")[1])
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


class Still:
    """A source that is not ready."""

    stats = Stats()

    def status(self) -> dict[str, object]:
        return {"ready": False, "reasons": ["draining"], "replica": "r", "state": "draining"}


def test_silent_clients_harm_no_other(port: int) -> None:
    server = HealthServer(Still(), f"127.0.0.1:{port}")
    server.start()
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    try:
        status, body = get(port, "/readyz")
        assert status == 503
        assert json.loads(body) == {
            "ready": False,
            "reasons": ["draining"],
            "replica": "r",
            "state": "draining",
        }
    finally:
        for each in silent:
            each.close()
        server.stop()
        server.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_alone_listens_on_both_families(port: int, host: str) -> None:
    if host == "::1" and not socket.has_dualstack_ipv6():
        pytest.skip("this host has no IPv6")
    server = HealthServer(Still(), f":{port}")
    server.start()
    try:
        with socket.create_connection((host, port), timeout=5) as connection:
            connection.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
            assert b"200" in connection.recv(100)
    finally:
        server.stop()


def test_an_address_in_use_is_a_clear_error(port: int) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(ConfigError, match="http_address"):
            HealthServer(Still(), f"127.0.0.1:{port}")


def test_json_logs() -> None:
    record = logging.LogRecord("x", logging.WARNING, "f", 1, "hello %s", ("you",), None)
    line = json.loads(JsonFormatter("r1").format(record))
    assert line["message"] == "hello you"
    assert line["replica"] == "r1"
    assert line["level"] == "WARNING"
