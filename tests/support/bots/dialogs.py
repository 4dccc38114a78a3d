"""Games and dialogs that wait for what others write in their channel, for test_waiting_handlers.py."""

import logging
import os
import time
from pathlib import Path

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
log = logging.getLogger("bot")
words = ha.cache("words", ttl=600)


def says(start):
    return lambda message: message.content.startswith(start)


def gate(message):
    """Blocks the handler until the test opens the gate that the message names."""
    path = Path(os.environ["GATES"]) / message.content.split()[1]
    while not path.exists():
        time.sleep(0.02)


@ha.listen("message", where=says("!game"))
def on_game(message):
    game = message.content.split()[1]
    log.info("game %s begins, attempt %d", game, discordha.current_event().attempt)
    message.channel.send(f"{game}: write words, then end")
    ha.wait_for("message", where=lambda each: each.content == f"end {game}", timeout=60)
    message.channel.send(f"{game}: {' '.join(sorted(key.split('.')[1] for key, _ in words.items(game)))}")


@ha.listen("message", where=says("word "))
def on_word(message):
    _, game, word = message.content.split()
    words.set(f"{game}.{word}", 1)
    message.channel.send(f"{word} counts")


@ha.listen("message", where=says("!dialog"))
def on_dialog(message):
    def answer():
        return ha.wait_for("message", where=lambda each: each.author.id == message.author.id, timeout=60)

    message.channel.send(f"{message.author.name}: colour?")
    colour = answer().content
    message.channel.send(f"{message.author.name}: animal?")
    message.channel.send(f"{message.author.name}: {colour} {answer().content}")


@ha.listen("message", where=says("!ping"))
def on_ping(message):
    message.channel.send(message.content.replace("!ping", "pong"))


@ha.listen("message", where=says("!hold"))
def on_hold(message):
    message.channel.send("holds the channel up")
    gate(message)
    message.channel.send("held")


@ha.listen("message", where=says("!aside"), ordering="none")
def on_aside(message):
    message.channel.send("stands aside")
    gate(message)
    message.channel.send("stood aside")


@ha.listen("message", where=says("!"), ordering="none")
def log_command(message):
    if message.content.startswith("!hold"):
        message.channel.send("logged")


@ha.command(ordering="none")
def wait(interaction, gate_name: str):
    """Waits for a gate."""
    while not (Path(os.environ["GATES"]) / gate_name).exists():
        time.sleep(0.02)
    interaction.response.send_message("waited")


if __name__ == "__main__":
    ha.run()
