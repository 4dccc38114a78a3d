"""The operator's page over HTTP, on a store in memory: what it shows, and whom it lets act."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from discordha.coordination.etcd.store import Snapshot
from discordha.coordination.memory.store import MemoryStore
from discordha.errors import StoreUnavailable
from discordha.operations import http
from discordha.operations.fleet import Fleet
from discordha.operations.http import HttpServer
from discordha.operations.page import live, routes
from discordha.operations.page.document import document
from discordha.operations.page.routes import PageRoutes
from discordha.testing import wait_for

ROOT = "/discordha/v1/bot/"
TOKEN = "correct-horse-battery-staple"
PAYLOAD = '{"content": "</pre><script>alert(1)</script>"}'


class CountingStore(MemoryStore):
    """Counts reads, and can hold them up or refuse them."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []
        self.error: Exception | None = None
        self.let_go = threading.Event()
        self.let_go.set()

    def _read(self, what: str) -> None:
        self.reads.append(what)
        self.let_go.wait(10)
        if self.error is not None:
            raise self.error

    def look(self, keys: Sequence[str], **options: Any) -> Snapshot:
        self._read("look")
        return super().look(keys, **options)

    def range(self, prefix: str, **options: Any) -> Snapshot:
        self._read(prefix)
        return super().range(prefix, **options)

    def close(self) -> None:
        self.let_go.set()
        super().close()


class Page:
    """A page that is served, and its store."""

    def __init__(self, token: str | None) -> None:
        self.store = CountingStore()
        self.store.put(f"{ROOT}m/r1", json.dumps({"state": "ready", "unfinished": {"1": 2}}).encode())
        letter = {
            "attempt": 2,
            "error": "it ended",
            "payload": PAYLOAD,
            "history": ["one", "two"],
            "shard": 0,
        }
        self.store.put(f"{ROOT}dead/message/5", json.dumps(letter).encode())
        self.server = HttpServer("127.0.0.1:0", PageRoutes(lambda: Fleet(self.store, ROOT), token=token))
        self.server.start()
        self.url = f"http://127.0.0.1:{self.server.port}/"

    def ask(self, path: str, given: object = None, **headers: str) -> tuple[int, Any]:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None
        if given is not None:
            data = given if isinstance(given, bytes) else json.dumps(given).encode()
            headers = {"Content-Type": "application/json"} | headers
        request = urllib.request.Request(self.url + path, data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                text = error.read()
                return error.code, json.loads(text) if text.startswith(b"{") else text.decode()


@pytest.fixture
def serve() -> Iterator[Callable[..., Page]]:
    pages: list[Page] = []

    def serve(token: str | None = TOKEN) -> Page:
        pages.append(Page(token))
        return pages[-1]

    yield serve
    for page in pages:
        page.server.stop()


class Viewer:
    """Reads a stream of server-sent events."""

    def __init__(self, page: Page) -> None:
        self._answer = urllib.request.urlopen(page.url + "stream", timeout=10)

    def next(self) -> tuple[str, Any]:
        kind = ""
        for line in self._answer:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                return kind, json.loads(value)
        return "end", None

    def close(self) -> None:
        self._answer.close()


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_the_document_is_one_and_allows_nothing_else(serve: Callable[..., Page]) -> None:
    with urllib.request.urlopen(serve().url, timeout=10) as answer:
        text, headers = answer.read().decode(), answer.headers
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", text), "nothing is loaded from elsewhere"
    assert "innerHTML" not in text
    policy = headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    files = {file.name for file in resources.files("discordha.operations.page").iterdir()}
    assert {"page.html", "page.css", "page.js"} <= files
    setup = (Path(__file__).parents[3] / "setup.cfg").read_text()
    data = re.search(r"^discordha.operations.page = (.*)$", setup, re.MULTILINE)
    assert data is not None
    others = {name for name in files if not name.endswith(".py") and name != "__pycache__"}
    assert set(data[1].split(", ")) == others, "the wheel has every file of the page"
    assert document() is document()


def test_a_viewer_gets_the_state_and_a_program_the_same(serve: Callable[..., Page]) -> None:
    page = serve()
    viewer = Viewer(page)
    assert viewer.next() == ("curves", [])
    kind, state = viewer.next()
    assert kind == "status"
    assert state["replicas"]["r1"]["state"] == "ready"
    assert "unfinished" not in state["replicas"]["r1"], "a page needs no more than it shows"
    assert state["dead_letters"] == 1
    assert state["error"] is None
    assert state["can_act"] is True
    status, once = page.ask("api/status")
    assert status == 200
    assert once["replicas"] == state["replicas"]
    viewer.close()
    late = Viewer(page)
    _, curves = late.next()
    assert curves[0]["replicas"].keys() == {"r1"}, "who looks again finds the curves"
    late.close()


def test_any_number_of_viewers_cost_one_read_a_second_and_nobody_none(
    serve: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LINGER", 0.2)
    page = serve()
    viewers = [Viewer(page) for _ in range(10)]
    page.store.reads.clear()
    begun = time.monotonic()
    for _ in range(4):  # the curves, and three states
        for viewer in viewers:
            viewer.next()
    seconds = time.monotonic() - begun
    assert page.store.reads.count(f"{ROOT}m/") <= seconds / live.FLEET_EVERY + 2
    for viewer in viewers:
        viewer.close()

    def at_rest() -> bool:
        reads = len(page.store.reads)
        time.sleep(2 * live.FLEET_EVERY)
        return len(page.store.reads) == reads

    wait_for(at_rest, 20, "the reads to end")
    again = Viewer(page)
    assert [again.next()[0] for _ in range(2)] == ["curves", "status"]
    again.close()


def test_without_etcd_viewers_keep_the_state_and_learn_why(serve: Callable[..., Page]) -> None:
    page = serve()
    viewer = Viewer(page)
    viewer.next()
    viewer.next()
    page.store.error = StoreUnavailable("etcd is away")

    def told() -> bool:
        _, state = viewer.next()
        return state["error"] == "etcd is away" and "r1" in state["replicas"] and state["failing_since"] > 0

    wait_for(told, 10, "the error")
    assert page.ask("api/event?id=5")[0] == 503
    page.store.error = None
    wait_for(lambda: viewer.next()[1]["error"] is None, 10, "etcd again")
    viewer.close()


def test_a_slow_etcd_holds_up_neither_health_nor_the_end(serve: Callable[..., Page]) -> None:
    page = serve()
    page.store.let_go.clear()
    viewer = Viewer(page)
    wait_for(lambda: page.store.reads, 10, "a read")
    assert page.ask("nothing")[0] == 404
    begun = time.monotonic()
    page.server.stop()
    assert time.monotonic() - begun < 5.0
    while viewer.next()[0] != "end":
        pass
    viewer.close()


def test_look_ups_are_shared_and_bounded(serve: Callable[..., Page]) -> None:
    page = serve()
    assert page.ask("api/event?id=message/5") == (
        200,
        [{"event": "message/5", "state": "dead", "replica": "?", "attempt": 2, "at": None}],
    )
    assert page.ask("api/event?id=7")[1] == []
    found = [page.ask(f"api/event?id={number}")[0] for number in range(2 * live.LOOKUPS)]
    assert 429 in found
    assert page.ask("api/event?id=")[0] == 400
    assert page.ask(f"api/event?id={'9' * 400}")[0] == 400
    assert page.ask("api/event?id=%00")[0] == 400


def test_contents_of_dead_letters_need_the_token_where_there_is_one(serve: Callable[..., Page]) -> None:
    page = serve()
    assert page.ask("api/letters")[1][0]["payload"] is None
    _, letter = page.ask("api/letters?id=5")
    assert (letter["payload"], letter["withheld"], letter["history"]) == (None, True, ["one", "two"])
    assert page.ask("api/letters?id=5", **bearer())[1]["payload"] == PAYLOAD
    assert page.ask("api/letters?id=5", **bearer("wrong"))[0] == 401
    assert page.ask("api/letters?id=6", **bearer())[0] == 409
    open_page = serve(None)
    assert open_page.ask("api/letters?id=5")[1]["payload"] == PAYLOAD


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (bearer("wrong"), 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Cookie": f"token={TOKEN}"}, 401),
        ({**bearer(), "Origin": "https://elsewhere.example"}, 403),
        ({**bearer(), "Origin": "null"}, 403),
        ({**bearer(), "Sec-Fetch-Site": "cross-site"}, 403),
        ({**bearer(), "Sec-Fetch-Site": "same-site"}, 403),
        ({**bearer(), "Content-Type": "text/plain"}, 415),
        ({**bearer(), "Content-Type": "application/x-www-form-urlencoded"}, 415),
        (bearer(), 200),
        ({**bearer(), "Origin": "https://ops.example", "X-Forwarded-Host": "ops.example"}, 200),
        ({**bearer(), "Sec-Fetch-Site": "same-origin", "Origin": "https://ops.example"}, 200),
    ],
)
def test_who_may_act(serve: Callable[..., Page], headers: dict[str, str], status: int) -> None:
    page = serve()
    assert page.ask("api/drop", {"event": "5"}, **headers)[0] == status
    assert (page.store.get(f"{ROOT}dead/message/5") is None) == (status == 200)


def test_without_a_token_nobody_acts(serve: Callable[..., Page]) -> None:
    page = serve(None)
    status, found = page.ask("api/drop", {"event": "5"}, **bearer(""))
    assert status == 403
    assert "http_token" in found["error"]


@pytest.mark.parametrize(
    ("action", "given", "status"),
    [
        ("drain", {"replica": "r1"}, 200),
        ("drain", {"replica": "r2"}, 409),
        ("drain", {}, 400),
        ("drain", {"replica": "r1\n"}, 400),
        ("resign", {"shard": 0}, 409),
        ("resign", {"shard": True}, 400),
        ("resign", {"shard": -1}, 400),
        ("reshard", {"count": 2}, 409),
        ("reshard", {"count": 0}, 400),
        ("replay", {"event": "message/5"}, 200),
        ("replay", {"event": 5}, 400),
        ("drop", [], 400),
        ("drop", b"{", 400),
        ("drop", b"[" * 60_000, 400),
        ("format", {}, 404),
    ],
)
def test_actions_check_what_they_get(
    serve: Callable[..., Page], action: str, given: object, status: int
) -> None:
    assert serve().ask(f"api/{action}", given, **bearer())[0] == status


def test_actions_are_logged_with_who_did_them_and_the_token_never(
    serve: Callable[..., Page], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    page = serve()
    name = {"X-Operator": "Ada%0aroot%20did%20it", "X-Forwarded-For": "10.1.2.3"}
    assert page.ask("api/drop", {"event": "5"}, **bearer(), **name)[0] == 200
    assert page.ask("api/drop", {"event": "5"}, **bearer(), **name)[0] == 409
    for _ in range(20):
        page.ask("api/drop", {"event": "5"}, **bearer("almost-" + TOKEN))
    lines = [record.getMessage() for record in caplog.records if "operator's page" in record.getMessage()]
    assert lines[0] == (
        'the operator\'s page: drop {"event": "5"} by Ada?root did it at 127.0.0.1 for 10.1.2.3: '
        "message/5 is dropped"
    )
    assert "failed: there is no dead letter" in lines[1]
    assert len(lines) == 12, "wrong tokens do not fill the log"
    assert TOKEN not in caplog.text


def test_connections_and_viewers_are_bounded(
    serve: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "MAX_VIEWERS", 1)
    monkeypatch.setattr(http, "MAX_CONNECTIONS", 6)
    page = serve()
    viewer = Viewer(page)
    viewer.next()
    assert page.ask("stream")[0] == 503
    idle = [socket.create_connection(("127.0.0.1", page.server.port)) for _ in range(8)]
    for each in idle:
        each.settimeout(0.2)

    wait_for(lambda: any(_ended(each) for each in idle), 10, "one too many to be closed")
    for each in idle:
        each.close()
    wait_for(lambda: _answers(page), 10, "room again")
    viewer.close()


def _ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False


def _answers(page: Page) -> bool:
    try:
        return page.ask("nothing")[0] == 404
    except OSError:
        return False


def test_a_connection_without_a_request_is_closed(
    serve: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "REQUEST_TIMEOUT", 0.3)
    page = serve()
    with socket.create_connection(("127.0.0.1", page.server.port)) as slow:
        slow.settimeout(10)
        slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert slow.recv(1) == b""
