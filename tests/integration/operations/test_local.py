"""``discordha local``: a bot of one's own on a local Discord, by script and by prompt."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from fleet import EXAMPLES

BOT = """
import os, discord, discordha

ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())


@ha.command()
def order(interaction, what: str, cups: int = 1):
    \"\"\"Orders something.\"\"\"
    view = discord.ui.View()
    view.add_item(discord.ui.Button(label="really", custom_id=f"really:{what}"))
    interaction.response.send_message(f"{cups} x {what}?", view=view)


@ha.component("really:{what}")
def really(interaction, what):
    interaction.response.send_message(f"{what} is on its way", ephemeral=True)


class Wish(discord.ui.Modal, title="Your wish"):
    what = discord.ui.TextInput(label="What is it?")

    async def on_submit(self, interaction):
        await interaction.response.send_message(f"{self.what.value} is noted")


class Wishes(discord.ui.View):
    @discord.ui.button(label="Make a wish")
    async def make(self, interaction, button):
        await interaction.response.send_modal(Wish())


@ha.command()
def wish(interaction):
    \"\"\"Asks for a wish.\"\"\"
    interaction.response.send_message("Well?", view=Wishes())


@ha.tree.context_menu(name="Tell the name")
def tell_name(interaction, user: discord.User):
    interaction.response.send_message(f"they are {user.name}")


@ha.tree.context_menu(name="Count letters")
def count_letters(interaction, message: discord.Message):
    interaction.response.send_message(f"{len(message.content)} letters")


@ha.event
def on_message(message):
    if message.content == "die":
        os._exit(3)
    if not message.author.bot:
        where = "alone" if message.guild is None else message.channel.name
        message.channel.send(f"{message.author.name} said {message.content} in {where}")


@ha.event
def on_raw_reaction_add(payload):
    ha.get_channel(payload.channel_id).send(f"seen {payload.emoji}")


@ha.event
def on_raw_message_delete(payload):
    ha.get_channel(payload.channel_id).send("deleted")


ha.run()
"""


def local(*arguments: str | Path, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "discordha", "local", *map(str, arguments)]
    return subprocess.run(command, input=typed, capture_output=True, text=True, timeout=120, check=False)


def told(run: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines, with every replica that a hash chooses called the same."""
    return re.sub(r"bot \(r\d\)", "bot (r?)", run.stdout).splitlines()


def test_the_example_by_its_script() -> None:
    run = local(EXAMPLES / "cogs" / "bot.py", "--script", EXAMPLES / "cogs" / "session.txt")
    assert run.returncode == 0, run.stdout + run.stderr
    lines = told(run)
    for line in (
        "user0 #channel0> !tag set hello Hello, world",
        "[channel0] bot (r?): tag hello is set",
        "r0 is killed",
        "[channel0] bot (r?): Hello, world",
        "[channel1] bot (r?): a number from 1 to 2?",
        "r0: has ended",
    ):
        assert lines.count(line) == 1, run.stdout
    assert run.stderr == ""


def test_a_users_own_bot(tmp_path: Path) -> None:
    bot, script = tmp_path / "bot.py", tmp_path / "session.txt"
    bot.write_text(BOT)
    script.write_text(
        "/order what='green tea' cups=2\n"
        "press 'really:green tea'\n"
        "expect on its way\n"
        "/wish\n"
        "press 'Make a wish'\n"
        "expect with the modal 'Your wish'\n"
        "submit 'Your wish' 'What is it?=more tea'\n"
        "expect more tea is noted\n"
        "menu 'Tell the name' @user3\n"
        "expect they are user3\n"
        "say wait, what\n"
        "menu 'Count letters'\n"
        "expect letters\n"
        "expect user0 said wait, what in channel0\n"
        "react \N{THUMBS UP SIGN}\n"
        "expect seen \N{THUMBS UP SIGN}\n"
        "delete\n"
        "expect deleted\n"
        "as user1\n"
        "dm psst\n"
        "expect user1 said psst in alone\n"
        "/nothing\n"
    )
    run = local(bot, "--replicas", 1, "--script", script)
    assert run.returncode == 1
    lines = told(run)
    assert "[channel0] bot (r?) answers /order: 2 x green tea? [really (really:green tea)]" in lines, (
        run.stdout
    )
    answer = "[channel0] bot (r?) answers really:green tea (only you see it): green tea is on its way"
    assert answer in lines, run.stdout
    assert f"{script}:22: the bot has no command /nothing; its commands: /order, /wish" in lines, run.stdout


def test_typed_lines_and_a_replica_that_dies(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(BOT)
    run = local(bot, "--replicas", 1, typed="hello\nexpect said hello\nkill r7\nkill\ndie\nwait 1\nquit\n")
    assert run.returncode == 1
    assert "user0 said hello in channel0" in run.stdout
    assert "there is no replica 'r7'; there are r0" in run.stdout
    assert "write `kill REPLICA`" in run.stdout
    assert re.search(r"r0 (has ended by itself, with|ended with) status 3; its log ends:", run.stdout)


def test_what_cannot_begin_says_why(tmp_path: Path) -> None:
    run = local(tmp_path / "bot.py")
    assert (run.returncode, run.stdout) == (2, "")
    assert "bot.py' does not exist" in run.stderr
    bot = tmp_path / "bot.py"
    bot.write_text("raise SystemExit('no database')")
    script = tmp_path / "session.txt"
    script.write_text("kill\n")
    run = local(bot, "--script", script)
    assert (run.returncode, run.stdout) == (1, "")
    assert "session.txt:1: write `kill REPLICA`" in run.stderr
    run = local(bot, "--replicas", 1)
    assert run.returncode == 1
    assert "r0 ended with status 1; its log ends:\nno database\n" in run.stderr
    assert "discordha.DiscordHA.from_env(...)" in run.stderr
