"""Spans as the SDK of a bot exports them: of an event that is answered, and of one that is taken over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fleet import BOTS, answered, logs, values

from discordha.testing import LocalDiscord, LocalEtcd, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

Span = dict[str, Any]


def start(replicas: ReplicasFactory, path: Path, count: int, slow: float) -> Replicas:
    fleet = replicas(
        BOTS / "spans.py",
        count,
        env={"DISCORDHA_SESSION_TTL": "2", "SLOW": str(slow)},
        per_replica_env=lambda index: {"SPANS": str(path / f"spans-{index}.jsonl")},
    )
    fleet.wait_ready(60)
    return fleet


def spans(path: Path) -> list[Span]:
    """What all replicas have exported, oldest first."""
    lines = [line for file in path.glob("spans-*.jsonl") for line in file.read_text().splitlines()]
    return sorted((json.loads(line) for line in lines), key=lambda span: str(span["start_time"]))


def of(path: Path, event: int) -> list[Span]:
    """The spans of the trace, or the traces, of one event."""
    found = spans(path)
    traces = {trace_of(span) for span in found if span["attributes"].get("discordha.event.id") == str(event)}
    return [span for span in found if trace_of(span) in traces]


def trace_of(span: Span) -> str:
    return str(span["context"]["trace_id"])


def named(found: list[Span], name: str) -> list[Span]:
    return [span for span in found if span["name"].split(" ")[0] == name]


def parent(found: list[Span], span: Span) -> str | None:
    """The name of a span's parent; ``None`` if it was not exported."""
    return next((each["name"] for each in found if each["context"]["span_id"] == span["parent_id"]), None)


def test_an_event_is_one_trace_from_the_gateway_to_the_mark(
    replicas: ReplicasFactory, local_discord: LocalDiscord, tmp_path: Path
) -> None:
    fleet = start(replicas, tmp_path, 1, slow=0)
    message = local_discord.send(local_discord.channel_ids[0], "!ping 1")
    wait_for(lambda: named(of(tmp_path, message), "event"), 20, lambda: f"the span\n{logs(fleet)}")
    found = of(tmp_path, message)
    assert len({trace_of(span) for span in found}) == 1
    (event,) = named(found, "event")
    assert event["name"] == "event message"
    assert event["parent_id"] is None
    assert event["attributes"]["discordha.attempt"] == 1
    assert event["attributes"]["discordha.outcome"] == "handled"
    assert event["attributes"]["discordha.replica_id"] == fleet[0].replica_id
    parents = {span["name"]: parent(found, span) for span in found if span is not event}
    post = "POST /channels/{id}/messages"
    assert parents[post] in {"answer", "handler __main__.on_message"}
    del parents[post]
    assert parents == {
        "wait": "event message",
        "claim": "event message",
        "handler __main__.on_message": "event message",
        "answer": "handler __main__.on_message",
        "mark": "event message",
    }
    posts = named(found, "POST")
    assert [parent(found, span) for span in posts] == ["handler __main__.on_message", "answer"]
    assert {span["attributes"]["http.response.status_code"] for span in posts} == {200}
    for span in found:
        assert event["start_time"] <= span["start_time"] <= span["end_time"] <= event["end_time"]


def test_a_message_that_is_taken_over_is_one_trace_with_two_attempts(
    replicas: ReplicasFactory,
    local_discord: LocalDiscord,
    local_etcd: LocalEtcd,
    namespace: str,
    tmp_path: Path,
) -> None:
    fleet = start(replicas, tmp_path, 2, slow=120)
    message = local_discord.send(local_discord.channel_ids[0], "!ping 1")
    wait_for(lambda: answered(local_discord, "thinking"), 20, lambda: f"the first run\n{logs(fleet)}")
    wait_for(lambda: named(spans(tmp_path), "POST"), 20, "the span of its request")
    root = f"/discordha/v1/{namespace}/"
    ((claim, _),) = values(local_etcd, f"{root}e/message/{message}").values()
    owner = next(replica for replica in fleet if str(replica.replica_id) in claim.decode())
    owner.kill()
    wait_for(lambda: answered(local_discord), 30, lambda: f"the answer\n{logs(fleet)}")
    wait_for(lambda: named(of(tmp_path, message), "mark"), 20, "the mark's span")
    found = of(tmp_path, message)
    assert len({trace_of(span) for span in found}) == 1
    # The first attempt's own span went with its process; what had ended inside it is in the trace.
    (second,) = named(found, "event")
    assert second["attributes"]["discordha.attempt"] == 2
    assert second["attributes"]["discordha.replica_id"] != owner.replica_id
    first = [span for span in named(found, "claim") if parent(found, span) is None]
    assert [span["parent_id"] for span in first] == [second["parent_id"]]
    assert len(named(found, "claim")) == 2
    assert len(named(found, "POST")) == 3
    assert len(named(found, "mark")) == 1


def test_an_event_without_identity_has_its_trace_too(
    replicas: ReplicasFactory, local_discord: LocalDiscord, tmp_path: Path
) -> None:
    fleet = start(replicas, tmp_path, 1, slow=0)
    channel = local_discord.channel_ids[0]
    message = local_discord.send(channel, "hello")
    local_discord.react(channel, message, "👍")

    def of_reactions() -> list[Span]:
        return [span for span in named(spans(tmp_path), "event") if span["name"].endswith("reaction_add")]

    wait_for(of_reactions, 20, lambda: f"the span\n{logs(fleet)}")
    (event,) = of_reactions()
    found = [span for span in spans(tmp_path) if trace_of(span) == trace_of(event)]
    assert event["attributes"]["discordha.outcome"] == "handled"
    assert [parent(found, span) for span in named(found, "handler")] == ["event reaction_add"]
    assert [parent(found, span) for span in named(found, "POST")] == ["handler __main__.on_reaction_add"]
