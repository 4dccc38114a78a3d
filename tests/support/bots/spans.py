"""Answers each message, the first attempt after ``SLOW`` seconds, and writes its spans to ``SPANS``, a line
each, by OpenTelemetry's SDK.
"""

import logging
import os
import threading

import discord
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

import discordha


def line_of(span):
    """A span on one line, which a killed process has written whole or not at all."""
    return span.to_json(indent=None) + "\n"


logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
provider = TracerProvider()
out = open(os.environ["SPANS"], "a", buffering=1)  # noqa: SIM115 - until the process ends
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=out, formatter=line_of)))
trace.set_tracer_provider(provider)

ha = discordha.DiscordHA.from_env(intents=discord.Intents.all(), telemetry=True)
tracer = trace.get_tracer("bot")


@ha.event
def on_message(message):
    if not message.content.startswith("!"):
        return
    message.channel.send("thinking")
    if discordha.current_event().attempt == 1:
        threading.Event().wait(float(os.environ.get("SLOW", "0")))
    with tracer.start_as_current_span("answer"):
        message.channel.send(message.content.replace("!ping", "pong", 1))


@ha.event
def on_reaction_add(reaction, user):
    reaction.message.channel.send("seen")


if __name__ == "__main__":
    ha.run()
