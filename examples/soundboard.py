"""A sound board: `/sound horn` plays sounds/horn.* in your voice channel, from any replica.

Every replica takes commands and plays. If you kill the one that plays, another continues at its position.
Needs `pip install "discordha[voice]"`. Run three of these with one token:

BOT_TOKEN=... DISCORDHA_ETCD_ENDPOINTS=127.0.0.1:2379 SOUNDS=sounds python examples/soundboard.py
"""

import logging
import os
from pathlib import Path

import discordha
from discordha import app_commands
from discordha import views as discord

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

SOUNDS = Path(os.environ.get("SOUNDS", "sounds"))
SOUNDS.mkdir(exist_ok=True)
ha = discordha.DiscordHA.from_env(intents=discord.Intents.default())
worker = discordha.VoiceWorker(ha, "soundboard", folder=SOUNDS)


def sounds() -> dict[str, str]:
    return {path.stem: path.name for path in SOUNDS.iterdir() if path.is_file()}


def send(interaction: discord.Interaction, action: str, file: str = "") -> None:
    user = interaction.user
    voice = user.voice if isinstance(user, discord.Member) else None
    if voice is None or voice.channel is None or interaction.guild is None:
        interaction.response.send_message("Join a voice channel first.", ephemeral=True)
        return
    interaction.response.defer(ephemeral=True)  # a worker may need a while
    command = discordha.VoiceCommand("soundboard", interaction.guild.id, voice.channel.id, file, user.id)
    try:
        ha.send_voice_command(command, wait=True, action=action)
        interaction.followup.send("Done.")
    except discordha.VoiceCommandExpired:
        interaction.followup.send("No worker is free.")


@ha.command(description="Plays a sound in your voice channel")
@app_commands.describe(name="which one", over="over the current sound, not after it")
def sound(interaction: discord.Interaction, name: str, over: bool = False) -> None:
    file = sounds().get(name)
    if file is None:
        interaction.response.send_message(f"There is no {name}.", ephemeral=True)
    else:
        send(interaction, "overlay" if over else "play", file)


@sound.autocomplete("name")
def complete_name(interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
    names = sorted(name for name in sounds() if current.lower() in name.lower())
    return [app_commands.Choice(name=name, value=name) for name in names[:25]]


@ha.command(description="Ends the current sound, and empties the queue")
def hush(interaction: discord.Interaction) -> None:
    send(interaction, "stop")


if __name__ == "__main__":
    ha.run()
