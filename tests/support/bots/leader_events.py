"""Says each edit, reaction and join that it handles, each in a channel that all replicas know."""

import logging
import os
import threading

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
PAUSE = float(os.environ.get("SLOW", "0"))


def say(channel_id, text):
    threading.Event().wait(PAUSE)
    ha.wrap(ha.client.get_channel(channel_id)).send(text)


@ha.event
def on_raw_message_edit(payload):
    say(payload.channel_id, f"edit {payload.data['content']}")


@ha.event
def on_raw_reaction_add(payload):
    say(payload.channel_id, f"add/{payload.user_id}/{payload.emoji.name}/{payload.message_id}")


@ha.event
def on_raw_reaction_remove(payload):
    say(payload.channel_id, f"remove/{payload.user_id}/{payload.emoji.name}/{payload.message_id}")


@ha.event
def on_member_join(member):
    say(member.guild.text_channels[0].id, f"join {member.id}")


if __name__ == "__main__":
    ha.run()
