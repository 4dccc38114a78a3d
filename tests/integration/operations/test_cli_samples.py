"""The output of every command on a live cluster, compared with docs/cli.md."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from fleet import EXAMPLES, per_replica
from samples import check_sample
from store_helpers import settings_of

from discordha.coordination.etcd.client import EtcdStore
from discordha.operations.cli.fleet_commands import cli
from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory


def bury(etcd: LocalEtcd, root: str, event: str) -> None:
    """A dead letter as ``Claims`` leaves it."""
    store = EtcdStore(settings_of(etcd))
    record = {
        "attempt": 3,
        "payload": '{"op":0,"s":7,"t":"MESSAGE_CREATE","d":{"id":"1","content":"!poison"}}',
        "shard": 0,
        "replica": "bot-1",
        "history": ["attempt 3 ended with its replica"],
        "event": event,
        "error": "attempt 3 ended with its replica",
    }
    try:
        store.put(f"{root}dead/{event}", json.dumps(record).encode())
    finally:
        store.close()


def test_the_samples_are_what_the_commands_say(  # noqa: PLR0917
    replicas: ReplicasFactory,
    local_discord: LocalDiscord,
    local_etcd: LocalEtcd,
    namespace: str,
    root: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = {**local_etcd.env(), **local_discord.env(), "DISCORDHA_NAME": namespace, "COLUMNS": "110"}
    environment["DISCORDHA_INTENTS"] = "all"
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    fleet = replicas(
        EXAMPLES / "ping.py",
        3,
        discord=None,
        per_replica_env=lambda index: {
            **per_replica(local_discord)(index),
            "DISCORDHA_REPLICA_ID": f"bot-{index}",
        },
    )
    fleet.wait_ready(60)
    question = local_discord.send(local_discord.channel_ids[0], "!ping")
    names = {
        namespace: "mybot",
        str(question): "1310283187625984000",
        str(local_discord.bot_id): "1234567890",
    }
    for number, endpoint in enumerate(local_etcd.endpoints):
        names[endpoint] = f"etcd-{number}.etcd:2379"

    plain = len(local_etcd.endpoints) == 1  # as in docs/cli.md

    def run(*arguments: str, status: int = 0) -> str:
        result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert result.exit_code == status, result.output
        return result.output

    def show(name: str, *arguments: str, status: int = 0, indent: bool = False) -> str:
        output = run(*arguments, status=status)
        if indent:
            output = json.dumps(json.loads(output), indent=2)
        if not plain:
            return output
        shown = [names.get(argument, argument) for argument in arguments]
        check_sample(name, " ".join(["discordha", *shown]), output, names)
        return output

    wait_for(lambda: "done" in CliRunner().invoke(cli, ["event", str(question)]).output, 20, "the mark")
    wait_for(lambda: json.loads(run("status", "--json"))["leaders"], 20, "a leader")
    wait_for(
        lambda: (
            sum(record["handled"] for record in json.loads(run("status", "--json"))["replicas"].values()) == 1
        ),
        20,
        "the member records to say what was handled",
    )

    def told() -> bool:
        found = json.loads(run("status", "--json"))
        return bool(found["incidents"]) and all(each["latency"] for each in found["replicas"].values())

    wait_for(told, 20, "the first incident, and each replica's latency")

    letter = f"message/{question + 1}"
    names[letter] = "message/1310283187625984001"
    bury(local_etcd, root, letter)
    show("status", "status")
    show("status json", "status", "--json", indent=True)
    show("check role", "check", "--print-role")
    show("check reader", "check", "--print-role", "--read-only")
    show("check", "check")
    show("event", "event", str(question))
    show("event json", "event", str(question), "--json")
    show("event unknown", "event", "404", status=1)
    show("dead-letters list", "dead-letters", "list")
    show("dead-letters show", "dead-letters", "show", letter)
    show("dead-letters replay", "dead-letters", "replay", letter)
    bury(local_etcd, root, letter)
    show("dead-letters drop", "dead-letters", "drop", letter)

    leader = json.loads(run("status", "--json"))["leaders"]["0"]
    names[leader] = "bot-0"
    resigned = run("resign")
    now = json.loads(run("status", "--json"))["leaders"]["0"]
    check_sample("resign", "discordha resign", resigned, {leader: "bot-0", now: "bot-1"})
    names[now] = "bot-1"
    show("drain", "drain", now)
    show("drain unknown", "drain", "bot-9", status=1)
    monkeypatch.setenv("DISCORDHA_ETCD_ENDPOINTS", "127.0.0.1:1")
    monkeypatch.setenv("DISCORDHA_ETCD_TIMEOUT", "0.5")
    names["127.0.0.1:1"] = "etcd-0.etcd:2379"
    show("no etcd", "status", status=1)
