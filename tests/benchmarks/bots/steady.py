"""The bot of ``bench_steady``. It keeps nothing: what it handled goes to the file ``RECORD`` at once, three
numbers an event: which one it was, when the gateway thread saw it, when its handler began. ``RAW`` as in
``ha.py``; their times go to a file beside it.
"""

import os
import threading
import time
from array import array
from pathlib import Path

import discord
from raw import transact

import discordha

#: Arrivals that are remembered until the handler begins: of more than a minute at 1,000 a second.
RING = 1 << 16

path = Path(os.environ["RECORD"])
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
arrived = array("d", bytes(8 * RING))
handled = array("d")
raw = array("d")
lock = threading.Lock()  # guards ``handled``


def arrives(message):
    """Asked on the gateway's thread, before anything else happens to the event."""
    if message.content.isdigit():
        arrived[int(message.content) % RING] = time.monotonic()
    return True


@ha.listen("message", where=arrives)
def on_message(message):
    begun = time.monotonic()
    if message.content.isdigit():
        number = int(message.content)
        with lock:
            handled.extend((number, arrived[number % RING], begun))


def write():
    while True:
        with lock:
            records = handled[:]
            del handled[:]
        with path.open("ab") as file:
            records.tofile(file)
        times, count = path.with_suffix(".raw"), len(raw)
        with times.open("ab") as file:
            raw[:count].tofile(file)
        del raw[:count]
        threading.Event().wait(0.25)


if rate := float(os.environ.get("RAW", "0")):
    transact(ha.config, rate, raw)
threading.Thread(target=write, name="record", daemon=True).start()

if __name__ == "__main__":
    ha.run()
