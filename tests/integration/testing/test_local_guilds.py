"""What a local Discord's guilds can be given, as a bot sees it: names, roles, a system channel."""

from __future__ import annotations

from typing import Any

import discord
import pytest

from discordha import Config, DiscordHA
from discordha.testing import LocalDiscord, wait_for


def test_a_bot_sees_names_roles_and_the_system_channel(local_discord: LocalDiscord) -> None:
    local_discord.reset(guilds=["Home"], channels=["general", "staff"], users=["ann", "bob"])
    home, (_, staff), (ann, bob) = (
        local_discord.guild_ids[0],
        local_discord.channel_ids,
        local_discord.user_ids,
    )
    ha = DiscordHA(Config.from_env(local_discord.env(), ha=False, intents=discord.Intents.all()))
    seen: list[tuple[str, Any]] = []

    @ha.event
    def on_member_update(before: Any, after: Any) -> None:
        seen.append(("roles", (after.name, sorted(role.name for role in after.roles))))

    @ha.event
    def on_message(message: Any) -> None:
        seen.append(("message", (message.channel.name, message.author.name, message.type)))

    with ha:
        ha.wait_until_ready(30)
        guild = ha.get_guild(home)
        assert guild.name == "Home"
        assert [channel.name for channel in guild.text_channels] == ["general", "staff"]
        assert {member.name for member in guild.members} >= {"ann", "bob"}
        assert guild.system_channel is None

        role = local_discord.create_role(home, "moderator", "kick_members")
        local_discord.give_role(home, bob, role)
        wait_for(lambda: ("roles", ("bob", ["@everyone", "moderator"])) in seen, 10, "the role")
        member = guild.get_member(bob)
        assert member.guild_permissions.kick_members
        assert not guild.get_member(ann).guild_permissions.kick_members
        assert member.top_role < guild.me.top_role
        assert local_discord.names()["roles"][role] == "moderator"
        local_discord.take_role(home, bob, role)
        wait_for(lambda: ("roles", ("bob", ["@everyone"])) in seen, 10, "the role's end")

        local_discord.set_system_channel(home, staff)
        wait_for(lambda: guild.system_channel is not None, 10, "the system channel")
        assert guild.system_channel.id == staff
        local_discord.join(home)
        greeting = discord.MessageType.new_member
        wait_for(lambda: any(what == "message" and it[2] is greeting for what, it in seen), 10, "a greeting")
        assert next(it[0] for what, it in seen if what == "message") == "staff"
        local_discord.set_system_channel(home, None)
        wait_for(lambda: guild.system_channel is None, 10, "no system channel")


def test_names_of_several_guilds_and_what_is_refused(local_discord: LocalDiscord) -> None:
    local_discord.reset(guilds=["Home", "Work"], channels=["general"], users=2)
    names = local_discord.names()
    assert [names["channels"][each] for each in local_discord.channel_ids] == ["Home/general", "Work/general"]
    assert [names["users"][each] for each in local_discord.user_ids] == ["user0", "user1"]
    (home, work), (_, other) = local_discord.guild_ids, local_discord.channel_ids
    role = local_discord.create_role(work, "clerk")
    with pytest.raises(RuntimeError, match="is not one of guild"):
        local_discord.set_system_channel(home, other)
    with pytest.raises(RuntimeError, match="give_role"):
        local_discord.give_role(home, local_discord.user_ids[0], role)
    with pytest.raises(RuntimeError, match="create_role"):
        local_discord.create_role(home, "nobody", "no_such_permission")
