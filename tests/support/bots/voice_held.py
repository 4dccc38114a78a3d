"""Takes voice commands on a thread of its own, and acknowledges each once the file `GATE` is there."""

import logging
import os
import threading
from pathlib import Path

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
gate = Path(os.environ["GATE"])
watching = threading.Event()
look = threading.Event()


@ha.listen("message", where=lambda message: message.content.startswith("!play"))
def on_play(message):
    ha.send_voice_command(
        discordha.VoiceCommand("music", message.guild.id, message.channel.id, message.content)
    )


def play(deliveries):
    for delivery in deliveries:
        print(f"begun {delivery.file}.", flush=True)
        while not gate.exists():
            look.wait(0.01)
        try:
            delivery.ack()
        except discordha.LockLost:
            print(f"lost {delivery.file}.", flush=True)
        else:
            print(f"acknowledged {delivery.file}.", flush=True)
    print("no more commands", flush=True)


@ha.event
def on_ready():
    if not watching.is_set():
        watching.set()
        threading.Thread(target=play, args=(ha.watch_voice_commands("music"),), daemon=True).start()


if __name__ == "__main__":
    ha.run()
