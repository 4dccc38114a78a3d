"""``examples/cogs`` on three replicas, one of which dies: each user sees each answer once."""

from __future__ import annotations

import re

from fleet import EXAMPLES, whole_logs
from rest import rest

from discordha.testing import LocalDiscord, wait_for
from discordha.testing.plugin import ReplicasFactory


def test_each_user_sees_each_answer_once(local_discord: LocalDiscord, replicas: ReplicasFactory) -> None:
    discord = local_discord
    owner, user = discord.user_ids[:2]
    guild = discord.guild_ids[0]
    body = {"name": "staff", "permissions": str(1 << 13)}  # manage_messages
    role = rest(discord, "POST", f"/guilds/{guild}/roles", body)["id"]
    rest(discord, "PUT", f"/guilds/{guild}/members/{owner}/roles/{role}")
    fleet = replicas(
        EXAMPLES / "cogs" / "bot.py",
        3,
        env={"DISCORDHA_SESSION_TTL": "2", "OWNER_ID": str(owner)},
        restart=True,
    )
    fleet.wait_ready(60)
    here, there = discord.channel_ids[:2]

    def said(channel: int = here) -> list[str]:
        return [each.content for each in discord.messages() if each.channel_id == channel]

    def ask(line: str, answer: str, *, by: int = user, channel: int = here) -> None:
        before = len(said(channel))
        discord.send(channel, line, user_id=by)
        wait_for(
            lambda: len(said(channel)) > before,
            10,
            lambda: f"{line!r} to be answered, not {said(channel)}\n{whole_logs(fleet)[-3000:]}",
        )
        assert said(channel)[before:] == [answer]

    ask("!tag set Rules be kind", "tag rules is set")
    ask("!tag rules", "be kind")
    ask("!tag list", "tags: rules")
    ask("!tag a-b", "!tag: 'a-b' can't be a tag's name")
    ask(f"!warn {user} spam", "warning 1 for user1: spam", by=owner)
    ask(f"!warn {user}", "warning 2 for user1: no reason", by=owner)
    ask("!replicas", "replicas: 3", by=owner)
    ask("!replicas", "!replicas: You do not own this bot.")
    ask("!guess 2", "a number from 1 to 2?")
    discord.send(here, "1", user_id=owner)  # another's guess does not count
    before = len(said())
    discord.send(here, "1", user_id=user)
    wait_for(lambda: len(said()) > before, 10, lambda: f"the end of the game, not {said()}")
    assert re.fullmatch("right|no, it was [12]", said()[-1])
    # The game is over, and marked: an unfinished one would hold its channel, and run again after the kill.
    ask("!tag list", "tags: rules")

    # A reminder is under way on some replica, as one dies.
    discord.send(there, "!remind 3 tea", user_id=user)
    fleet[0].kill()
    wait_for(lambda: said(there) == ["reminder: tea"], 30, lambda: f"tea, not {said(there)}")
    ask("!tag rules", "be kind")
    discord.send(here, "!help", user_id=user)
    wait_for(lambda: "Moderation:" not in said()[-1] and "Games:" in said()[-1], 10, lambda: said()[-1])
    assert "Admin" not in said()[-1]
    assert "Traceback" not in whole_logs(fleet)
