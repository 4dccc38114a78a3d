"""A connection that breaks under a request loses nothing that Discord carries out once anyway."""

from __future__ import annotations

from urllib.parse import urlsplit

from breaking_proxy import BREAKS, BreakingProxy
from fleet import BOTS, answer

from discordha.testing import LocalDiscord, wait_for
from discordha.testing.plugin import ReplicasFactory


def test_requests_are_sent_again_where_that_is_safe(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    api = urlsplit(local_discord.api_url("r0"))
    channel = local_discord.channel_ids[0]
    faults = {
        ("POST", f"/channels/{channel}/messages"): [*BREAKS, "reset"],
        ("GET", f"/channels/{channel}/messages/"): BREAKS,
        ("PUT", "/reactions/"): ["before", "after", "reset"],
        ("DELETE", f"/channels/{channel}/messages/"): BREAKS,
        ("POST", "/threads"): ["reset"],
        ("POST", "/callback"): BREAKS,
    }
    with BreakingProxy(f"{api.scheme}://{api.netloc}", faults) as proxy:
        fleet = replicas(
            BOTS / "calls_everything.py",
            1,
            discord=None,
            env={
                **local_discord.env("r0"),
                "DISCORDHA_HA": "false",
                "DISCORDHA_API_URL": api._replace(netloc=f"127.0.0.1:{proxy.port}").geturl(),
            },
        )
        fleet.wait_ready(60)
        wait_for(local_discord.commands, 20, "the command")
        asked = local_discord.send(channel, "!go")
        wait_for(
            lambda: "last" in [message.content for message in local_discord.messages()],
            20,
            lambda: f"the end of the handler, not {local_discord.messages()}",
        )
        said = [message.content for message in local_discord.messages()]
        assert said[:3] == ["first", "file", "reply"]
        assert said[3].startswith("raised "), said
        assert said[3:] == [said[3], "last"]
        interaction = local_discord.slash("go")
        assert answer(local_discord, interaction)["content"] == "answered"
        wait_for(lambda: not proxy.left, 10, lambda: f"all faults, not {proxy.left}")
        deleted = local_discord.messages()[0].id
        calls = [(r.method, r.path, r.status) for r in local_discord.requests()]
        assert [s for m, p, s in calls if m == "DELETE" and str(deleted) in p] == [204, 404, 404, 404]
        assert sum(m == "PUT" and f"/{asked}/reactions/" in p for m, p, _ in calls) == 3
        assert sum(m == "POST" and p.endswith("/threads") for m, p, _ in calls) == 1
