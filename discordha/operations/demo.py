"""``discordha demo``: three replicas of a bot on a local Discord and a local etcd, killed, paused and
drained while users talk; ends with a verdict from outside: what users asked against what the bot answered.

Concurrency: everything runs on the calling thread; the replicas, etcd and Discord are processes.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.endpoints import StoreSettings
from discordha.errors import DiscordHAError

__all__ = ["Demo", "Step", "Verdict", "show"]

_EXAMPLE = Path(__file__).parents[2] / "examples" / "ping.py"
TTL = 2.0


@dataclass(frozen=True)
class Verdict:
    """What came of it. Seconds."""

    sent: int
    answered: int
    lost: int
    repeated: int
    longest_gap: float
    latency_p50: float
    latency_p99: float
    answered_by: dict[str, int]

    @property
    def ok(self) -> bool:
        """Nothing lost, nothing repeated."""
        return not self.lost and not self.repeated

    def line(self) -> str:
        """For people."""
        return (
            f"sent {self.sent}, answered {self.answered}, lost {self.lost}, repeated {self.repeated}, "
            f"longest gap {self.longest_gap:.2f} s, latency p50 {self.latency_p50 * 1000:.1f} ms, "
            f"p99 {self.latency_p99 * 1000:.0f} ms"
        )

    def json(self) -> str:
        """For machines."""
        return json.dumps({**self.__dict__, "ok": self.ok})


@dataclass
class Step:
    """What is being done to a replica."""

    text: str
    replica: int


@dataclass
class Demo:
    """One run.

    :param seconds: how long users talk, about.
    :param rate: questions a second.
    :param tell: hears what happens, for those without a live table.
    """

    seconds: float
    rate: float
    tell: Callable[[str], None]
    doing: Step = field(default_factory=lambda: Step("starting", -1))

    def run(self, refresh: Callable[[Demo], None]) -> Verdict:
        """Runs it. Blocks; calls ``refresh`` some times a second.

        :raises DiscordHAError: a part did not start; says what to install.
        """
        try:
            from discordha.testing import LocalDiscord, LocalEtcd, Replicas
        except ImportError as error:
            raise DiscordHAError(
                f"the demo needs more: pip install 'discordha[testing,operations]' ({error})"
            ) from None
        with ExitStack() as ends:
            self.tell("starting a local etcd and a local Discord")
            self.etcd = ends.enter_context(LocalEtcd())
            self.discord = ends.enter_context(LocalDiscord())
            script: str | Path = _EXAMPLE if _EXAMPLE.exists() else "discordha.operations.demo_bot"
            self.tell(f"starting three replicas of {_EXAMPLE.name if _EXAMPLE.exists() else script}")
            self.fleet = ends.enter_context(
                Replicas(
                    script,
                    3,
                    etcd=self.etcd,
                    env={
                        "DISCORDHA_INTENTS": "all",
                        "DISCORDHA_NAME": "demo",
                        "DISCORDHA_SESSION_TTL": str(TTL),
                    },
                    per_replica_env=lambda index: self.discord.env(f"r{index}"),
                )
            )
            self.store = EtcdStore(StoreSettings(tuple(self.etcd.endpoints)))
            ends.callback(self.store.close)
            self.fleet.wait_ready(60)
            self.begun = time.monotonic()
            load = self.load = self.discord.load(rate=self.rate)
            self._torment(refresh)
            self.doing = Step("the last answers", -1)
            sent = load.stop()
            self._until(refresh, lambda: len(self._pongs()) >= len(sent), 15.0)
            return self._judge()

    def _torment(self, refresh: Callable[[Demo], None]) -> None:
        part = self.seconds / 8
        first, second, third = self.fleet
        self._wait(refresh, part, Step("all is well", -1))
        self.tell("replica 0: kill -9")
        first.kill()
        self._wait(refresh, part, Step("killed with -9", 0))
        first.start()
        self._wait(refresh, part, Step("started again", 0))
        self.tell(f"replica 1: paused (SIGSTOP), for longer than its session lives ({TTL:g} s)")
        second.pause()
        self._wait(refresh, max(part, TTL * 1.5), Step("paused", 1))
        second.resume()
        self._wait(refresh, part, Step("goes on", 1))
        self.tell("replica 2: drained (SIGTERM)")
        third.drain()
        self._until(refresh, lambda: not third.alive, 30.0, Step("drains", 2))
        self._wait(refresh, part, Step("has drained", 2))
        third.start()
        self._wait(refresh, part, Step("started again", 2))

    def _wait(self, refresh: Callable[[Demo], None], seconds: float, step: Step) -> None:
        end = time.monotonic() + seconds
        self._until(refresh, lambda: time.monotonic() >= end, seconds + 1.0, step)

    def _until(
        self,
        refresh: Callable[[Demo], None],
        done: Callable[[], bool],
        timeout: float,
        step: Step | None = None,
    ) -> None:
        from discordha.testing import WaitTimeout, wait_for

        self.doing = step or self.doing

        def look() -> bool:
            refresh(self)
            return done()

        try:
            wait_for(look, timeout, "the demo's next step", interval=0.2)
        except WaitTimeout:
            return

    # -- what is seen from outside ---------------------------------------------------------------------------

    def _pongs(self) -> list[Any]:
        return [message for message in self.discord.messages() if message.content.startswith("pong")]

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Replica, what it does, how many it has answered, whether it leads."""
        answers = Counter(message.replica for message in self._pongs())
        records = self._records()
        for index, replica in enumerate(self.fleet):
            record = records.get(replica.replica_id or "", {})
            if not replica.alive:
                state = "[red]dead[/]"
            elif replica.paused:
                state = "[yellow]paused[/]"
            else:
                state = f"[green]{record.get('state', 'starting')}[/]"
            if self.doing.replica == index:
                state += f"  ({self.doing.text})"
            yield f"r{index}", state, str(answers[f"r{index}"]), "leads" if record.get("leads") else ""

    def _records(self) -> dict[str, dict[str, Any]]:
        try:
            found = self.store.range("/discordha/v1/demo/m/", timeout=1.0).items
        except DiscordHAError:
            return {}
        return {kv.key.rsplit("/", 1)[1]: json.loads(kv.value) for kv in found}

    def latency(self) -> tuple[int, int, float]:
        """Questions, answers, and the median latency of the last answers in seconds."""
        sent = {each.key.replace("!ping", "pong"): each.at for each in self.load.sent()}
        pongs = self._pongs()
        last = sorted(
            message.at - sent[message.content] for message in pongs[-200:] if message.content in sent
        )
        return len(sent), len(pongs), last[len(last) // 2] if last else 0.0

    def _judge(self) -> Verdict:
        from discordha.testing import History

        history = History()
        for each in self.load.sent():
            history.sent(
                "message", each.key.replace("!ping", "pong"), at=each.at, channel=str(each.channel_id)
            )
        for message in self._pongs():
            history.answered("message", message.content, at=message.at, replica=message.replica)
        total = history.verdict().total
        return Verdict(
            total.sent,
            total.handled,
            total.lost,
            total.repeated + total.unexpected,
            total.longest_gap,
            total.latency_p50,
            total.latency_p99,
            {f"r{index}": total.answered_by.get(f"r{index}", 0) for index in range(len(self.fleet))},
        )


@contextmanager
def _live(quiet: bool) -> Iterator[Callable[[Demo], None]]:
    """A table that lives, where there is a terminal."""
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


def show(*, seconds: float, rate: float, as_json: bool) -> Verdict:
    """Runs the demo and prints it. Blocks for a little more than ``seconds``.

    :raises DiscordHAError: a part did not start.
    """
    tell: Callable[[str], None] = (lambda text: print(text, file=sys.stderr)) if as_json else print
    with _live(as_json) as refresh:
        verdict = Demo(seconds, rate, tell).run(refresh)
    print(verdict.json() if as_json else verdict.line())
    return verdict
