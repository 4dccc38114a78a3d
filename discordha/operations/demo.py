"""``discordha demo``: three replicas of a bot on a local Discord and a local etcd, killed, paused and drained
while users talk. Ends with a verdict from outside: the users' questions against the bot's answers.

Threads and locks: everything runs on the calling thread; the replicas, etcd and Discord are processes.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from discordha.coordination.etcd.store import Store, StoreSettings
from discordha.errors import DiscordHAError

__all__ = ["Demo", "show"]

_BOT = "discordha.operations.demo_bot"
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
            self._tell(f"starting three replicas of {_BOT}")
            started = Replicas(
                _BOT, 3, etcd=etcd, env=environment, per_replica_env=lambda index: discord.env(f"r{index}")
            )
            self._fleet = ends.enter_context(started)
            self._store = Store(StoreSettings(tuple(etcd.endpoints)))
            ends.callback(self._store.close)
            self._fleet.wait_ready(60)
            self.begun = time.monotonic()
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
        self._step = ("no faults", -1)
        self._wait(part)
        self._do("killed (SIGKILL)", 0, first.kill, part)
        self._do("started again", 0, first.start, part)
        self._do(f"paused (SIGSTOP), {longer}", 1, second.pause, max(part, DEMO_SESSION_TTL * 1.5))
        self._do("resumed", 1, second.resume, part)
        self._do("drains (SIGTERM)", 2, third.drain, 30.0, lambda: not third.alive)
        self._wait(part)
        self._do("started again", 2, third.start, part)

    def _do(
        self,
        text: str,
        replica: int,
        action: Callable[[], object],
        seconds: float,
        done: Callable[[], bool] = lambda: False,
    ) -> None:
        self._step = (text, replica)
        self._tell(f"replica {replica}: {text}")
        action()
        self._wait(seconds, done)

    def _wait(self, seconds: float, done: Callable[[], bool] = lambda: False) -> None:
        from discordha.testing import WaitTimeout, wait_for

        def look() -> bool:
            self._refresh(self)
            return done()

        try:
            wait_for(look, seconds, "the demo's next step", interval=0.2)
        except WaitTimeout:
            return

    # -- seen from outside -----------------------------------------------------------------------------------

    def _pongs(self) -> list[Any]:
        return [message for message in self._discord.messages() if message.content.startswith("pong")]

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """For each replica: its name, its state, the number of its answers, and whether it leads."""
        answers = Counter(message.replica for message in self._pongs())
        records = self._records()
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
            yield f"r{index}", state, str(answers[f"r{index}"]), "leads" if record.get("leads") else ""

    def _records(self) -> dict[str, dict[str, Any]]:
        try:
            found = self._store.range("/discordha/v1/demo/m/", timeout=1.0).items
        except DiscordHAError:
            return {}
        return {kv.key.rsplit("/", 1)[1]: json.loads(kv.value) for kv in found}

    def latency(self) -> tuple[int, int, float]:
        """The numbers of questions and answers, and the median latency of the last answers in seconds."""
        sent = {each.key.replace("!ping", "pong"): each.at for each in self._load.sent()}
        pongs = self._pongs()
        last = sorted(
            message.at - sent[message.content] for message in pongs[-200:] if message.content in sent
        )
        return len(sent), len(pongs), last[len(last) // 2] if last else 0.0

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


@contextmanager
def _live(quiet: bool) -> Iterator[Callable[[Demo], None]]:
    """A live table, if there is a terminal."""
    if quiet or not sys.stdout.isatty():
        yield lambda demo: None
        return
    from rich.live import Live
    from rich.table import Table

    with Live(refresh_per_second=8) as live:

        def refresh(demo: Demo) -> None:
            sent, answered, latency = demo.latency()
            table = Table(title=f"discordha demo, {time.monotonic() - demo.begun:.0f} s")
            for column in ("replica", "state", "answered", "leader"):
                table.add_column(column, min_width=10)
            for row in demo.rows():
                table.add_row(*row)
            table.caption = f"{sent} questions, {answered} answers, latency {latency * 1000:.1f} ms"
            live.update(table)

        yield refresh


def show(*, seconds: float, rate: float, as_json: bool) -> bool:
    """Runs the demo and prints its verdict: whether nothing was lost or repeated. Blocks for a little more
    than ``seconds``.

    :raises DiscordHAError: a part did not start.
    """
    tell: Callable[[str], None] = (lambda text: print(text, file=sys.stderr)) if as_json else print
    with _live(as_json) as refresh:
        found = Demo(seconds, rate, tell, refresh).run()
    if as_json:
        print(json.dumps(found))
    else:
        print(
            "sent {sent}, answered {answered}, lost {lost}, repeated {repeated}, "
            "longest gap {longest_gap:.2f} s, latency p50 {latency_p50:.3f} s, p99 {latency_p99:.3f} s".format(
                **found
            )
        )
    return bool(found["ok"])
