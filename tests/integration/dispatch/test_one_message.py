"""One message (P5): what a handler sends appears once, whatever dies behind the send; what has lost its event
sends nothing.
"""

from __future__ import annotations

import collections
from pathlib import Path

import pytest
from fleet import BOTS, per_replica, verdict

from discordha.testing import LocalDiscord, wait_for
from discordha.testing.plugin import ReplicasFactory

TTL = 2


@pytest.mark.parametrize("crashes", [60, pytest.param(200, marks=pytest.mark.long)])
def test_crashes_between_send_and_mark(
    crashes: int, replicas: ReplicasFactory, local_discord: LocalDiscord, tmp_path: Path
) -> None:
    """Two replicas die again and again, each time with a batch of events that have sent and are not marked;
    the third lives, so that every event is received.
    """
    ledger = tmp_path / "ledger"
    ledger.touch()
    fleet = replicas(
        BOTS / "dies_after_sending.py",
        3,
        discord=None,
        restart=True,
        env={
            "DISCORDHA_SESSION_TTL": str(TTL),
            "DISCORDHA_ORDERING": "none",
            "DISCORDHA_WORKERS": "40",
            "DISCORDHA_MAX_ATTEMPTS": "20",  # those that stand together die for each other's sake
            "LEDGER": str(ledger),
        },
        per_replica_env=lambda index: {
            **per_replica(local_discord)(index),
            "BATCH": "32" if index < 2 else "0",
        },
    )
    fleet.wait_ready(60)
    channel = local_discord.channel_ids[0]
    load = local_discord.load(rate=120, template="!ping {n}")
    many = {number: local_discord.send(channel, f"!many {number} {number % 5 + 1}") for number in range(20)}

    def crashed() -> list[str]:
        """The first message of each event that a replica died on."""
        lines = ledger.read_text("utf-8").splitlines()
        return [
            f"reply {line.split()[1]}" if line.startswith("!many") else line.replace("!ping", "pong")
            for line in lines
        ]

    def repeated() -> set[str]:
        """What was sent again; Discord answered with the message that was there."""
        return {request.body["content"] for request in local_discord.requests() if request.duplicate}

    wait_for(lambda: len(crashed()) >= crashes, 90, lambda: f"{crashes} crashes, not {len(crashed())}")
    sent = load.stop()
    assert verdict(local_discord, sent).total.lost == 0
    # All that crashed is handled again: without nonces each of these would be there twice.
    wait_for(
        lambda: repeated() >= set(crashed()), 30, lambda: f"second attempts of {set(crashed()) - repeated()}"
    )
    kinds = ("reply {}", "turn 0 {}", "turn 1 {}", "own {}", "forward {}")
    expected = collections.Counter(kind.format(number) for kind in kinds for number in many)

    def seen() -> collections.Counter[str]:
        forwarded = {message_id: number for number, message_id in many.items()}
        return collections.Counter(
            message.content or f"forward {forwarded.get(message.reference or 0)}"
            for message in local_discord.messages()
            if not message.content.startswith("pong")
        )

    wait_for(lambda: set(seen()) >= set(expected), 30, lambda: f"{expected - seen()}")
    assert seen() == expected
    result = verdict(local_discord, sent)
    assert result.total.ok, result
    deaths = sum(replica.runs - 1 for replica in fleet)
    print(f"{len(crashed())} events crashed in {deaths} deaths, and were sent again: no message twice")
    assert len(set(crashed())) >= crashes


def test_a_replica_that_wakes_up_inside_a_handler_sends_nothing(
    replicas: ReplicasFactory, local_discord: LocalDiscord, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    fleet = replicas(
        BOTS / "waits_inside.py",
        2,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": str(TTL), "GATE": str(gate)},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    asked = local_discord.send(local_discord.channel_ids[0], "!ping 1")
    wait_for(lambda: any("bot: inside" in replica.log_text() for replica in fleet), 20, "a handler inside")
    sleeper = next(replica for replica in fleet if "bot: inside" in replica.log_text())
    sleeper.pause()
    wait_for(local_discord.messages, TTL + 10, "the other's answer")
    gate.touch()
    sleeper.resume()
    wait_for(lambda: "refused: " in sleeper.log_text(), 20, "the sleeper's send")
    assert "refused: LockLost lost=True" in sleeper.log_text()
    stopped = f"message {asked} (attempt 1) stopped"
    wait_for(lambda: stopped in sleeper.log_text(), 20, "the end of the sleeper's handler")
    # Whatever comes afterwards is handled as ever, and nothing else was sent.
    local_discord.send(local_discord.channel_ids[0], "!ping 2")
    wait_for(lambda: len(local_discord.messages()) >= 2, 20, "the next answer")
    assert [message.content for message in local_discord.messages()] == ["pong 1", "pong 2"]
    posts = [
        request
        for request in local_discord.requests()
        if (request.method, request.path[-9:]) == ("POST", "/messages")
    ]
    assert [request.duplicate for request in posts] == [False, False], "the sleeper's send never left it"
