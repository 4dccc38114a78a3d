"""Logs of real replicas: readable by machines when asked for, and without secrets at any level."""

from __future__ import annotations

import json

from fleet import BOTS

from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory


def test_json_lines_with_level_and_replica(replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    fleet = replicas(
        BOTS / "plain.py",
        1,
        discord=None,
        env={**local_discord.env(), "DISCORDHA_LOG_FORMAT": "json", "DISCORDHA_LOG_LEVEL": "debug"},
    )
    fleet.wait_ready(60)
    fleet[0].drain()
    assert fleet[0].wait_exit(20) == 0
    lines = [json.loads(line) for line in fleet[0].log_text().splitlines()]
    assert {line["replica"] for line in lines} == {fleet[0].replica_id}
    assert any(line["message"].startswith("discordha ready replica=") for line in lines)
    assert any(line["message"].startswith("stopping, for") for line in lines)
    assert {"time", "level", "logger", "message"} <= lines[0].keys()


def test_no_log_holds_a_token_or_a_password(replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    with LocalEtcd(auth=True) as etcd:
        password = str(etcd.client_settings()["etcd_password"])
        env = local_discord.env()
        fleet = replicas(BOTS / "verbose.py", 1, etcd=etcd, discord=None, env=env)
        fleet.wait_ready(60)
        local_discord.send(local_discord.channel_ids[0], "!ping")
        wait_for(lambda: "a traceback, too" in fleet[0].log_text(), 20, "the handler")
        fleet[0].drain()
        assert fleet[0].wait_exit(20) == 0
        texts = [fleet[0].log_text()]
        wrong = [
            {"DISCORDHA_ETCD_PASSWORD": "wrong-password"},
            {"BOT_TOKEN": f"{env['BOT_TOKEN'].split('.')[0]}.wrong.wrong-token"},
        ]
        refused = replicas(
            BOTS / "verbose.py", 2, etcd=etcd, discord=None, per_replica_env=lambda i: {**env, **wrong[i]}
        )
        for each in refused:
            assert each.wait_exit(60) == 1
            texts.append(each.log_text())
    for secret in (env["BOT_TOKEN"], password, "wrong-password", "wrong-token"):
        for text in texts:
            assert secret not in text, text[max(text.index(secret) - 300, 0) :][:400]
