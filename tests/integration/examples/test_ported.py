"""discord.py's own examples, ported by deleting ``async`` and ``await``, from a user's side.

They run side by side on a local Discord, each in its own process, and see all events, so that a test looks at
its own example alone. Two examples with the same command names have a local Discord each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from ported.port import ORIGINALS, REPLACED, ported
from rest import buttons, custom_ids, make_role, rest, roles_of

from discordha.testing import LocalDiscord, LocalEtcd, Replica, Replicas, wait_for
from discordha.testing.discord.records import BotMessage, Request

APART = ("app_commands/transformers", "views/ephemeral")
RED = "\N{LARGE RED CIRCLE}"


class Scene:
    """The running examples, and the calls of each. An example with commands has a ``guild`` of its own."""

    GUILDS = ("app_commands/basic", "app_commands/transformers", "modals/basic")

    def __init__(self, discord: LocalDiscord) -> None:
        self.discord = discord
        self.channels = discord.channel_ids
        self.replicas: dict[str, Replica] = {}
        self.role = make_role(discord, discord.guild_ids[0], "red")
        self.role_message = discord.send(self.channels[0], "react to me")
        rest(
            discord, "PATCH", f"/guilds/{discord.guild_ids[0]}", {"system_channel_id": str(self.channels[1])}
        )

    def guild(self, name: str) -> int:
        return self.discord.guild_ids[self.GUILDS.index(name) if name in self.GUILDS else 0]

    def channel(self, name: str) -> int:
        """The first channel of an example's guild."""
        return self.channels[self.discord.guild_ids.index(self.guild(name)) * 8]

    def env(self, name: str) -> dict[str, str]:
        return {
            **self.discord.env(name.replace("/", ".")),
            "DISCORDHA_NAME": LocalEtcd.namespace(),
            "MY_GUILD": str(self.guild(name)),
            "LOG_CHANNEL": str(self.channel(name)),
            "ROLE_MESSAGE": str(self.role_message),
            "RED_ROLE": str(self.role),
        }

    def messages(self, name: str, channel: int | None = None) -> list[BotMessage]:
        """The messages of an example."""
        return [
            message
            for message in self.discord.messages()
            if message.replica == name.replace("/", ".") and channel in (None, message.channel_id)
        ]

    def said(self, name: str, *contents: str, channel: int | None = None, timeout: float = 15.0) -> None:
        """Waits until an example has sent these texts, and no others."""

        def all_said() -> list[str]:
            return [message.content for message in self.messages(name, channel)]

        wait_for(lambda: all_said() == list(contents), timeout, lambda: f"{contents}, not {all_said()}")

    def request(self, name: str, path: str, method: str = "POST") -> Request:
        """The last call of an example whose path holds ``path``."""
        found = [
            request
            for request in self.discord.requests()
            if request.replica == name.replace("/", ".") and path in request.path and request.method == method
        ]
        return found[-1]

    def answer(self, interaction: int) -> dict[str, Any]:
        """Waits for the answer to an interaction."""
        wait_for(lambda: self.discord.interaction(interaction)["responded"], 15, "an answer", interval=0.02)
        return self.discord.interaction(interaction)

    def slash(self, name: str, command: str, options: dict[str, Any] | None = None) -> dict[str, Any]:
        return self.answer(self.discord.slash(command, options, channel_id=self.channel(name)))

    def click(self, name: str, custom_id: str, message: int, **how: Any) -> Any:
        """Presses a button, and returns the body of the answer."""
        interaction = self.discord.click(custom_id, message, channel_id=self.channel(name), **how)
        self.answer(interaction)
        return self.request(name, f"/interactions/{interaction}/").body

    def open(self, name: str, command: str, content: str) -> tuple[int, Any]:
        """Sends a command that is answered with a view, and returns the message's id and body."""
        self.discord.send(self.channel(name), command)
        wait_for(lambda: self.messages(name), 15, f"{name} to answer")
        self.said(name, content)
        return self.messages(name)[0].id, self.request(name, "/messages").body


@contextmanager
def running(etcd: LocalEtcd, directory: Path, names: Collection[str]) -> Iterator[Scene]:
    """Some examples on a local Discord. At the end they drain without an error."""
    with LocalDiscord(guilds=3) as discord, ExitStack() as ends:
        scene = Scene(discord)
        for name in names:
            script = directory / f"{name.replace('/', '_')}.py"
            script.write_text(ported(name), encoding="utf-8")
            fleet = Replicas(script, 1, etcd=etcd, discord=None, env=scene.env(name))
            scene.replicas[name] = ends.enter_context(fleet)[0]
        for replica in scene.replicas.values():
            replica.wait_ready(90)
        yield scene
        for name, replica in scene.replicas.items():
            if "def on_ready" in ported(name):  # discord.py waits for more guilds first
                wait_for(lambda log=replica.log_text: "Logged in as TestBot" in log(), 20, f"{name}: ready")
            replica.drain()
        for name, replica in scene.replicas.items():
            assert replica.wait_exit(30) == 0
            assert "Traceback" not in replica.log_text(), (name, replica.log_text())
        assert not discord.unknown_requests()


@pytest.fixture(scope="module")
def scene(local_etcd: LocalEtcd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    names = [name for name in REPLACED if name not in APART]
    with running(local_etcd, tmp_path_factory.mktemp("ported"), names) as scene:
        yield scene


@pytest.fixture(scope="module")
def apart(local_etcd: LocalEtcd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with running(local_etcd, tmp_path_factory.mktemp("apart"), APART) as scene:
        yield scene


def test_every_original_is_ported() -> None:
    assert {str(path.relative_to(ORIGINALS).with_suffix("")) for path in ORIGINALS.rglob("*.py")} == set(
        REPLACED
    )
    text = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in REPLACED if text.count(f'"{name}"') == 0] == []


def test_reply(scene: Scene) -> None:
    asked = scene.discord.send(scene.channels[2], "!hello")
    scene.said("reply", "Hello!")
    assert scene.messages("reply")[0].reference == asked


def test_messages_that_are_edited_and_deleted(scene: Scene) -> None:
    scene.discord.send(scene.channels[3], "!editme")
    scene.discord.send(scene.channels[3], "!deleteme")
    scene.said("edits", "10", "**TestBot** edited their message:\n10 -> 40", channel=scene.channels[3])
    gone = "TestBot has deleted the message: {}".format
    texts = ["I will delete myself now...", "Goodbye in 3 seconds..."]
    wait_for(lambda: len(scene.messages("deleted", scene.channels[3])) == 4, 15, "what was deleted")
    said = [message.content for message in scene.messages("deleted", scene.channels[3])]
    assert sorted(said) == sorted([*texts, *map(gone, texts)])
    message = scene.discord.send(scene.channels[4], "oops")
    scene.discord.edit(scene.channels[4], message, "ouch")
    scene.discord.delete(scene.channels[4], message)
    scene.said("edits", "**user0** edited their message:\noops -> ouch", channel=scene.channels[4])
    scene.said("deleted", "user0 has deleted the message: ouch", channel=scene.channels[4])


def test_guessing_game(scene: Scene) -> None:
    question = "Guess a number between 1 and 10."
    quick, slow = scene.channels[5], scene.channels[6]
    users = scene.discord.user_ids
    scene.discord.send(quick, "$guess", users[1])
    scene.discord.send(slow, "$guess", users[2])
    scene.said("guessing_game", question, channel=quick)
    scene.discord.send(quick, "5", users[3])  # another user's
    scene.discord.send(quick, "five", users[1])

    def verdicts() -> list[BotMessage]:
        # The example waits from a moment after its question on.
        scene.discord.send(quick, "5", users[1])
        return scene.messages("guessing_game", quick)[1:]

    verdict = wait_for(verdicts, 15, "the verdict", interval=0.2)[0].content
    assert verdict == "You are right!" or verdict.startswith("Oops. It is actually "), verdict
    wait_for(lambda: len(scene.messages("guessing_game", slow)) == 2, 15, "the time-out")
    assert scene.messages("guessing_game", slow)[1].content.startswith("Sorry, you took too long it was ")


def test_new_member(scene: Scene) -> None:
    user = scene.discord.join(scene.discord.guild_ids[0])
    scene.said("new_member", f"Welcome <@{user}> to guild0!", channel=scene.channels[1])


def test_reaction_roles(scene: Scene) -> None:
    guild, user = scene.discord.guild_ids[0], scene.discord.user_ids[0]
    react = (scene.channels[0], scene.role_message, RED, user)
    assert "reaction_roles" in scene.replicas
    scene.discord.react(*react)
    wait_for(lambda: roles_of(scene.discord, guild, user) == [scene.role], 10, "the role")
    scene.discord.unreact(*react)
    wait_for(lambda: roles_of(scene.discord, guild, user) == [], 10, "the role to go")


def synced(scene: Scene, name: str) -> None:
    wait_for(lambda: scene.discord.commands(scene.guild(name)), 20, f"the commands of {name}")


def test_app_commands(scene: Scene) -> None:
    name = "app_commands/basic"
    synced(scene, name)
    user = scene.discord.user_ids[0]
    assert scene.slash(name, "hello")["content"] == f"Hi, <@{user}>"
    assert scene.slash(name, "add", {"first_value": 2, "second_value": 3})["content"] == "2 + 3 = 5"
    assert scene.slash(name, "send", {"text": "well"})["content"] == "well"
    assert scene.slash(name, "joined")["content"].startswith("user0 joined <t:")
    other = scene.slash(name, "joined", {"member": scene.discord.user_ids[1]})
    assert other["content"].startswith("user1 joined <t:")
    channel = scene.channel(name)
    interaction = scene.discord.context_menu("Show Join Date", target_user=user, channel_id=channel)
    assert scene.answer(interaction)["content"].startswith("user0 joined at <t:")
    message = scene.discord.send(channel, "spam")
    interaction = scene.discord.context_menu("Report to Moderators", message_id=message, channel_id=channel)
    assert scene.answer(interaction)["ephemeral"]
    wait_for(lambda: any(m.channel_id == channel and not m.content for m in scene.messages(name)), 10, "it")
    report = scene.request(name, "/messages").body
    assert report["embeds"][0]["description"] == "spam"
    assert report["components"][0]["components"][0]["url"].endswith(f"/{message}")


def test_transformers(apart: Scene) -> None:
    scene = apart
    name = "app_commands/transformers"
    synced(scene, name)
    assert scene.slash(name, "add", {"first": 1, "second": 2})["content"] == "1 + 2 = 3"
    assert scene.slash(name, "shop", {"action": "Buy", "item": "tea"})["content"] == "Action: Buy\nItem: tea"
    assert scene.slash(name, "fruit", {"fruit": 1})["content"] == "<Fruits.banana: 1>"
    assert scene.slash(name, "graph", {"point": "1,2"})["content"] == "Point(x=1, y=2)"
    assert scene.slash(name, "graph3d", {"point": "1,2,3"})["content"] == "Point3D(x=1, y=2, z=3)"
    interaction = scene.discord.slash(
        "channel-info", {"channel": scene.channel(name)}, channel_id=scene.channel(name)
    )
    scene.answer(interaction)
    fields = scene.request(name, f"/interactions/{interaction}/").body["data"]["embeds"][0]["fields"]
    assert [field["value"] for field in fields][::2] == ["channel0", "Text"]


def test_a_modal(scene: Scene) -> None:
    name = "modals/basic"
    synced(scene, name)
    modal = scene.slash(name, "feedback")["modal"]
    title, _ = fields = [row["components"][0]["custom_id"] for row in modal["components"]]
    interaction = scene.discord.submit(
        modal["custom_id"], dict.fromkeys(fields, "good"), channel_id=scene.channel(name)
    )
    state = scene.answer(interaction)
    assert (state["content"], state["ephemeral"]) == ("Thanks for your feedback, good!", True), title


def test_views_with_buttons(scene: Scene) -> None:
    name = "views/counter"
    message, body = scene.open(name, "$counter", "Press!")
    for count in range(5):
        body = scene.click(name, custom_ids(body)[str(count)], message)
    assert custom_ids(body).keys() == {"5"}
    assert buttons(body)[0][0]["disabled"]


def test_a_view_for_one_user(apart: Scene) -> None:
    name = "views/ephemeral"
    message, body = apart.open(name, "$counter", "Press!")
    interaction = apart.discord.click(custom_ids(body)["Click"], message, channel_id=apart.channel(name))
    state = apart.answer(interaction)
    assert (state["content"], state["ephemeral"]) == ("Enjoy!", True)
    body = apart.request(name, f"/interactions/{interaction}/").body
    body = apart.click(name, custom_ids(body)["0"], state["message_id"])
    assert custom_ids(body).keys() == {"1"}


def test_a_view_that_is_waited_for(scene: Scene) -> None:
    name = "views/confirm"
    message, body = scene.open(name, "$ask", "Do you want to continue?")
    assert scene.click(name, custom_ids(body)["Confirm"], message)["data"]["content"] == "Confirming"
    wait_for(lambda: "Confirmed..." in scene.replicas[name].log_text(), 10, "the end of the wait")


def test_a_select_and_a_link(scene: Scene) -> None:
    name = "views/dropdown"
    message, body = scene.open(name, "$colour", "Pick your favourite colour:")
    answer = scene.click(name, buttons(body)[0][0]["custom_id"], message, values=["Red"])
    assert answer["data"]["content"] == "Your favourite colour is Red"
    name = "views/link"
    _, body = scene.open(name, "$google high availability", "Google Result for: `high availability`")
    assert buttons(body)[0][0]["url"].endswith("?q=high+availability")


def test_a_game_of_tic_tac_toe(scene: Scene) -> None:
    name = "views/tic_tac_toe"
    message, body = scene.open(name, "$tic", "Tic Tac Toe: X goes first")
    said = []
    for row, column in [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]:
        body = scene.click(name, buttons(body)[row][column]["custom_id"], message)
        said.append(body["data"]["content"])
    assert said == ["It is now O's turn", "It is now X's turn"] * 2 + ["X won!"]
