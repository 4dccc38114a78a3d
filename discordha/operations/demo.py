"""``discordha demo``: three replicas of a bot on a local Discord and a local etcd, killed, paused and drained
while users talk. Ends with a verdict from outside: the users' questions against the bot's answers. Run as a
program, this module is the bot.

Threads and locks: everything runs on the calling thread; the replicas, etcd and Discord are processes.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.endpoints import StoreSettings
from discordha.coordination.membership.formats import reading
from discordha.errors import DiscordHAError

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Demo", "run_bot", "show"]

_LINE = (
    "sent {sent}, answered {answered}, lost {lost}, repeated {repeated}, longest gap {longest_gap:.2f} s, "
    "latency p50 {latency_p50:.3f} s, p99 {latency_p99:.3f} s"
)
#: Seconds; short, so that the demo shows the end of a session.
DEMO_SESSION_TTL = 2.0


class Demo:
    """One run.

    :param seconds: how long users talk, about.
    :param rate: questions a second.
    :param tell: prints a line about the next step.
    :param refresh: called several times a second.
    """

    def __init__(
        self, seconds: float, rate: float, tell: Callable[[str], None], refresh: Callable[[Demo], None]
    ) -> None:
        self._seconds = seconds
        self._rate = rate
        self._tell = tell
        self._refresh = refresh
        self._step = ("starting", -1)  # and the replica that it is done to

    def run(self) -> dict[str, Any]:
        """Runs the demo and returns its numbers, with times in seconds. Blocks.

        :raises DiscordHAError: a part did not start; the error says which package to install.
        """
        try:
            from discordha.testing import LocalDiscord, LocalEtcd, Replicas
        except ImportError as error:
            raise DiscordHAError(
                f"the demo needs more: pip install 'discordha[testing,operations]' ({error})"
            ) from None
        environment = {
            "DISCORDHA_INTENTS": "all",
            "DISCORDHA_NAME": "demo",
            "DISCORDHA_SESSION_TTL": str(DEMO_SESSION_TTL),
        }
        with ExitStack() as ends:
            self._tell("starting a local etcd and a local Discord")
            etcd = ends.enter_context(LocalEtcd())
            discord = self._discord = ends.enter_context(LocalDiscord())
            self._tell("starting three replicas of a bot that answers !ping with pong")
            started = Replicas(
                __name__,
                3,
                etcd=etcd,
                env=environment,
                per_replica_env=lambda index: discord.env(f"r{index}"),
            )
            self._fleet = ends.enter_context(started)
            self._store = EtcdStore(StoreSettings(tuple(etcd.endpoints)))
            ends.callback(self._store.close)
            self._fleet.wait_ready(60)
            self._begun = time.monotonic()
            self._load = discord.load(rate=self._rate)
            self._inject_faults()
            self._step = ("the last answers", -1)
            sent = self._load.stop()
            self._wait(15.0, lambda: len(self._pongs()) >= len(sent))
            return self._verdict()

    def _inject_faults(self) -> None:
        part = self._seconds / 8
        first, second, third = self._fleet
        longer = f"for longer than its session lasts ({DEMO_SESSION_TTL:g} s)"

        def drain() -> None:
            third.drain()
            self._wait(30.0, lambda: not third.alive)

        self._step = ("no faults", -1)
        self._wait(part)
        for text, replica, action, seconds in (
            ("killed (SIGKILL)", 0, first.kill, part),
            ("started again", 0, first.start, part),
            (f"paused (SIGSTOP), {longer}", 1, second.pause, max(part, DEMO_SESSION_TTL * 1.5)),
            ("resumed", 1, second.resume, part),
            ("drains (SIGTERM)", 2, drain, part),
            ("started again", 2, third.start, part),
        ):
            self._step = (text, replica)
            self._tell(f"replica {replica}: {text}")
            action()
            self._wait(seconds)

    def _wait(self, seconds: float, done: Callable[[], bool] = lambda: False) -> None:
        from discordha.testing import WaitTimeout, wait_for

        def look() -> bool:
            self._refresh(self)
            return done()

        try:
            wait_for(look, seconds, "the demo's next step", interval=0.2)
        except WaitTimeout:
            return

    def _pongs(self) -> list[Any]:
        return [message for message in self._discord.messages() if message.content.startswith("pong")]

    def table(self) -> Table:
        """The replicas, their answers, and the median latency of the last answers, for a terminal."""
        from rich.table import Table

        table = Table(title=f"discordha demo, {time.monotonic() - self._begun:.0f} s")
        for column in ("replica", "state", "answered", "leader"):
            table.add_column(column, min_width=10)
        pongs, records = self._pongs(), self._records()
        answers = Counter(message.replica for message in pongs)
        for index, replica in enumerate(self._fleet):
            record = records.get(replica.replica_id or "", {})
            if not replica.alive:
                state = "[red]dead[/]"
            elif replica.paused:
                state = "[yellow]paused[/]"
            else:
                state = f"[green]{record.get('state', 'starting')}[/]"
            if self._step[1] == index:
                state += f"  ({self._step[0]})"
            table.add_row(
                f"r{index}", state, str(answers[f"r{index}"]), "leads" if record.get("leads") else ""
            )
        sent = {each.key.replace("!ping", "pong"): each.at for each in self._load.sent()}
        last = sorted(each.at - sent[each.content] for each in pongs[-200:] if each.content in sent)
        latency = last[len(last) // 2] if last else 0.0
        table.caption = f"{len(sent)} questions, {len(pongs)} answers, latency {latency * 1000:.1f} ms"
        return table

    def _records(self) -> dict[str, dict[str, Any]]:
        try:
            found = self._store.range("/discordha/v1/demo/m/", timeout=1.0).items
        except DiscordHAError:
            return {}
        return {kv.key.rsplit("/", 1)[1]: reading(json.loads(kv.value)) for kv in found}

    def _verdict(self) -> dict[str, Any]:
        from discordha.testing import History

        history = History()
        for each in self._load.sent():
            key = each.key.replace("!ping", "pong")
            history.sent("message", key, at=each.at, channel=str(each.channel_id))
        for message in self._pongs():
            history.answered("message", message.content, at=message.at, replica=message.replica)
        total = history.verdict().total
        return {
            "sent": total.sent,
            "answered": total.handled,
            "lost": total.lost,
            "repeated": total.repeated + total.unexpected,
            "longest_gap": total.longest_gap,
            "latency_p50": total.latency_p50,
            "latency_p99": total.latency_p99,
            "answered_by": {name: total.answered_by.get(name, 0) for name in ("r0", "r1", "r2")},
            "ok": total.ok,
        }


def show(*, seconds: float, rate: float, as_json: bool) -> bool:
    """Runs the demo and prints its verdict: whether nothing was lost or repeated. Blocks for a little more
    than ``seconds``. On a terminal a live table shows the replicas.

    :raises DiscordHAError: a part did not start.
    """
    from rich.live import Live

    tell: Callable[[str], None] = (lambda text: print(text, file=sys.stderr)) if as_json else print
    if as_json or not sys.stdout.isatty():
        found = Demo(seconds, rate, tell, lambda demo: None).run()
    else:
        with Live(refresh_per_second=8) as live:
            found = Demo(seconds, rate, tell, lambda demo: live.update(demo.table())).run()
    print(json.dumps(found) if as_json else _LINE.format_map(found))
    return bool(found["ok"])


def run_bot() -> None:
    """Runs the demo's bot, configured by the environment. Blocks."""
    from discordha import DiscordHA

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    ha = DiscordHA.from_env()

    @ha.listen("message", where=lambda message: message.content.startswith("!ping"))
    def on_ping(message: Any) -> None:
        message.channel.send(message.content.replace("!ping", "pong", 1))

    ha.run()


if __name__ == "__main__":
    run_bot()
