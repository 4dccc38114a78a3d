"""The operator's page of real replicas, and of ``discordha page``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import discord
import psutil
import pytest
from click.testing import CliRunner
from fleet import BOTS
from supervised import Run, base_environment

from discordha import Config, DiscordHA
from discordha.operations.cli.fleet_commands import cli
from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory
from discordha.testing.ports import ReservedPort

TOKEN = "correct-horse-battery-staple"


@pytest.fixture
def ports() -> Iterator[list[int]]:
    reserved = [ReservedPort() for _ in range(3)]
    yield [port.number for port in reserved]
    for port in reserved:
        port.release()


def ask(port: int, path: str, given: object = None) -> Any:
    data = json.dumps(given).encode() if given is not None else None
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", data, headers)
    with urllib.request.urlopen(request, timeout=15) as answer:
        return json.loads(answer.read())


def incidents(port: int) -> set[tuple[str, str]]:
    return {(each["kind"], each["replica"]) for each in ask(port, "api/status")["incidents"]}


def test_replicas_serve_what_status_tells_and_carry_out_what_is_asked(  # noqa: PLR0917
    replicas: ReplicasFactory,
    local_discord: LocalDiscord,
    local_etcd: LocalEtcd,
    namespace: str,
    ports: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {**local_etcd.env(), "DISCORDHA_NAME": namespace}.items():
        monkeypatch.setenv(name, value)
    fleet = replicas(
        BOTS / "watched.py",
        3,
        discord=None,
        per_replica_env=lambda index: {
            **local_discord.env(f"r{index}"),
            "DISCORDHA_HTTP_ADDRESS": f"127.0.0.1:{ports[index]}",
            "DISCORDHA_HTTP_TOKEN": TOKEN,
            "DISCORDHA_SESSION_TTL": "2",
            "DISCORDHA_REQUESTS_PER_SECOND": "50",
        },
    )
    fleet.wait_ready(60)
    for number in range(5):
        local_discord.send(local_discord.channel_ids[0], f"!ping {number}")

    def agree() -> bool:
        told = json.loads(CliRunner().invoke(cli, ["status", "--json"]).output)
        shown = [ask(port, "api/status") for port, each in zip(ports, fleet, strict=True) if each.alive]
        stable = ("leaders", "shards", "hosts", "dead_letters")
        return all(
            {name: page[name] for name in stable} == {name: told[name] for name in stable}
            and {name: record["state"] for name, record in page["replicas"].items()}
            == {name: record["state"] for name, record in told["replicas"].items()}
            for page in shown
        )

    wait_for(agree, 20, "the pages and the command to agree", interval=0.3)
    status = ask(ports[0], "api/status")
    assert status["served_by"] == fleet[0].replica_id
    wait_for(lambda: ask(ports[0], "api/status")["loops"], 20, "a run of the loop", interval=0.3)
    wait_for(lambda: len(ask(ports[0], "api/status")["rest"]) == 3, 20, "the shares", interval=0.3)

    def counted() -> bool:
        records = ask(ports[0], "api/status")["replicas"].values()
        return sum(record["counts"]["handled"] for record in records) == 5

    wait_for(counted, 20, "the events to be counted", interval=0.3)

    gone, drained = fleet[1].replica_id, fleet[2].replica_id
    fleet[1].kill()
    assert "asked to drain" in ask(ports[0], "api/drain", {"replica": drained})["text"]
    assert fleet[2].wait_exit(30) == 0
    wait_for(
        lambda: {("gone", gone), ("drained", drained)} <= incidents(ports[0]), 20, "both ends", interval=0.3
    )
    assert f'drain {{"replica": "{drained}"}} by 127.0.0.1' in fleet[0].log_text()

    # Who comes adopts what the others tell, and tells it when they are gone.
    fleet[1].start()
    fleet[1].wait_ready(60)
    wait_for(lambda: ("gone", gone) in incidents(ports[1]), 20, "the new one's page", interval=0.3)
    fleet[0].drain()
    assert fleet[0].wait_exit(30) == 0
    expected = {("gone", gone), ("drained", drained), ("drained", fleet[0].replica_id)}
    wait_for(lambda: expected <= incidents(ports[1]), 20, "the timeline to stay", interval=0.3)
    assert TOKEN not in "".join(each.log_text() for each in fleet)


def test_one_replica_without_etcd_has_its_page(local_discord: LocalDiscord, ports: list[int]) -> None:
    config = Config.from_env(
        local_discord.env(),
        ha=False,
        intents=discord.Intents.all(),
        http_address=f"127.0.0.1:{ports[0]}",
        replica_id="only",
    )
    ha = DiscordHA(config)
    ha.listen("message")(lambda message: None)
    with ha:
        assert ha.wait_until_ready(20)

        def shown() -> bool:
            status = ask(ports[0], "api/status")
            return bool(status["replicas"]["only"]["state"] == "ready" and status["etcd"] == [])

        wait_for(shown, 10, "the page", interval=0.2)


def test_the_command_serves_it_without_a_replica(
    local_etcd: LocalEtcd, namespace: str, ports: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = {**local_etcd.env(), "DISCORDHA_NAME": namespace}
    command = [sys.executable, "-m", "discordha", "page", "--address", f"127.0.0.1:{ports[0]}"]
    server = subprocess.Popen(command, env={**os.environ, **where}, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        assert f"the page of {namespace} is at http://127.0.0.1:{ports[0]}/" in server.stdout.readline()
        status = ask(ports[0], "api/status")
        assert (status["replicas"], status["can_act"], status["served_by"]) == ({}, False, "discordha page")
        assert ask(ports[0], "livez") == {"alive": True}
        server.send_signal(signal.SIGTERM)
        assert server.wait(15) == 0
    finally:
        server.kill()
        server.communicate()
    for name, value in {**where, "DISCORDHA_HTTP_TOKEN": "short"}.items():
        monkeypatch.setenv(name, value)
    refused = CliRunner().invoke(cli, ["page"])
    assert (refused.exit_code, "http_token" in refused.stderr, "short" in refused.stderr) == (1, True, False)
    assert "http_address" in CliRunner().invoke(cli, ["page", "--address", "nowhere"]).stderr


def test_a_reload_reaches_the_run_of_this_machine(
    local_etcd: LocalEtcd, namespace: str, ports: list[int], tmp_path: Path
) -> None:
    (tmp_path / "version").write_text("ready")
    run = Run(
        ["-n", "2", BOTS / "pretends.py", f"version={tmp_path / 'version'}"],
        environment={**base_environment(), "DISCORDHA_REPLICA_ID": "bot"},
        directory=tmp_path,
    )
    command = [sys.executable, "-m", "discordha", "page", "--address", f"127.0.0.1:{ports[0]}"]
    where = {**local_etcd.env(), "DISCORDHA_NAME": namespace, "DISCORDHA_HTTP_TOKEN": TOKEN}
    server = subprocess.Popen(
        command,
        env={**run.environment, **where},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        before = run.wait_ready(2)
        assert server.stdout is not None
        server.stdout.readline()
        assert "is ready after" in ask(ports[0], "api/reload", {})["text"]
        run.wait_line("reload: the new version runs")
        assert not set(before.values()) & set(run.wait_ready(2).values())
        assert run.stop() == 0
        with pytest.raises(urllib.error.HTTPError, match="409"):
            ask(ports[0], "api/reload", {})
    finally:
        server.kill()
        server.communicate()
        run.close()


@pytest.mark.long
@pytest.mark.alone
def test_fifty_viewers_cost_little(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, ports: list[int]
) -> None:
    fleet = replicas(
        BOTS / "watched.py",
        3,
        discord=None,
        per_replica_env=lambda index: {
            **local_discord.env(f"r{index}"),
            "DISCORDHA_HTTP_ADDRESS": f"127.0.0.1:{ports[index]}",
        },
    )
    fleet.wait_ready(60)
    process = psutil.Process(fleet[0].pid)

    def cpu(seconds: float) -> float:
        begun = sum(process.cpu_times()[:2])
        time.sleep(seconds)
        return float(sum(process.cpu_times()[:2]) - begun) / seconds

    def reads() -> float:
        with urllib.request.urlopen(f"http://{local_etcd.endpoints[0]}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        wanted = ('grpc_method="Range"', 'grpc_method="Txn"', 'grpc_method="Status"')
        lines = [line for line in text.splitlines() if line.startswith("grpc_server_handled_total")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if any(each in line for each in wanted))

    def read_rate(seconds: float) -> tuple[float, float]:
        before = reads()
        used = cpu(seconds)
        return used, (reads() - before) / seconds

    def watch(ended: Callable[[], bool]) -> int:
        seen = 0
        with urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}/stream", timeout=15) as answer:
            for line in answer:
                seen += line.startswith(b"event: status")
                if ended():
                    break
        return seen

    idle_cpu, idle_reads = read_rate(20)
    over = False
    with ThreadPoolExecutor(50) as pool:
        looks = [pool.submit(watch, lambda: over) for _ in range(50)]
        time.sleep(3)
        used_cpu, used_reads = read_rate(30)
        over = True
        seen = [look.result() for look in looks]
    print(
        f"a replica: {used_cpu - idle_cpu:.2%} of a core; etcd: {used_reads - idle_reads:.1f} reads a second"
    )
    assert min(seen) > 20
    assert used_cpu - idle_cpu < 0.05
    assert used_reads - idle_reads < 10
