"""``discordha.ext.commands`` on real replicas: each command runs once, whatever it takes of discord.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from fleet import BOTS, answer, logs, values, whole_logs

from discordha.testing import LocalDiscord, LocalEtcd, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

#: What users 0 and 1 write, and what the bot answers. User 0 owns the bot.
TALK: tuple[tuple[int, str, tuple[str, ...]], ...] = (
    (0, "!ping", ("ping: pong",)),
    (0, "? PING", ("ping: pong",)),
    (0, "<@{bot}> p", ("ping: pong",)),
    (1, "!hello", ("hello user1",)),
    (0, "!hello {user1}", ("hello user1",)),
    (0, "!convert 2 5m 1 2 3 user1", ("convert: 2 5 [1, 2, 3] user1",)),
    (0, "!convert 2 5m 1 2 3 channel0", ("convert: 2 5 [1, 2, 3] channel0",)),
    (0, "!convert 3 5m user1", ("error convert BadArgument",)),
    (0, "!dice 4", ("dice: 4",)),
    (0, "!dice 40", ("error dice RangeError",)),
    (0, "!ban --member {user1} --days 3", ("ban: user1 3",)),
    (0, "!secret", ("secret: secret",)),
    (1, "!secret", ("error secret CheckAnyFailure",)),
    (0, "!owner", ("owner: owner",)),
    (1, "!owner", ("error owner NotOwner",)),
    (0, "!broken", ("error broken ValueError: broken on purpose",)),
    (0, "!tags", ("tags: before all",)),
    (0, "!tags add a b c", ("tags add: a=b c", "completed add")),
    (0, "!tags add a", ("tags add: cog says MissingRequiredArgument",)),
    (0, "!tags forbidden", ("tags forbidden: cog says CheckFailure",)),
    (0, "tagged", ("listener True",)),
    (0, "!help nothing", ('No command called "nothing" found.',)),
    (0, "!indirect", ("indirect: pong", "```\n![ping|p]\n\nAnswers.\n\n```")),
    (0, "!plus 2", ("plus 3 Context",)),
    (0, "!hide channel den {user1}", ("hide channel: den ours 3",)),
    (1, "!poll", ("error poll NotOwner",)),
)


class Scene:
    """Three replicas of the bot."""

    def __init__(self, discord: LocalDiscord, fleet: Replicas) -> None:
        self.discord = discord
        self.fleet = fleet
        self.channel = discord.channel_ids[0]

    def contents(self) -> list[str]:
        return [message.content for message in self.discord.messages()]

    def says(self, user: int, line: str, *answers: str) -> None:
        """A user writes a line; waits for the answers, and for no others."""
        before = len(self.contents())
        users = self.discord.user_ids
        text = line.format(bot=self.discord.bot_id, user1=users[1])
        self.discord.send(self.channel, text, user_id=users[user])
        wait_for(
            lambda: len(self.contents()) >= before + len(answers),
            10,
            lambda: f"{line!r} to be answered, not {self.contents()[before:]}\n{logs(self.fleet)}",
            interval=0.01,
        )
        assert tuple(self.contents()[before:]) == answers


@pytest.fixture(scope="module")
def scene(local_etcd: LocalEtcd) -> Iterator[Scene]:
    with (
        LocalDiscord(guilds=2) as discord,
        Replicas(
            BOTS / "prefix_commands.py",
            3,
            etcd=local_etcd,
            discord=discord,
            env={"DISCORDHA_SESSION_TTL": "2", "DISCORDHA_NAME": LocalEtcd.namespace()},
            per_replica_env=lambda index: {
                **discord.env(f"r{index}"),
                "OWNER": str(discord.user_ids[0]),
            },
            restart=True,
        ) as fleet,
    ):
        fleet.wait_ready(60)
        yield Scene(discord, fleet)
        for replica in fleet:
            replica.drain()
        for replica in fleet:
            assert replica.wait_exit(30) == 0
        assert "never awaited" not in whole_logs(fleet)
        assert not discord.unknown_requests()


class TestThreeReplicas:
    def test_each_line_is_answered_once(self, scene: Scene) -> None:
        for user, line, answers in TALK:
            scene.says(user, line, *answers)

    def test_every_message_of_a_command_has_a_nonce(self, scene: Scene) -> None:
        scene.says(0, "!ping", "ping: pong")
        scene.says(0, "!help ping", "```\n![ping|p]\n\nAnswers.\n\n```")
        posts = [
            request
            for request in scene.discord.requests()
            if request.method == "POST" and request.path.endswith("/messages")
        ]
        assert posts
        assert all(request.body.get("enforce_nonce") for request in posts)

    def test_a_hybrid_command_is_a_slash_command_too(self, scene: Scene) -> None:
        wait_for(lambda: bool(scene.discord.commands()), 10, "the commands to be registered")
        state = answer(scene.discord, scene.discord.slash("plus", {"a": 2, "b": 5}))
        assert state["content"] == "plus 7 Context"

    def test_a_cooldown_counts_over_all_replicas(self, scene: Scene) -> None:
        """300 tries at once: as many pass as in one process."""
        discord, before = scene.discord, len(scene.contents())
        for number in range(300):
            discord.send(discord.channel_ids[number % 16], "!rare", user_id=discord.user_ids[0])
        wait_for(lambda: len(scene.contents()) >= before + 300, 30, lambda: logs(scene.fleet))
        answers = Counter(scene.contents()[before:])
        assert answers == {"rare: rare": 3, "error rare CommandOnCooldown": 297}
        answerers = {message.replica for message in discord.messages()[before:]}
        assert len(answerers) > 1, "over several replicas"
        scene.says(1, "!rare", "rare: rare")
        scene.says(0, "!again", "again: 0.0")
        scene.says(0, "!rare", "rare: rare")

    def test_a_slash_commands_cooldown_counts_over_all_replicas(self, scene: Scene) -> None:
        """300 tries at once: as many pass as in one process."""
        discord, user = scene.discord, scene.discord.user_ids[1]
        wait_for(lambda: bool(discord.commands()), 10, "the commands to be registered")
        before = len(discord.requests())
        tries = [
            discord.slash("seldom", channel_id=discord.channel_ids[number % 16], user_id=user)
            for number in range(300)
        ]
        answers = Counter(answer(discord, each)["content"] for each in tries)
        assert answers == {"seldom": 3, "wait True": 297}
        answerers = {each.replica for each in discord.requests()[before:] if "/callback" in each.path}
        assert len(answerers) > 1, "over several replicas"
        other = discord.slash("seldom", channel_id=scene.channel, user_id=discord.user_ids[2])
        assert answer(discord, other)["content"] == "seldom"

    def test_persistent_views_and_dynamic_items_of_commands(self, scene: Scene) -> None:
        discord, (owner, other, *_) = scene.discord, scene.discord.user_ids
        scene.says(0, "!poll", "tea?")
        press = discord.click("poll:tea", discord.messages()[-1].id, user_id=other)
        assert answer(discord, press)["content"] == "tea it is"
        scene.says(0, "!tally", "count!")
        message = discord.messages()[-1].id
        for count in range(2):
            press = discord.click(f"tally:{owner}:{count}", message, user_id=owner)
            answer(discord, press)
            (changed,) = [each for each in discord.requests() if f"/interactions/{press}/" in each.path]
            assert f"tally:{owner}:{count + 1}" in str(changed.body)
        discord.click(f"tally:{owner}:2", message, user_id=other)
        scene.says(0, "!hide", "shh")
        gone = lambda: any(each.method == "DELETE" for each in discord.requests())  # noqa: E731
        wait_for(gone, 10, "the message to be deleted")

    def test_max_concurrency_counts_over_all_replicas(self, scene: Scene) -> None:
        discord, before = scene.discord, len(scene.contents())
        for number in range(16):
            discord.send(discord.channel_ids[number], "!hold")
        refused = "error hold MaxConcurrencyReached"
        wait_for(lambda: scene.contents()[before:].count(refused) == 14, 20, lambda: logs(scene.fleet))
        discord.send(scene.channel, "go")
        wait_for(lambda: len(scene.contents()) >= before + 16, 20, lambda: logs(scene.fleet))
        assert Counter(scene.contents()[before:]) == {"hold: held": 2, refused: 14}
        scene.says(0, "!hold yes", "hold: held")  # its replica dies as it holds a place
        scene.says(0, "!hold yes", "hold: held")

    def test_a_command_whose_replica_dies_runs_again_and_says_it_once(self, scene: Scene) -> None:
        scene.says(0, "!fatal", "fatal: sent once", "fatal: attempt 2")

    def test_no_handler_failed(self, scene: Scene) -> None:
        assert "Traceback" not in whole_logs(scene.fleet)


def test_only_commands_are_claimed(
    local_discord: LocalDiscord, local_etcd: LocalEtcd, replicas: ReplicasFactory, discordha_namespace: str
) -> None:
    """And a prefix may come from a function that blocks."""
    fleet = replicas(BOTS / "own_prefixes.py", 2)
    fleet.wait_ready(60)
    channel = local_discord.channel_ids[0]

    def said() -> list[str]:
        return [message.content for message in local_discord.messages()]

    def ask(line: str, *answers: str) -> None:
        local_discord.send(channel, line)
        wait_for(lambda: tuple(said()[-len(answers) :]) == answers, 10, lambda: f"{answers}, not {said()}")

    for number in range(30):
        local_discord.send(channel, f"chatter {number}, for no one to answer!")
    ask("!ping", "pong !")
    ask("!change ??", "changed to ??")
    ask("??ping", "pong ??")
    local_discord.send(channel, "!ping")  # the old prefix
    local_discord.send(channel, "??add x")
    ask("??broken", "breaking")
    wait_for(lambda: "on_error command broken: ValueError" in whole_logs(fleet), 10, "on_error")
    assert "on_error command add: BadArgument" in whole_logs(fleet)
    assert said() == ["pong !", "changed to ??", "pong ??", "breaking"]
    posts = [
        each for each in local_discord.requests() if (each.method, each.path[-9:]) == ("POST", "/messages")
    ]
    assert [post.body["allowed_mentions"]["parse"] for post in posts] == [[]] * 4
    prefix = f"/discordha/v1/{discordha_namespace}/e/"
    wait_for(
        lambda: len(values(local_etcd, prefix)) == 6,
        10,
        lambda: f"6 claims, not {sorted(values(local_etcd, prefix))}",
    )
