"""The protocol of the Go original, reimplemented from its description, on discord.py and threads: for each
event each replica grants a lease and sends one transaction; the winner keeps the lease alive, handles the
event and puts its end; losers watch for that.

Kinder than the original: all losers of a process share one watch, and no keepalive stream stays open.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import discord
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route
from meter import Meter

import discordha
from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.store import Compare, Get, Put
from discordha.coordination.node import store_settings

Route.BASE = f"{os.environ['DISCORDHA_API_URL']}/api/v10"
DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(os.environ["DISCORDHA_GATEWAY_URL"])
LEASE = 10.0
AT_ONCE = 64
ROOT = f"/original/{os.environ['DISCORDHA_NAME']}/"

meter = Meter()
config = discordha.Config.from_env(intents=discord.Intents.all())
store = EtcdStore(store_settings(config))
pool = ThreadPoolExecutor(AT_ONCE)
client = discord.Client(intents=discord.Intents.all())
lost: set[str] = set()


def handle(identity: int) -> None:
    key = f"{ROOT}{identity}"
    lease = store.grant(LEASE)
    won = store.txn((Compare.version(key, 0),), (Put(key, b"running", lease.id),), (Get(key),)).succeeded
    if not won:
        lost.add(key)
        return
    store.keep_alive(lease.id)
    meter.hit()
    store.put(key, b"done", lease=lease.id)


def follow() -> None:
    for batch in store.clone().open_watch(ROOT, 0, lambda: not threading.Event().wait(1.0)):
        for event in batch.events:
            if event.kv.value == b"done":
                lost.discard(event.kv.key)


@client.event
async def on_ready():
    print("discordha ready replica=original", flush=True)


@client.event
async def on_message(message):
    pool.submit(handle, message.id)


threading.Thread(target=follow, daemon=True).start()
client.run(os.environ["BOT_TOKEN"], log_handler=None)
