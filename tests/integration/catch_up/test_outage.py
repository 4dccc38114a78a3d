"""After an outage: what happened while no replica was connected is handled once, in order."""

from __future__ import annotations

import time

from fleet import EXAMPLES, answered, per_replica, verdict

from discordha.testing import LocalDiscord, wait_for
from discordha.testing.plugin import ReplicasFactory


def test_messages_of_an_outage_are_answered_once(replicas: ReplicasFactory, local_discord: LocalDiscord) ->
None:
    fleet = replicas(
        EXAMPLES / "ping.py",
        3,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": "2"},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    load = local_discord.load(rate=50)
    wait_for(lambda: local_discord.counters()["messages"] > 200, 60, "the middle of the run")
    for replica in fleet:
        replica.kill()
    time.sleep(5)
    for replica in fleet:
        replica.start()
    for replica in fleet:
        replica.wait_ready(30)
    wait_for(lambda: len(answered(local_discord)) > 600, 60, "more")
    sent = load.stop()
    result = verdict(local_discord, sent)
    order = {}
    where = {e.key: e for e in sent}
    for m in answered(local_discord):
        k = m.content.replace("pong", "!ping"); c = where[k].channel_id
        prev = order.get(c)
        if prev and int(prev[0].split()[1]) > int(k.split()[1]):
            print("OOO", c, prev, k, m.replica, m.at, "sent", where[k].at, where[prev[0]].at)
        else: order[c] = (k, m.replica, m.at)
    print(result.total)
    for replica in fleet:
        print("-----", [line for line in replica.log_text().splitlines() if "shard" in line or "ERROR" in
        line or "Trace" in line][-30:])
    assert result.total.lost == 0, result
    assert result.total.repeated == 0, result
    assert result.total.out_of_order == 0, result
