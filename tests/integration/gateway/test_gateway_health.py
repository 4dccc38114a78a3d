"""Gateways that close, fall silent or hang: found, said, and repaired."""

from __future__ import annotations

import contextlib
import socket
import time
from collections import Counter
from typing import Any

import discord
import pytest
from fleet import BOTS, logs, per_replica, values

from discordha import Config, DiscordHA
from discordha.gateway.state import FATAL_CODES
from discordha.testing import LocalDiscord, LocalEtcd, Replica, Replicas, WaitTimeout, wait_for
from discordha.testing.plugin import ReplicasFactory


def test_each_fatal_close_code_ends_the_bot_with_its_sentence(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    codes = sorted(FATAL_CODES)
    assert codes == [4004, 4010, 4011, 4012, 4013, 4014]
    fleet = replicas(
        BOTS / "slow.py",
        len(codes),
        etcd=None,
        discord=None,
        env={"DISCORDHA_HA": "false"},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(90)
    for index, code in enumerate(codes):
        assert local_discord.disconnect(f"r{index}", code=code, end=True) == 1
    for replica, code in zip(fleet, codes, strict=True):
        assert replica.wait_exit(30) == 1, replica.log_text()
        last = replica.log_text().strip().splitlines()[-1]
        assert last == f"discordha.errors.ConfigError: {FATAL_CODES[code]}"


def bot_of(local_discord: LocalDiscord, deaf_after: float, **client_options: Any) -> DiscordHA:
    """One replica without etcd, in this process."""
    return DiscordHA(
        Config.from_env(
            local_discord.env(),
            ha=False,
            intents=discord.Intents.all(),
            deaf_after=deaf_after,
            session_ttl=2.0,
            client_options=client_options,
        )
    )


@pytest.fixture
def bot(local_discord: LocalDiscord) -> DiscordHA:
    """A patient one: it connects again only when a connection has ended, not when the machine is busy."""
    return bot_of(local_discord, deaf_after=5.0)


def gateway(ha: DiscordHA) -> dict[str, float]:
    state: dict[str, float] = ha.status()["gateway"][0]
    return state


def test_close_codes_that_are_not_fatal(local_discord: LocalDiscord, bot: DiscordHA) -> None:
    """Most are followed by RESUME; after some, Discord wants a new session."""
    resumes, identifies = 0, 1
    with bot:
        for code in (1000, 1001, 4000, 4001, 4002, 4003, 4005, 4007, 4008, 4009):
            wait_for(lambda: bot.status()["ready"], 20, "the bot to be ready")
            assert local_discord.disconnect(code=code) == 1
            if code in (4007, 4009):
                identifies += 1
            else:
                resumes += 1
            wait_for(
                lambda wanted=(resumes, identifies): (
                    wanted == (gateway(bot)["resumes"], gateway(bot)["identifies"])
                ),
                20,
                lambda code=code: f"what follows {code}, not {gateway(bot)}",
            )


UNREADABLE: list[str | bytes] = [
    "",
    "{",
    '{"op":0,"s":',
    "null",
    "[]",
    "5",
    '{"op":0,"t":"MESSAGE_CREATE","s":"five","d":{}}',
    '{"op":0,"t":"READY","s":7,"d":{}}',
    '{"op":10,"d":null}',
    b"\x78\x9c\xde\xad\xbe\xef\x00\x00\xff\xff",
    b"\xff\xff\x00\x00\xff\xff",
]


def test_a_frame_that_cannot_be_read_costs_the_connection_only(local_discord: LocalDiscord) -> None:
    """Nothing is lost, and the session goes on by RESUME."""
    bot = bot_of(local_discord, deaf_after=20.0)
    heard: list[str] = []
    bot.listen("message")(lambda message: heard.append(message.content))
    texts: list[str] = []
    with bot:
        for number, frame in enumerate(UNREADABLE, 1):
            wait_for(
                lambda: gateway(bot)["connected"] and gateway(bot)["since"] > 0.6, 20, "a good connection"
            )
            before = gateway(bot)["resumes"]
            assert local_discord.frame(frame) == 1
            texts.append(f"message {number}")
            local_discord.send(local_discord.channel_ids[0], texts[-1])
            wait_for(
                lambda before=before: gateway(bot)["resumes"] > before,
                20,
                lambda f=frame: f"RESUME after {f!r}",
            )
            wait_for(lambda: heard == texts, 20, lambda f=frame: f"the message behind {f!r}, not {heard}")
        assert gateway(bot)["identifies"] == 1


def test_a_resume_that_is_always_cut_is_given_up_for_a_new_session(
    local_discord: LocalDiscord, bot: DiscordHA, caplog: pytest.LogCaptureFixture
) -> None:
    with bot:
        assert bot.wait_until_ready(20)
        local_discord.fault(cut_resume=True)
        assert local_discord.disconnect() == 1
        wait_for(lambda: gateway(bot)["identifies"] == 2 and bot.status()["ready"], 25, "a new session")
    assert "5 RESUMEs in a row brought nothing" in caplog.text


def test_an_error_without_a_message_is_named_by_its_type(
    local_discord: LocalDiscord, caplog: pytest.LogCaptureFixture
) -> None:
    bot = bot_of(local_discord, deaf_after=1.0)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # accepts, and never says a word
        local_discord.set_resume_host(f"127.0.0.1:{listener.getsockname()[1]}")
        with bot:
            assert bot.wait_until_ready(20)
            assert local_discord.disconnect() == 1
            wait_for(lambda: "shard 0 is not connected: " in caplog.text, 20, "the line")
    assert "shard 0 is not connected: TimeoutError; trying again" in caplog.text


def test_a_login_waits_for_as_long_as_discord_asks(local_discord: LocalDiscord, bot: DiscordHA) -> None:
    local_discord.fault_rest(path="/gateway/bot", status=429, retry_after=4.0, count=1)
    begun = time.monotonic()
    with bot:
        assert time.monotonic() - begun >= 4.0


@pytest.mark.parametrize("hangs", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_dead_resume_address_falls_back_to_the_main_one(
    local_discord: LocalDiscord, bot: DiscordHA, hangs: bool
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if hangs:
            listener.listen()  # accepts, and never says a word
        local_discord.set_resume_host(f"127.0.0.1:{listener.getsockname()[1]}")
        with bot:
            assert bot.wait_until_ready(20)
            assert local_discord.disconnect() == 1
            wait_for(lambda: gateway(bot)["resumes"] == 1, 30, "RESUME at the main address")
            assert gateway(bot)["identifies"] == 1


@pytest.mark.parametrize("limits", [{"deaf_after": 1.0}, {"deaf_after": 30.0, "heartbeat_timeout": 1.0}])
def test_a_silent_connection_resumes(local_discord: LocalDiscord, limits: dict[str, float]) -> None:
    """Also when it falls silent right after the greeting, before the session is established."""
    bot = bot_of(local_discord, **limits)
    with bot:
        assert bot.wait_until_ready(20)
        local_discord.fault(silent=True)
        wait_for(lambda: not bot.status()["ready"], 10, "it to be unready")
        local_discord.clear_faults()
        wait_for(lambda: bot.status()["ready"], 20, "it to be ready again")
        assert gateway(bot)["resumes"] >= 1
        assert gateway(bot)["identifies"] == 1


def test_frames_that_are_lost_are_fetched_and_each_event_comes_once(
    local_discord: LocalDiscord, bot: DiscordHA
) -> None:
    """Also a join: the frame that shows the gap must not be read before its turn, for discord.py keeps silent
    of members that it knows."""
    joined: list[int] = []
    bot.listen("member_join")(lambda member: joined.append(member.id))
    guild = local_discord.guild_ids[0]
    with bot:
        assert bot.wait_until_ready(20)
        local_discord.fault(drop=0.3)
        sent = [local_discord.join(guild) for _ in range(60)]
        local_discord.clear_faults()
        sent.append(local_discord.join(guild))  # frames that are missing at the end show with the next
        wait_for(lambda: sent[-1] in joined, 20, "the last join")
        state = gateway(bot)
    assert sorted(joined) == sorted(sent)
    assert state["gaps"] > 0
    assert state["identifies"] == 1


def test_a_session_whose_ready_is_lost_is_replaced(local_discord: LocalDiscord, bot: DiscordHA) -> None:
    """Found by chaos: events came, discord.py knew of no guild, and the replica was never ready."""
    heard: list[str] = []
    bot.listen("message")(lambda message: heard.append(message.content))
    local_discord.fault(drop=1.0)
    with bot:
        wait_for(local_discord.identifies, 20, "an IDENTIFY")
        local_discord.clear_faults()
        local_discord.send(local_discord.channel_ids[0], "shows the gap")
        assert bot.wait_until_ready(20)
        local_discord.send(local_discord.channel_ids[0], "after it")
        wait_for(lambda: "after it" in heard, 20, "an event of the new session")


def test_events_of_a_resume_are_marked_with_an_older_revision(
    local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    """A peer whose session began meanwhile must not take the mark for one of an event that it received."""
    settings = {
        **local_etcd.client_settings(),
        "deaf_after": 1.0,
        "session_ttl": 2.0,
        "name": namespace,
    }
    ha = DiscordHA(Config.from_env(local_discord.env(), intents=discord.Intents.all(), **settings))
    ha.add_handler(lambda payload: None, "raw_reaction_add")
    channel = local_discord.channel_ids[0]
    message = local_discord.send(channel, "react to this")

    def stamps() -> list[int]:
        marks = values(local_etcd, f"/discordha/v1/{namespace}/j/").values()
        return sorted(int(value.split()[1]) for value, _ in marks)

    with ha:
        assert ha.wait_until_ready(20)
        assert ha._replica is not None
        parts = ha._replica.parts
        assert parts.coordination is not None
        watch, client = parts.coordination.watch, parts.gateway.clients[0]
        wait_for(lambda: client.acknowledged_revision > 0, 20, "a heartbeat's answer")
        local_discord.fault(silent=True)
        local_discord.react(channel, message, "👍")
        reacted = watch.revision
        wait_for(lambda: not client.state().connected, 20, "the connection to be given up")
        wait_for(lambda: watch.revision > reacted, 20, "something to happen in etcd")
        local_discord.clear_faults()
        wait_for(stamps, 20, "the mark")
        assert stamps()[0] <= reacted
        assert gateway(ha)["resumes"] >= 1
        assert gateway(ha)["identifies"] == 1
        wait_for(lambda: client.acknowledged_revision > reacted, 20, "the acknowledgement")
        local_discord.react(channel, message, "🎉")
        wait_for(lambda: len(stamps()) == 2, 20, "the second mark")
        assert stamps()[1] > reacted


def missing(discord: LocalDiscord, sent: list[str]) -> Counter[str]:
    """What was lost; raises for what was repeated."""
    found = Counter(message.content for message in discord.messages())
    wanted = Counter(sent)
    assert not found - wanted, found - wanted
    return wanted - found


def test_one_silenced_gateway_under_load(replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    """The leader's: socket open, nothing arrives. Found within 10 s, unready, repaired, nothing lost."""
    fleet = replicas(
        BOTS / "mixed.py",
        3,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": "2"},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(90)
    users = local_discord.user_ids[:2]
    messages = local_discord.load("message", rate=30, template="!ping {n}", users=users)
    reactions = local_discord.load("reaction", rate=30, users=users, channels=local_discord.channel_ids[:3])
    leader = leader_of(fleet, local_discord)
    name = f"r{leader.index}"
    session = next(s["id"] for s in local_discord.sessions() if s["replica"] == name)
    begun = time.monotonic()
    local_discord.fault(name, silent=True)
    wait_for(lambda: "is not ready" in leader.log_text(), 30, lambda: f"it to be found:\n{logs(fleet)}")
    found_after = time.monotonic() - begun
    wait_for(lambda: leader_of(fleet, local_discord) is not leader, 20, "another leader")
    local_discord.clear_faults()
    wait_for(lambda: "is ready again" in leader.log_text(), 40, lambda: f"the repair:\n{logs(fleet)}")
    repaired_after = time.monotonic() - begun
    assert any(s["id"] == session and s["resumed"] for s in local_discord.sessions()), "by RESUME"
    sent = [f"message {each.key}" for each in messages.stop()]
    sent += [f"reaction {each.key}" for each in reactions.stop()]
    with contextlib.suppress(WaitTimeout):
        wait_for(lambda: not missing(local_discord, sent), 30, "every answer", interval=0.2)
    print(f"found after {found_after:.1f} s, repaired after {repaired_after:.1f} s, {len(sent)} events")
    assert not missing(local_discord, sent)
    assert found_after <= 10


def leader_of(fleet: Replicas, discord: LocalDiscord) -> Replica:
    """The replica that handles reactions now."""
    before = len(discord.messages())

    def latest() -> str | None:
        new = [m.replica for m in discord.messages(before) if m.content.startswith("reaction ")]
        return new[-1] if new else None

    name = wait_for(latest, 20, "somebody who leads")
    assert name is not None
    return fleet[int(name.removeprefix("r"))]
