"""Says what it handles; SIGUSR1 takes its right to start threads, as a limit of processes does, SIGUSR2 gives
it back.
"""

import logging
import os
import resource
import signal

import discord

import discordha
from discordha.process import threads

#: Of nobody: root's processes have no limit.
NOBODY = 65534

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
threads.GIVE_UP_AFTER = float(os.environ["GIVE_UP_AFTER"])


@ha.event
def on_message(message):
    if message.content.startswith("!ping"):
        message.channel.send(message.content.replace("!ping", "pong"))


def take(number, frame):
    resource.setrlimit(resource.RLIMIT_NPROC, (0, hard))
    if os.getuid() == 0:
        os.setresuid(NOBODY, NOBODY, 0)


def give_back(number, frame):
    if os.getuid() == NOBODY:
        os.setresuid(0, 0, 0)
    resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, take)
    signal.signal(signal.SIGUSR2, give_back)
    ha.run()
