"""The main job: real replicas of a bot, a real etcd, a real gateway connection; each message is answered
once.
"""

from __future__ import annotations

import random
import threading

import pytest
from fleet import BOTS, EXAMPLES, answered, members, per_replica, values, verdict, whole_logs

from discordha.testing import LocalDiscord, LocalEtcd, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

TTL = 6.0
#: What a busy machine may add, seconds.
BUSY = 3.0


def keys_left(etcd: LocalEtcd, name: str) -> list[str]:
    """The keys in etcd but for marks under a lease and their leases, IDENTIFY budget, bot id, point, gaps."""
    root = f"/discordha/v1/{name}/"
    return [
        key
        for key, (value, lease) in values(etcd, root).items()
        if not (key.startswith(f"{root}e/") and value.startswith(b"d ") and lease)
        and not (key.startswith(f"{root}ml/") and lease)
        and not key.startswith((f"{root}ib/", f"{root}bot", f"{root}p/", f"{root}g/"))
    ]


def test_three_replicas_answer_once_though_one_is_killed(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    fleet = replicas(
        EXAMPLES / "ping.py",
        3,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": str(TTL)},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    load = local_discord.load(rate=100, count=600)
    wait_for(lambda: local_discord.counters()["messages"] > 200, 60, "the middle of the run")
    victim = random.choice(list(fleet))
    victim.kill()
    result = verdict(local_discord, load.wait(60))
    assert result.total.lost == 0, result
    assert result.total.repeated == 0, result
    assert result.total.unexpected == 0, result
    # etcd counts whole seconds.
    assert result.total.latency_max <= TTL + 1.0 + BUSY, result.total
    # Only what the victim had begun waits for its session to end, for two thirds of the TTL at least.
    first = {message.content: message.at for message in reversed(answered(local_discord))}
    waited = [each.key for each in load.sent() if first[f"pong{each.key[5:]}"] - each.at > TTL * 2 / 3]
    begun = whole_logs(fleet).count("is taken over (attempt 2)")
    print(f"{begun} events were taken over, {len(waited)} waited, {result.total.latency_max:.2f} s at most")
    assert len(waited) <= begun, waited
    assert not local_discord.unknown_requests()
    for replica in fleet:
        if replica is not victim:
            replica.drain()
            assert replica.wait_exit(30) == 0
    wait_for(
        lambda: not keys_left(local_etcd, namespace),
        10.0,
        lambda: f"no key, not {keys_left(local_etcd, namespace)}",
    )


def test_one_replica_without_etcd(replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    fleet = replicas(
        EXAMPLES / "ping.py",
        1,
        etcd=None,
        discord=None,
        env={"DISCORDHA_HA": "false"},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    load = local_discord.load(rate=500, count=1000)
    result = verdict(local_discord, load.wait(60))
    assert result.total.ok, result
    assert result.total.out_of_order == 0
    fleet[0].drain()
    assert fleet[0].wait_exit(20) == 0


def test_a_rolling_deploy_loses_and_repeats_nothing(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    fleet = replicas(
        BOTS / "slow.py",
        3,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": "8", "SLOW": "0.05"},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    load = local_discord.load(rate=80)
    for replica in fleet:
        before = local_discord.counters()["messages"]
        wait_for(lambda before=before: local_discord.counters()["messages"] > before + 80, 30, "some answers")
        replica.drain()
        assert replica.wait_exit(30) == 0
        replica.start()
        replica.wait_ready(30)
    sent = load.stop()
    result = verdict(local_discord, sent)
    assert result.total.ok, result
    # Nobody waits for a session to end: what a draining replica has not begun is taken by the others at once.
    assert result.total.latency_max < 8.0, result.total


def test_a_paused_replica_loses_its_events_and_does_not_answer_them_again(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    fleet = replicas(
        BOTS / "slow.py",
        3,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": str(TTL), "SLOW": "0.2"},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    load = local_discord.load(rate=30)
    wait_for(lambda: local_discord.counters()["messages"] > 40, 30, "some answers")
    fleet[0].pause()
    wait_for(
        lambda: fleet[0].replica_id not in members(local_etcd, namespace), TTL + 10, "its session to end"
    )
    before = local_discord.counters()["messages"]
    wait_for(lambda: local_discord.counters()["messages"] > before + 40, 30, "answers of the others")
    fleet[0].resume()
    before = local_discord.counters()["messages"]
    wait_for(lambda: local_discord.counters()["messages"] > before + 40, 30, "more answers")
    result = verdict(local_discord, load.stop())
    assert result.total.ok, result
    assert result.total.latency_max <= TTL + 1.0 + BUSY, result.total


class TestClearErrors:
    """One error line each, exit status 1, no storm of tracebacks."""

    def run(self, fleet: Replicas) -> str:
        assert fleet[0].wait_exit(60) == 1
        text = fleet[0].log_text()
        assert text.count("Traceback") <= 1, text
        return text

    def start(self, replicas: ReplicasFactory, discord: LocalDiscord, **options: object) -> Replicas:
        env = {**discord.env(), **options.pop("env", {})}  # type: ignore[dict-item]
        return replicas(EXAMPLES / "ping.py", 1, discord=None, env=env, **options)

    def test_a_wrong_token(self, replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
        text = self.run(self.start(replicas, local_discord, env={"BOT_TOKEN": "MTIz.wrong.token"}))
        assert "Discord refuses the token (401)" in text
        assert "MTIz.wrong" not in text

    def test_an_etcd_that_is_not_there(self, replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
        env = {"DISCORDHA_ETCD_ENDPOINTS": "127.0.0.1:1", "DISCORDHA_ETCD_TIMEOUT": "1"}
        text = self.run(self.start(replicas, local_discord, etcd=None, env=env))
        assert "StoreUnavailable" in text
        assert "127.0.0.1:1" in text

    def test_a_missing_privileged_intent(self, replicas: ReplicasFactory) -> None:
        with LocalDiscord(privileged_intents=False) as discord:
            text = self.run(self.start(replicas, discord))
        assert "Message Content Intent" in text

    def test_an_etcd_that_refuses(self, replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
        with LocalEtcd(auth=True) as etcd:
            env = {"DISCORDHA_ETCD_USER": "nobody", "DISCORDHA_ETCD_PASSWORD": "wrong"}
            text = self.run(self.start(replicas, local_discord, etcd=etcd, env=env))
        assert "ConfigError" in text
        assert "wrong" not in text.replace("is wrong", "")

    def test_no_token(self, replicas: ReplicasFactory) -> None:
        text = self.run(
            replicas(EXAMPLES / "ping.py", 1, discord=None, env={"BOT_TOKEN": "", "DISCORDHA_TOKEN": ""})
        )
        assert "BOT_TOKEN" in text

    def test_a_handler_with_the_wrong_arguments(
        self, replicas: ReplicasFactory, local_discord: LocalDiscord
    ) -> None:
        text = self.run(replicas(BOTS / "wrong_arguments.py", 1, discord=None, env=local_discord.env()))
        assert "ConfigError: on_message(message, channel) can't handle on_message" in text
        assert "it is called with (message)" in text


def test_leaving_the_context_leaves_no_thread(
    local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import discord

    from discordha import DiscordHA

    for name, value in {**local_etcd.env(), **local_discord.env()}.items():
        monkeypatch.setenv(name, value)
    seen = threading.Event()
    ha = DiscordHA.from_env(name=namespace, intents=discord.Intents.all())

    @ha.event
    def on_message(message):  # type: ignore[no-untyped-def]
        seen.set()

    with ha:
        assert ha.wait_until_ready(20)
        assert list(ha.replicas()) == [ha.replica_id]
        user = ha.call(ha.client.fetch_user(local_discord.user_ids[0]))
        assert user.id == local_discord.user_ids[0]
        local_discord.send(local_discord.channel_ids[0], "hello")
        assert seen.wait(10)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("discordha")]
    wait_for(lambda: not keys_left(local_etcd, namespace), 10.0, "no key")
    with ha:  # a bot may start again
        assert ha.wait_until_ready(20)
