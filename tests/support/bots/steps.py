"""Answers, and stops at a step where a message asks this replica for it: ``!stop <step> <replica> <number>``.

At the step a file ``<replica>.<step>.<number>.at`` appears in ``STEPS``; the bot goes on once
``<replica>.<step>.go`` stands beside it.
The test's own switch: it wraps what lies around a claim, and changes nothing that the library decides.
"""

import logging
import os
import threading
from pathlib import Path

import discord

import discordha
from discordha.coordination.claims.claims import Claims
from discordha.coordination.claims.marks import Marks
from discordha.coordination.claims.records import Claim

logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
STEPS = Path(os.environ["STEPS"])
ME = os.environ["STEP_NAME"]
wanted: dict[str, tuple[str, str]] = {}  # at which step each event is to stop, and its number


def stop_at(step, keys):
    numbers = [wanted[key][1] for key in keys if key in wanted and wanted[key][0] == step]
    for number in numbers:
        (STEPS / f"{ME}.{step}.{number}.at").touch()
    while numbers and not (STEPS / f"{ME}.{step}.go").exists():
        threading.Event().wait(0.01)


def asks(message):
    words = message.content.split()
    if words[:1] == ["!stop"] and words[2] == ME:
        wanted[f"message/{message.id}"] = words[1], words[3]
    return words[:1] in (["!stop"], ["!ping"])


claim, mark = Claims.claim, Marks.make


def slow_claim(self, requests):
    keys = [request.key for request in requests]
    stop_at("before_claim", keys)
    answers = claim(self, requests)
    stop_at("after_claim", [answer.key for answer in answers if isinstance(answer, Claim)])
    return answers


def slow_mark(self, claims, done=None):
    stop_at("before_mark", [claimed.key for claimed in claims])
    mark(self, claims, done)


Claims.claim, Marks.make = slow_claim, slow_mark


@ha.listen("message", where=asks)
def on_question(message):
    stop_at("in_handler", [f"message/{message.id}"])
    content = message.content.replace("!stop", "went on", 1)
    message.channel.send(content.replace("!ping", "pong", 1))


if __name__ == "__main__":
    ha.run()
