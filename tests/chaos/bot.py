"""Says everything that it handles, so that an observer outside can count."""

import logging

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())


def say(channel_id, text):
    ha.wrap(ha.client.get_channel(channel_id)).send(text)


@ha.listen("message", where=lambda message: message.content.startswith("!ping"))
def on_question(message):
    message.channel.send(f"message {message.content}")


@ha.event
def on_raw_message_edit(payload):
    if payload.data.get("content", "").startswith("!edit"):
        say(payload.channel_id, f"edit {payload.data['content']}")


@ha.event
def on_raw_message_delete(payload):
    say(payload.channel_id, f"delete {payload.message_id}")


@ha.event
def on_raw_reaction_add(payload):
    key = f"add/{payload.user_id}/{payload.emoji.name}/{payload.message_id}"
    say(payload.channel_id, f"reaction {key}")


@ha.event
def on_raw_reaction_remove(payload):
    key = f"remove/{payload.user_id}/{payload.emoji.name}/{payload.message_id}"
    say(payload.channel_id, f"reaction {key}")


@ha.event
def on_member_join(member):
    say(member.guild.text_channels[0].id, f"join {member.id}")


@ha.event
def on_interaction(interaction):
    try:
        interaction.response.send_message(f"slash {interaction.id}")
    except discord.HTTPException:
        # Taken over too late, or answered by a replica that died right after.
        logging.info("interaction %s can't be answered any more", interaction.id)


if __name__ == "__main__":
    ha.run()
