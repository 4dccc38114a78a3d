"""The commands about events: dead letters, and what became of an event. Block on etcd; no threads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from discordha.operations.cli.options import fail, fleet_command, say
from discordha.operations.fleet import Fleet

__all__ = ["dead_letters", "event", "gaps", "timers"]


@click.group("dead-letters")
def dead_letters() -> None:
    """Events that ended every process that handled them."""


@dead_letters.command("list")
@fleet_command
def letters_list(fleet: Fleet, as_json: bool) -> None:
    """List all dead letters."""
    found = fleet.letters()
    if as_json:
        click.echo(json.dumps([asdict(letter) for letter in found]))
        return
    for letter in found:
        click.echo(f"{letter.event}  attempts {letter.attempts}  last on {letter.replica}: {letter.error}")


@dead_letters.command("show")
@fleet_command
@click.argument("event")
def letters_show(fleet: Fleet, event: str, as_json: bool) -> None:
    """Show a dead letter with its payload, as JSON in any case. EVENT is the event's id, or event/id."""
    click.echo(json.dumps(asdict(fleet.letter(event)), indent=None if as_json else 2))


@dead_letters.command("replay")
@fleet_command
@click.argument("event")
def letters_replay(fleet: Fleet, event: str, as_json: bool) -> None:
    """Give a dead letter back to the replicas, as a new event. EVENT is the event's id, or event/id."""
    event = fleet.replay(event)
    say(as_json, f"{event} is given back to the replicas", event=event, replayed=True)


@dead_letters.command("drop")
@fleet_command
@click.argument("event")
def letters_drop(fleet: Fleet, event: str, as_json: bool) -> None:
    """Delete a dead letter. EVENT is the event's id, or event/id."""
    event = fleet.drop(event)
    say(as_json, f"{event} is dropped", event=event, dropped=True)


@click.command("event")
@fleet_command
@click.argument("identity")
def event(fleet: Fleet, identity: str, as_json: bool) -> None:
    """Show which replica handled an event, when, and in which attempt.

    IDENTITY is the event's id (a message's, an interaction's, ...), or event/id. Exit status 1 when etcd does
    not know it.
    """
    found = fleet.events(identity)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found]))
    else:
        for each in found:
            when = f", {datetime.fromtimestamp(each.at, UTC):%Y-%m-%d %H:%M:%S} UTC" if each.at else ""
            click.echo(f"{each.event}: {each.state} by {each.replica}, attempt {each.attempt}{when}")
    if not found:
        fail(f"no event {identity!r} within the retention")


@click.command("timers")
@fleet_command
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="How many.")
@click.option("--cancel", metavar="ID", help="Delete this timer instead.")
def timers(fleet: Fleet, limit: int, cancel: str | None, as_json: bool) -> None:
    """List the timers that wait, the next ones first.

    Exit status 1 when there is no timer of the ID to cancel.
    """
    if cancel is not None:
        if not fleet.cancel_timer(cancel):
            fail(f"there is no timer {cancel!r}; see `discordha timers`")
        say(as_json, f"{cancel} is cancelled", timer=cancel, cancelled=True)
        return
    found, count = fleet.timers(limit)
    if as_json:
        click.echo(json.dumps({"count": count, "timers": [asdict(timer) for timer in found]}))
        return
    for timer in found:
        due = datetime.fromtimestamp(timer.due, UTC).isoformat(sep=" ", timespec="seconds")
        click.echo(f"{timer.id}  {due}  {timer.name}  {json.dumps(timer.payload)}")
    click.echo("1 timer waits" if count == 1 else f"{count} timers wait")


@click.command("gaps")
@fleet_command
def gaps(fleet: Fleet, as_json: bool) -> None:
    """List the times in which no replica was connected, and how far they are caught up."""
    found = fleet.gaps()
    if as_json:
        click.echo(json.dumps({"gaps": found}))
        return
    for gap in found:
        since = datetime.fromtimestamp(gap["since"], UTC)
        click.echo(
            f"shard {gap['shard']}  {since.isoformat(sep=' ', timespec='seconds')}  "
            f"{max(gap['until'] - gap['since'], 0.0):.0f} s  {_state_of(gap)}"
        )
        for source, reason in sorted(gap["skipped"].items()):
            click.echo(f"  skipped: {source}: {reason}")
        if gap["missing"]:
            click.echo(f"  missing: {', '.join(gap['missing'])}")
    click.echo("1 gap" if len(found) == 1 else f"{len(found)} gaps")


def _state_of(gap: Mapping[str, Any]) -> str:
    """How far a gap is caught up."""
    count = sum(gap["counts"].values())
    events = f"{count} event" if count == 1 else f"{count} events"
    if gap["over"]:
        return f"over, {events}"
    if gap["fetched"]:
        return f"fetched, being handled: {events}"
    progress = gap["progress"]
    return (
        f"being fetched, {events} so far at {progress.get('rate', 0)} a second; "
        f"sources that remain: {progress.get('remaining', '?')}"
    )
