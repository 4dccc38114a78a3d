"""The same bot on discordha. ``WORK``: seconds that its handler takes. ``RAW``: raw etcd transactions a
second that it makes beside its work, to compare with what a claim adds.
"""

import gc
import os
import threading
import time

import discord
from meter import Meter
from raw import transact

import discordha

meter = Meter()
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
WORK = float(os.environ.get("WORK", "0"))
RAW = float(os.environ.get("RAW", "0"))
arrived: dict[int, float] = {}
added: list[float] = []
raw: list[float] = []


def arrives(message):
    """Asked on the gateway's thread, before anything else happens to the event."""
    arrived[message.id] = time.monotonic()
    return True


@ha.listen("message", where=arrives if RAW else None)
def on_message(message):
    if RAW:
        added.append(time.monotonic() - arrived.pop(message.id))
    if WORK:
        threading.Event().wait(WORK)
    meter.hit()


def ask():
    """How many messages of the watch came so far, and how many changes they told."""
    try:
        node = ha._running().node  # the whole status costs more than what is measured
    except discordha.DiscordHAError:
        return {}
    return {"messages": node.watch.messages, "changes": node.watch.changes}


if os.environ.get("LEADS"):

    @ha.listen("raw_reaction_add")
    def on_reaction(payload):
        meter.hit()


meter.ask = ask
if RAW:
    meter.more = {"added": added, "raw": raw}
    transact(ha.config, RAW, raw)

if os.environ.get("COLLECTOR") == "tuned":
    # What docs/performance.md advises: what is there at the start is looked at no more, the rest seldom.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)

if __name__ == "__main__":
    ha.run()
