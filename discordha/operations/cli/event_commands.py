"""The commands about events: dead letters, and who handled one. Block on etcd; no threads."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from discordha.operations.cli.options import etcd_options, fail, json_option, open_fleet, say

__all__ = ["dead_letters", "event"]


@click.group("dead-letters")
def dead_letters() -> None:
    """Events that ended every process that handled them."""


@dead_letters.command("list")
@etcd_options
@json_option
def letters_list(as_json: bool, **options: Any) -> None:
    """All of them."""
    with open_fleet(options) as fleet:
        found = fleet.letters()
    if as_json:
        click.echo(json.dumps([asdict(letter) for letter in found]))
        return
    for letter in found:
        click.echo(f"{letter.event}  attempts {letter.attempts}  last on {letter.replica}: {letter.error}")


@dead_letters.command("show")
@etcd_options
@json_option
@click.argument("event")
def letters_show(event: str, as_json: bool, **options: Any) -> None:
    """One of them, with its payload, as JSON in any case."""
    with open_fleet(options) as fleet:
        letter = fleet.letter(event)
    if letter is None:
        fail(f"there is no dead letter {event!r}; see `discordha dead-letters list`")
    click.echo(json.dumps(asdict(letter), indent=None if as_json else 2))


@dead_letters.command("replay")
@etcd_options
@json_option
@click.argument("event")
def letters_replay(event: str, as_json: bool, **options: Any) -> None:
    """Hand it to the replicas again, as if it were new."""
    with open_fleet(options) as fleet:
        fleet.replay(event)
    say(as_json, f"{event} is given back to the replicas", event=event, replayed=True)


@dead_letters.command("drop")
@etcd_options
@json_option
@click.argument("event")
def letters_drop(event: str, as_json: bool, **options: Any) -> None:
    """Forget it."""
    with open_fleet(options) as fleet:
        if not fleet.drop(event):
            fail(f"there is no dead letter {event!r}; see `discordha dead-letters list`")
    say(as_json, f"{event} is dropped", event=event, dropped=True)


@click.command("event")
@etcd_options
@json_option
@click.argument("identity")
def event(identity: str, as_json: bool, **options: Any) -> None:
    """Who handled an event, when, in which attempt: by its id (a message's, an interaction's, ...), or
    by event/id. Exit status 1 when nobody knows it.
    """
    with open_fleet(options) as fleet:
        found = fleet.events(identity)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found]))
    else:
        for each in found:
            when = f", {datetime.fromtimestamp(each.at, UTC):%Y-%m-%d %H:%M:%S} UTC" if each.at else ""
            click.echo(f"{each.event}: {each.state} by {each.replica}, attempt {each.attempt}{when}")
    if not found:
        fail(f"no event {identity!r} within the retention")
