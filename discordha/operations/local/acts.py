"""What the bot did, as lines to read, made from the local Discord's record of its calls.

Reading calls, typing, deferrals and repeated messages make no line. Threads and locks: no lock; one thread
uses an ``Acts``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from discordha.testing.discord.records import Request

__all__ = ["Act", "Acts"]

#: Characters of a body that are shown of a call which has no words of its own.
SHOWN = 160
_CHANNEL = re.compile(r"/channels/(\d+)/messages(?:/(\d+))?(?:/reactions/([^/]+)/@me)?$")
_CALLBACK = re.compile(r"/interactions/(\d+)/([^/]+)/callback$")
_WEBHOOK = re.compile(r"/webhooks/\d+/([^/]+)(?:/messages/(.+))?$")
_COMMANDS = re.compile(r"/applications/\d+/(?:guilds/\d+/)?commands$")
_EPHEMERAL = 64
_MESSAGE, _UPDATE, _MODAL = 4, 7, 9
_QUIET_ANSWERS = (1, 5, 6, 8)


class Act(NamedTuple):
    """One thing that the bot did.

    :param text: without the place and the replica.
    """

    place: str
    replica: str
    text: str

    def __str__(self) -> str:
        place = f"[{self.place}] " if self.place else ""
        return f"{place}bot ({self.replica or '?'}){self.text}"


class Acts:
    """Reads the record.

    :param channel_name: tells a channel's name by its id.
    :param place_of: tells the channel of an interaction by its id, and how the user called it.
    """

    def __init__(
        self, channel_name: Callable[[int], str], place_of: Callable[[int], tuple[str, str] | None]
    ) -> None:
        self._channel_name = channel_name
        self._place_of = place_of
        self._tokens: dict[str, int] = {}  # of the interactions, by token

    def read(self, request: Request) -> Act | None:
        """What a call did; ``None`` when there is nothing to tell."""
        method, path, body = request.method, request.path.removeprefix("/api/v10"), request.body
        callback = _CALLBACK.search(path)
        if callback:
            self._tokens[callback[2]] = int(callback[1])
        if method == "GET" or request.duplicate or path.endswith("/typing"):
            return None
        if request.status >= 400:
            return Act("", request.replica, f": {method} {path} was refused with status {request.status}")
        place, text = self._tell(method, path, body if isinstance(body, dict) else {}, body)
        return Act(place, request.replica, text) if text else None

    def _tell(self, method: str, path: str, fields: Mapping[str, Any], body: Any) -> tuple[str, str]:
        if found := _CALLBACK.search(path):
            return self._answer(int(found[1]), fields)
        if found := _WEBHOOK.search(path):
            return self._follow_up(method, found[1], found[2], fields)
        if found := _CHANNEL.search(path):
            place = self._channel_name(int(found[1]))
            if found[3]:
                verb = "reacts with" if method == "PUT" else "takes back"
                return place, f" {verb} {unquote(found[3])}"
            if method == "POST":
                return place, f": {_content(fields)}"
            if method == "PATCH":
                return place, f" edits a message: {_content(fields)}"
            if method == "DELETE":
                return place, " deletes a message"
        if _COMMANDS.search(path) and method == "PUT" and isinstance(body, list):
            names = ", ".join(f"/{each.get('name')}" for each in body) or "none"
            return "", f" registers its commands: {names}"
        if path == "/users/@me/channels":
            return "", ""
        return "", f" calls {method} {path} {_short(body)}".rstrip()

    def _answer(self, interaction: int, fields: Mapping[str, Any]) -> tuple[str, str]:
        place, what = self._place_of(interaction) or ("", "an interaction")
        kind, data = fields.get("type"), fields.get("data") or {}
        if kind in _QUIET_ANSWERS:
            return place, ""
        if kind == _MODAL:
            inputs = ", ".join(_inputs(data.get("components", ())))
            title, custom_id = data.get("title"), data.get("custom_id")
            return place, f" answers {what} with the modal {title!r} ({custom_id}: {inputs})"
        verb = "answers" if kind == _MESSAGE else "updates the message of"
        return place, f" {verb} {what}{_seen(data)}: {_content(data)}"

    def _follow_up(
        self, method: str, token: str, message: str | None, fields: Mapping[str, Any]
    ) -> tuple[str, str]:
        place, what = self._place_of(self._tokens.get(token, 0)) or ("", "an interaction")
        if method == "DELETE":
            return place, f" deletes its answer to {what}"
        if method == "PATCH" and message != "@original":
            return place, f" edits its follow-up to {what}: {_content(fields)}"
        verb = "follows up" if method == "POST" else "answers"
        return place, f" {verb} {what}{_seen(fields)}: {_content(fields)}"


def _seen(message: Mapping[str, Any]) -> str:
    return " (only you see it)" if int(message.get("flags") or 0) & _EPHEMERAL else ""


def _content(message: Mapping[str, Any]) -> str:
    """A message's text, embeds, files, buttons and selects in one line."""
    parts = [str(message.get("content") or "").replace("\n", "\n    ")]
    for embed in message.get("embeds") or ():
        inside = [embed.get("title"), embed.get("description")]
        inside += [f"{field.get('name')}: {field.get('value')}" for field in embed.get("fields") or ()]
        parts.append("{" + " | ".join(str(each) for each in inside if each) + "}")
    parts += [f"<file {each.get('filename')}>" for each in message.get("attachments") or ()]
    parts += _components(message.get("components") or ())
    return " ".join(part for part in parts if part) or "(nothing)"


def _components(components: Any) -> list[str]:
    found: list[str] = []
    for each in components:
        if each.get("type") == 10:
            found.append(str(each.get("content")))
        elif each.get("custom_id"):
            label = each.get("label") or each.get("placeholder") or ""
            values = "|".join(str(option.get("value")) for option in each.get("options") or ())
            inside = " ".join(part for part in (each["custom_id"], values) if part)
            found.append(f"[{label} ({inside})]" if label else f"[({inside})]")
        elif each.get("url"):
            found.append(f"[{each.get('label')} ({each['url']})]")
        nested = [*(each.get("components") or ())]
        if isinstance(each.get("accessory"), dict):
            nested.append(each["accessory"])
        found += _components(nested)
    return found


def _inputs(components: Any) -> list[str]:
    """The custom ids of a modal's fields."""
    found: list[str] = []
    for each in components:
        if each.get("custom_id"):
            found.append(f"{each['custom_id']}=...")
        inner = each.get("component")
        found += _inputs([*(each.get("components") or ()), *([inner] if inner else [])])
    return found


def _short(body: Any) -> str:
    text = "" if body is None else str(body)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
