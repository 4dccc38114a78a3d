"""The alerts under examples/: valid, the same in all their forms, each with its section in the docs.

``tests/integration/operations/test_metrics.py`` checks that a replica shows every metric that they name.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
PROMTOOL = shutil.which("promtool")


def read(path: str) -> Any:
    return yaml.safe_load((EXAMPLES / path).read_text())


RULES: list[dict[str, Any]] = [
    rule for group in read("prometheus/rules.yaml")["groups"] for rule in group["rules"]
]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_is_valid_and_leads_to_its_section(rule: dict[str, Any]) -> None:
    promql_parser.parse(rule["expr"])
    promql_parser.parse_duration(rule.get("for", "1m"))
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"].endswith((".", "}}."))
    page, anchor = rule["annotations"]["runbook"].split("#")
    assert anchor == rule["alert"].lower()
    assert anchor in anchors(ROOT / page)


def test_each_alert_has_one_name_and_each_section_an_alert() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    described = re.findall(r"^### (DiscordHA\w+)$", (ROOT / "docs/operating.md").read_text(), re.MULTILINE)
    assert described == names


def test_the_forms_of_the_rules_are_the_same() -> None:
    groups = read("prometheus/rules.yaml")["groups"]
    assert read("kubernetes/alerts.yaml")["spec"]["groups"] == groups
    assert read("helm/discordha-bot/values.yaml")["rules"]["groups"] == groups


def test_every_alert_is_tested_to_fire() -> None:
    tests = read("prometheus/rules-test.yaml")["tests"]
    fired = {
        case["alertname"] for test in tests for case in test["alert_rule_test"] if case.get("exp_alerts")
    }
    assert fired == {rule["alert"] for rule in RULES}


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool (Debian: prometheus)")
def test_promtool_accepts_the_rules_and_their_tests_pass() -> None:
    assert PROMTOOL is not None
    for command in (["check", "rules", "rules.yaml"], ["test", "rules", "rules-test.yaml"]):
        found = subprocess.run(
            [PROMTOOL, *command], cwd=EXAMPLES / "prometheus", capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, found.stdout + found.stderr
