"""The options that commands share, and how they report a result or a failure. Blocks on etcd; no threads."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from discordha.config import bot_id_from_token
from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.endpoints import StoreSettings
from discordha.errors import DiscordHAError
from discordha.operations.fleet import Fleet

__all__ = [
    "bot_name",
    "errors",
    "etcd_options",
    "fail",
    "fleet_command",
    "json_option",
    "open_fleet",
    "say",
    "settings_of",
    "wait_option",
]

_HELP = {
    "endpoints": "etcd's addresses, separated by commas.",
    "name": "The bot's name in etcd; by default its user id, from BOT_TOKEN.",
    "ca_cert": "PEM file of etcd's authority.",
    "cert": "PEM file of the client's certificate.",
    "key": "PEM file of its key.",
    "user": "etcd's user.",
    "password": "Its password; better by the environment.",  # nosec B105
    "timeout": "Seconds to wait for etcd.",
}
_MORE: dict[str, dict[str, Any]] = {
    "endpoints": {"default": "127.0.0.1:2379", "show_default": True},
    "name": {"envvar": "DISCORDHA_NAME"},
    "timeout": {"default": 5.0, "show_default": True, "type": click.FloatRange(min=0.1, max=600)},
}


def fail(message: object) -> NoReturn:
    """Ends the command with one line on standard error and exit status 1."""
    click.echo(f"discordha: {' '.join(str(message).split())}", err=True)
    raise SystemExit(1)


def say(as_json: bool, text: str, **found: Any) -> None:
    """Prints a result, as a sentence or as a JSON object."""
    click.echo(json.dumps(found) if as_json else text)


@contextmanager
def errors() -> Iterator[None]:
    """Ends the command with one line for a ``DiscordHAError``, without a traceback."""
    try:
        yield
    except DiscordHAError as error:
        fail(error)


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--json``, as the argument ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(function)


def wait_option(seconds: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds ``--wait``."""
    text = "Seconds to wait until it is done; 0: do not wait."
    return click.option("--wait", default=seconds, show_default=True, help=text)


def etcd_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say where the bot's etcd is."""
    for name, text in reversed(_HELP.items()):
        variable = f"DISCORDHA_ETCD_{name.upper()}"
        settings = {"envvar": variable, "help": text, **_MORE.get(name, {})}
        function = click.option(f"--{name.replace('_', '-')}", **settings)(function)
    return function


def fleet_command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds etcd's options and ``--json``; the command gets the open fleet in their place, and ``as_json``."""

    @functools.wraps(function)
    def command(**arguments: Any) -> None:
        with open_fleet({name: arguments.pop(name) for name in _HELP}) as fleet:
            function(fleet, **arguments)

    return etcd_options(json_option(command))


def settings_of(options: Mapping[str, Any]) -> StoreSettings:
    """The store's settings, from the options."""
    return StoreSettings(
        endpoints=tuple(part.strip() for part in options["endpoints"].split(",") if part.strip()),
        **{name: options[name] for name in ("ca_cert", "cert", "key", "user", "password", "timeout")},
    )


def bot_name(options: Mapping[str, Any]) -> str | None:
    """The bot's name in etcd; ``None`` if neither an option nor a token tells it."""
    token = os.environ.get("BOT_TOKEN") or os.environ.get("DISCORDHA_TOKEN") or ""
    name = options["name"] or bot_id_from_token(token)
    return str(name) if name else None


@contextmanager
def open_fleet(options: Mapping[str, Any]) -> Iterator[Fleet]:
    """Opens the bot's keys, and closes the connections at the end. Errors end the command."""
    name = bot_name(options)
    if name is None:
        fail("which bot? Give --name, or DISCORDHA_NAME, or BOT_TOKEN")
    with errors():
        store = EtcdStore(settings_of(options))
        try:
            yield Fleet(store, f"/discordha/v1/{name}/")
        finally:
            store.close()
