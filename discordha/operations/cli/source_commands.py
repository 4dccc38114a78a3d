"""The commands about a bot's source. Read files; no etcd, no threads."""

from __future__ import annotations

import json
from pathlib import Path

import click

from discordha.operations.cli.options import json_option
from discordha.operations.lint.linter import files_below, lint_file

__all__ = ["lint"]


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
