"""A mixed load of messages and reactions on a bot that says what it handled, and the verdict on it."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from discordha.testing import LocalDiscord, wait_for
from discordha.testing.discord.records import Sent

__all__ = ["BEST_EFFORT", "BOT", "MixedLoad", "Outcome", "quantile"]

BOT = Path(__file__).with_name("bots") / "mixed.py"
#: Discord takes no answer to them after 3 s: those are missing for good.
BEST_EFFORT = frozenset({"slash"})


@dataclass
class Outcome:
    """One kind of event. ``latencies``: when each was sent, and how long its answer took, seconds.
    ``unanswered``: when those were sent that have no answer.
    """

    sent: int
    lost: Counter[str]
    repeated: Counter[str]
    latencies: list[tuple[float, float]] = field(default_factory=list)
    unanswered: list[float] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Nothing lost, nothing repeated."""
        return not self.lost and not self.repeated

    def between(self, begin: float, end: float) -> list[float]:
        """Latencies of what was sent in that time, in order of size."""
        return sorted(latency for at, latency in self.latencies if begin <= at < end)


class MixedLoad:
    """Messages and reactions, and perhaps commands and voice commands, at steady rates, until ``stop``."""

    def __init__(
        self,
        discord: LocalDiscord,
        *,
        messages: float,
        reactions: float,
        commands: float = 0.0,
        voice: float = 0.0,
    ) -> None:
        self._discord = discord
        self._loads = {
            "message": discord.load(rate=messages, template="!ping {n}"),
            "reaction": discord.load("reaction", rate=reactions, users=discord.user_ids[:2]),
        }
        if commands:
            self._loads["slash"] = discord.load("slash", rate=commands, template="roll")
        if voice:
            self._loads["voice"] = discord.load(rate=voice, template="!voice {n}")

    def answers(self) -> int:
        """How many there are."""
        return self._discord.counters()["messages"]

    def wait_answers(self, count: int, timeout: float = 60.0) -> None:
        """Blocks until there are so many more."""
        before = self.answers()
        wait_for(lambda: self.answers() >= before + count, timeout, f"{count} more answers", interval=0.02)

    def wait_settled(self, timeout: float = 60.0) -> None:
        """Blocks until every message that has been sent by now is answered."""
        sent = {each.key for each in self._loads["message"].sent()}

        def missing() -> set[str]:
            contents = [message.content for message in self._discord.messages()]
            return sent - {content.removeprefix("message ") for content in contents}

        wait_for(
            lambda: not missing(), timeout, lambda: f"answers to {sorted(missing())[:20]}", interval=0.25
        )

    def gap_after(self, moment: float) -> float:
        """The longest time without an answer to a message since a moment. (Reactions need no claim: they are
        handled while etcd is away, for as long as the leader's session may live.)
        """
        answers = [message for message in self._discord.messages() if message.content.startswith("message ")]
        times = [moment, *(message.at for message in answers if message.at >= moment)]
        return max(later - earlier for earlier, later in itertools.pairwise(times))

    def halt(self) -> None:
        """Ends it without a verdict."""
        for load in self._loads.values():
            load.stop()

    def stop(self, timeout: float = 60.0) -> dict[str, Outcome]:
        """Ends it, waits for what is missing, and judges."""
        sent = {kind: load.stop() for kind, load in self._loads.items()}
        found: dict[str, list[tuple[str, float]]] = {}

        def missing() -> int:
            found.clear()
            for message in self._discord.messages():
                kind, _, key = message.content.partition(" ")
                found.setdefault(kind, []).append((key, message.at))
            surely = [kind for kind in sent if kind not in BEST_EFFORT]
            return sum(_judge(sent[kind], found.get(kind, ())).lost.total() for kind in surely)

        with contextlib.suppress(TimeoutError):  # the verdict names what is missing
            wait_for(lambda: missing() == 0, timeout, "all answers", interval=0.1)
        return {kind: _judge(sent[kind], found.get(kind, ())) for kind in sent}


def _judge(sent: Sequence[Sent], found: Sequence[tuple[str, float]]) -> Outcome:
    expected, got = Counter(each.key for each in sent), Counter(key for key, _ in found)
    outcome = Outcome(len(sent), expected - got, got - expected)
    waiting: Mapping[str, list[float]] = defaultdict(list)
    for each in sent:
        waiting[each.key].append(each.at)
    for key, at in found:
        if waiting[key]:
            begun = waiting[key].pop(0)
            outcome.latencies.append((begun, at - begun))
    outcome.unanswered = sorted(at for left in waiting.values() for at in left)
    return outcome


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of values in order of size; 0 when there are none."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
