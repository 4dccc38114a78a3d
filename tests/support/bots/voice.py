"""Plays what messages say: `!play FILE`, `!overlay FILE`, `!volume 0.5`, `!skip`, `!stop`, ... in the guild's
voice channel. With `NULL` set it plays nothing: it says what it was given, and acknowledges."""

import logging
import os
import threading

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())


def command_of(message, file):
    channel = message.guild.voice_channels[0]
    return discordha.VoiceCommand("music", message.guild.id, channel.id, file, message.author.id)


if os.environ.get("NULL"):

    def play(deliveries):
        for delivery in deliveries:
            print(f"played {delivery.guild_id} {delivery.file}", flush=True)
            delivery.ack()

    @ha.event
    def on_ready():
        deliveries = ha.watch_voice_commands("music")
        print("watching", flush=True)
        for _ in range(4):
            threading.Thread(target=play, args=(deliveries,), daemon=True).start()

    @ha.listen("message", scope="every")
    def on_message(message):
        # Each replica sends its share, over 20 guilds that need not be there.
        if message.content.startswith("!many "):
            mine = [int(number) for number in message.content.split()[1:]]
            name = os.environ["DISCORDHA_GATEWAY_URL"].rpartition("/")[2]
            for number in range(mine[int(name[1:])]):
                guild = number % 20 + 1
                ha.send_voice_command(discordha.VoiceCommand("music", guild, 1, f"{name}-{number}"))
            print("sent", flush=True)
else:
    worker = discordha.VoiceWorker(ha, "music", folder=os.environ["SOUNDS"], linger=1.0)

    @ha.listen("message", where=lambda message: message.content.startswith("!"))
    def on_message(message):
        action, _, file = message.content[1:].partition(" ")
        ha.send_voice_command(command_of(message, file), wait=True, action=action)
        message.channel.send(f"taken: {file}")


if __name__ == "__main__":
    ha.run()
