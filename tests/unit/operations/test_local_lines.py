"""The lines of ``discordha local``, and what it tells of the bot's calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from discordha.errors import DiscordHAError
from discordha.operations.local.acts import Acts
from discordha.operations.local.lines import Line, LineError, parse_line, typed
from discordha.operations.local.prompt import read_script
from discordha.testing.discord.records import Request

NAMES = {"users": {1: "user0"}, "channels": {2: "general"}, "roles": {3: "staff"}}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("!ping  twice ", Line("say", ("!ping  twice",), {})),
        ("helpful words", Line("say", ("helpful words",), {})),
        ("say help", Line("say", ("help",), {})),
        ("/ not a command", Line("say", ("/ not a command",), {})),
        ("/config set what='a = b' n=3", Line("/", ("config", "set"), {"what": "a = b", "n": "3"})),
        ("/roll n=3 rest", LineError),
        ("/roll what='open", LineError),
        ("select colour red 'dark blue'", Line("select", ("colour", "red", "dark blue"), {})),
        ("select colour", LineError),
        ("submit form reason='it is green'", Line("submit", ("form",), {"reason": "it is green"})),
        ("submit 'Your wish' 'What is it?=a = b'", Line("submit", ("Your wish",), {"What is it?": "a = b"})),
        ("submit form other reason=x", LineError),
        ("submit form =x", LineError),
        ("menu 'Show more' @user1", Line("menu", ("Show more", "@user1"), {})),
        ("kill", LineError),
        ("kill r1 r2", LineError),
        ("join the club", LineError),
        ("edit a new 'text", Line("edit", ("a new 'text",), {})),
        ("wait", Line("wait", (), {})),
        ("wait 1.5", Line("wait", ("1.5",), {})),
        ("wait for it", LineError),
        ("wait it", LineError),
        ("# a comment", None),
        ("#", None),
        ("#general is here", Line("say", ("#general is here",), {})),
        ("   ", None),
    ],
)
def test_a_line(text: str, line: Any) -> None:
    if line is LineError:
        with pytest.raises(LineError):
            parse_line(text)
    else:
        assert parse_line(text) == line


def test_a_line_that_means_nothing_names_the_remedy() -> None:
    with pytest.raises(LineError, match=r"write `join`, or `say join the club` to send this as a message"):
        parse_line("join the club")


@pytest.mark.parametrize(
    ("value", "kind", "wanted"),
    [
        ("text", 3, "text"),
        ("12", 4, 12),
        ("twelve", 4, LineError),
        ("true", 5, True),
        ("False", 5, False),
        ("yes", 5, LineError),
        ("1.5", 10, 1.5),
        ("@user0", 6, 1),
        ("#general", 7, 2),
        ("staff", 8, 3),
        ("user0", 8, LineError),
        ("3", 9, 3),
        ("nobody", 9, LineError),
    ],
)
def test_the_type_of_an_option(value: str, kind: int, wanted: Any) -> None:
    if wanted is LineError:
        with pytest.raises(LineError):
            typed(value, kind, NAMES)
    else:
        assert typed(value, kind, NAMES) == wanted


def test_a_script_names_its_first_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "session.txt"
    path.write_text("# one\n\nhello\nkill r0\n")
    assert [(number, line.verb) for number, _, line in read_script(path)] == [(3, "say"), (4, "kill")]
    path.write_text("hello\nkill\n")
    with pytest.raises(DiscordHAError, match=r"session\.txt:2: write `kill REPLICA`"):
        read_script(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DiscordHAError, match="can't be read"):
        read_script(path)


def call(method: str, path: str, body: Any = None, **more: Any) -> Request:
    fields = {"number": 0, "at": 0.0, "replica": "r1", "duplicate": False, "status": 200, **more}
    return Request(method=method, path=f"/api/v10{path}", body=body, **fields)


BUTTONS = [{"type": 1, "components": [{"type": 2, "label": "yes", "custom_id": "vote:yes"}]}]
CALLBACK = "/interactions/5/token/callback"
FOLLOW_UP = "/webhooks/9/token"


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (call("POST", "/channels/2/messages", {"content": "pong"}), "[general] bot (r1): pong"),
        (call("POST", "/channels/2/messages", {"content": "pong"}, duplicate=True), None),
        (call("GET", "/channels/2/messages/3"), None),
        (call("POST", "/channels/2/typing"), None),
        (
            call("POST", "/channels/2/messages", {"embeds": [{"title": "T", "description": "D"}]}),
            "[general] bot (r1): {T | D}",
        ),
        (
            call("POST", "/channels/2/messages", {"content": "?", "components": BUTTONS}),
            "[general] bot (r1): ? [yes (vote:yes)]",
        ),
        (call("PATCH", "/channels/2/messages/3", {"content": "x"}), "[general] bot (r1) edits a message: x"),
        (call("DELETE", "/channels/2/messages/3"), "[general] bot (r1) deletes a message"),
        (
            call("PUT", "/channels/2/messages/3/reactions/%F0%9F%91%8D/@me"),
            "[general] bot (r1) reacts with \N{THUMBS UP SIGN}",
        ),
        (
            call("POST", CALLBACK, {"type": 4, "data": {"content": "secret", "flags": 64}}),
            "[general] bot (r1) answers /roll (only you see it): secret",
        ),
        (call("POST", CALLBACK, {"type": 5}), None),
        (
            call("POST", CALLBACK, {"type": 7, "data": {"content": "new"}}),
            "[general] bot (r1) updates the message of /roll: new",
        ),
        (call("POST", FOLLOW_UP, {"content": "more"}), "[general] bot (r1) follows up /roll: more"),
        (
            call("PATCH", f"{FOLLOW_UP}/messages/@original", {"content": "late"}),
            "[general] bot (r1) answers /roll: late",
        ),
        (
            call("PUT", "/applications/9/commands", [{"name": "a"}, {"name": "b"}]),
            "bot (r1) registers its commands: /a, /b",
        ),
        (call("PATCH", "/guilds/1", {"name": "n"}), "bot (r1) calls PATCH /guilds/1 {'name': 'n'}"),
        (
            call("PATCH", "/guilds/1", status=403),
            "bot (r1): PATCH /guilds/1 was refused with status 403",
        ),
    ],
)
def test_what_the_bot_did(request_: Request, told: str | None) -> None:
    acts = Acts(lambda id: {2: "general"}[id], lambda id: ("general", "/roll") if id == 5 else None)
    acts.read(call("POST", CALLBACK, {"type": 5}))
    act = acts.read(request_)
    assert (str(act) if act is not None else None) == told
