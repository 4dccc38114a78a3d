"""Takes voice commands of any guild, and says in the guild's channel which ones it was given, and whether it
could play them: a replica without the guild's shard has no way to its voice.
"""

import logging
import threading

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
started = threading.Event()


@ha.listen("message", where=lambda message: message.content.startswith("!play"))
def on_play(message):
    ha.send_voice_command(
        discordha.VoiceCommand("music", message.guild.id, message.channel.id, message.content)
    )


def can_join(guild_id):
    try:
        return ha.client_for(guild_id).get_guild(guild_id) is not None
    except discordha.DiscordHAError:
        return False


def play(deliveries):
    for delivery in deliveries:
        can_play = can_join(delivery.guild_id)
        ha.wrap(ha.client.get_partial_messageable(delivery.channel_id)).send(
            f"{'played' if can_play else 'mute'} {delivery.file}"
        )
        delivery.ack()
        logging.info("done with %s.", delivery.file)


@ha.event
def on_ready():
    if not started.is_set():
        started.set()
        threading.Thread(target=play, args=(ha.watch_voice_commands("music"),), daemon=True).start()


if __name__ == "__main__":
    ha.run()
