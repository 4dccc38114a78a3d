"""Says in the first channel of the guild what it handles, and whether that was caught up."""

import logging
import os
import signal
from pathlib import Path

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
REPORTS = int(os.environ["REPORTS"])
#: The first reaction with this emoji, or edit to it, ends its process, right after what it says.
FATAL = "\N{SKULL}"
SURVIVED = Path(os.environ.get("SURVIVED", os.devnull))


def say(what):
    event = discordha.current_event()
    channel = ha.wrap(ha.client.get_partial_messageable(REPORTS))
    late = "late" if event.late_by > 0 else "in-time"
    channel.send(f"seen {what} {'caught-up' if event.caught_up else 'live'} {late}")


def may_die(what):
    """Dies of the first fatal event."""
    if what == FATAL and not SURVIVED.exists():
        SURVIVED.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def is_question(message):
    late_by = discordha.current_event().late_by
    assert (late_by > 0) is discordha.current_event().caught_up
    return message.content.startswith("!ping")


@ha.listen("message", where=is_question)
def on_question(message):
    message.channel.send(message.content.replace("!ping", "pong", 1))


@ha.event
def on_raw_message_edit(payload):
    say(f"edit/{payload.message_id}")
    may_die(payload.data["content"])


@ha.event
def on_member_join(member):
    say(f"join/{member.id}")


@ha.event
def on_thread_create(thread):
    say(f"thread/{thread.id}")


@ha.event
def on_audit_log_entry_create(entry):
    say(f"audit/{entry.id}")


@ha.event
def on_scheduled_event_create(event):
    say(f"event/{event.id}")


@ha.event
def on_raw_reaction_add(payload):
    say(f"reaction/{payload.message_id}")
    may_die(payload.emoji.name)


@ha.event
def on_gap(gap):
    seconds = (gap.until - gap.since).total_seconds()
    say(f"gap/{gap.shard_id}/{','.join(gap.missing)}/{'long' if seconds > 1 else 'short'}/{len(gap.skipped)}")


if __name__ == "__main__":
    ha.run()
