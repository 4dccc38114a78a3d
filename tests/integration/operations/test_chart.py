"""The Helm chart under examples/: rendered by helm, or by Go's own templates where there is no helm."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from fleet import EXAMPLES

from discordha import Config

CHART = EXAMPLES / "helm/discordha-bot"
HELM = shutil.which("helm")
#: Kinds that Kubernetes itself does not know.
CUSTOM = {"Issuer", "Certificate", "ServiceMonitor", "PrometheusRule"}
VARIABLES = {f"DISCORDHA_{field.name.upper()}" for field in dataclasses.fields(Config)} | {
    "BOT_TOKEN",
    "POD_NAME",
}
OWN_ETCD = {"etcd": {"enabled": False, "endpoints": ["10.0.0.1:2379", "etcd.example.org:2381"]}}
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "own etcd": OWN_ETCD,
    "no TLS": {"etcd": {**OWN_ETCD["etcd"], "clientSecret": "-"}},
    "all": {
        "image": {"pullSecrets": [{"name": "registry"}], "tag": "2"},
        "env": {"DISCORDHA_SHARD_COUNT": "auto", "DISCORDHA_WORKERS": 32, "DISCORDHA_TELEMETRY": True},
        "drainTimeout": 60,
        "podAnnotations": {"example.org/team": "bots"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "etcd": {"storageClass": "fast", "clusterState": "existing"},
        "networkPolicy": {"voice": True, "monitoringNamespace": "observe"},
        "monitoring": {"labels": {"release": "prometheus"}},
    },
    "bare": {
        "networkPolicy": {"enabled": False},
        "monitoring": {"serviceMonitor": False, "rules": False},
        "etcd": {"certManager": False, "clientSecret": "mine", "serverSecret": "theirs"},
    },
}


def values(changes: dict[str, Any]) -> dict[str, Any]:
    """The chart's values with some changed, as helm merges them."""

    def merge(into: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
        for key, value in changed.items():
            both = isinstance(value, dict) and isinstance(into.get(key), dict)
            into[key] = merge(into[key], value) if both else copy.deepcopy(value)
        return into

    return merge(yaml.safe_load((CHART / "values.yaml").read_text()), changes)


def render(changes: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """All resources of a release called ``pong``."""
    if HELM is not None:
        (folder / "values.yaml").write_text(json.dumps(changes))
        command = [HELM, "template", "pong", str(CHART), "--values", str(folder / "values.yaml")]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return [each for each in yaml.safe_load_all(text) if each]
    templates = pytest.importorskip("go_template", reason="neither helm nor py-go-template is here")
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    scope = {
        "Values": values(changes),
        "Release": {"Name": "pong", "Namespace": "default", "Service": "Helm"},
        "Chart": {key[0].upper() + key[1:]: value for key, value in chart.items()},
    }
    found: list[dict[str, Any]] = []
    for path in sorted((CHART / "templates").glob("*.yaml")):
        source = folder / path.name
        source.write_text((CHART / "templates/_helpers.tpl").read_text() + path.read_text())
        text = templates.render(source, scope).decode()
        assert "<no value>" not in text, text
        found += [each for each in yaml.safe_load_all(text) if each]
    return found


@pytest.fixture(params=VARIANTS)
def rendered(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    changes = VARIANTS[request.param]
    return values(changes), render(changes, tmp_path)


def only(resources: list[dict[str, Any]], kind: str, name: str = "pong") -> dict[str, Any]:
    (found,) = [each for each in resources if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def test_kubernetes_accepts_each_resource(rendered: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    given, resources = rendered
    jsonschema.validate(given, json.loads((CHART / "values.schema.json").read_text()))
    names = [(each["kind"], each["metadata"]["name"]) for each in resources]
    assert len(set(names)) == len(names) > 1
    for each in resources:
        if each["kind"] not in CUSTOM:
            kubernetes_validate.validate(each, "1.30", strict=True)
        assert re.fullmatch(r"pong(-[a-z-]+)?", each["metadata"]["name"])
    kinds = {kind for kind, _ in names}
    assert {"Deployment", "PodDisruptionBudget"} <= kinds
    assert ("StatefulSet" in kinds) == given["etcd"]["enabled"]
    assert ("Certificate" in kinds) == (given["etcd"]["enabled"] and given["etcd"]["certManager"])
    assert ("NetworkPolicy" in kinds) == given["networkPolicy"]["enabled"]
    assert ("ServiceMonitor" in kinds) == given["monitoring"]["serviceMonitor"]
    assert ("PrometheusRule" in kinds) == given["monitoring"]["rules"]


def test_what_one_resource_names_another_has(
    rendered: tuple[dict[str, Any], list[dict[str, Any]]],
) -> None:
    given, resources = rendered
    bot = only(resources, "Deployment")["spec"]
    labels = bot["template"]["metadata"]["labels"]
    assert bot["selector"]["matchLabels"] == labels
    assert only(resources, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    (container,) = bot["template"]["spec"]["containers"]
    environment = {item["name"]: item.get("value") for item in container["env"]}
    assert set(environment) <= VARIABLES
    assert all(isinstance(value, str | None) for value in environment.values())
    assert (
        int(environment["DISCORDHA_DRAIN_TIMEOUT"] or 0) + 4
        < bot["template"]["spec"]["terminationGracePeriodSeconds"]
    )
    volumes = {each["name"] for each in bot["template"]["spec"]["volumes"]}
    assert {each["name"] for each in container["volumeMounts"]} == volumes
    assert ("etcd-tls" in volumes) == ("DISCORDHA_ETCD_CA_CERT" in environment)
    plain = {name: value for name, value in environment.items() if value is not None}
    for name in ("DISCORDHA_ETCD_CA_CERT", "DISCORDHA_ETCD_CERT", "DISCORDHA_ETCD_KEY"):
        plain.pop(name, None)  # files of the pod's
    Config.from_env({**plain, "DISCORDHA_REPLICA_ID": "pong-1", "BOT_TOKEN": "x" * 60})
    endpoints = str(environment["DISCORDHA_ETCD_ENDPOINTS"]).split(",")
    if not given["etcd"]["enabled"]:
        assert endpoints == given["etcd"]["endpoints"]
        return
    etcd = only(resources, "StatefulSet", "pong-etcd")["spec"]
    assert etcd["serviceName"] == only(resources, "Service", "pong-etcd")["metadata"]["name"]
    assert etcd["selector"]["matchLabels"] == etcd["template"]["metadata"]["labels"] != labels
    members = [f"pong-etcd-{index}.pong-etcd" for index in range(etcd["replicas"])]
    assert endpoints == [f"{member}:2379" for member in members]
    (cluster,) = [
        part.split("=", 1)[1]
        for part in etcd["template"]["spec"]["containers"][0]["command"]
        if part.startswith("--initial-cluster=")
    ]
    assert cluster == ",".join(f"{member.split('.')[0]}=https://{member}:2380" for member in members)
    if given["etcd"]["certManager"]:
        server = only(resources, "Certificate", "pong-etcd-server")["spec"]
        assert set(members) <= set(server["dnsNames"])
        made = {each["spec"]["secretName"] for each in resources if each["kind"] == "Certificate"}
        wanted = {
            volume["secret"]["secretName"]
            for pod in (bot, etcd)
            for volume in pod["template"]["spec"]["volumes"]
            if "secret" in volume
        }
        assert wanted <= made


def test_the_chart_is_the_plain_manifests_with_other_names(tmp_path: Path) -> None:
    """What is right for one is right for the other: probes, hooks, security, etcd's options."""
    resources = render({}, tmp_path)

    def pods(documents: list[dict[str, Any]]) -> list[Any]:
        found = [each for each in documents if each["kind"] in {"Deployment", "StatefulSet"}]
        return sorted((each["spec"]["template"]["spec"] for each in found), key=str)

    plain = [
        each
        for name in ("bot", "etcd")
        for each in yaml.safe_load_all((EXAMPLES / f"kubernetes/{name}.yaml").read_text())
    ]

    def neutral(value: Any) -> str:
        """Without the release's name and labels."""
        text = str(value).replace("pong-etcd", "etcd").replace("token=pong", "token=my-bot")
        return re.sub(r"\{'app[^}]*\}", "LABELS", text)

    for ours, theirs in zip(pods(resources), pods(plain), strict=True):
        (one,), (other,) = ours["containers"], theirs["containers"]
        for key in (
            "startupProbe",
            "livenessProbe",
            "readinessProbe",
            "lifecycle",
            "securityContext",
            "resources",
        ):
            assert one.get(key) == other.get(key), key
        if "bot" not in one["name"]:
            assert neutral(one["command"]) == neutral(other["command"])
        for key in ("affinity", "securityContext", "terminationGracePeriodSeconds"):
            assert neutral(ours.get(key)) == neutral(theirs.get(key)), key


@pytest.mark.parametrize(
    "wrong",
    [
        {"replicas": 0},
        {"etcd": {"enabled": False}},
        {"env": {"BOT_TOKEN": "secret"}},
        {"replica": 2},
        {"image": {"tag": ""}},
    ],
)
def test_impossible_values_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values(wrong), json.loads((CHART / "values.schema.json").read_text()))


@pytest.mark.skipif(HELM is None, reason="needs helm")
def test_helm_finds_nothing_to_say() -> None:
    assert HELM is not None
    found = subprocess.run(
        [HELM, "lint", "--strict", str(CHART)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout
