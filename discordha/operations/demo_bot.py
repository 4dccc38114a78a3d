"""The demo's bot, where the examples are not at hand: answers ``!ping`` with ``pong``."""

from __future__ import annotations

import logging
from typing import Any

__all__ = ["run"]


def run() -> None:
    """Runs the bot, configured by the environment. Blocks."""
    from discordha import DiscordHA

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    ha = DiscordHA.from_env()

    @ha.listen("message", where=lambda message: message.content.startswith("!ping"))
    def on_ping(message: Any) -> None:
        message.channel.send(message.content.replace("!ping", "pong", 1))

    ha.run()


if __name__ == "__main__":
    run()
