"""A community's bot: welcomes, reaction roles, moderation, answers, polls, suggestions, a status.

Give the guild a system channel and the roles ``member``, ``artist`` and ``gamer``. Moderators (with the right
to manage messages) type ``!roles``, ``!warn @user reason``, ``!forgive @user``; everybody may type ``!help``
and use ``/faq``, ``/poll`` and ``/suggest``.

BOT_TOKEN=... DISCORDHA_ETCD_ENDPOINTS=127.0.0.1:2379 python examples/community.py
"""

import logging
import os
from datetime import timedelta

import discordha
from discordha import app_commands
from discordha import views as discord

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

ROLES = {"\N{ARTIST PALETTE}": "artist", "\N{VIDEO GAME}": "gamer"}  # emoji -> role
FAQ = {
    "rules": "Be kind, and stay on topic.",
    "roles": "React to the message with the roles.",
    "redeploy": "The bot has three replicas: nobody notices.",
}
WARNINGS = 3  # after so many, a member is silenced
SILENCE = timedelta(minutes=10)
STATUS_EVERY = float(os.environ.get("STATUS_EVERY", "60"))  # seconds

ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())

# State of all replicas. A handler runs again on another replica if its own dies. So each write has a key of
# its own, under which a second write changes nothing.
warnings = ha.cache("warnings", ttl=30 * 86400.0)  # guild/user/message -> its number among the user's
role_messages = ha.cache("role messages", local=True)  # message -> channel; read for each reaction
votes = ha.cache("votes", ttl=7 * 86400.0)  # poll/user -> choice
totals = ha.cache("totals")  # guild/what -> count; for the status, which may be off by one


# -- members -------------------------------------------------------------------------------------------------


@ha.event
def on_member_join(member: discord.Member) -> None:
    role = discord.utils.get(member.guild.roles, name="member")
    if role is not None:
        member.add_roles(role, reason="welcome")
    if member.guild.system_channel is not None:
        member.guild.system_channel.send(f"Welcome, {member.mention}! `!help` says what I can do.")
    totals.increment(f"{member.guild.id}/welcomed")


def reacted_role(payload: discord.RawReactionActionEvent) -> tuple[discord.Member, discord.Role] | None:
    """The member who reacted and the role of the emoji; ``None`` if the emoji has none."""
    name = ROLES.get(str(payload.emoji))
    guild = ha.get_guild(payload.guild_id or 0)
    if name is None or guild is None or payload.message_id not in role_messages:
        return None
    member = guild.get_member(payload.user_id) or guild.fetch_member(payload.user_id)
    role = discord.utils.get(guild.roles, name=name)
    return None if member.bot or role is None else (member, role)


@ha.event
def on_raw_reaction_add(payload: discord.RawReactionActionEvent) -> None:
    if found := reacted_role(payload):
        member, role = found
        member.add_roles(role, reason="reaction")


@ha.event
def on_raw_reaction_remove(payload: discord.RawReactionActionEvent) -> None:
    if found := reacted_role(payload):
        member, role = found
        member.remove_roles(role, reason="reaction")


@ha.event
def on_gap(gap: discordha.Gap) -> None:
    """Discord keeps no reactions of a time without any replica, but who has reacted by now: that decides."""
    for message_id, channel_id in role_messages.items():
        channel = ha.get_channel(channel_id)
        if not isinstance(channel, discord.TextChannel):
            continue
        for reaction in channel.fetch_message(int(message_id)).reactions:
            role = discord.utils.get(channel.guild.roles, name=ROLES.get(str(reaction.emoji), ""))
            if role is None:
                continue
            reacted = {user.id for user in reaction.users()}
            for member in channel.guild.members:
                if member.bot or (member.id in reacted) is (role in member.roles):
                    continue
                if member.id in reacted:
                    member.add_roles(role, reason=f"reaction, since {gap.since:%H:%M}")
                else:
                    member.remove_roles(role, reason=f"reaction, since {gap.since:%H:%M}")


# -- prefix commands -----------------------------------------------------------------------------------------


def is_command(message: discord.Message) -> bool:
    return message.content.startswith("!") and message.guild is not None and not message.author.bot


@ha.listen("message", where=is_command)  # runs before any claim, so that other messages cost nothing
def on_command(message: discord.Message) -> None:
    name, _, rest = message.content[1:].partition(" ")
    author = message.author
    assert isinstance(author, discord.Member)
    is_moderator = message.channel.permissions_for(author).manage_messages
    if name == "help":
        message.reply(
            "`/faq`, `/poll`, `/suggest`" + (", `!roles`, `!warn`, `!forgive`" if is_moderator else "")
        )
    elif name in ("roles", "warn", "forgive") and not is_moderator:
        message.reply("That is for moderators.")
    elif name == "roles":
        offer_roles(message)
    elif name == "warn" and message.mentions:
        reason = rest.partition(">")[2].strip() or "no reason given"
        warn(message, message.mentions[0], reason)
    elif name == "forgive" and message.mentions:
        forgive(message, message.mentions[0])


def offer_roles(message: discord.Message) -> None:
    lines = [f"{emoji} {role}" for emoji, role in ROLES.items()]
    offer = message.channel.send("React for a role:\n" + "\n".join(lines))
    role_messages.set(offer.id, offer.channel.id)
    for emoji in ROLES:
        offer.add_reaction(emoji)


def warn(message: discord.Message, user: discord.User | discord.Member, reason: str) -> None:
    assert message.guild is not None
    key = f"{message.guild.id}/{user.id}/"
    with ha.lock(f"warnings {key}", timeout=10.0):  # so that no two replicas give the same number
        count = warnings.get_or_set(f"{key}{message.id}", lambda: len(warnings.items(key)) + 1)
    message.channel.send(f"{user.mention}: {reason} (warning {count} of {WARNINGS})")
    if count >= WARNINGS and isinstance(user, discord.Member):
        user.timeout(SILENCE, reason=f"{count} warnings")


def forgive(message: discord.Message, user: discord.User | discord.Member) -> None:
    assert message.guild is not None
    for key, _ in warnings.items(f"{message.guild.id}/{user.id}/"):
        warnings.delete(key)
    message.channel.send(f"{user.mention}: all is forgiven")


# -- slash commands, buttons, modals -------------------------------------------------------------------------


@ha.command(description="Answers a frequent question")
@app_commands.describe(topic="what about", public="whether all see the answer")
def faq(interaction: discord.Interaction, topic: str, public: bool = False) -> None:
    answer = FAQ.get(topic, f"I know nothing about {topic}.")
    interaction.response.send_message(answer, ephemeral=not public)


@faq.autocomplete("topic")
def complete_topic(interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
    return [app_commands.Choice(name=each, value=each) for each in FAQ if current.lower() in each]


@ha.command(description="Asks everybody")
def poll(interaction: discord.Interaction, question: str) -> None:
    view = discord.ui.View(timeout=None)
    for choice in ("yes", "no"):
        view.add_item(discord.ui.Button(label=choice, custom_id=f"vote:{interaction.id}:{choice}"))
    interaction.response.send_message(f"{question}\nyes 0, no 0", view=view)


@ha.component("vote:{poll}:{choice}")  # on the replica that claims the click
def on_vote(interaction: discord.Interaction, poll: str, choice: str) -> None:
    assert interaction.message is not None
    with ha.lock(f"poll {poll}", timeout=10.0):  # so that the last edit shows the last count
        votes.set(f"{poll}/{interaction.user.id}", choice)
        cast = [vote for _, vote in votes.items(f"{poll}/")]
        question = interaction.message.content.splitlines()[0]
        interaction.response.edit_message(
            content=f"{question}\nyes {cast.count('yes')}, no {cast.count('no')}"
        )


@ha.command(description="Suggests something to the moderators")
def suggest(interaction: discord.Interaction) -> None:
    modal = discord.ui.Modal(title="Your suggestion", custom_id="suggestion")
    modal.add_item(discord.ui.TextInput(label="What?", custom_id="what", max_length=100))
    modal.add_item(discord.ui.TextInput(label="Why?", custom_id="why", style=discord.TextStyle.long))
    interaction.response.send_modal(modal)


@ha.component("suggestion")
def on_suggestion(interaction: discord.Interaction, values: dict[str, str]) -> None:
    embed = discord.Embed(title=values["what"], description=values["why"])
    embed.set_author(name=interaction.user.display_name)
    interaction.response.send_message("Thank you for your suggestion!", embed=embed)


# -- the status ----------------------------------------------------------------------------------------------


@ha.loop(seconds=STATUS_EVERY)  # on the leader only
def update_status() -> None:
    for guild in ha.guilds:
        channel = guild.system_channel
        if channel is None:
            continue
        text = (
            f"**{guild.name}**: {guild.member_count} members, "
            f"{totals.get(f'{guild.id}/welcomed', 0)} welcomed, "
            f"{len(warnings.items(f'{guild.id}/'))} warnings. At your service: {len(ha.replicas())} replicas."
        )
        mine = [pin for pin in channel.pins() if pin.author == guild.me and pin.content.startswith("**")]
        if not mine:
            channel.send(text).pin()
        elif mine[0].content != text:
            mine[0].edit(content=text)


if __name__ == "__main__":
    ha.run()
