"""Each replica keeps the messages that it gets in memory, and repeats them from time to time, many in one."""

import threading

import discord

import discordha

ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
lock = threading.Lock()
kept: list[str] = []


@ha.listen("message", where=lambda message: message.content.startswith("keep "))
def on_kept(message):
    with lock:
        kept.append(message.content.removeprefix("keep "))
    print("kept one\n", end="", flush=True)


@ha.loop(seconds=1.0, scope="every")
def flush():
    with lock:
        said, kept[:] = kept[:], []
    if said:
        ha.guilds[0].text_channels[0].send(f"flushed {' '.join(said)}")


@flush.before_loop
def connect():
    ha.wait_until_ready()


@flush.after_loop
def flush_the_rest():
    if flush.is_being_cancelled():
        flush()


if __name__ == "__main__":
    ha.run()
