"""What ``bots/reactions.py`` says it has handled, and whether that is what users did."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from fleet import doubtful_runs

from discordha.leader.shard import AMBIGUOUS
from discordha.testing import LocalDiscord, Replicas, WaitTimeout, wait_for
from discordha.testing.discord.records import Sent

__all__ = ["NumberedRuns", "check", "seen"]

#: Equal events that were sent within so many seconds may be taken for each other: so long may a lane wait.
TOGETHER = 10.0


def seen(discord: LocalDiscord) -> list[tuple[str, int, float]]:
    """What the bot says it has handled: key, channel, when (by its own word)."""
    return [
        (message.content.split()[1], message.channel_id, float(message.content.split()[3]))
        for message in discord.messages()
        if message.content.startswith("seen ")
    ]


def check(
    discord: LocalDiscord, sent: Sequence[Sent], timeout: float = 30.0, *, fleet: Replicas | None = None
) -> None:
    """Handled counts equal sent counts, and the order of each message's reactions is kept.

    :param fleet: whose leaders may run events again that they say may have been handled (guarantees.md).
    """
    expected = Counter(each.key for each in sent)
    with contextlib.suppress(WaitTimeout):
        wait_for(
            lambda: not expected - Counter(key for key, _, _ in seen(discord)),
            timeout,
            "every reaction",
            interval=0.1,
        )
    handled = seen(discord)
    found = Counter(key for key, _, _ in handled)
    wrong = {*(expected - found), *(found - expected)}
    history = [
        f"{message.at:.3f} {message.replica}: {message.content}"
        for message in discord.messages()
        if any(key in message.content for key in wrong)
    ]
    doubtful = doubtful_runs(fleet) if fleet is not None else 0
    report = {
        "doubtful": doubtful,
        "lost": expected - found,
        "repeated": found - expected,
        "sent": [f"{each.at:.3f} {each.key}" for each in sent if each.key in wrong],
        "handled": history,
    }
    assert not expected - found, report
    assert (found - expected).total() <= doubtful, report
    twice = {key.rsplit("/", 1)[1] for key in found - expected}
    orders: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for each in sent:
        orders[each.key.rsplit("/", 1)[1]][0].append(each.key)
    for key, _, _ in handled:
        orders[key.rsplit("/", 1)[1]][1].append(key)
    for target, (wanted, got) in orders.items():
        if target in twice:
            continue
        for number, (one, other) in enumerate(zip(wanted, got, strict=True)):
            assert one == other, {
                "number": number,
                "sent": wanted[number - 3 : number + 6],
                "handled": [
                    f"{message.at:.3f} {message.replica} {message.content}"
                    for message in discord.messages()
                    if message.content.startswith("seen ") and f"/{target} " in message.content
                ][number - 3 : number + 6],
            }


class NumberedRuns:
    """What the bot says it has handled of numbered reactions of one lane.

    Equal events stand for each other (guarantees.md): one may be run twice, and the other not at all. The
    numbers tell whether the two could be taken for each other, which needs that they were under way together.
    Else an event that is lost and a later one that is run again would make good for each other.
    """

    def __init__(self, discord: LocalDiscord) -> None:
        self._discord = discord
        self._heard = 0
        self.all: list[tuple[int, str, float]] = []  # number, replica, when
        self.numbers: set[int] = set()

    def read(self) -> int:
        """Reads on; returns how many runs are new."""
        messages = self._discord.messages(self._heard)
        self._heard += len(messages)
        before = len(self.all)
        for message in messages:
            if message.content.startswith("seen "):
                number = int(message.content.split()[4])
                self.all.append((number, message.replica, message.at))
                self.numbers.add(number)
        return len(self.all) - before

    def has(self, sent: Sequence[Sent]) -> bool:
        """Whether all of those are handled."""
        self.read()
        return self.numbers.issuperset(each.number for each in sent) or not self.missing(sent)

    def wait(self, sent: Sequence[Sent], patience: float = 60.0) -> None:
        """Blocks until all of those are handled. A backlog may take its time while it becomes less:
        on a busy machine a leader works more slowly than users act.

        :raises WaitTimeout: for ``patience`` seconds none of them was.
        """
        left = len(sent) + 1
        while not self.has(sent):
            now = len({each.number for each in sent} - self.numbers)
            if now == left:
                raise WaitTimeout(f"for {patience:g} s nobody handled {self.tell_missing(sent)}")
            left = now
            with contextlib.suppress(WaitTimeout):
                wait_for(lambda: self.has(sent), patience, "what was sent by then", interval=0.2)

    def missing(self, sent: Sequence[Sent]) -> list[Sent]:
        """Those that nothing stands for."""
        return self._count(sent)[0]

    def tell_missing(self, sent: Sequence[Sent]) -> str:
        """Those, in bursts; when which leader began, and what was run again."""
        lost, again = self._count(sent)
        bursts: list[list[Sent]] = []
        for each in lost:
            if bursts and each.number == bursts[-1][-1].number + 1:
                bursts[-1].append(each)
            else:
                bursts.append([each])
        told = [
            f"{burst[0].number} to {burst[-1].number}, sent from {burst[0].at:.3f} to {burst[-1].at:.3f}"
            for burst in bursts
        ]
        leaders = [f"{replica} ran {number} at {at:.3f}" for number, replica, at in self._first_runs()]
        return f"{len(lost)} of {len(sent)}: {told}; leaders: {leaders[-12:]}; run again: {again[-20:]}"

    def _first_runs(self) -> list[tuple[int, str, float]]:
        """The first run of each leader, in order."""
        return [run for at, run in enumerate(self.all) if at == 0 or self.all[at - 1][1] != run[1]]

    def _count(self, sent: Sequence[Sent]) -> tuple[list[Sent], list[tuple[int, str, float]]]:
        """The events that nothing stands for, and the runs that stand for none."""
        events = {each.number: each for each in sent}
        ran: set[int] = set()
        again: dict[str, list[tuple[int, str, float]]] = defaultdict(list)
        for run in self.all:
            if run[0] in events:
                if run[0] in ran:
                    again[events[run[0]].key].append(run)
                ran.add(run[0])
        lost = []
        for each in sent:
            if each.number in ran:
                continue
            equal = again[each.key]
            for at, (number, _, when) in enumerate(equal):
                if when > each.at and abs(events[number].at - each.at) < TOGETHER:
                    del equal[at]
                    break
            else:
                lost.append(each)
        return lost, [run for runs in again.values() for run in runs]

    def check(self, sent: Sequence[Sent], fleet: Replicas, timeout: float = 60.0) -> int:
        """Each is handled, in order. A replica may run as many again as it says may have been handled.

        :return: how many all have run again.
        """
        with contextlib.suppress(WaitTimeout):
            self.wait(sent, timeout)
        lost, again = self._count(sent)
        said = {f"r{replica.index}": replica.log_text().count(AMBIGUOUS) for replica in fleet}
        by = Counter(replica for _, replica, _ in again)
        last, disordered, ran = -1, [], set()
        for number, replica, at in self.all:
            if number not in ran and number < last:
                disordered.append((number, replica, at))
            last = max(last, number)
            ran.add(number)
        report = {
            "lost": [(f"{each.at:.3f}", each.number, each.key) for each in lost],
            "run again and not said": {name: count for name, count in by.items() if count > said[name]},
            "disordered": disordered,
            "run again": again,
            "said": said,
        }
        assert not any(list(report.values())[:3]), report
        return len(again)
