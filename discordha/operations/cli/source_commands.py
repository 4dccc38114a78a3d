"""The commands that take a bot's file: ``lint`` reads it, ``local`` runs it. Need no etcd of the bot's."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from discordha.errors import DiscordHAError
from discordha.operations.cli.options import json_option
from discordha.operations.lint.linter import files_below, lint_file
from discordha.operations.local.prompt import run_local

__all__ = ["lint", "local"]


@click.command("lint")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@json_option
def lint(paths: tuple[Path, ...], as_json: bool) -> None:
    """Find what porting from discord.py leaves behind.

    PATHS are Python files, or folders with such files. Nothing is imported or run. Exit status 1 when
    something is found. A comment `# discordha: ignore[RULE]` on its line silences a finding.
    """
    findings = []
    for path in files_below(paths):
        try:
            findings += lint_file(path)
        except OSError as error:
            raise click.UsageError(f"{path} cannot be read: {error.strerror}") from None
    if as_json:
        click.echo(json.dumps([each._asdict() for each in findings]))
    else:
        for each in findings:
            click.echo(f"{each.path}:{each.line}: {each.rule}: {each.reason}\n    {each.remedy}")
        if not findings:
            click.echo("nothing found")
    if findings:
        raise SystemExit(1)


@click.command("local")
@click.argument("bot", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-n",
    "--replicas",
    type=click.IntRange(1, 16),
    default=3,
    show_default=True,
    help="How many replicas run.",
)
@click.option(
    "--script",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Lines to do instead of those that are typed.",
)
def local(bot: Path, replicas: int, script: Path | None) -> None:
    """Run a bot on a local Discord and etcd, and talk to it. Needs no token.

    Type messages, slash commands, `press CUSTOM_ID`, `kill r1`; `help` lists the rest. The bot takes its
    settings from the environment, as DiscordHA.from_env() does. Exit status 1: a replica ended badly, or a
    line of the script could not be done.
    """
    try:
        done = run_local(bot, replicas, script, os.environ, sys.stdout)
    except DiscordHAError as error:
        click.echo(f"discordha: {error}", err=True)
        done = False
    if not done:
        raise SystemExit(1)
