"""The deployment files under examples/: valid, true to the code; the container's command run as they say."""

from __future__ import annotations

import configparser
import dataclasses
import json
import os
import shlex
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from fleet import EXAMPLES

from discordha import Config
from discordha.operations.cli.run_commands import _run_options
from discordha.supervisor.slots import KILL_AFTER
from discordha.supervisor.supervisor import CONFIG
from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.ports import ReservedPort
from discordha.testing.processes import ChildProcess

KUBERNETES = sorted((EXAMPLES / "kubernetes").glob("*.yaml"))
#: Kinds that Kubernetes itself does not know.
CUSTOM = {"Issuer", "Certificate", "ServiceMonitor", "PrometheusRule"}
VARIABLES = {f"DISCORDHA_{field.name.upper()}" for field in dataclasses.fields(Config)} | {"BOT_TOKEN"}


def documents(path: Path) -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load_all(path.read_text())


def deployment() -> dict[str, Any]:
    found = [each for each in documents(EXAMPLES / "kubernetes/bot.yaml") if each["kind"] == "Deployment"]
    return found[0]


@pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.name)
def test_kubernetes_accepts_each_resource(path: Path) -> None:
    kinds = []
    for document in documents(path):
        kinds.append(document["kind"])
        if document["kind"] not in CUSTOM:
            kubernetes_validate.validate(document, "1.30", strict=True)
        else:
            assert document["metadata"]["name"]
            assert "." in document["apiVersion"]
    assert kinds


def test_what_one_file_names_another_has() -> None:
    """Secrets, labels and ports belong together over the files."""
    made = {
        each["spec"]["secretName"]
        for each in documents(EXAMPLES / "kubernetes/certificates.yaml")
        if each["kind"] == "Certificate"
    }
    for path in ("bot", "etcd"):
        for each in documents(EXAMPLES / f"kubernetes/{path}.yaml"):
            if each["kind"] not in {"Deployment", "StatefulSet"}:
                continue
            pod = each["spec"]["template"]
            assert pod["metadata"]["labels"] == each["spec"]["selector"]["matchLabels"]
            wanted = {v["secret"]["secretName"] for v in pod["spec"]["volumes"] if "secret" in v}
            assert wanted <= made
            for container in pod["spec"]["containers"]:
                assert container["securityContext"]["readOnlyRootFilesystem"]
            assert pod["spec"]["securityContext"]["runAsNonRoot"]
    drain = next(field.default for field in dataclasses.fields(Config) if field.name == "drain_timeout")
    assert deployment()["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > drain + KILL_AFTER


def test_every_variable_is_one_that_the_library_reads() -> None:
    used = {item["name"] for item in container()["env"]} - {"POD_NAME"}
    assert used <= VARIABLES
    compose = yaml.safe_load((EXAMPLES / "docker/compose.yaml").read_text())
    for name, service in compose["services"].items():
        if name.startswith("bot"):
            assert set(service["environment"]) <= VARIABLES
            assert service["read_only"]


UNITS = sorted((EXAMPLES / "systemd").glob("*.service"))


def unit(path: Path) -> configparser.RawConfigParser:
    found = configparser.RawConfigParser(strict=False, interpolation=None)
    found.optionxform = str  # type: ignore[assignment]
    found.read(path)
    return found


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_the_systemd_units_notify_and_drain(path: Path) -> None:
    service = unit(path)["Service"]
    assert service["Type"] == "notify"
    assert service["KillSignal"] == "SIGTERM"
    drain = next(field.default for field in dataclasses.fields(Config) if field.name == "drain_timeout")
    assert int(service["TimeoutStopSec"]) > drain + KILL_AFTER
    assert service["RestartPreventExitStatus"] == str(CONFIG)
    options = _run_options(shlex.split(service["ExecStart"])[2:])
    assert options.program == ("/opt/bot/bot.py",)
    assert options.wait_ready
    assert service["ExecReload"].endswith("discordha reload")
    # systemd waits for as long as every replica may take.
    assert int(service["TimeoutStartSec"]) > options.replicas * options.reload_timeout


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_the_units(path: Path, tmp_path: Path) -> None:
    checked = tmp_path / path.name.replace("@", "@1")
    checked.write_text(path.read_text().replace("/opt/bot/venv/bin/discordha", "/bin/true"))
    command = ["systemd-analyze", "verify", str(checked)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")


def container() -> dict[str, Any]:
    found: dict[str, Any] = deployment()["spec"]["template"]["spec"]["containers"][0]
    return found


def image_command() -> list[str]:
    """CMD of the Dockerfile."""
    lines = [
        line for line in (EXAMPLES / "docker/Dockerfile").read_text().splitlines() if line.startswith("CMD ")
    ]
    command: list[str] = json.loads(lines[-1].removeprefix("CMD "))
    return command


def answer(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_the_container_runs_and_drains_as_the_deployment_says(
    local_discord: LocalDiscord, tmp_path: Path
) -> None:
    """The pod's command, environment, probes and preStop hook, as processes; etcd with mutual TLS."""
    pod = "my-bot-5d9c7-x2x"
    assert container()["command"][:2] == image_command()[:2] == ["discordha", "run"]
    assert container()["command"][-1] == image_command()[-1] == "bot.py"
    (tmp_path / "bot.py").write_text((EXAMPLES / "ping.py").read_text())
    port = ReservedPort()
    with LocalEtcd(tls=True) as etcd:
        local = {**etcd.env(), **local_discord.env(), "DISCORDHA_HTTP_ADDRESS": f"127.0.0.1:{port.number}"}
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "POD_NAME": pod,
            "DISCORDHA_API_URL": local["DISCORDHA_API_URL"],
            "DISCORDHA_GATEWAY_URL": local["DISCORDHA_GATEWAY_URL"],
        }
        for item in container()["env"]:
            name = item["name"]
            environment[name] = local.get(name) or item.get("value", pod).replace("$(POD_NAME)", pod)
        bot = ChildProcess(
            container()["command"], tmp_path / "log", environment=environment, directory=tmp_path
        )
        try:
            ready = container()["readinessProbe"]["httpGet"]["path"]
            alive = container()["livenessProbe"]["httpGet"]["path"]
            base = f"http://127.0.0.1:{port.number}"
            wait_for(
                lambda: answer(base + ready) == 200, 30, lambda: f"ready: {(tmp_path / 'log').read_text()}"
            )
            assert answer(base + alive) == 200
            local_discord.send(local_discord.channel_ids[0], "!ping from a pod")
            wait_for(
                lambda: [m for m in local_discord.messages() if m.content == "pong from a pod"],
                20,
                "an answer",
            )
            hook = container()["lifecycle"]["preStop"]["exec"]["command"]
            assert shlex.split(hook[2])[0] == "exec"
            stopping = ChildProcess(hook, tmp_path / "hook", environment=environment, directory=tmp_path)
            wait_for(lambda: not stopping.alive, 20, "the hook to end")
            wait_for(lambda: not bot.alive, 30, "the bot to end")
            log = (tmp_path / "log").read_text()
            assert "asked to drain" in log, (log, (tmp_path / "hook").read_text())
            assert bot.returncode == 0, log
        finally:
            bot.kill()
            port.release()
