"""The commands of ``discordha``. Each reads or asks by etcd alone; none needs the bot's code.

Exit status: 0 done; 1 it failed, or the answer is no; 2 wrong usage. A failure is one line on standard error.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from discordha._version import __version__
from discordha.errors import DiscordHAError
from discordha.operations.cli.event_commands import dead_letters, event
from discordha.operations.cli.main import supervise
from discordha.operations.cli.options import (
    bot_name,
    errors,
    etcd_options,
    fail,
    json_option,
    open_fleet,
    say,
    settings_of,
)
from discordha.operations.cli.table import status_table

__all__ = ["cli"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Run a Discord bot that never goes down.

    \b
    discordha demo                     three replicas on this machine, tormented
    discordha run -n 2 bot.py          two replicas on this machine; one that dies is followed at once
    discordha check                    before the first run: is everything in place?
    discordha status --name mybot      who runs, who leads, what waits
    discordha drain mybot-7f9c-0       take one replica out

    Options of etcd come from the environment, too: DISCORDHA_ETCD_ENDPOINTS and so on, as for the bot.
    """


@cli.command()
@click.option("--seconds", default=24.0, show_default=True, help="How long, about.")
@click.option("--rate", default=40.0, show_default=True, help="Questions a second.")
@json_option
def demo(seconds: float, rate: float, as_json: bool) -> None:
    """Three replicas on a local Discord and a local etcd: killed, paused, drained. Needs no token.

    Exit status 1 when anything was lost or repeated.
    """
    from discordha.operations.demo import show

    with errors():
        verdict = show(seconds=seconds, rate=rate, as_json=as_json)
    raise SystemExit(0 if verdict.ok else 1)


@cli.command()
@etcd_options
@json_option
def status(as_json: bool, **options: Any) -> None:
    """Replicas, leaders, etcd, dead letters. Exit status 1 when no replica is ready."""
    with open_fleet(options) as fleet:
        found = fleet.status()
    if as_json:
        click.echo(json.dumps(found))
    else:
        Console().print(status_table(found))
    ready = any(record.get("state") == "ready" for record in found["replicas"].values())
    raise SystemExit(0 if ready else 1)


@cli.command()
@etcd_options
@json_option
@click.option("--interval", default=1.0, show_default=True, help="Seconds between two looks.")
@click.option("--count", default=0, help="End after so many looks; 0: at Ctrl-C.")
def top(interval: float, count: int, as_json: bool, **options: Any) -> None:
    """The same as status, live; with --json one object a line. Ctrl-C ends it."""
    pause = threading.Event()
    with open_fleet(options) as fleet:
        found = fleet.status()
        looks = 1
        try:
            if as_json:
                click.echo(json.dumps(found))
                while looks != count and not pause.wait(interval):
                    looks += 1
                    click.echo(json.dumps(fleet.status()))
                return
            with Live(status_table(found), screen=True) as live:
                while looks != count and not pause.wait(interval):
                    looks += 1
                    error = None
                    try:
                        found = fleet.status()
                    except DiscordHAError as failure:  # it is a view: it waits for etcd to come back
                        error = str(failure)
                    live.update(status_table(found, error))
        except KeyboardInterrupt:
            return


@cli.command()
@etcd_options
@json_option
@click.option("--print-role", is_flag=True, help="Print the etcdctl commands that make the bot's user.")
@click.option("--read-only", is_flag=True, help="With --print-role: a user for status, event and the like.")
def check(print_role: bool, read_only: bool, as_json: bool, **options: Any) -> None:
    """Before the first run: etcd, its certificates and rights, the Discord token, intents, the session
    budget, the clock, the versions that would run together. Exit status 1 when anything fails.
    """
    from discordha.operations.cli.check import checks, role

    if print_role:
        lines = role(bot_name(options) or "NAME", read_only=read_only)
        say(as_json, "\n".join(lines), commands=lines)
        return
    with open_fleet(options) as fleet:
        results = checks(fleet, settings_of(**options), os.environ)
    if as_json:
        click.echo(json.dumps([asdict(result) for result in results]))
    elif all(result.outcome == "fail" and result.what.startswith("etcd") for result in results):
        fail(results[0].detail)  # nothing else can be told without it
    else:
        console = Console(highlight=False, soft_wrap=True)
        for result in results:
            mark = {"ok": "[green]ok  [/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}[result.outcome]
            console.print(f"{mark} ", end="")
            console.print(f"{result.what}: {result.detail}", markup=False)
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
@etcd_options
@json_option
@click.argument("replica")
@click.option(
    "--wait", default=60.0, show_default=True, help="Seconds to wait until it is gone; 0: do not wait."
)
def drain(replica: str, wait: float, as_json: bool, **options: Any) -> None:
    """Ask a replica to finish what it does and end."""
    with open_fleet(options) as fleet:
        fleet.drain(replica)
        if wait and not _wait(lambda: replica not in fleet.members(), wait):
            fail(f"{replica} is still there after {wait:g} s")
    text = f"{replica} {'has drained' if wait else 'was asked to drain'}"
    say(as_json, text, replica=replica, drained=bool(wait))


@cli.command()
@etcd_options
@json_option
@click.option("--shard", default=0, show_default=True)
@click.option(
    "--wait", default=10.0, show_default=True, help="Seconds to wait until another leads; 0: do not wait."
)
def resign(shard: int, wait: float, as_json: bool, **options: Any) -> None:
    """Ask the leader of a shard to let another one lead."""
    with open_fleet(options) as fleet:
        leader = fleet.resign(shard)
        if leader is None:
            fail(f"nobody leads shard {shard}")
        deadline = time.monotonic() + wait
        while wait and not _wait(lambda: fleet.leaders().get(shard) not in (leader, None), min(wait, 2.0)):
            if time.monotonic() < deadline:
                # Replicas that have just connected do not stand while another leads: it got it back.
                fleet.resign(shard)
                continue
            fail(f"{leader} still leads shard {shard} after {wait:g} s: is there another replica?")
        now = fleet.leaders().get(shard) if wait else None
    text = f"shard {shard}: {leader} resigned, {now} leads" if wait else f"{leader} was asked to resign"
    say(as_json, text, shard=shard, resigned=leader, leads=now)


@cli.command()
@etcd_options
@click.argument("count", type=click.IntRange(1, 999_999))
@click.option(
    "--wait", default=600.0, show_default=True, help="Seconds to wait until it is done; 0: do not wait."
)
@json_option
def reshard(count: int, wait: float, as_json: bool, **options: Any) -> None:
    """Change the number of shards while the bot runs.

    The new shards start beside the old ones, and take over when all are ready. Asked for the present number
    while that is under way, it is called off.
    """
    with open_fleet(options) as fleet:
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
    raise SystemExit(supervise("run", list(arguments)))


@cli.command(context_settings=_ANY)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def reload(arguments: tuple[str, ...]) -> None:
    """Replace the replicas of a discordha run on this machine, one after another."""
    raise SystemExit(supervise("reload", list(arguments)))


cli.add_command(dead_letters)
cli.add_command(event)
