"""The command group ``discordha``, and the commands about replicas. They need etcd only, not the bot's code.

Exit status: 0 done; 1 failed, or the answer is no; 2 wrong usage. A failure is one line on standard error.
"""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, NoReturn

import click
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from discordha._version import __version__
from discordha.errors import DiscordHAError
from discordha.operations.cli.event_commands import dead_letters, event, gaps, timers
from discordha.operations.cli.options import (
    bot_name,
    errors,
    etcd_options,
    fail,
    fleet_command,
    json_option,
    open_fleet,
    say,
    settings_of,
    wait_option,
)
from discordha.operations.cli.page_command import page
from discordha.operations.cli.source_commands import lint, local
from discordha.operations.fleet import Fleet

__all__ = ["cli", "status_table"]

_COLUMNS = ("replica", "version", "state", "uptime", "leads", "shards", "waiting", "running", "handled")
#: Columns of a table that goes to a file or a program: no cell is cut, and no line wrapped.
UNCUT = 1_000
_COLOURS = {"ready": "green", "draining": "yellow"}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Run a Discord bot that never goes down.

    \b
    discordha demo                     three replicas on this machine, under faults
    discordha local bot.py             your bot on a local Discord, with a prompt: no token
    discordha run -n 2 bot.py          two replicas on this machine; one that dies is followed at once
    discordha check                    before the first run: is everything in place?
    discordha status --name mybot      replicas, leaders, queues
    discordha drain mybot-7f9c-0       take one replica out

    Options of etcd come from the environment, too: DISCORDHA_ETCD_ENDPOINTS and so on, as for the bot.
    """


@cli.command()
@click.option("--seconds", default=24.0, show_default=True, help="How long, about.")
@click.option("--rate", default=40.0, show_default=True, help="Questions a second.")
@json_option
def demo(seconds: float, rate: float, as_json: bool) -> None:
    """Run three replicas on a local Discord and a local etcd: killed, paused, drained. Needs no token.

    Exit status 1 when an event was lost or repeated.
    """
    from discordha.operations.demo import show

    with errors():
        ok = show(seconds=seconds, rate=rate, as_json=as_json)
    raise SystemExit(0 if ok else 1)


def status_table(status: Mapping[str, Any], error: str | None = None) -> Group:
    """The table of a ``Fleet.status``, and lines below it that a terminal wraps at its width. ``error`` says
    why it is old. An unreadable record shows as ``?``.
    """
    table = Table(title=escape(status["root"]), box=box.SIMPLE_HEAVY, padding=(0, 1, 0, 0))  # fits 80 columns
    for column in _COLUMNS:
        table.add_column(column, overflow="fold")  # a narrow terminal cuts nothing
    for replica, record in sorted(status["replicas"].items()):
        table.add_row(*_row(replica, record))
    lines = [*_facts(status)]
    for replica, record in sorted(status["replicas"].items()):
        lines += [f"{replica}: {reason}" for reason in _list(record.get("reasons"))]
    late = [] if error is None else [Text(f"as it was: {error}", style="red")]
    return Group(table, *map(Text, lines), *late)


def _facts(status: Mapping[str, Any]) -> Iterator[str]:
    """What is true of the whole fleet, one thing a line."""
    for member in status["etcd"]:
        yield f"etcd {_member(member)}"
    shards = status["shards"]
    if shards["count"]:
        to_come = f", {shards['next']} to come" if shards["next"] else ""
        yield f"Shards: {shards['count']}{to_come}"
    if status["identify"] is not None:
        yield "New sessions left: {remaining} of {total}".format_map(status["identify"])
    if status["gaps"]:
        events = sum(sum(gap["counts"].values()) for gap in status["gaps"])
        yield f"Catching up: gaps {len(status['gaps'])}, events so far {events} (discordha gaps)"
    yield f"Dead letters: {status['dead_letters']}"


def _row(replica: str, record: Mapping[str, Any]) -> list[str]:
    queue = record.get("queue")
    queue = queue if isinstance(queue, Mapping) else {}
    state = str(record.get("state", "?"))
    return [
        escape(replica),
        escape(str(record.get("version", "?"))),
        f"[{_COLOURS.get(state, 'red')}]{escape(state)}[/]",
        _uptime(record.get("started")),
        ", ".join(map(str, _list(record.get("leads")))),
        ", ".join(map(str, _list(record.get("shards")))),
        str(_number(queue.get("waiting")) + _number(queue.get("delayed"))),
        str(_number(queue.get("running"))),
        str(_number(record.get("handled"))),
    ]


def _uptime(started: object) -> str:
    if not isinstance(started, int):
        return "?"
    seconds = max(int(time.time()) - started, 0)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _member(member: Mapping[str, Any]) -> str:
    what = member["error"] or f"{member['latency'] * 1000:.1f} ms{', leads' if member['is_leader'] else ''}"
    return f"{member['endpoint']}: {what}"


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


@cli.command()
@fleet_command
def status(fleet: Fleet, as_json: bool) -> None:
    """Show replicas, leaders, etcd and dead letters. Exit status 1 when no replica is ready."""
    found = fleet.status()
    if as_json:
        click.echo(json.dumps(found))
    else:
        _console().print(status_table(found))
    if not found["replicas"]:
        others = ", ".join(fleet.other_bots())
        fail(
            f"no replica of this bot is known below {found['root']}: none runs, or --name is another. "
            f"Bots that have keys here: {others or 'none'}"
        )
    ready = any(record.get("state") == "ready" for record in found["replicas"].values())
    raise SystemExit(0 if ready else 1)


@contextmanager
def _screen() -> Iterator[Callable[[RenderableType], None]]:
    """What shows one status after another: in place on a terminal, else one below the other."""
    console = _console()
    if not console.is_terminal:
        yield console.print
        return
    with Live(console=console, screen=True) as live:
        yield functools.partial(live.update, refresh=True)


def _console() -> Console:
    console = Console()
    if not console.is_terminal:
        console.width = UNCUT
    return console


@cli.command()
@fleet_command
@click.option("--interval", default=1.0, show_default=True, help="Seconds between two looks.")
@click.option("--count", default=0, help="End after this many looks; 0: at Ctrl-C.")
def top(fleet: Fleet, interval: float, count: int, as_json: bool) -> None:
    """Show the status live, in a pipe one table after another; with --json one object a line. Ctrl-C ends
    it.
    """
    pause = threading.Event()
    found = fleet.status()
    looks = 1
    try:
        if as_json:
            click.echo(json.dumps(found))
            while looks != count and not pause.wait(interval):
                looks += 1
                click.echo(json.dumps(fleet.status()))
            return
        with _screen() as show:
            show(status_table(found))
            while looks != count and not pause.wait(interval):
                looks += 1
                error = None
                try:
                    found = fleet.status()
                except DiscordHAError as failure:  # the table stays until etcd is back
                    error = str(failure)
                show(status_table(found, error))
    except KeyboardInterrupt:
        return


@cli.command()
@etcd_options
@json_option
@click.option("--print-role", is_flag=True, help="Print the etcdctl commands that make the bot's user.")
@click.option("--read-only", is_flag=True, help="With --print-role: a user for status, event and the like.")
def check(print_role: bool, read_only: bool, as_json: bool, **options: Any) -> None:
    """Check, before the first run: etcd, its certificates and rights, the Discord token, intents, the session
    budget, the clock, and the versions that would run together. Exit status 1 when a check fails.
    """
    from discordha.operations.cli.checks import checks, role

    if print_role:
        lines = role(bot_name(options) or "NAME", read_only=read_only)
        say(as_json, "\n".join(lines), commands=lines)
        return
    with open_fleet(options) as fleet:
        results = checks(fleet, settings_of(options), os.environ)
    failed = [result for result in results if result.outcome == "fail"]
    if as_json:
        click.echo(json.dumps([asdict(result) for result in results]))
    elif failed == results and all(result.what.startswith("etcd") for result in results):
        fail(results[0].detail)  # nothing else can be checked without etcd
    else:
        console = Console(highlight=False, soft_wrap=True)
        for result in results:
            mark = {"ok": "[green]ok  [/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}[result.outcome]
            console.print(f"{mark} ", end="")
            console.print(f"{result.what}: {result.detail}", markup=False)
    raise SystemExit(1 if failed else 0)


def _wait(done: Callable[[], bool], timeout: float) -> bool:
    pause = threading.Event()
    deadline = time.monotonic() + timeout
    while not done():
        if time.monotonic() >= deadline:
            return False
        pause.wait(0.1)
    return True


@cli.command()
@fleet_command
@click.argument("replica")
@wait_option(60.0)
def drain(fleet: Fleet, replica: str, wait: float, as_json: bool) -> None:
    """Ask a replica to finish its events and end."""
    fleet.drain(replica)
    if wait and not _wait(lambda: replica not in fleet.members(), wait):
        fail(f"{replica} is still there after {wait:g} s")
    text = f"{replica} {'has drained' if wait else 'was asked to drain'}"
    say(as_json, text, replica=replica, drained=bool(wait))


@cli.command()
@fleet_command
@click.option("--shard", default=0, show_default=True)
@wait_option(10.0)
def resign(fleet: Fleet, shard: int, wait: float, as_json: bool) -> None:
    """Ask the leader of a shard to let another replica lead."""
    leader = fleet.resign(shard)
    if leader is None:
        fail(f"no replica leads shard {shard}")
    deadline = time.monotonic() + wait
    while wait and not _wait(lambda: fleet.leaders().get(shard) not in (leader, None), min(wait, 2.0)):
        if time.monotonic() >= deadline:
            fail(f"{leader} still leads shard {shard} after {wait:g} s: is there another replica?")
        # Replicas that have just connected are no candidates while another leads, so it may lead again.
        fleet.resign(shard)
    now = fleet.leaders().get(shard) if wait else None
    text = f"shard {shard}: {leader} resigned, {now} leads" if wait else f"{leader} was asked to resign"
    say(as_json, text, shard=shard, resigned=leader, leads=now)


@cli.command()
@fleet_command
@click.argument("count", type=click.IntRange(1, 999_999))
@wait_option(600.0)
def reshard(fleet: Fleet, count: int, wait: float, as_json: bool) -> None:
    """Change the number of shards while the bot runs.

    The new shards start beside the old ones, and take over when all are ready. Meanwhile, the present number
    calls the change off.
    """
    before, _ = fleet.reshard(count)
    if wait and not _wait(lambda: fleet.shard_counts() == (count, None), wait):
        fail(f"the new shards are not all ready after {wait:g} s; the {before} old ones go on")
    text = f"{count} shards {'serve' if wait else 'were asked for'}, {before} before"
    say(as_json, text, shards=count, before=before)


_ANY: dict[str, Any] = {"ignore_unknown_options": True, "help_option_names": []}


@cli.command(context_settings=_ANY)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(arguments: tuple[str, ...]) -> None:
    """Run a bot on this machine, and follow a replica that dies at once. See discordha run --help."""
    _supervise("run", arguments)


@cli.command(context_settings=_ANY)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def reload(arguments: tuple[str, ...]) -> None:
    """Replace the replicas of a discordha run on this machine, one after another."""
    _supervise("reload", arguments)


def _supervise(command: str, arguments: tuple[str, ...]) -> NoReturn:
    from discordha.operations.cli.run_commands import supervise  # no other command pays for its import

    raise SystemExit(supervise(command, arguments))


cli.add_command(dead_letters)
cli.add_command(event)
cli.add_command(lint)
cli.add_command(local)
cli.add_command(page)
cli.add_command(timers)
cli.add_command(gaps)
