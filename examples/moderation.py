"""A word filter with strikes, shared by all replicas.

Moderators (with the right to manage messages) keep the list: ``!filter add WORD``, ``!filter remove WORD``,
``!filter list``. A message with a listed word is deleted, even if the word came in by an edit. Each costs a
strike, which lasts for ten minutes; the third costs a time-out.

BOT_TOKEN=... DISCORDHA_ETCD_ENDPOINTS=127.0.0.1:2379 python examples/moderation.py
"""

import contextlib
import logging
import re
from collections.abc import Callable
from datetime import timedelta

import discordha
from discordha import views as discord

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

STRIKES = 3
FORGIVEN_AFTER = 600.0  # seconds
TIMEOUT = timedelta(minutes=10)

ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())

words = ha.cache("words")  # guild -> words
hot_words = ha.cache("words", local=True)  # a local copy, read for each message
strikes = ha.cache("strikes", ttl=FORGIVEN_AFTER)  # guild/user/message -> the event that found the word


def found_in(message: discord.Message) -> list[str]:
    """The listed words in a message."""
    assert message.guild is not None
    listed = hot_words.get(message.guild.id, [])
    said = set(re.findall(r"\w+", message.content.casefold()))
    return [word for word in listed if word in said]


def check(message: discord.Message) -> None:
    """Acts on a message with a listed word. Once, although the message and its edits are events of their own,
    and although an event runs again if its replica dies."""
    found = found_in(message)
    event = discordha.current_event()
    if not found or message.guild is None or event is None:
        return
    user = f"{message.guild.id}/{message.author.id}/"
    this = f"{event.name} {event.identity}"
    if strikes.get_or_set(f"{user}{message.id}", lambda: this) != this:
        return  # another event of the message was first
    count = len(strikes.items(user))
    with contextlib.suppress(discord.NotFound):  # its author, or a replica that has died, was faster
        message.delete()
    message.channel.send(f"{message.author.mention}: please mind your words (strike {count} of {STRIKES})")
    if count >= STRIKES and isinstance(message.author, discord.Member):
        message.author.timeout(TIMEOUT, reason=f"{count} strikes, the last one for {found[0]!r}")
        for key, _ in strikes.items(user):
            strikes.delete(key)


def change(guild_id: int, edit: Callable[[set[str]], set[str]]) -> set[str]:
    """Edits a guild's list, under a lock, since two moderators may edit at once on two replicas."""
    with ha.lock(f"words of {guild_id}", timeout=10):
        listed = edit(set(words.get(guild_id, [])))
        words.set(guild_id, sorted(listed))
    return listed


def command(message: discord.Message) -> None:
    """``!filter add|remove|list [WORD]``."""
    assert message.guild is not None
    guild_id = message.guild.id
    _, action, word, *_ = [*message.content.casefold().split(), "", ""]
    if action == "add" and re.fullmatch(r"\w+", word):
        answer = f"{len(change(guild_id, lambda listed: listed | {word}))} words"
    elif action == "remove" and word:
        answer = f"{len(change(guild_id, lambda listed: listed - {word}))} words"
    elif action == "list":
        answer = ", ".join(words.get(guild_id, [])) or "no words"
    else:
        answer = "!filter add WORD, !filter remove WORD, or !filter list"
    message.channel.send(f"filter: {answer}")


def from_a_member(message: discord.Message) -> bool:
    return message.guild is not None and not message.author.bot


@ha.listen("message", where=from_a_member)
def on_message(message: discord.Message) -> None:
    author = message.author
    if (
        message.content.startswith("!filter ")
        and isinstance(author, discord.Member)
        and message.channel.permissions_for(author).manage_messages
    ):
        command(message)
    else:
        check(message)


# The raw event, which also comes for messages from before this replica's start.
@ha.listen("raw_message_edit", where=lambda payload: from_a_member(payload.message))
def on_edit(payload: discord.RawMessageUpdateEvent) -> None:
    check(payload.message)


if __name__ == "__main__":
    ha.run()
