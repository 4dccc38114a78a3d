"""Metrics: they agree with what the bot wrote down itself; the dashboard asks for none that do not exist."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import yaml
from fleet import BOTS, answered, per_replica
from prometheus_client.parser import text_string_to_metric_families
from scrape import addresses, samples, value

from discordha.operations import metrics
from discordha.stats import BUCKETS, STAGES, Stats
from discordha.testing import LocalDiscord, Replica, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

ROOT = Path(__file__).parents[3]
HISTORY = re.compile(r"history: (begun|failed|handled) (\d+) (\d+)")


def history(fleet: Replicas) -> tuple[Counter[str], int]:
    """How often handlers began, failed and ended well; how often in a second or later attempt."""
    found = [match.groups() for replica in fleet for match in HISTORY.finditer(replica.log_text())]
    again = sum(1 for what, _, attempt in found if what == "begun" and attempt != "1")
    return Counter(what for what, _, _ in found), again


def pause_busiest(fleet: Replicas) -> Replica:
    """Pauses the replica with the most handlers under way; at least one."""
    while True:
        running: dict[int, int] = {}
        for replica in fleet:
            found = Counter(match.group(1) for match in HISTORY.finditer(replica.log_text()))
            running[replica.index] = found["begun"] - found["failed"] - found["handled"]
        busiest = fleet[max(running, key=running.__getitem__)]
        busiest.pause()
        found = Counter(match.group(1) for match in HISTORY.finditer(busiest.log_text()))
        if found["begun"] > found["failed"] + found["handled"]:
            return busiest
        busiest.resume()


def test_scraped_metrics_agree_with_the_bots_own_history(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    with addresses(3) as ports:
        fleet = replicas(
            BOTS / "recording.py",
            3,
            discord=None,
            env={"DISCORDHA_SESSION_TTL": "2", "SLOW": "0.15"},
            per_replica_env=lambda index: {
                **per_replica(local_discord)(index),
                "DISCORDHA_HTTP_ADDRESS": f"127.0.0.1:{ports[index]}",
            },
        )
        fleet.wait_ready(60)
        load = local_discord.load(rate=40)
        failing = [local_discord.send(local_discord.channel_ids[0], "!fail") for _ in range(5)]
        wait_for(lambda: local_discord.counters()["messages"] > 40, 30, "some answers")
        paused = pause_busiest(fleet)  # what it has begun is taken over
        wait_for(lambda: history(fleet)[1] > 0, 30, "a takeover")
        paused.resume()
        sent = load.stop()
        count = len(sent) + len(failing)
        wait_for(lambda: len({m.content for m in answered(local_discord)}) == len(sent), 60, "all answers")
        wait_for(
            lambda: (
                value(ports, "discordha_events", state="running")
                + value(ports, "discordha_events", state="finished")
                == 0
            ),
            30,
            "all marks",
        )
        found, again = history(fleet)

        def total(name: str) -> float:
            return value(ports, f"discordha_{name}_total", event="message")

        # Every replica receives every question; and once more what it adopted before its loop came to it.
        wait_for(lambda: total("events_received") >= 3 * count, 20, lambda: f"3 x {count} received")
        adopted = total("events_received") - 3 * count
        assert total("events_claimed") == found["begun"]
        assert total("events_taken_over") == again > 0
        assert total("events_failed") == found["failed"]
        assert total("events_handled") == found["handled"]
        assert total("events_claimed") == sum(
            total(f"events_{outcome}") for outcome in ("handled", "failed", "lost")
        )
        assert total("events_handled") + total("events_failed") >= count
        assert value(ports, "discordha_event_seconds_count") == found["begun"]
        assert value(ports, "discordha_stage_seconds_count", stage="handler") == found["begun"]
        assert value(ports, "discordha_stage_seconds_sum", stage="handler") >= 0.15 * found["begun"]
        assert value(ports, "discordha_leads") == 1
        assert value(ports, "discordha_session_losses_total") >= 1
        assert value(ports, "discordha_session_renewals_total") > 0
        assert value(ports, "discordha_watch_messages_total") > 0
        assert value(ports, "discordha_etcd_calls_total") > 0
        # What the paused replica finished after it was taken over is the only thing that may be refused.
        dropped = {
            sample.labels["reason"]: sample.value
            for port in ports
            for sample in samples(port)
            if sample.name == "discordha_events_dropped_total" and sample.value
        }
        assert dropped.keys() <= {"mark_refused", "duplicate"}
        assert value(ports, "discordha_events_dropped_total", reason="mark_refused") <= again
        assert value(ports, "discordha_events_dropped_total", reason="duplicate") <= adopted
        _check_dashboard({sample.name for port in ports for sample in samples(port)})


def _check_dashboard(existing: set[str]) -> None:
    """Every metric that the dashboard asks for is one that a replica shows."""
    dashboard = json.loads((ROOT / "examples" / "grafana" / "discordha.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    queries += [
        variable["query"]["query"]
        for variable in dashboard["templating"]["list"]
        if variable["type"] == "query"
    ]
    asked = {name for query in queries for name in re.findall(r"\bdiscordha_\w+", query)}
    # A counter without a label's value yet has no sample.
    families = {f"discordha_{title}_total" for title, _, _ in metrics.COUNTERS.values()}
    # Only where replicas share Discord's limit for requests.
    families |= {f"discordha_rest_{name}_total" for name in metrics.REST_COUNTERS}
    families |= {f"discordha_rest_{name}" for name in metrics.REST_GAUGES}
    assert len(queries) > 15
    rules = yaml.safe_load((ROOT / "examples" / "prometheus" / "rules.yaml").read_text())
    alerts = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    asked |= {name for alert in alerts for name in re.findall(r"\bdiscordha_\w+", alert)}
    assert asked <= existing | families, asked - existing - families
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert 0 <= panel["gridPos"]["x"] <= panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


class Idle:
    """A source that has done nothing yet, without etcd."""

    def __init__(self) -> None:
        self.stats = Stats()

    def status(self) -> dict[str, object]:
        return {
            "replica": "r",
            "version": "1",
            "ready": True,
            "uptime": 1.0,
            "queue": {},
            "journal": {},
            "running": [],
            "leader": {},
            "gateway": {},
        }


def test_histograms_are_there_from_the_start_and_add_up() -> None:
    source = Idle()
    for seconds in (0.0004, 0.003, 99.0):
        source.stats.observe("claim", seconds)
    families = {family.name: family for family in text_string_to_metric_families(_text(source))}
    stages = families["discordha_stage_seconds"].samples
    assert {sample.labels["stage"] for sample in stages} == set(STAGES)
    claims = {
        sample.labels["le"]: sample.value
        for sample in stages
        if sample.labels["stage"] == "claim" and sample.name.endswith("_bucket")
    }
    assert claims["0.001"] == 1
    assert claims["0.005"] == claims["30.0"] == 2
    assert claims["+Inf"] == 3
    assert len(claims) == len(BUCKETS) + 1


def _text(source: Idle) -> str:
    return metrics.render(source).decode()


def test_prometheus_is_imported_only_when_it_is_asked_for() -> None:
    code = "import sys, discordha; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
