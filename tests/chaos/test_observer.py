"""What the harness holds for open, on histories made by hand."""

from __future__ import annotations

from observer import Observer

from discordha.testing.discord.records import BotMessage, Sent


class _Discord:
    """Has messages."""

    def __init__(self) -> None:
        self.said: list[BotMessage] = []

    def messages(self, since: int) -> list[BotMessage]:
        """From a number on."""
        return self.said[since:]

    def answers(self, key: str, at: float) -> None:
        """The bot does."""
        number = len(self.said)
        self.said.append(BotMessage(number, number, 1, f"reaction {key}\nr0-1 1 1 1", at, "r0", None))


class _Load:
    """Has sent events."""

    def __init__(self, *sent: float) -> None:
        self._sent = [Sent(number, "add/1", 1, at) for number, at in enumerate(sent)]

    def sent(self) -> list[Sent]:
        """All so far."""
        return self._sent


def test_an_event_that_is_lost_in_a_gap_and_forgotten_leaves_no_later_equal_one_open() -> None:
    discord = _Discord()
    observer = Observer(discord, {"reaction": _Load(12.0, 15.0, 16.0)})  # type: ignore[arg-type,dict-item]
    discord.answers("add/1", 15.2)
    assert observer.open(99.0) == 2
    observer.forget({"reaction"}, 10.0, 13.0)
    assert observer.open(99.0) == 1
    discord.answers("add/1", 16.2)
    assert observer.open(99.0) == 0


def test_an_answer_is_not_that_of_an_event_that_came_later() -> None:
    discord = _Discord()
    observer = Observer(discord, {"reaction": _Load(12.0, 15.0)})  # type: ignore[arg-type,dict-item]
    discord.answers("add/1", 12.2)
    assert observer.open(99.0) == 1
    assert observer.open(14.0) == 0
