"""What would be left if discordha cost nothing: plain discord.py, whose events one thread handles. With etcd
(``DISCORDHA_HA``), that thread claims all events that wait in one transaction, along with the marks of those
before. Nothing is guarded: no order, no second thread, no retry, no views, no counters.
"""

import os
import queue
import threading
import traceback

import discord
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route
from meter import Meter

import discordha
from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.operations import MAX_OPERATIONS
from discordha.coordination.etcd.store import Guarded
from discordha.coordination.node import store_settings

Route.BASE = f"{os.environ['DISCORDHA_API_URL']}/api/v10"
DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(os.environ["DISCORDHA_GATEWAY_URL"])
#: Seconds after which marks leave alone, as discordha's do.
LINGER = 0.003

meter = Meter()
config = discordha.Config.from_env(intents=discord.Intents.all())
client = discord.Client(intents=discord.Intents.all())
waiting: queue.SimpleQueue[discord.Message] = queue.SimpleQueue()


def take(most: int, timeout: float | None) -> list[discord.Message]:
    """What waits, ``most`` events at the most; blocks for the first one."""
    found: list[discord.Message] = []
    try:
        found.append(waiting.get(timeout=timeout))
        while len(found) < most:
            found.append(waiting.get_nowait())
    except queue.Empty:
        pass
    return found


def handle() -> None:
    store = EtcdStore(store_settings(config)) if config.ha else None
    lease = store.grant(600.0, timeout=30.0).id if store is not None else 0
    marks: list[Guarded] = []
    while True:
        messages = take(MAX_OPERATIONS // 2, LINGER if marks else None)
        if store is not None:
            keys = [f"{config.root}e/message/{message.id}" for message in messages]
            claims = [Guarded(key, "version", 0, b"r floor 1", lease) for key in keys]
            answers = store.txn((), [*claims, *marks], timeout=30.0).responses
            marks = [
                Guarded(key, "create_revision", answer.revision, b"d floor 1 0", lease)
                for key, answer in zip(keys, answers, strict=False)
                if answer.succeeded
            ]
        for _ in messages:
            meter.hit()


@client.event
async def on_ready():
    print("discordha ready replica=floor", flush=True)


@client.event
async def on_message(message):
    waiting.put(message)


def work() -> None:
    """An error ends the bot: else whoever measures it would wait for nothing."""
    try:
        handle()
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        os._exit(1)


threading.Thread(target=work, daemon=True).start()
client.run(os.environ["BOT_TOKEN"], log_handler=None)
