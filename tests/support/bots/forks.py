"""Forks children in handlers; ``!shutdown`` stops the bot in a wrong way."""

import logging
import multiprocessing
import threading
import time

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
forking = multiprocessing.get_context("fork")


def square(number):
    return number * number


@ha.listen("message", where=lambda message: message.content == "!pool")
def on_pool(message):
    with forking.Pool(2) as pool:  # its end terminates the workers
        answer = pool.map(square, [3])
    message.channel.send(f"pool {answer}")


@ha.listen("message", where=lambda message: message.content == "!child")
def on_child(message):
    child = forking.Process(target=time.sleep, args=(600,))
    child.start()
    child.terminate()
    child.join(5)
    message.channel.send(f"child {child.exitcode}")


@ha.listen("message", where=lambda message: message.content == "!daemon")
def on_daemon(message):
    child = forking.Process(target=time.sleep, args=(600,), daemon=True)
    child.start()
    message.channel.send(f"daemon {child.pid}")


@ha.listen("message", where=lambda message: message.content.startswith("!wrong "))
def on_wrong(message):
    name = message.content.split()[1]
    found = "nothing"
    try:
        {"stop": ha.stop, "run": ha.run}[name]()
    except discordha.DiscordHAError as error:
        found = str(error)
    message.channel.send(f"wrong {name}: {found}")


@ha.listen("message", where=lambda message: message.content == "!thread")
def on_thread(message):
    found = []

    def run():
        try:
            ha.run()
        except discordha.DiscordHAError as error:
            found.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(5)
    message.channel.send(f"thread {found}")


if __name__ == "__main__":
    ha.run()
