"""Answers, and on each event's first attempt dies right behind the send, before the mark.

Handlers that have sent stand together until ``BATCH`` of them do, or the oldest has stood for a second; then
the process kills itself, and each of their events is one that died between send and mark. They are noted in
the file ``LEDGER``, a line of their message's content each. Without ``BATCH`` nothing dies.

``!many n k`` sends a reply, two messages in a loop, a forwarded message, and one with a nonce of its own, and
stops behind the k-th of them.
"""

import logging
import os
import signal
import threading

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
BATCH = int(os.environ.get("BATCH", "0"))
standing = 0
lock = threading.Lock()


def stand(message):
    global standing  # noqa: PLW0603
    if not BATCH or discordha.current_event().attempt > 1:
        return
    with open(os.environ["LEDGER"], "a", encoding="utf-8") as ledger:
        ledger.write(f"{message.content}\n")
    with lock:
        standing += 1
        full = standing >= BATCH
    if not full:
        threading.Event().wait(1.0)
    os.kill(os.getpid(), signal.SIGKILL)


@ha.listen("message", where=lambda message: message.content.startswith("!ping"))
def on_ping(message):
    message.channel.send(message.content.replace("!ping", "pong", 1))
    stand(message)


@ha.listen("message", where=lambda message: message.content.startswith("!many"))
def on_many(message):
    _, number, last = message.content.split()
    done = 0

    def did():
        nonlocal done
        done += 1
        if done == int(last):
            stand(message)

    message.reply(f"reply {number}")
    did()
    for turn in range(2):
        message.channel.send(f"turn {turn} {number}")
        did()
    message.forward(message.channel)
    did()
    message.channel.send(f"own {number}", nonce=f"own-{number}")
    did()


if __name__ == "__main__":
    ha.run()
