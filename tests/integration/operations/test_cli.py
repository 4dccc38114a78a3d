"""The command line, on a real etcd and real replicas."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fleet import BOTS, EXAMPLES, per_replica, wait_members
from samples import check_sample

from discordha.operations.cli.fleet_commands import cli
from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory

Run = Callable[..., Result]


@pytest.fixture
def run(local_etcd: LocalEtcd, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command against the test's bot."""
    for name, value in local_etcd.env().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DISCORDHA_NAME", namespace)

    def run(*arguments: str, status: int = 0) -> Result:
        result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert result.exit_code == status, result.output
        return result

    return run


def test_status_drain_resign_and_event(
    run: Run, replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    nobody = run("status", "--json", status=1)
    assert json.loads(nobody.stdout)["replicas"] == {}
    assert "none runs, or --name is another" in nobody.stderr
    fleet = replicas(EXAMPLES / "ping.py", 3, discord=None, per_replica_env=per_replica(local_discord))
    fleet.wait_ready(60)
    wait_members(local_etcd, namespace, 3)
    wait_for(lambda: "0" in json.loads(run("status", "--json").output)["leaders"], 10, "a leader")
    found = json.loads(run("status", "--json").output)
    assert {record["state"] for record in found["replicas"].values()} == {"ready"}
    assert found["etcd"][0]["error"] is None
    table = run("status").output
    assert namespace in table
    assert "…" not in table, "a pipe gets every cell whole"
    assert f"have keys here: {namespace}" in run("status", "--name", f"{namespace}x", status=1).stderr

    leader = found["leaders"]["0"]
    assert f"{leader} resigned" in run("resign").output
    assert json.loads(run("status", "--json").output)["leaders"]["0"] != leader

    message = local_discord.send(local_discord.channel_ids[0], "!ping")
    wait_for(lambda: local_discord.counters()["messages"] == 1, 10, "the answer")
    wait_for(lambda: "done" in CliRunner().invoke(cli, ["event", str(message)]).output, 10, "the mark")
    (handled,) = json.loads(run("event", str(message), "--json").output)
    assert handled["event"] == f"message/{message}"
    assert handled["attempt"] == 1
    assert handled["replica"] in found["replicas"]

    gone = fleet[0].replica_id
    assert gone is not None
    assert "has drained" in run("drain", gone).output
    assert fleet[0].wait_exit(20) == 0
    assert "there is no replica" in run("drain", gone, status=1).output
    run("event", "404", status=1)
    run("event", "4" * 5_000, status=1)
    assert "UTF-8" in run("event", "\udcff", status=1).output


def test_dead_letters_are_listed_and_replayed(
    run: Run, replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    fleet = replicas(
        BOTS / "poisonous.py",
        2,
        discord=None,
        restart=True,
        env={"DISCORDHA_SESSION_TTL": "2", "DISCORDHA_MAX_ATTEMPTS": "1"},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    poison = local_discord.send(local_discord.channel_ids[0], "!poison")
    event = f"message/{poison}"
    wait_for(lambda: event in run("dead-letters", "list").output, 30, "the dead letter", interval=0.2)
    letter = json.loads(run("dead-letters", "show", event).output)
    assert letter == json.loads(run("dead-letters", "show", str(poison)).output), "as `event` takes it"
    assert letter["attempts"] == 1
    assert "!poison" in letter["payload"]
    runs = sum(replica.runs for replica in fleet)
    wait_for(lambda: all(replica.alive for replica in fleet), 10, "all replicas")
    fleet.wait_ready(60)
    run("dead-letters", "replay", event)
    wait_for(lambda: sum(replica.runs for replica in fleet) > runs, 30, "another death")
    wait_for(lambda: event in run("dead-letters", "list").output, 30, "the dead letter again", interval=0.2)
    assert f"{event} is dropped" in run("dead-letters", "drop", str(poison)).output
    assert run("dead-letters", "list").output == ""
    run("dead-letters", "drop", event, status=1)


def test_check(run: Run, local_discord: LocalDiscord, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in local_discord.env().items():
        monkeypatch.setenv(name, value)
    results: dict[str, dict[str, Any]] = {
        result["what"]: result for result in json.loads(run("check", "--json").output)
    }
    assert all(result["outcome"] != "fail" for result in results.values())
    assert "100000 of 100000" in results["session budget"]["detail"]
    assert results["privileged intents"]["outcome"] == "ok"
    assert "presences, members, message_content" in results["privileged intents"]["detail"]
    monkeypatch.setenv("BOT_TOKEN", "MTIz.wrong.token")
    failed = run("check", status=1).output
    assert "the token is refused" in failed
    role = run("check", "--print-role").output
    assert "etcdctl role grant-permission" in role


def test_check_says_which_intents_are_not_allowed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalDiscord(privileged_intents=False) as discord:
        for name, value in discord.env().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("DISCORDHA_INTENTS", "guilds,message_content")
        output = run("check", status=1).output
        assert "fail privileged intents: message_content must be switched on" in output
        monkeypatch.setenv("DISCORDHA_INTENTS", "guilds")
        assert "ok   privileged intents: allowed: none" in run("check").output


def test_check_tells_when_certificates_end(namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalEtcd(tls=True) as etcd:
        for name, value in {**etcd.env(), "DISCORDHA_NAME": namespace}.items():
            monkeypatch.setenv(name, value)
        assert etcd.certificates is not None

        def found() -> dict[str, tuple[str, str]]:
            answer = CliRunner().invoke(cli, ["check", "--json"], catch_exceptions=False)
            return {each["what"]: (each["outcome"], each["detail"]) for each in json.loads(answer.stdout)}

        server = f"certificate of {etcd.endpoints[0]}"
        assert found()[server][0] == found()["cert"][0] == found()["ca_cert"][0] == "ok"
        assert "is valid for 29 days" in found()[server][1] or "is valid for 30 days" in found()[server][1]
        with monkeypatch.context() as plain:
            for name in ("CA_CERT", "CERT", "KEY"):
                plain.delenv(f"DISCORDHA_ETCD_{name}")
            result = CliRunner().invoke(cli, ["check"], catch_exceptions=False)
            assert result.exit_code == 1
            assert "etcd likely speaks TLS" in result.output
            assert "set etcd_ca_cert" in result.output
        etcd.certificates.rotate(days=3)
        assert found()[server][0] == found()["cert"][0] == "warn"
        assert "is valid for 3 days" in found()[server][1]
        etcd.certificates.rotate(days=-1)
        result = CliRunner().invoke(cli, ["check"], catch_exceptions=False)
        assert result.exit_code == 1
        assert "client.pem ended 1.0 days ago" in result.stdout


def test_help_and_module_entry() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "discordha", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "100"},
    )
    for command in (
        "demo",
        "status",
        "top",
        "check",
        "drain",
        "resign",
        "dead-letters",
        "event",
        "lint",
        "timers",
    ):
        assert command in answer.stdout
        CliRunner().invoke(cli, [command, "--help"], catch_exceptions=False)


def test_demo() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "discordha", "demo", "--json", "--seconds", "6"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    verdict = json.loads(answer.stdout)
    check_sample("demo", "discordha demo --json", json.dumps(verdict, indent=2), {})
    assert answer.returncode == 0, answer.stderr
    assert verdict["ok"]
    assert verdict["sent"] == verdict["answered"] > 100
    assert verdict["lost"] == verdict["repeated"] == 0
