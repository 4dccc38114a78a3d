"""The operator's page in a real browser: ``make test-page``. Needs Chromium, so ``make test`` leaves it out.

Frames and screenshots go to ``out/page/``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, TOKEN, Scene
from prefix_proxy import PrefixProxy

from discordha.coordination.gaps.stream import GapState
from discordha.coordination.memory.store import MemoryStore
from discordha.operations.fleet import Fleet
from discordha.operations.http import HttpServer
from discordha.operations.page.routes import PageRoutes
from discordha.testing import WaitTimeout, wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(0)]

OUT = ROOT / "out" / "page"
ATTACK = "!poison </pre><script>window.attacked = 1</script><img src=x onerror='window.attacked = 1'>"
PHONE = {"width": 360, "height": 740}


class Tab:
    """One tab with the page, and everything that it asked for and complained about."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(30_000)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._heard)
        self.page.goto(url)
        self.page.wait_for_selector("#connection.live")

    def _heard(self, message: Any) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def cells(self, body: str) -> list[list[str]]:
        """The texts of a table's rows."""
        read = "rows => rows.map(row => [...row.cells].map(cell => cell.innerText.trim()))"
        return list(self.page.eval_on_selector_all(f"#{body} > tr", read))

    def said(self, part: str) -> None:
        """Waits until the page has said something."""
        self.page.wait_for_function(
            "part => document.querySelector('#said').textContent.includes(part)", arg=part
        )

    def sign_in(self, token: str = TOKEN) -> None:
        self.page.click("#open-sign-in")
        self.page.fill("#operator", "Ada")
        self.page.fill("#token", token)
        self.page.keyboard.press("Enter")

    def confirm(self) -> None:
        self.page.click("#confirm button[value=yes]")

    def shot(self, name: str, **options: Any) -> None:
        OUT.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(OUT / f"{name}.png"), **options)

    def close(self) -> None:
        assert self.complaints == []
        self.context.close()


def shown(tab: Tab) -> dict[str, Any]:
    """What the page shows of what ``discordha status`` tells, in its form."""
    replicas = {
        row[0]: (row[1].split("\n")[0], row[2], [int(part) for part in row[4].split(",") if part.strip()])
        for row in tab.cells("replicas")
    }
    head = tab.page.eval_on_selector_all("#shard-head > th", "cells => cells.map(cell => cell.textContent)")
    hosts = {
        row[0]: {
            name: text
            for name, text in zip(head[1:], row[1:], strict=False)
            if text not in ("\N{EN DASH}", "", "Resign")
        }
        for row in tab.cells("shards")
    }
    etcd = [row[0] for row in tab.cells("etcd")]
    return {"replicas": replicas, "hosts": hosts, "etcd": etcd}


def told(status: dict[str, Any]) -> dict[str, Any]:
    """The same, as the command line tells it."""
    return {
        "replicas": {
            name: (record["state"], record["version"], record["leads"])
            for name, record in status["replicas"].items()
        },
        "hosts": {
            f"{row['shard']}{' (to come)' if row['next'] else ''}": row["hosts"] for row in status["hosts"]
        },
        "etcd": [member["endpoint"] for member in status["etcd"]],
    }


def agree(tab: Tab, scene: Scene, what: Callable[[dict[str, Any]], bool] = lambda status: True) -> None:
    """Waits until page and command line show the same, and that it is what was waited for."""
    seen: dict[str, Any] = {}

    def same() -> bool:
        status = scene.status()
        seen.update(page=shown(tab), told=told(status))
        return what(status) and seen["page"] == seen["told"]

    try:
        wait_for(same, 90, "page and status to agree", interval=0.5)
    except WaitTimeout as error:
        raise AssertionError(f"{error}: {seen}") from None


def ready(count: int) -> Callable[[dict[str, Any]], bool]:
    return lambda status: (
        len(status["replicas"]) == count
        and all(each["state"] == "ready" for each in status["replicas"].values())
    )


def audit(tab: Tab, what: str) -> None:
    """No finding of axe-core that is serious."""
    from axe_playwright_python.sync_playwright import Axe

    # The engine is read from its package, and runs in the page by the debugger: the page's policy stays.
    found = Axe().run(tab.page).response["violations"]
    serious = [
        (each["id"], [node["html"][:200] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == [], what


def test_the_page_agrees_with_status_through_a_kill_a_drain_and_a_reshard(
    browser: Any, scene: Callable[..., Scene]
) -> None:
    fleet = scene(DISCORDHA_SHARD_COUNT="2")
    tab = Tab(browser, fleet.urls[2])
    agree(tab, fleet, ready(3))
    tab.shot("0-ready", full_page=True)

    fleet.fleet[0].kill()
    agree(tab, fleet, ready(2))
    tab.page.wait_for_selector("#incidents li.bad")
    tab.shot("1-killed", full_page=True)
    fleet.fleet[0].start()
    fleet.fleet.wait_ready(60)
    agree(tab, fleet, ready(3))

    tab.sign_in()
    tab.page.wait_for_selector("body.acting")
    drained = fleet.fleet[1].replica_id
    tab.page.click(f"button[aria-label='Drain {drained}']")
    assert "Drain" in tab.page.inner_text("#confirm-text")
    tab.page.keyboard.press("Escape")
    assert fleet.fleet[1].alive, "not without a confirmation"
    tab.page.click(f"button[aria-label='Drain {drained}']")
    tab.confirm()
    tab.said("was asked to drain")
    assert fleet.fleet[1].wait_exit(60) == 0
    agree(tab, fleet, ready(2))
    tab.page.wait_for_function(
        "name => document.querySelector('#incidents').textContent.includes(name + ' has drained')",
        arg=drained,
    )
    tab.shot("2-drained", full_page=True)

    tab.page.click("#reshard")
    tab.page.fill("#confirm-number", "3")
    tab.confirm()
    tab.said("3 shards were asked for")
    agree(tab, fleet, lambda status: status["shards"] == {"count": 3, "next": None})
    tab.shot("3-resharded", full_page=True)
    leader = fleet.status()["leaders"]["0"]
    tab.page.click("button[aria-label='Resign shard 0']")
    tab.confirm()
    tab.said(f"{leader} was asked to resign shard 0")
    assert "by Ada at 127.0.0.1" in fleet.fleet[2].log_text()
    assert TOKEN not in "".join(each.log_text() for each in fleet.fleet)
    assert all(url.startswith((fleet.urls[2], "data:")) for url in tab.asked), "no request leaves the host"
    tab.close()


def test_what_users_wrote_stays_text_and_dead_letters_are_replayed_and_dropped(
    browser: Any, scene: Callable[..., Scene]
) -> None:
    fleet = scene()
    fleet.poison(ATTACK)
    tab = Tab(browser, fleet.urls[0])
    tab.page.click("#letters button:has-text('Show')")
    tab.page.wait_for_selector("#letters pre")
    assert "Sign in" in tab.page.inner_text("#letters pre")
    tab.sign_in("not-the-token-at-all")
    tab.page.wait_for_selector("#sign-in-error:has-text('wrong')")
    tab.page.click("#sign-in-cancel")
    tab.sign_in()
    tab.page.wait_for_selector("body.acting")
    tab.page.click("#letters button:has-text('Show')")
    tab.page.click("#letters button:has-text('Show')")
    tab.page.wait_for_function(
        "() => (document.querySelector('#letters pre') || {}).textContent?.includes('onerror')"
    )
    assert tab.page.evaluate("window.attacked") is None
    assert tab.page.eval_on_selector("#letters pre", "box => box.children.length") == 0
    audit(tab, "a dead letter is open")

    letter = tab.page.inner_text("#letters strong")
    tab.page.fill("#lookup-id", letter.split("/")[1])
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector("#outcome li:has-text('dead by')")
    tab.page.click("#letters button:has-text('Drop')")
    tab.confirm()
    tab.said("is dropped")
    tab.page.wait_for_function("() => document.querySelector('#letters').children.length === 0")
    assert fleet.status()["dead_letters"] == 0
    tab.close()


def test_it_is_readable_by_all_in_both_themes_and_below_a_prefix(
    browser: Any, scene: Callable[..., Scene]
) -> None:
    fleet = scene(DISCORDHA_SHARD_COUNT="3")
    fleet.discord.send(fleet.discord.channel_ids[0], "!later")
    fleet.ping()
    for theme in ("light", "dark"):
        tab = Tab(browser, fleet.urls[0], color_scheme=theme, viewport={"width": 1280, "height": 900})
        tab.page.wait_for_selector("#timers li")
        end = time.monotonic() + float(os.environ.get("PAGE_CURVES", "5"))
        while time.monotonic() < end:
            fleet.ping(30)
        audit(tab, theme)
        tab.shot(theme, full_page=True)
        tab.page.click("#open-sign-in")
        audit(tab, f"{theme}, signing in")
        tab.page.keyboard.press("Escape")
        tab.close()

    phone = Tab(browser, fleet.urls[0], viewport=PHONE, has_touch=True, is_mobile=True)
    width = phone.page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"], "nothing but tables scrolls sideways"
    audit(phone, "phone")
    phone.shot("phone", full_page=True)
    phone.close()

    # By keyboard: the first stop skips the header, and what has the focus keeps it while the page changes.
    keys = Tab(browser, fleet.urls[0])
    keys.page.keyboard.press("Tab")
    assert keys.page.evaluate("document.activeElement.className") == "skip"
    keys.page.focus("#lookup-id")
    before = keys.page.inner_text("#replicas tr td:nth-child(4)")
    keys.page.wait_for_function(
        "before => document.querySelector('#replicas tr td:nth-child(4)').textContent !== before", arg=before
    )
    assert keys.page.evaluate("document.activeElement.id") == "lookup-id"
    keys.close()

    proxy = HttpServer("127.0.0.1:0", PrefixProxy("/ops/my-bot", fleet.urls[0]))
    proxy.start()
    try:
        for path in ("/ops/my-bot/", "/ops/my-bot"):
            tab = Tab(browser, f"http://127.0.0.1:{proxy.port}{path}")
            agree(tab, fleet, ready(3))
            tab.sign_in()
            tab.page.wait_for_selector("body.acting")
            tab.close()
    finally:
        proxy.stop()


def test_gaps_are_shown_while_they_are_caught_up(browser: Any) -> None:
    """And what ends is gone. On a store in memory."""
    store, key = MemoryStore(), "/discordha/v1/bot/g/0/state"
    server = HttpServer("127.0.0.1:0", PageRoutes(lambda: Fleet(store, "/discordha/v1/bot/"), token=None))
    server.start()
    try:
        tab = Tab(browser, f"http://127.0.0.1:{server.port}/", viewport=PHONE)
        tab.page.wait_for_selector("#no-gaps", state="visible")
        gap = GapState(3, since=time.time() - 100, until=time.time() - 40, fetch_since=0.0)
        counts = {"MESSAGE_CREATE": 40, "GUILD_MEMBER_ADD": 2}
        gap = replace(gap, counts=counts, progress={"remaining": 7}, skipped={"channel 5": "forbidden"})
        store.put(key, gap.value())
        tab.page.wait_for_selector("#gaps td")
        (cells,) = tab.cells("gaps")
        assert cells[1].startswith("00:01:00, ")
        assert [cells[0], *cells[2:]] == [
            "0",
            "42",
            "being fetched, 7 sources to go; not to be had: channel 5",
        ]
        audit(tab, "a gap")
        tab.shot("gap", full_page=True)
        store.put(key, replace(gap, fetched=True, skipped={}).value())
        tab.page.wait_for_selector("#gaps td:has-text('being handled')")
        store.put(key, replace(gap, fetched=True, over=True).value())
        tab.page.wait_for_selector("#no-gaps", state="visible")
        tab.close()
    finally:
        server.stop()
        store.close()


def test_through_minutes_of_faults(browser: Any, scene: Callable[..., Scene]) -> None:
    """``PAGE_SECONDS`` of kills, pauses, drains and outages, with a frame of each step in ``out/page/``."""
    seconds = float(os.environ.get("PAGE_SECONDS", "30"))
    fleet = scene(DISCORDHA_SHARD_COUNT="2")
    tab = Tab(browser, fleet.urls[2], viewport={"width": 1280, "height": 900})
    end, step = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        victim = fleet.fleet[step // 3 % 2]
        if step % 3 == 0:
            victim.kill()
            agree(tab, fleet, ready(2))
        elif step % 3 == 1:
            victim.pause()
            wait_for(lambda: len(tab.cells("replicas")) == 2, 60, "the paused one to be gone")
            tab.shot(f"faults-{step:03}-paused")
            victim.resume()
        else:
            victim.drain()
            victim.wait_exit(60)
            agree(tab, fleet, ready(2))
        tab.shot(f"faults-{step:03}")
        if not victim.alive:
            victim.start()
        fleet.fleet.wait_ready(60)
        fleet.ping()
        agree(tab, fleet, ready(3))
        step += 1
    tab.close()


def test_the_screenshots_of_the_docs_are_made_here() -> None:
    """With ``PAGE_SHOTS=1``, ``make screenshots``, the docs get the latest ones."""
    if os.environ.get("PAGE_SHOTS"):
        for theme in ("light", "dark"):
            (ROOT / "docs" / f"page-{theme}.png").write_bytes(Path(OUT / f"{theme}.png").read_bytes())
    assert all((ROOT / "docs" / f"page-{theme}.png").is_file() for theme in ("light", "dark"))
