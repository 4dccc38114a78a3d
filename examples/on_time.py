"""Reminders, a post at nine, points that are written in one go, and what replicas tell each other.

BOT_TOKEN=... DISCORDHA_ETCD_ENDPOINTS=127.0.0.1:2379 NEWS=CHANNEL_ID python examples/on_time.py
Without a token: NEWS=0 discordha local examples/on_time.py
"""

import datetime
import logging
import os
import threading
from collections import Counter
from typing import Any
from zoneinfo import ZoneInfo

import discordha
from discordha import app_commands
from discordha import views as discord

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
NINE = datetime.time(9, tzinfo=ZoneInfo("Europe/Berlin"))
NEWS = int(os.environ["NEWS"])
STEP = 10
totals = ha.cache("points")
ha.add_event("level_up", ("channel", "user", "points"))
lock = threading.Lock()  # guards ``fresh``
fresh: Counter[tuple[int, int]] = Counter()  # discordha: ignore[replica-state]


@ha.loop(time=NINE)  # once a day over all replicas
def good_morning() -> None:
    channel = ha.get_channel(NEWS)
    if isinstance(channel, discord.TextChannel):
        channel.send("Good morning!")


# -- a reminder outlives every replica -----------------------------------------------------------------------


@ha.command(description="Reminds you of something")
@app_commands.describe(seconds="in how many seconds", what="of what")
def remind(interaction: discord.Interaction, seconds: app_commands.Range[int, 1], what: str) -> None:
    payload = {"channel": interaction.channel_id, "user": interaction.user.id, "what": what}
    ha.schedule(seconds, "reminder", payload)
    interaction.response.send_message(f"in {seconds} s")


@ha.timer("reminder")
def reminder(payload: dict[str, Any]) -> None:
    event = discordha.current_event()
    late = f" (late by {event.late_by:.0f} s)" if event is not None and event.late_by else ""
    channel: Any = ha.get_channel(payload["channel"])
    channel.send(f"<@{payload['user']}>: {payload['what']}{late}")


# -- a point for each message; each replica writes what it has counted ---------------------------------------


@ha.listen("message", where=lambda message: not message.author.bot)
def count(message: discord.Message) -> None:
    with lock:
        fresh[message.channel.id, message.author.id] += 1


def write() -> None:
    with lock:
        written = dict(fresh)
        fresh.clear()
    for (channel, user), points in written.items():
        total = int(totals.increment(str(user), points))
        if total // STEP > (total - points) // STEP:
            ha.dispatch("level_up", channel, user, total)


@ha.loop(seconds=1, scope="every")
def flush() -> None:
    write()


@flush.after_loop
def flush_the_rest() -> None:  # after the last handler of a replica that drains
    write()


@ha.on_broadcast("flush")
def flush_now(payload: None) -> None:
    write()


@ha.listen("level_up")  # on one replica
def congratulate(channel: int, user: int, points: int) -> None:
    place: Any = ha.get_channel(channel)
    place.send(f"<@{user}> has {points} points")


# -- what all replicas know together -------------------------------------------------------------------------


@ha.on_ask("guilds")
def guilds(payload: None) -> dict[str, int]:
    return {str(guild.id): guild.member_count or 0 for guild in ha.guilds}


@ha.command(description="The members of all guilds, over all shards")
def members(interaction: discord.Interaction) -> None:
    ha.broadcast("flush")
    answers = ha.ask_all("guilds", timeout=2.0)
    found = {guild: number for each in answers.values() for guild, number in each.items()}
    text = f"{sum(found.values())} members in {len(found)} guilds, says each of {len(answers)} replicas"
    if answers.missing:
        text += f"; no answer from {', '.join(answers.missing)}"
    interaction.response.send_message(text)


if __name__ == "__main__":
    ha.run()
