"""The commands of ``discordha``. Each reads or asks by etcd alone; none needs the bot's code.

Exit status: 0 done; 1 it failed, or the answer is no; 2 wrong usage.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from discordha._version import __version__
from discordha.config import bot_id_from_token
from discordha.coordination.store import Store, StoreSettings
from discordha.errors import DiscordHAError
from discordha.operations.fleet import Fleet

__all__ = ["cli"]

_ENV = "DISCORDHA_"


def _fail(message: object) -> NoReturn:
    click.echo(f"discordha: {message}", err=True)
    raise SystemExit(1)


@contextmanager
def _errors() -> Iterator[None]:
    """One line for each failure, no traceback."""
    try:
        yield
    except DiscordHAError as error:
        _fail(error)


def _etcd_options(function: Callable[..., Any]) -> Callable[..., Any]:
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
            "--timeout", envvar=f"{_ENV}ETCD_TIMEOUT", default=5.0, show_default=True, help="Seconds."
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _settings(**options: Any) -> StoreSettings:
    return StoreSettings(
        endpoints=tuple(part.strip() for part in options["endpoints"].split(",") if part.strip()),
        ca_cert=options["ca_cert"],
        cert=options["cert"],
        key=options["key"],
        user=options["user"],
        password=options["password"],
        timeout=options["timeout"],
    )


@contextmanager
def _fleet(options: dict[str, Any]) -> Iterator[Fleet]:
    name = options["name"] or bot_id_from_token(os.environ.get("BOT_TOKEN", ""))
    if not name:
        _fail("which bot? Give --name, or DISCORDHA_NAME, or BOT_TOKEN")
    with _errors():
        store = Store(_settings(**options))
        try:
            yield Fleet(store, f"/discordha/v1/{name}/")
        finally:
            store.close()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Run a Discord bot that never goes down.

    \b discordha demo                     three replicas on this machine, tormented discordha check
    before the first run: is everything in place? discordha status --name mybot      who runs, who leads,
    what waits discordha drain mybot-7f9c-0       take one replica out
    """


@cli.command()
@click.option("--seconds", default=24.0, show_default=True, help="How long, about.")
@click.option("--rate", default=40.0, show_default=True, help="Questions a second.")
@click.option("--json", "as_json", is_flag=True, help="The verdict as one JSON object.")
def demo(seconds: float, rate: float, as_json: bool) -> None:
    """Three replicas on a local Discord and a local etcd: killed, paused, drained. Needs no token.

    Exit status 1 when anything was lost or repeated.
    """
    from discordha.operations.demo import show

    with _errors():
        verdict = show(seconds=seconds, rate=rate, as_json=as_json)
    raise SystemExit(0 if verdict.ok else 1)


def _table(status: dict[str, Any]) -> Table:
    table = Table(title=status["root"])
    for column in (
        "replica",
        "version",
        "state",
        "uptime",
        "leads",
        "shards",
        "waiting",
        "running",
        "handled",
    ):
        table.add_column(column)
    for replica, record in sorted(status["replicas"].items()):
        queue = record.get("queue", {})
        state = str(record.get("state", "?"))
        colour = {"ready": "green", "draining": "yellow"}.get(state, "red")
        uptime = int(time.time()) - int(record.get("started", time.time()))
        table.add_row(
            replica,
            str(record.get("version", "?")),
            f"[{colour}]{state}[/]",
            f"{uptime // 3600}:{uptime // 60 % 60:02}:{uptime % 60:02}",
            ", ".join(map(str, record.get("leads", []))),
            ", ".join(map(str, record.get("shards", []))),
            str(queue.get("waiting", 0) + queue.get("delayed", 0)),
            str(queue.get("running", 0)),
            str(record.get("handled", 0)),
        )
    members = []
    for member in status["etcd"]:
        what = (
            member["error"] or f"{member['latency'] * 1000:.1f} ms{', leads' if member['is_leader'] else ''}"
        )
        members.append(f"{member['endpoint']}: {what}")
    table.caption = f"etcd {'; '.join(members)}. Dead letters: {status['dead_letters']}"
    return table


@cli.command()
@_etcd_options
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def status(as_json: bool, **options: Any) -> None:
    """Replicas, leaders, etcd, dead letters. Exit status 1 when no replica is ready."""
    with _fleet(options) as fleet:
        found = fleet.status()
    if as_json:
        click.echo(json.dumps(found))
    else:
        Console().print(_table(found))
    ready = any(record.get("state") == "ready" for record in found["replicas"].values())
    raise SystemExit(0 if ready else 1)


@cli.command()
@_etcd_options
@click.option("--interval", default=1.0, show_default=True, help="Seconds between two looks.")
def top(interval: float, **options: Any) -> None:
    """The same, live. Ctrl-C ends it."""
    pause = threading.Event()
    with _fleet(options) as fleet, Live(_table(fleet.status()), screen=True) as live:
        try:
            while not pause.wait(interval):
                live.update(_table(fleet.status()))
        except KeyboardInterrupt:
            return


@cli.command()
@_etcd_options
@click.option(
    "--print-role", is_flag=True, help="Print the etcdctl commands that make a least-privilege user."
)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def check(print_role: bool, as_json: bool, **options: Any) -> None:
    """Before the first run: etcd, its certificates and rights, the Discord token, intents, the session
    budget.
    """
    from discordha.operations.check import checks, role

    if print_role:
        click.echo(role(options["name"] or bot_id_from_token(os.environ.get("BOT_TOKEN", "")) or "NAME"))
        return
    with _fleet(options) as fleet:
        results = checks(fleet, _settings(**options), os.environ)
    if as_json:
        click.echo(json.dumps([asdict(result) for result in results]))
    else:
        console = Console(highlight=False)
        for result in results:
            mark = {"ok": "[green]ok  [/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}[result.outcome]
            console.print(f"{mark} {result.what}: {result.detail}")
    raise SystemExit(1 if any(result.outcome == "fail" for result in results) else 0)


def _wait(done: Callable[[], bool], timeout: float) -> bool:
    pause = threading.Event()
    deadline = time.monotonic() + timeout
    while not done():
        if time.monotonic() >= deadline:
            return False
        pause.wait(0.1)
    return True


@cli.command()
@_etcd_options
@click.argument("replica")
@click.option(
    "--wait", default=60.0, show_default=True, help="Seconds to wait until it is gone; 0: do not wait."
)
def drain(replica: str, wait: float, **options: Any) -> None:
    """Ask a replica to finish what it does and end."""
    with _fleet(options) as fleet:
        fleet.drain(replica)
        if wait and not _wait(lambda: replica not in fleet.members(), wait):
            _fail(f"{replica} is still there after {wait:g} s")
    click.echo(f"{replica} {'has drained' if wait else 'was asked to drain'}")


@cli.command()
@_etcd_options
@click.option("--shard", default=0, show_default=True)
@click.option(
    "--wait", default=10.0, show_default=True, help="Seconds to wait until another leads; 0: do not wait."
)
def resign(shard: int, wait: float, **options: Any) -> None:
    """Ask the leader of a shard to let another one lead."""
    with _fleet(options) as fleet:
        leader = fleet.resign(shard)
        if leader is None:
            _fail(f"nobody leads shard {shard}")
        deadline = time.monotonic() + wait
        while wait and not _wait(lambda: fleet.leaders().get(shard) not in (leader, None), min(wait, 2.0)):
            if time.monotonic() < deadline:
                # Replicas that have just connected do not stand while another leads: it got it back.
                fleet.resign(shard)
                continue
            _fail(f"{leader} still leads shard {shard} after {wait:g} s: is there another replica?")
        now = fleet.leaders().get(shard)
    click.echo(f"shard {shard}: {leader} resigned, {now} leads" if wait else f"{leader} was asked to resign")


@cli.group("dead-letters")
def dead_letters() -> None:
    """Events that ended every process that handled them."""


@dead_letters.command("list")
@_etcd_options
@click.option("--json", "as_json", is_flag=True)
def letters_list(as_json: bool, **options: Any) -> None:
    """All of them."""
    with _fleet(options) as fleet:
        found = fleet.letters()
    if as_json:
        click.echo(json.dumps([asdict(letter) for letter in found]))
        return
    for letter in found:
        click.echo(f"{letter.event}  attempts {letter.attempts}  last on {letter.replica}: {letter.error}")


@dead_letters.command("show")
@_etcd_options
@click.argument("event")
def letters_show(event: str, **options: Any) -> None:
    """One of them, with its payload, as JSON."""
    with _fleet(options) as fleet:
        letter = fleet.letter(event)
    if letter is None:
        _fail(f"there is no dead letter {event!r}")
    click.echo(json.dumps(asdict(letter), indent=2))


@dead_letters.command("replay")
@_etcd_options
@click.argument("event")
def letters_replay(event: str, **options: Any) -> None:
    """Hand it to the replicas again, as if it were new."""
    with _fleet(options) as fleet:
        fleet.replay(event)
    click.echo(f"{event} is given back to the replicas")


@dead_letters.command("drop")
@_etcd_options
@click.argument("event")
def letters_drop(event: str, **options: Any) -> None:
    """Forget it."""
    with _fleet(options) as fleet:
        if not fleet.drop(event):
            _fail(f"there is no dead letter {event!r}")
    click.echo(f"{event} is dropped")


@cli.command("event")
@_etcd_options
@click.argument("identity")
@click.option("--json", "as_json", is_flag=True)
def event_(identity: str, as_json: bool, **options: Any) -> None:
    """Who handled an event, by its id (a message's, an interaction's, ...). Exit status 1 when nobody
    knows it.
    """
    with _fleet(options) as fleet:
        found = fleet.events(identity)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found]))
    else:
        for each in found:
            click.echo(f"{each.event}: {each.state} by {each.replica}, attempt {each.attempt}")
    if not found:
        _fail(f"no event {identity!r} within the retention")
