"""``discordha page``: serves the operator's page from any machine that reaches etcd. Blocks until Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import click

from discordha.config import Config
from discordha.coordination.etcd.client import EtcdStore
from discordha.operations.cli.options import bot_name, errors, etcd_options, fail, settings_of
from discordha.operations.fleet import Fleet

__all__ = ["page"]


@click.command()
@etcd_options
@click.option(
    "--address",
    default="127.0.0.1:8080",
    show_default=True,
    help="host:port to serve it on; :port for all interfaces.",
)
def page(address: str, **options: Any) -> None:
    """Serve the operator's page, as http_address of a replica does, until Ctrl-C.

    DISCORDHA_HTTP_TOKEN allows actions on it to those who know the token; without, it is read-only.
    """
    from discordha.operations.health import HealthRoutes
    from discordha.operations.http import HttpServer
    from discordha.operations.page.routes import PageRoutes

    name = bot_name(options)
    if name is None:
        fail("which bot? Give --name, or DISCORDHA_NAME, or BOT_TOKEN")
    with errors():
        settings = settings_of(options)
        EtcdStore(settings).close()  # a certificate that is missing ends the command, not the first look
        token = os.environ.get("DISCORDHA_HTTP_TOKEN", "").strip() or None
        Config(token="none", ha=False, http_address=address, http_token=token)  # checks both  # nosec B106
        routes = PageRoutes(
            lambda: Fleet(EtcdStore(settings), f"/discordha/v1/{name}/"),
            token=token,
            served_by="discordha page",
        )
        server = HttpServer(address, HealthRoutes(), routes)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    server.start()
    try:
        click.echo(f"the page of {name} is at http://{_shown(address, server.port)}/")
        ended.wait()
    finally:
        server.stop()


def _shown(address: str, port: int) -> str:
    host = address.rpartition(":")[0]
    return f"{host or 'localhost'}:{port}"
