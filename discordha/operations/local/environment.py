"""The environment of a bot that runs locally, and how its start fails. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from discordha.errors import DiscordHAError

__all__ = ["LocalFailure", "passed_on"]

#: Seconds; short, so that what a killed replica had begun is soon run by another one.
SESSION_TTL = "2.0"
#: Options that a local session sets itself, or that cannot hold for several replicas of one machine.
OWN = ("TOKEN", "API_URL", "GATEWAY_URL", "ETCD_", "REPLICA_ID", "HTTP_ADDRESS", "HA", "NAME")


class LocalFailure(DiscordHAError):
    """A replica does not start; the message has several lines."""


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """The bot's options of this environment, without those that say where Discord and etcd are."""
    found = {
        name: value
        for name, value in environ.items()
        if name.startswith("DISCORDHA_") and not name.removeprefix("DISCORDHA_").startswith(OWN)
    }
    return {"DISCORDHA_SESSION_TTL": SESSION_TTL, **found}
