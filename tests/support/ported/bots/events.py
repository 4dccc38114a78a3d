"""Answers, corrects itself, tells what others take back, welcomes, gives roles, and plays dice."""

import asyncio
import random

import discord

ROLE_MESSAGE = 0
ROLES = {"\N{LARGE RED CIRCLE}": 0}


class Porter(discord.Client):
    async def on_ready(self):
        print(f"{self.user} is on duty")

    async def on_message(self, message):
        if message.author == self.user:
            return
        say = message.channel.send
        if message.content == "!greet":
            await message.reply("Good day", mention_author=True)
        elif message.content == "!correct":
            draft = await say("teh")
            await asyncio.sleep(0.3)
            await draft.edit(content="the")
        elif message.content == "!whisper":
            await (await say("nobody saw this")).delete()
            await say("nor this, soon", delete_after=0.5)
        elif message.content == "!bet":
            await self.bet(message)

    async def bet(self, message):
        await message.channel.send("High or low?")

        def is_bet(other):
            return other.author == message.author and other.content in {"high", "low"}

        drawn = random.choice(["high", "low"])
        try:
            made = await self.wait_for("message", check=is_bet, timeout=4.0)
        except TimeoutError:
            await message.channel.send("The table is closed.")
            return
        await message.channel.send("You win." if made.content == drawn else f"It is {drawn}.")

    async def on_message_edit(self, before, after):
        await after.channel.send(f"{after.author.name} wrote {before.content!r}, and then {after.content!r}")

    async def on_message_delete(self, message):
        await message.channel.send(f"{message.author.name} took back {message.content!r}")

    async def on_member_join(self, member):
        hall = member.guild.system_channel
        if hall is not None:
            await hall.send(f"{member.mention} comes into {member.guild.name}")

    def role_of(self, payload):
        guild = self.get_guild(payload.guild_id)
        if guild is None or payload.message_id != ROLE_MESSAGE:
            return None
        return guild.get_role(ROLES.get(str(payload.emoji), 0))

    async def on_raw_reaction_add(self, payload):
        role = self.role_of(payload)
        if role is not None:
            await payload.member.add_roles(role, reason="asked for it")

    async def on_raw_reaction_remove(self, payload):
        role = self.role_of(payload)
        member = role and role.guild.get_member(payload.user_id)
        if member:
            try:
                await member.remove_roles(role)
            except discord.HTTPException:
                print("the role stays")


intents = discord.Intents.default()
intents.members = True
intents.message_content = True
client = Porter(intents=intents)
client.run("token")
