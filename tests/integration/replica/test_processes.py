"""Handlers that fork, and handlers that try to stop or run the bot."""

from __future__ import annotations

import os
import time

from fleet import BOTS, per_replica

from discordha.testing import LocalDiscord, wait_for
from discordha.testing.plugin import ReplicasFactory


def test_forked_children_end_and_handlers_do_not_stop_the_bot(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    """All with one replica: a child is forked on a handler's thread, beside all the library's own threads."""
    fleet = replicas(
        BOTS / "forks.py",
        1,
        discord=None,
        env={"DISCORDHA_DRAIN_TIMEOUT": "10"},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    replica = fleet[0]

    def ask(question: str, prefix: str) -> str:
        local_discord.send(local_discord.channel_ids[0], question)

        def answers() -> list[str]:
            return [m.content for m in local_discord.messages() if m.content.startswith(prefix)]

        wait_for(answers, 15, lambda: f"an answer to {question}:\n{replica.log_text()[-2000:]}")
        return answers()[-1]

    assert ask("!pool", "pool ") == "pool [9]"
    assert ask("!child", "child ") == "child -15"
    for name in ("stop", "run"):
        answer = ask(f"!wrong {name}", f"wrong {name}")
        assert f"{name}() was called by" in answer
        assert "os.kill(os.getpid(), signal.SIGTERM)" in answer
    assert "needs the main thread" in ask("!thread", "thread ")
    assert replica.alive
    daemon = int(ask("!daemon", "daemon ").split()[1])
    begun = time.monotonic()
    replica.drain()
    assert replica.wait_exit(20) == 0
    assert time.monotonic() - begun < 8
    assert not os.path.exists(f"/proc/{daemon}")
