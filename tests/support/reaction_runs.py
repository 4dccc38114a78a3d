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
    """What the bot says it has handled of numbered reactions of one lane. The numbers tell equal events
    apart: else one that is lost and one that is run again would make good for each other.
    """

    def __init__(self, discord: LocalDiscord) -> None:
        self._discord = discord
        self._heard = 0
        self.all: list[tuple[int, str, str]] = []  # number, replica, and how the record tells it
        self.numbers: set[int] = set()

    def read(self) -> int:
        """Reads on; returns how many runs are new."""
        messages = self._discord.messages(self._heard)
        self._heard += len(messages)
        before = len(self.all)
        for message in messages:
            if message.content.startswith("seen "):
                number = int(message.content.split()[4])
                self.all.append((number, message.replica, f"{message.at:.3f} {message.replica} {number}"))
                self.numbers.add(number)
        return len(self.all) - before

    def has(self, sent: Sequence[Sent]) -> bool:
        """Whether all of those are handled."""
        self.read()
        return self.numbers.issuperset(each.number for each in sent)

    def check(self, sent: Sequence[Sent], fleet: Replicas, timeout: float = 60.0) -> dict[str, int]:
        """Each is handled, in order. A replica may run as many again as it says may have been handled
        (guarantees.md); returns how many each has.
        """
        with contextlib.suppress(WaitTimeout):
            wait_for(lambda: self.has(sent), timeout, "every reaction", interval=0.1)
        first: set[int] = set()
        again: dict[str, list[str]] = defaultdict(list)
        disordered = []
        for number, replica, told in self.all:
            if number in first:
                again[replica].append(told)
            elif first and number < max(first):
                disordered.append(told)
            first.add(number)
        said = {f"r{replica.index}": replica.log_text().count(AMBIGUOUS) for replica in fleet}
        lost = [f"{each.at:.3f} {each.number} {each.key}" for each in sent if each.number not in first]
        repeated = {name: told for name, told in again.items() if len(told) > said[name]}
        report = {"lost": lost, "repeated": repeated, "said": said, "disordered": disordered}
        assert not any((lost, repeated, disordered)), report
        return {name: len(told) for name, told in again.items()}
