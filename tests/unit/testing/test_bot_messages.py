"""A handle's messages are those of the server, each read once."""

from __future__ import annotations

from typing import Any

from discordha.testing.discord.records import BotMessages


class Server:
    """Keeps the last messages, as the local Discord does."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []
        self.count = 0
        self.told = 0

    def say(self, *contents: str) -> None:
        for content in contents:
            fields = {"id": self.count, "channel_id": 1, "at": 0.0, "replica": "", "reference": None}
            self.kept.append({"number": self.count, "content": content, **fields})
            self.count += 1

    def control(self, name: str, /, **arguments: Any) -> Any:
        assert name == "messages"
        found = [message for message in self.kept if message["number"] >= arguments["since"]]
        self.told += len(found)
        return found


def test_each_message_is_read_once_and_told_again() -> None:
    server = Server()
    messages = BotMessages(server)
    assert messages.since(0) == []
    server.say("a", "b")
    assert [message.content for message in messages.since(0)] == ["a", "b"]
    server.say("c")
    for _ in range(3):
        assert [message.content for message in messages.since(0)] == ["a", "b", "c"]
    assert [message.content for message in messages.since(2)] == ["c"]
    assert messages.since(3) == []
    assert server.told == 3


def test_numbers_go_on_after_a_record_was_cleared_and_begin_anew_after_a_reset() -> None:
    server = Server()
    messages = BotMessages(server)
    server.say("a", "b")
    assert len(messages.since(0)) == 2
    server.kept.clear()
    messages.forget()
    server.say("c")
    assert [message.content for message in messages.since(0)] == ["c"]
    assert [message.content for message in messages.since(2)] == ["c"]
    assert messages.since(3) == []
    server.kept.clear()
    server.count = 0
    messages.forget()
    server.say("d")
    assert [(message.number, message.content) for message in messages.since(0)] == [(0, "d")]


def test_what_was_told_is_the_callers() -> None:
    server = Server()
    messages = BotMessages(server)
    server.say("a")
    messages.since(0).clear()
    assert len(messages.since(0)) == 1
