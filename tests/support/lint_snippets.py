# ruff: noqa: E501 - a snippet's first lines stay together
"""Snippets for each rule of ``discordha lint``: those that it must find, and right ones. Each follows ``HEAD``."""

from __future__ import annotations

__all__ = ["HEAD", "SNIPPETS"]

HEAD = """\
import asyncio
import time
import discord
import discordha
from discordha import app_commands
ha = discordha.DiscordHA.from_env()
"""

#: By rule: wrong snippets, and right ones.
SNIPPETS: dict[str, tuple[list[str], list[str]]] = {
    "async-def": (
        [
            "@ha.event\nasync def on_message(message): pass",
            "@ha.command()\nasync def ping(interaction): interaction.response.send_message('pong')",
            "class Bot(discordha.DiscordHA):\n    async def on_ready(self): pass",
            "async def helper(channel):\n    await channel.send('x')",
            "@ha.loop(seconds=5)\nasync def tick(): pass",
        ],
        [
            "@ha.event\ndef on_message(message): message.channel.send('x')",
            "class Ask(discord.ui.View):\n    @discord.ui.button()\n    async def yes(self, interaction, button):\n"
            "        await interaction.response.defer()",
            "async def fetch(): return await asyncio.to_thread(print)\n\n"
            "@ha.event\ndef on_message(message): ha.call(fetch())",
            "class Point:\n    @classmethod\n    async def transform(cls, interaction, value): return cls()",
            "class Bot(discordha.DiscordHA):\n    def on_ready(self): print(self.user)",
        ],
    ),
    "leftover-await": (
        [
            "@ha.event\ndef on_message(message):\n    await message.channel.send('x')",
            "@ha.event\ndef on_message(message):\n    async for old in message.channel.history(): print(old)",
            "@ha.event\ndef on_message(message):\n    async with message.channel.typing(): time.sleep(1)",
            "class Bot(discordha.DiscordHA):\n    def on_ready(self):\n        await self.tree.sync()",
            "def helper(message):\n    return [await each.fetch() for each in message.embeds]",
        ],
        [
            "@ha.event\ndef on_message(message): message.channel.send('await')",
            "@ha.event\ndef on_message(message):\n    for old in message.channel.history(): print(old)",
            "@ha.event\ndef on_message(message):\n    with message.channel.typing(): time.sleep(1)",
            "class Ask(discord.ui.Modal):\n    async def on_submit(self, interaction):\n"
            "        await interaction.response.send_message('thanks')",
            "# await nothing\nawaited = 'await x'",
        ],
    ),
    "asyncio-call": (
        [
            "@ha.event\ndef on_message(message): asyncio.sleep(5)",
            "@ha.event\ndef on_message(message): asyncio.gather(message.pin(), message.delete())",
            "@ha.event\ndef on_ready(): ha.client.loop.create_task(work())",
            "from asyncio import create_task as go\n\n@ha.event\ndef on_ready(): go(work())",
            "asyncio.get_event_loop().run_until_complete(main())",
        ],
        [
            "@ha.event\ndef on_message(message): time.sleep(5)",
            "def wait():\n    try:\n        return ha.wait_for('message', timeout=5)\n"
            "    except asyncio.TimeoutError:\n        return None",
            "class Ask(discord.ui.View):\n    @discord.ui.button()\n    async def yes(self, interaction, button):\n"
            "        await asyncio.sleep(1)",
            "class Ask(discord.ui.View):\n    @discord.ui.button()\n    async def yes(self, interaction, button):\n"
            "        await asyncio.to_thread(ha.cache('x').increment, 'y')",
            "import concurrent.futures\n\npool = concurrent.futures.ThreadPoolExecutor()",
        ],
    ),
    "tasks-loop": (
        [
            "from discord.ext import tasks",
            "import discord.ext.tasks",
            "from discord.ext.tasks import loop",
            "from discord.ext import tasks as t\n\n@t.loop(seconds=1)\ndef tick(): pass",
            "def later():\n    from discord.ext import tasks\n    return tasks",
        ],
        [
            "from discordha.ext import tasks",
            "from discordha.ext.tasks import loop",
            "@ha.loop(seconds=5)\ndef tick(): pass",
            "from mybot import tasks",
            "from .ext import tasks",
        ],
    ),
    "ext-commands": (
        [
            "from discord.ext import commands",
            "import discord.ext.commands",
            "from discord.ext.commands import Cog",
            "from discord.ext import commands as c",
            "from discord.ext import tasks, commands",
        ],
        [
            "from discordha.ext import commands",
            "from discordha.ext.commands import Cog",
            "from mybot import commands",
            "from . import commands",
            "@ha.command()\ndef ping(interaction): interaction.response.send_message('pong')",
        ],
    ),
    "discord-client": (
        [
            "client = discord.Client(intents=discord.Intents.all())",
            "class Bot(discord.Client): pass",
            "class Bot(discord.AutoShardedClient): pass",
            "from discord.ext import commands\n\nbot = commands.Bot('!')",
            "from discord import Client\n\nclient = Client()",
        ],
        [
            "bot = discordha.DiscordHA.from_env()",
            "class Bot(discordha.DiscordHA): pass",
            "def name(client: discord.Client): return client.user",
            "isinstance(ha.client, discord.Client)",
            "from discordha.ext import commands\n\nbot = commands.Bot('!')",
        ],
    ),
    "command-tree": (
        [
            "tree = app_commands.CommandTree(ha)",
            "from discord import app_commands as ac\n\ntree = ac.CommandTree(ha.client)",
            "tree = discord.app_commands.CommandTree(ha)",
            "from discord.app_commands import CommandTree\n\ntree = CommandTree(ha)",
            "class Bot(discordha.DiscordHA):\n    def setup_hook(self):\n"
            "        self.commands_of_it = discord.app_commands.CommandTree(self)",
        ],
        [
            "tree = ha.tree",
            "@ha.tree.command()\ndef ping(interaction): interaction.response.send_message('x')",
            "@app_commands.describe(x='a number')\ndef add(interaction, x: int): print(x)",
            "group = app_commands.Group(name='g', description='d')",
            "class Tree: pass\n\ntree = Tree()",
        ],
    ),
    "run-token": (
        [
            "ha.run('token')",
            "import os\n\nha.run(os.environ['TOKEN'])",
            "client = discord.Client()\nclient.run(TOKEN)",
            "mine = discordha.DiscordHA.from_env()\nmine.run('token', log_handler=None)",
            "client.start('token')",
        ],
        [
            "ha.run()",
            "with ha:\n    time.sleep(5)",
            "import subprocess\n\nsubprocess.run('ls')",
            "ha.start()",
            "import threading\n\nthreading.Thread(target=ha.run)",
        ],
    ),
    "client-close": (
        [
            "@ha.event\ndef on_message(message): ha.close()",
            "def end(): client.close()",
            "class Bot(discordha.DiscordHA):\n    def on_message(self, message): self.close()",
            "class Cog:\n    def end(self): self.bot.close()",
            "def end(): bot.logout()",
        ],
        [
            "file = open('x')\nfile.close()",
            "class Store:\n    def close(self): print('closed')\n    def end(self): self.close()",
            "def end(): ha.stop()",
            "def end(database): database.close()",
            "def end(channel): channel.delete()",
        ],
    ),
    "view-wait": (
        [
            "class Ask(discord.ui.View): pass\n\n@ha.event\ndef on_message(message):\n    view = Ask()\n"
            "    message.channel.send(view=view)\n    view.wait()",
            "def ask(channel):\n    view = discord.ui.View()\n    view.wait()",
            "class Form(discord.ui.Modal): pass\n\ndef ask(interaction):\n    form = Form()\n    form.wait()",
            "class Ask(discord.ui.View): pass\n\ndef ask(): Ask().wait()",
            "class Ask(discord.ui.View): pass\nclass More(Ask): pass\n\ndef ask():\n    more = More()\n"
            "    if more.wait(): print('late')",
        ],
        [
            "class Ask(discord.ui.View): pass\n\ndef ask():\n    view = Ask()\n    ha.call(view.wait(), timeout=60)",
            "import threading\n\ndone = threading.Event()\ndone.wait()",
            "def wait(process): process.wait()",
            "class Ask(discord.ui.View):\n    async def on_timeout(self):\n        await Other().wait()\n\n"
            "class Other(discord.ui.View): pass",
            "@ha.component('vote:{choice}')\ndef vote(interaction, choice): print(choice)",
        ],
    ),
    "ui-callback": (
        [
            "class Ask(discord.ui.View):\n    def on_timeout(self): self.stop()",
            "class Form(discord.ui.Modal):\n    def on_submit(self, interaction): interaction.response.defer()",
            "class Yes(discord.ui.Button):\n    def callback(self, interaction): interaction.response.defer()",
            "class Base(discord.ui.View): pass\n\nclass Ask(Base):\n    def interaction_check(self, interaction): return True",
            "def ask(channel):\n    button = discord.ui.Button()\n\n    def yes(interaction): interaction.response.defer()\n\n"
            "    button.callback = yes\n    channel.send(view=discord.ui.View().add_item(button))",
        ],
        [
            "class Ask(discord.ui.View):\n    async def on_timeout(self): self.stop()",
            "class Ask(discord.ui.View):\n    def update(self): self.children[0].disabled = True",
            "class Timer:\n    def on_timeout(self): pass",
            "def ask(channel):\n    button = discord.ui.Button()\n\n    async def yes(interaction):\n"
            "        await asyncio.sleep(1)\n        await interaction.response.defer()\n\n"
            "    button.callback = yes\n    channel.send(view=discord.ui.View().add_item(button))",
            "def later(job):\n    def done(): print('done')\n\n    job.callback = done",
        ],
    ),
    "stored-view": (
        [
            "class Ask(discord.ui.View): pass\n\nclass Bot(discordha.DiscordHA):\n"
            "    def on_ready(self):\n        self.view = Ask()",
            "class Ask(discord.ui.View): pass\n\nclass Bot(discordha.DiscordHA):\n"
            "    def on_message(self, message):\n        self.views[message.id] = Ask()",
            "def ask(state):\n    state.view = discord.ui.View()",
            "def ask(open_views, message):\n    open_views[message.id] = discord.ui.View()",
            "class Form(discord.ui.Modal): pass\n\ndef ask(user, forms):\n    forms[user.id] = Form()",
        ],
        [
            "class Ask(discord.ui.View): pass\n\ndef ask(channel):\n    view = Ask()\n    channel.send(view=view)",
            "class Ask(discord.ui.View): pass\n\nha.add_view(Ask())",
            "class Ask(discord.ui.View):\n    def __init__(self):\n        super().__init__()\n"
            "        self.next = Other()\n\nclass Other(discord.ui.View): pass",
            "def ask(channel): channel.send(view=discord.ui.View())",
            "def note(state, message): state.last = message.id",
        ],
    ),
    "replica-state": (
        [
            "counts = {}\n\n@ha.event\ndef on_message(message): counts[message.author.id] = 1",
            "total = 0\n\n@ha.event\ndef on_message(message):\n    global total\n    total += 1",
            "from collections import defaultdict\n\nseen = defaultdict(list)\n\n@ha.event\n"
            "def on_message(message): seen[message.channel.id].append(message.id)",
            "class Bot(discordha.DiscordHA):\n    def on_message(self, message): self.count += 1",
            "import itertools\n\nnumbers = itertools.count()\n\ndef number(): return next(numbers)",
        ],
        [
            "WORDS = {'a', 'b'}\n\n@ha.event\ndef on_message(message): print(message.content in WORDS)",
            "counts = ha.cache('counts')\n\n@ha.event\ndef on_message(message): counts.increment('all')",
            "found = []\n\ndef words(text):\n    found = []\n    found.append(text)\n    return found",
            "kept = []  # discordha: ignore[replica-state]\n\n@ha.event\ndef on_message(message): kept.append(1)",
            "class Bot(discordha.DiscordHA):\n    def __init__(self, **options):\n"
            "        super().__init__(**options)\n        self.role = 5\n    def on_ready(self): print(self.role)",
        ],
    ),
    "cooldown": (
        [
            "from discord import app_commands\n\n@app_commands.checks.cooldown(1, 5.0)\ndef ping(i): pass",
            "from discordha.ext import commands\n\nslow = commands.CooldownMapping.from_cooldown(1, 5, commands.BucketType.user)\n\n"
            "@ha.event\ndef on_message(message):\n    if not slow.get_bucket(message).update_rate_limit(): print('quick')",
            "from discord.ext import commands\n\n@commands.cooldown(1, 5)\ndef ping(ctx): pass",
            "from discord.ext import commands\n\n@commands.max_concurrency(1)\ndef ping(ctx): pass",
            "from discord.app_commands import checks\n\n@checks.dynamic_cooldown(lambda i: None)\ndef ping(i): pass",
        ],
        [
            "from discordha.ext import commands\n\n@commands.cooldown(1, 5)\ndef ping(ctx): pass",
            "from discordha import app_commands\n\n@app_commands.checks.cooldown(1, 5)\ndef ping(i): pass",
            "if ha.cache('pings', ttl=5).increment('x') > 1: print('slow down')",
            "@ha.command()\n@app_commands.checks.has_role(5)\ndef ping(interaction): pass",
            "def cooldown(seconds): return seconds\n\ncooldown(5)",
        ],
    ),
    "swallowed-loss": (
        [
            "def tell(channels):\n    for channel in channels:\n        try:\n            channel.send('x')\n"
            "        except Exception:\n            pass",
            "def wait():\n    while True:\n        try:\n            ha.wait_for('message')\n        except:\n"
            "            continue",
            "def tell(channels):\n    for channel in channels:\n        try:\n            channel.send('x')\n"
            "        except (ValueError, Exception) as error:\n            print(error)",
            "def tell(channel):\n    while True:\n        try:\n            channel.send('x')\n"
            "        except BaseException:\n            time.sleep(1)",
            "def tell(channels):\n    for channel in channels:\n        if channel:\n            try:\n"
            "                channel.send('x')\n            except Exception as error:\n                print(error)",
        ],
        [
            "def tell(channels):\n    for channel in channels:\n        try:\n            channel.send('x')\n"
            "        except discord.HTTPException:\n            pass",
            "def tell(channels):\n    for channel in channels:\n        try:\n            channel.send('x')\n"
            "        except discordha.LockLost:\n            raise\n        except Exception:\n            pass",
            "def tell(channel):\n    try:\n        channel.send('x')\n    except Exception:\n        print('no')",
            "def tell(channels):\n    for channel in channels:\n        try:\n            channel.send('x')\n"
            "        except Exception:\n            raise",
            "def tell(channels):\n    for channel in channels:\n        try:\n            channel.send('x')\n"
            "        except Exception as error:\n            print(error)\n            break",
        ],
    ),
}
