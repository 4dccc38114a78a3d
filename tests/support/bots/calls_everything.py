"""Makes one call of each kind for ``!go``, and says how it ended; ``/go`` answers."""

import io
import logging

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())


@ha.listen("message", where=lambda message: message.content == "!go")
def on_go(message):
    first = message.channel.send("first")
    message.channel.send("file", file=discord.File(io.BytesIO(b"content"), "name.txt"))
    message.reply("reply")
    assert message.channel.fetch_message(first.id).id == first.id
    message.add_reaction("x")
    first.delete()
    try:
        message.create_thread(name="thread")
    except Exception as error:  # noqa: BLE001 - it is said
        message.channel.send(f"raised {type(error).__name__}")
    message.channel.send("last")


@ha.command(description="Answers")
def go(interaction):
    interaction.response.send_message("answered")


if __name__ == "__main__":
    ha.run()
