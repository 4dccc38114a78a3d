"""The lines of ``discordha local``, at its prompt and in its scripts. Pure functions; no threads."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["VERBS", "Line", "LineError", "Verb", "id_of", "parse_line", "typed"]


class LineError(Exception):
    """A line that means nothing; the message says what to write."""


class Verb(NamedTuple):
    """A word that begins a line which is no message.

    :param usage: what follows the word.
    :param least: the number of words that must follow.
    :param most: the number of words that may follow; ``None``: the rest of the line is one text.
    """

    usage: str
    about: str
    least: int = 0
    most: int | None = 0


#: Every line that begins with one of these words is a command; ``say`` sends what would be one.
VERBS: Mapping[str, Verb] = {
    "say": Verb("TEXT", "send a message that begins like a command", 1, None),
    "press": Verb("BUTTON", "press the newest button with this custom id or label", 1, 1),
    "select": Verb("SELECT VALUE...", "choose from the newest select with this custom id or text", 2, 30),
    "submit": Verb(
        "MODAL FIELD=TEXT...", "send the newest modal with this custom id or title; fields likewise", 1, 30
    ),
    "menu": Verb("NAME [USER]", "run a command of the newest message's menu, or of a user's", 1, 2),
    "react": Verb("EMOJI", "react to the newest message", 1, 1),
    "edit": Verb("TEXT", "edit your newest message", 1, None),
    "delete": Verb("", "delete your newest message"),
    "dm": Verb("TEXT", "write to the bot alone", 1, None),
    "as": Verb("USER", "be another user: user0, user1, ..., owner", 1, 1),
    "in": Verb("CHANNEL", "go to another channel: channel0, channel1, ..., or direct", 1, 1),
    "join": Verb("", "a new member joins"),
    "kill": Verb("REPLICA", "kill a replica, such as r1, with SIGKILL", 1, 1),
    "drain": Verb("REPLICA", "have a replica finish its handlers and end", 1, 1),
    "start": Verb("[REPLICA]", "start a replica that has ended, or all of them", 0, 1),
    "status": Verb("", "who runs, who leads"),
    "log": Verb("REPLICA", "the end of a replica's log", 1, 1),
    "wait": Verb("[SECONDS]", "wait; without a number, until the bot has been quiet for a second", 0, 1),
    "expect": Verb(
        "TEXT", "wait until the bot does something with this text; each thing counts once", 1, None
    ),
    "help": Verb("", "show this"),
    "quit": Verb("", "end"),
}


class Line(NamedTuple):
    """A line. ``verb`` is a key of ``VERBS``, or ``/`` for a slash command.

    :param words: what follows the verb: words, or one text; of a slash command, the parts of its name.
    :param options: of a slash command and of a modal, by name.
    """

    verb: str
    words: tuple[str, ...]
    options: Mapping[str, str]


def parse_line(text: str) -> Line | None:
    """The meaning of a line; ``None`` if it is empty or a comment, which begins with ``# ``.

    :raises LineError: says how the line is written.
    """
    text = text.strip()
    if not text or text == "#" or text.startswith("# "):
        return None
    if text.startswith("/") and len(text) > 1 and text[1].isalpha():
        path, options = _options_of(_split(text[1:]))
        return Line("/", path, options)
    first, _, rest = text.partition(" ")
    verb = VERBS.get(first)
    if verb is None:
        return Line("say", (text,), {})
    rest = rest.strip()
    words = ((rest,) if rest else ()) if verb.most is None else _split(rest)
    if len(words) < verb.least or (verb.most is not None and len(words) > verb.most):
        usage = f"{first} {verb.usage}".strip()
        raise LineError(f"write `{usage}`, or `say {text}` to send this as a message")
    if first == "submit":
        fields = [word.partition("=") for word in words[1:]]
        if not all(equals and name for name, equals, _ in fields):
            raise LineError(f"write `submit {verb.usage}`, with quotes around spaces")
        return Line(first, words[:1], {name: value for name, _, value in fields})
    if first == "wait" and words and not _is_seconds(words[0]):
        raise LineError(f"write `wait` with seconds, not {words[0]!r}")
    return Line(first, words, {})


def _options_of(words: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The words without ``=``, and the others by what stands before it.

    :raises LineError: a word without ``=`` follows one with it.
    """
    options: dict[str, str] = {}
    path: list[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name.replace("-", "_").isidentifier():
            options[name] = value
        elif options:
            raise LineError(f"{word!r} is no option: write name=value, with quotes around spaces")
        else:
            path.append(word)
    return tuple(path), options


def _split(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise LineError(f"{text!r}: {str(error).lower()}") from None


def _is_seconds(text: str) -> bool:
    try:
        return 0 <= float(text) < 1e6
    except ValueError:
        return False


def typed(value: str, kind: int, names: Mapping[str, Mapping[int, str]]) -> Any:
    """The value of a slash command's option of Discord's type ``kind``.

    :param names: of users, channels and roles, by id.
    :raises LineError: says what the option takes.
    """
    try:
        if kind == 4:
            return int(value)
        if kind == 10:
            return float(value)
    except ValueError:
        raise LineError(f"{value!r} is no number") from None
    if kind == 5:
        if value.lower() not in ("true", "false"):
            raise LineError(f"write true or false, not {value!r}")
        return value.lower() == "true"
    for number, spaces in _NAMED.items():
        if kind == number:
            return id_of(value, spaces, names)
    return value


#: Where the names of an option's values stand, by its type.
_NAMED = {6: ("users",), 7: ("channels",), 8: ("roles",), 9: ("users", "roles")}


def id_of(value: str, spaces: tuple[str, ...], names: Mapping[str, Mapping[int, str]]) -> int:
    wanted = value.lstrip("@#&")
    for space in spaces:
        for id, name in names[space].items():
            if wanted in (name, str(id)):
                return id
    known = ", ".join(name for space in spaces for name in names[space].values())
    raise LineError(f"there is no {value!r} among {known}")
