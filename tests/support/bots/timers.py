"""Says which timers fire, in which attempt, and how late; a message can set one, too."""

import logging

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())


@ha.timer("note")
def note(payload):
    event = discordha.current_event()
    # In one write: other threads print, too.
    print(f"fired {payload} {event.attempt} {event.late_by:.1f}\n", end="", flush=True)


@ha.timer("remind")
def remind(payload):
    ha.get_channel(payload["channel"]).send(f"remember {payload['what']}")


@ha.listen("message", where=lambda message: message.content.startswith("!remind "))
def on_remind(message):
    what = message.content.removeprefix("!remind ")
    timer = ha.schedule(0.5, "remind", {"channel": message.channel.id, "what": what})
    if what.startswith("nothing"):
        assert ha.unschedule(timer)
        assert not ha.unschedule(timer)
    message.channel.send(f"will remind of {what}")


if __name__ == "__main__":
    ha.run()
