"""After an outage: what happened while no replica was connected is handled once, in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from fleet import BOTS, answered, logs, per_replica
from outages import (
    TTL,
    answers,
    check,
    gaps,
    gaps_said,
    is_over,
    moment,
    point,
    questions,
    restart,
    runs_again,
    started,
)
from samples import check_sample

from discordha.testing import LocalDiscord, LocalEtcd, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory


def test_all_replicas_die_under_load_with_marks_shorter_than_the_outage(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    fleet = started(replicas, local_discord, env={"DISCORDHA_RETENTION": "4"})
    load = local_discord.load(rate=50)
    answers(local_discord, 100)
    for replica in fleet:
        replica.kill()
    questions(local_discord, load, 250)  # 5 s: without catch-up, marks would be gone
    restart(fleet)
    questions(local_discord, load, 50)
    check(local_discord, load.stop(), fleet)
    wait_for(lambda: is_over(local_etcd, namespace), 20, lambda: f"the end of {gaps(local_etcd, namespace)}")


def test_all_sessions_end_while_replicas_live(replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    fleet = started(replicas, local_discord)
    load = local_discord.load(rate=50)
    answers(local_discord, 50)
    local_discord.invalidate()
    answers(local_discord, 100)
    check(local_discord, load.stop(), fleet)


def test_each_kind_of_event_comes_back_once_and_the_bot_is_told_of_the_rest(
    replicas: ReplicasFactory,
    local_discord: LocalDiscord,
    local_etcd: LocalEtcd,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guild, (reports, channel, *_) = local_discord.guild_ids[0], local_discord.channel_ids
    fleet = replicas(
        BOTS / "outage.py",
        2,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": TTL, "REPORTS": str(reports)},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)

    def seen() -> Counter[str]:
        return Counter(m.content.removeprefix("seen ") for m in answered(local_discord, "seen"))

    before = local_discord.send(channel, "!ping 0")
    wait_for(lambda: answered(local_discord), 20, "the answer: discord.py's message would show the edit")
    local_discord.edit(channel, before, "!ping 0, edited")
    early = local_discord.join(guild)
    wait_for(lambda: len(seen()) >= 2 and len(answered(local_discord)) == 1, 20, lambda: f"live: {seen()}")
    # Else those who were members just before the bot's first READY are caught up, too (P11).
    first = moment(local_etcd, namespace)
    wait_for(lambda: moment(local_etcd, namespace) > first + 3.0, 20, "a point well behind the first")
    for replica in fleet:
        replica.kill()
    message = local_discord.send(channel, "!ping 1")
    local_discord.edit(channel, message, "!ping 1 edited")
    member = local_discord.join(guild)
    thread = local_discord.create_thread(channel, "news")
    local_discord.send(thread, "!ping 2")
    entry = local_discord.ban(guild, local_discord.user_ids[-1])
    event = local_discord.create_event(guild, "party")
    local_discord.react(channel, message, "👍")
    restart(fleet)
    # Received as it happened, and marked while the gap is not over.
    late = local_discord.send(channel, "late")
    local_discord.edit(channel, late, "late, edited")
    expected = {
        f"edit/{late} live in-time",
        f"edit/{before} live in-time",
        f"join/{early} live in-time",
        f"edit/{message} caught-up late",
        f"join/{member} caught-up late",
        f"thread/{thread} caught-up late",
        f"audit/{entry} caught-up late",
        f"event/{event} caught-up late",
        "gap/0/raw_reaction_add/long/0 caught-up late",
    }
    wait_for(
        lambda: expected <= seen().keys(), 30, lambda: f"{expected - seen().keys()}: {seen()}\n{logs(fleet)}"
    )
    wait_for(lambda: is_over(local_etcd, namespace), 20, lambda: f"the end of {gaps(local_etcd, namespace)}")
    others = {what for what in seen() if what.startswith("audit/")} - expected  # the owner planned the event
    assert len(others) == 1, seen()
    assert seen() == Counter(expected | others), logs(fleet)
    assert sorted(m.content for m in answered(local_discord)) == ["pong 0", "pong 1 edited", "pong 2"]
    said = gaps_said(local_etcd, namespace, monkeypatch)
    assert "over, " in said, said
    assert "missing: raw_reaction_add" in said, said
    local_discord.invalidate()

    def told() -> int:
        return sum(count for what, count in seen().items() if what.startswith("gap/"))

    wait_for(lambda: told() == 2, 30, lambda: f"another gap, not {seen()}\n{logs(fleet)}")
    wait_for(lambda: is_over(local_etcd, namespace), 20, lambda: f"the end of {gaps(local_etcd, namespace)}")
    again = {what: count for what, count in seen().items() if count > 1 and not what.startswith("gap/")}
    assert not again, logs(fleet)


def test_what_discord_refuses_harms_one_channel_alone_and_is_said(
    replicas: ReplicasFactory,
    local_discord: LocalDiscord,
    local_etcd: LocalEtcd,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    local_discord.reset(channels=7)
    reports, slow, forbidden, gone, busy, *good = local_discord.channel_ids
    fleet = replicas(
        BOTS / "outage.py",
        2,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": TTL, "REPORTS": str(reports), "DISCORDHA_CATCH_UP_LIMIT": "5"},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    local_discord.send(good[0], "!ping before")
    answers(local_discord, 1)
    wait_for(lambda: point(local_etcd, namespace), 20, "a point")
    for replica in fleet:
        replica.kill()
    for channel, status, count in ((slow, 429, 2), (forbidden, 403, None), (gone, 404, None)):
        local_discord.fault_rest(
            method="GET", path=f"/channels/{channel}/messages", status=status, count=count, retry_after=1.0
        )
    for number in range(8):
        for channel in local_discord.channel_ids[1:] if number < 3 else [busy]:
            local_discord.send(channel, f"!ping {number} {channel}")
    for replica in fleet:
        replica.start()

    def told() -> list[str]:
        return [message.content for message in answered(local_discord, "seen gap")]

    def of(channel: int) -> list[str]:
        return [each.content.split()[1] for each in answered(local_discord) if each.channel_id == channel]

    wait_for(lambda: len(of(good[1])) == 3, 60, "the channels that nothing is wrong with")
    assert of(slow) == [], "the others did not wait for it"
    local_discord.send(slow, "!ping new")
    wait_for(told, 60, lambda: f"the gap\n{logs(fleet)}")
    wait_for(lambda: is_over(local_etcd, namespace), 20, lambda: f"the end of {gaps(local_etcd, namespace)}")
    wait_for(lambda: "new" in of(slow), 20, "the new message")
    assert of(slow) == ["0", "1", "2", "new"]
    assert [of(channel) for channel in (forbidden, gone, good[0])] == [[], [], ["before", "0", "1", "2"]]
    assert of(busy) == ["0", "1", "2", "3", "4"]
    assert len(told()) == 1
    said = gaps_said(local_etcd, namespace, monkeypatch)
    for channel, why in ((forbidden, "403"), (gone, "404"), (busy, "catch_up_limit")):
        assert f"channel:{channel}: " in said, said
        assert why in said.partition(f"channel:{channel}: ")[2].partition("channel:")[0], said
    assert f"channel:{slow}" not in said
    check_sample("gaps", "discordha gaps", said, {})


def all_die_of(
    act: Callable[[int, int, str], object],
    replicas: ReplicasFactory,
    discord: LocalDiscord,
    *,
    etcd: LocalEtcd,
    namespace: str,
    survived: Path,
) -> tuple[Replicas, int, int]:
    """A user acts upon a message with the fatal emoji: one replica dies right after its answer, then the
    others do, and all come back. Returns them, and the channel and the message.
    """
    reports, channel, *_ = discord.channel_ids
    fleet = replicas(
        BOTS / "outage.py",
        2,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": TTL, "REPORTS": str(reports), "SURVIVED": str(survived)},
        per_replica_env=per_replica(discord),
    )
    fleet.wait_ready(60)
    wait_for(lambda: point(etcd, namespace), 20, "a point")
    message = discord.send(channel, "hello")
    act(channel, message, "\N{SKULL}")
    wait_for(lambda: not all(replica.alive for replica in fleet), 20, "a death")
    for replica in fleet:
        replica.kill()
    restart(fleet)
    return fleet, channel, message


def test_an_equal_reaction_after_the_outage_is_none_that_was_under_way_before(
    replicas: ReplicasFactory,
    local_discord: LocalDiscord,
    local_etcd: LocalEtcd,
    namespace: str,
    tmp_path: Path,
) -> None:
    """Nobody has the event that ran as all died; Discord remembers its message's nonce."""
    scene = {"etcd": local_etcd, "namespace": namespace, "survived": tmp_path / "survived"}
    fleet, channel, message = all_die_of(local_discord.react, replicas, local_discord, **scene)
    local_discord.unreact(channel, message, "\N{SKULL}")
    local_discord.react(channel, message, "\N{SKULL}")

    def said() -> list[str]:
        return [each.content.split()[1] for each in answered(local_discord, "seen reaction")]

    wait_for(lambda: len(said()) == 2, 20, lambda: f"what both say, not {said()}\n{logs(fleet)}")
    assert runs_again(local_discord) == 0


def test_an_edit_that_is_caught_up_makes_no_second_message_of_one_that_ran_as_all_died(
    replicas: ReplicasFactory,
    local_discord: LocalDiscord,
    local_etcd: LocalEtcd,
    namespace: str,
    tmp_path: Path,
) -> None:
    """No other event is equal, so Discord's memory of nonces tells that it was answered."""
    scene = {"etcd": local_etcd, "namespace": namespace, "survived": tmp_path / "survived"}
    fleet, _, _ = all_die_of(local_discord.edit, replicas, local_discord, **scene)
    wait_for(lambda: is_over(local_etcd, namespace), 60, "the end of the gap")
    assert len(answered(local_discord, "seen edit")) == 1, logs(fleet)
    assert runs_again(local_discord) == 1, logs(fleet)
