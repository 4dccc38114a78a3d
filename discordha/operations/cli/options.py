"""What all commands share: where the bot's etcd is, and how a failure is told. Blocks on etcd; no threads."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from discordha.config import bot_id_from_token
from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.endpoints import StoreSettings
from discordha.errors import DiscordHAError
from discordha.operations.cli.fleet import Fleet

__all__ = ["bot_name", "errors", "etcd_options", "fail", "json_option", "open_fleet", "say", "settings_of"]

_ENV = "DISCORDHA_"


def fail(message: object) -> NoReturn:
    """One line on standard error, exit status 1."""
    click.echo(f"discordha: {' '.join(str(message).split())}", err=True)
    raise SystemExit(1)


@contextmanager
def errors() -> Iterator[None]:
    """One line for each failure, no traceback."""
    try:
        yield
    except DiscordHAError as error:
        fail(error)


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")(function)


def etcd_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say where the bot's etcd is."""
    options = [
        click.option(
            "--endpoints",
            envvar=f"{_ENV}ETCD_ENDPOINTS",
            default="127.0.0.1:2379",
            show_default=True,
            help="etcd's addresses, separated by commas.",
        ),
        click.option(
            "--name",
            envvar=f"{_ENV}NAME",
            help="The bot's name in etcd; by default its user id, from BOT_TOKEN.",
        ),
        click.option("--ca-cert", envvar=f"{_ENV}ETCD_CA_CERT", help="PEM file of etcd's authority."),
        click.option("--cert", envvar=f"{_ENV}ETCD_CERT", help="PEM file of the client's certificate."),
        click.option("--key", envvar=f"{_ENV}ETCD_KEY", help="PEM file of its key."),
        click.option("--user", envvar=f"{_ENV}ETCD_USER", help="etcd's user."),
        click.option(
            "--password", envvar=f"{_ENV}ETCD_PASSWORD", help="Its password; better by the environment."
        ),
        click.option(
            "--timeout",
            envvar=f"{_ENV}ETCD_TIMEOUT",
            type=click.FloatRange(min=0.1, max=600),
            default=5.0,
            show_default=True,
            help="Seconds.",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def settings_of(**options: Any) -> StoreSettings:
    """How to reach etcd, as the options say."""
    return StoreSettings(
        endpoints=tuple(part.strip() for part in options["endpoints"].split(",") if part.strip()),
        ca_cert=options["ca_cert"],
        cert=options["cert"],
        key=options["key"],
        user=options["user"],
        password=options["password"],
        timeout=options["timeout"],
    )


def bot_name(options: dict[str, Any]) -> str | None:
    """The bot's name in etcd; ``None`` when nothing tells it."""
    token = os.environ.get("BOT_TOKEN") or os.environ.get("DISCORDHA_TOKEN") or ""
    name = options["name"] or bot_id_from_token(token)
    return str(name) if name else None


@contextmanager
def open_fleet(options: dict[str, Any]) -> Iterator[Fleet]:
    """The bot's keys; connections are closed at the end, errors end the command."""
    name = bot_name(options)
    if name is None:
        fail("which bot? Give --name, or DISCORDHA_NAME, or BOT_TOKEN")
    with errors():
        store = EtcdStore(settings_of(**options))
        try:
            yield Fleet(store, f"/discordha/v1/{name}/")
        finally:
            store.close()


def say(as_json: bool, text: str, **found: Any) -> None:
    """A result: as a sentence, or as a JSON object."""
    click.echo(json.dumps(found) if as_json else text)
