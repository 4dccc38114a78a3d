"""The command line and etcd: the printed rights are enough and no more; an outage is reported at once."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from fleet import EXAMPLES, per_replica
from roles import follow

from discordha.operations.cli.fleet_commands import cli
from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory

READING = (
    ["status", "--json"],
    ["status"],
    ["top", "--json", "--count", "1"],
    ["event", "404"],
    ["dead-letters", "list"],
    ["dead-letters", "show", "message/404"],
)
WRITING = (
    ["check"],
    ["drain", "r0"],
    ["resign"],
    ["dead-letters", "replay", "message/404"],
    ["dead-letters", "drop", "message/404"],
)


def invoke(arguments: list[str], environment: dict[str, str]) -> Result:
    cleared = {f"DISCORDHA_ETCD_{name}": None for name in ("CA_CERT", "CERT", "KEY", "USER", "PASSWORD")}
    return CliRunner().invoke(cli, arguments, env={**cleared, **environment}, catch_exceptions=False)


@pytest.fixture(scope="module")
def guarded() -> Iterator[LocalEtcd]:
    with LocalEtcd(auth=True) as etcd:
        yield etcd


def printed(environment: dict[str, str], *options: str) -> list[str]:
    result = invoke(["check", "--print-role", "--json", *options], environment)
    assert result.exit_code == 0, result.output
    commands = list(json.loads(result.stdout)["commands"])
    assert invoke(["check", "--print-role", *options], environment).stdout.splitlines() == commands
    return commands


def test_the_printed_roles_are_enough_and_no_more(
    guarded: LocalEtcd, replicas: ReplicasFactory, local_discord: LocalDiscord, namespace: str
) -> None:
    where = {"DISCORDHA_ETCD_ENDPOINTS": ",".join(guarded.endpoints), "DISCORDHA_NAME": namespace}
    bot = {
        **where,
        "DISCORDHA_ETCD_USER": follow(guarded, printed(where), "secret"),
        "DISCORDHA_ETCD_PASSWORD": "secret",
    }
    reader = {
        **where,
        "DISCORDHA_ETCD_USER": follow(guarded, printed(where, "--read-only"), "looker"),
        "DISCORDHA_ETCD_PASSWORD": "looker",
    }
    checked = invoke(["check"], {**bot, **local_discord.env()})
    assert checked.exit_code == 0, checked.output

    fleet = replicas(
        EXAMPLES / "ping.py", 2, etcd=None, discord=None, env=bot, per_replica_env=per_replica(local_discord)
    )
    fleet.wait_ready(60)
    question = local_discord.send(local_discord.channel_ids[0], "!ping")
    wait_for(lambda: local_discord.counters()["messages"] == 1, 20, "the answer")

    # The reader sees everything, and is refused writes.
    wait_for(lambda: "done" in invoke(["event", str(question)], reader).stdout, 10, "the mark")
    (handled,) = json.loads(invoke(["event", str(question), "--json"], reader).stdout)
    assert abs(handled["at"] - time.time()) < 60
    wait_for(lambda: json.loads(invoke(["status", "--json"], reader).stdout)["leaders"], 20, "a leader")
    found = json.loads(invoke(["status", "--json"], reader).stdout)
    assert len(found["replicas"]) == 2
    assert invoke(["top", "--json", "--count", "2", "--interval", "0"], reader).exit_code == 0
    live = invoke(["top", "--count", "2", "--interval", "0"], reader)
    assert live.exit_code == 0, live.output
    assert invoke(["dead-letters", "list"], reader).exit_code == 0
    for arguments in (["check"], ["drain", str(fleet[0].replica_id)], ["resign"]):
        refused = invoke(arguments, reader)
        assert refused.exit_code == 1, refused.output
        assert "refuses user" in refused.output, refused.output

    # No user sees another bot's keys.
    for user in (bot, reader):
        other = invoke(["status"], {**user, "DISCORDHA_NAME": "another"})
        assert other.exit_code == 1
        assert "refuses user" in other.stderr

    wrong = invoke(["status"], {**bot, "DISCORDHA_ETCD_PASSWORD": "not this"})
    assert wrong.exit_code == 1
    assert "password" in wrong.stderr
    assert "not this" not in wrong.output


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("arguments", [*READING, *WRITING], ids=" ".join)
@pytest.mark.parametrize("how", ["refused", "silent"])
def test_without_etcd_each_command_says_so_in_one_line_and_in_time(
    arguments: list[str], how: str, silent: str, local_discord_url: str
) -> None:
    endpoint = silent if how == "silent" else "127.0.0.1:1"
    environment = {
        "DISCORDHA_ETCD_ENDPOINTS": endpoint,
        "DISCORDHA_ETCD_TIMEOUT": "0.3",
        "DISCORDHA_NAME": "nobody",
        "BOT_TOKEN": "MTIz.any.token",
        "DISCORDHA_API_URL": local_discord_url,
    }
    begun = time.monotonic()
    result = invoke(arguments, environment)
    took = time.monotonic() - begun
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert result.stderr.startswith("discordha: ")
    assert endpoint in result.stderr
    assert took < 4.0, "it waited longer than it was told to"


@pytest.fixture
def local_discord_url() -> str:
    """An address without a server, since no command needs Discord to report an outage of etcd."""
    return "http://127.0.0.1:1"


def test_check_without_etcd_as_json() -> None:
    result = invoke(
        ["check", "--json", "--name", "x", "--timeout", "0.5"], {"DISCORDHA_ETCD_ENDPOINTS": "127.0.0.1:1"}
    )
    assert result.exit_code == 1
    (found,) = json.loads(result.stdout)
    assert found["outcome"] == "fail"
    assert "127.0.0.1:1" in found["detail"]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["status"], 1, "which bot"),
        (["status", "--name", "x", "--timeout", "soon"], 2, "--timeout"),
        (["status", "--name", "x", "--endpoints", "http://a:b"], 1, "no endpoint"),
        (["status", "--name", "x", "--endpoints", ","], 1, "etcd_endpoints"),
        (["status", "--name", "x", "--ca-cert", "/nowhere.pem"], 1, "/nowhere.pem"),
        (["drain"], 2, "REPLICA"),
        (["no-such-command"], 2, "No such command"),
    ],
)
def test_wrong_use_is_told(arguments: list[str], status: int, says: str) -> None:
    result = invoke(arguments, {"BOT_TOKEN": "", "DISCORDHA_TOKEN": "", "DISCORDHA_ETCD_TIMEOUT": "0.5"})
    assert result.exit_code == status
    assert says in result.stderr
