"""Faults between the steps of an event: before its claim commits, after it, inside the handler, between
handler and mark; each with kill -9, a pause past the TTL, an etcd link and a gateway link that swallow
everything. Whatever happens to the replica that was about to, the message is answered once.

One fleet takes all faults of a step at once: a victim for each fault, and one replica that is spared.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fleet import BOTS, logs, members, per_replica, verdict, wait_members

from discordha.coordination.membership.placement import order
from discordha.testing import FaultProxy, LocalDiscord, LocalEtcd, Replica, Replicas, WaitTimeout, wait_for
from discordha.testing.plugin import ReplicasFactory

TTL = 5.0
STEPS = ("before_claim", "after_claim", "in_handler", "before_mark")
FAULTS = ("kill", "pause", "etcd", "gateway")
KILL, PAUSE, ETCD, GATEWAY = range(4)
LOADED = 20  # channels of the steady load; the victims' messages have channels of their own


class Rig:
    """The fleet, the links of two of its replicas, and the switches in all of them."""

    def __init__(
        self,
        discord: LocalDiscord,
        fleet: Replicas,
        steps: Path,
        etcd_link: FaultProxy,
        gateway_link: FaultProxy,
    ) -> None:
        self.discord = discord
        self.fleet = fleet
        self.steps = steps
        self.etcd_link = etcd_link
        self.gateway_link = gateway_link
        self.messages: dict[int, str] = {}  # what each victim stops at
        self._free = discord.channel_ids[LOADED:]

    @property
    def victims(self) -> list[Replica]:
        return list(self.fleet)[: len(FAULTS)]

    def stop_at(self, step: str) -> None:
        """Has each victim stop at the step of a message of its own.

        A message goes to the replica that all prefer for its channel. For a moment after a replica became
        ready its peers may prefer another; then it is asked again with another message. What counts is the
        one that it has stopped at.
        """
        for file in self.steps.iterdir():
            file.unlink()
        self.messages.clear()
        for number in range(5):
            for victim in self._waiting(step):
                self.discord.send(self._channel(victim), f"!stop {step} r{victim.index} {number}")
            with contextlib.suppress(WaitTimeout):
                wait_for(lambda: not self._waiting(step), 1.0, "the steps", interval=0.01)
            if not self._waiting(step):
                return
        raise AssertionError(f"{self._waiting(step)} did not come to {step}:\n{logs(self.fleet)}")

    def _waiting(self, step: str) -> list[Replica]:
        """The victims that have not stopped at the step; notes at which message the others have."""
        for victim in self.victims:
            for file in self.steps.glob(f"r{victim.index}.{step}.*.at"):
                number = file.name.split(".")[2]
                self.messages.setdefault(victim.index, f"{step} r{victim.index} {number}")
        return [victim for victim in self.victims if victim.index not in self.messages]

    def _channel(self, replica: Replica) -> int:
        """A channel that is not used yet and prefers the replica."""
        live = [str(each.replica_id) for each in self.fleet]
        found = next(c for c in self._free if order(str(c), live)[0] == replica.replica_id)
        self._free.remove(found)
        return found

    def go(self, step: str, victim: int) -> None:
        (self.steps / f"r{victim}.{step}.go").touch()

    def break_all(self) -> None:
        self.fleet[KILL].kill()
        self.fleet[PAUSE].pause()
        self.etcd_link.black_hole()
        self.gateway_link.black_hole()

    def mend_all(self) -> None:
        self.fleet[PAUSE].resume()
        self.etcd_link.heal()
        self.gateway_link.heal()
        self.fleet[KILL].start()

    def answers(self, victim: int) -> list[tuple[str, float]]:
        """Who answered the victim's message, and when."""
        content = f"went on {self.messages[victim]}"
        return [(m.replica, m.at) for m in self.discord.messages() if m.content == content]

    def tries(self, victim: int) -> int:
        """How often somebody sent that answer; Discord takes a nonce that it knows for the same message."""
        content = f"went on {self.messages[victim]}"
        return sum((request.body or {}).get("content") == content for request in self.discord.requests())


@pytest.fixture
def rig(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, tmp_path: Path
) -> Iterator[Rig]:
    discord = local_discord
    discord.reset(channels=LOADED + 120)
    with ExitStack() as ends:
        etcd_link = ends.enter_context(FaultProxy.to(local_etcd.endpoints[0]))
        gateway_link = ends.enter_context(FaultProxy("127.0.0.1", discord.port))

        def environment(index: int) -> dict[str, str]:
            own = {**per_replica(discord)(index), "STEP_NAME": f"r{index}"}
            if index == ETCD:
                own["DISCORDHA_ETCD_ENDPOINTS"] = etcd_link.endpoint
            if index == GATEWAY:
                own["DISCORDHA_GATEWAY_URL"] = discord.gateway_url("r3", endpoint=gateway_link.endpoint)
            return own

        fleet = replicas(
            BOTS / "steps.py",
            len(FAULTS) + 1,
            discord=None,
            env={
                "DISCORDHA_SESSION_TTL": str(TTL),
                "DISCORDHA_DEAF_AFTER": "2",
                "DISCORDHA_ETCD_TIMEOUT": "2",
                "STEPS": str(tmp_path),
            },
            per_replica_env=environment,
        )
        fleet.wait_ready(90)
        yield Rig(discord, fleet, tmp_path, etcd_link, gateway_link)


def test_every_fault_at_every_step(rig: Rig, local_etcd: LocalEtcd, namespace: str) -> None:
    load = rig.discord.load(rate=40, channels=rig.discord.channel_ids[:LOADED])
    report = {step: _one_step(rig, step, local_etcd, namespace) for step in STEPS}
    print("seconds from the fault to the answer:")
    for step, times in report.items():
        print(f"  {step:13}", *(f"{fault} {times[fault]:5.2f}" for fault in FAULTS))
    result = verdict(rig.discord, load.stop())
    assert result.total.ok, result


def _one_step(rig: Rig, step: str, etcd: LocalEtcd, namespace: str) -> dict[str, float]:
    wait_members(etcd, namespace, len(rig.fleet))
    rig.stop_at(step)
    begun = time.monotonic()
    rig.break_all()
    rig.go(step, GATEWAY)
    rig.go(step, PAUSE)  # it finds this when it goes on
    at_once = step in ("before_claim", "before_mark")
    if at_once:
        rig.go(step, ETCD)  # what it writes is swallowed
    gone = [str(rig.fleet[victim].replica_id) for victim in (KILL, PAUSE, ETCD)]
    wait_for(
        lambda: not set(gone) & set(members(etcd, namespace)),
        TTL + 10,
        "the sessions of the cut off to end",
    )
    for victim in range(len(FAULTS)):
        wait_for(
            lambda victim=victim: rig.answers(victim),
            10,
            lambda victim=victim: f"an answer for {FAULTS[victim]} at {step}:\n{logs(rig.fleet)}",
        )
    if step == "before_mark":
        # The handler runs again elsewhere, and its message is known by its nonce.
        for victim in (KILL, PAUSE, ETCD):
            wait_for(lambda victim=victim: rig.tries(victim) == 2, 10, f"the second run for {FAULTS[victim]}")
    rig.go(step, ETCD)
    rig.mend_all()
    rig.fleet[KILL].wait_ready(30)
    wait_members(etcd, namespace, len(rig.fleet))
    times = {}
    for victim, fault in enumerate(FAULTS):
        answers = rig.answers(victim)
        assert len(answers) == 1, (fault, step, answers)
        who, at = answers[0]
        # A gateway link that breaks harms no event that is here already, and what was said before the mark
        # stays said. A peer whose grace is over may be first where the claim was not made yet.
        by_itself = step == "before_mark" or victim == GATEWAY
        if (step, victim) != ("before_claim", GATEWAY):
            assert (who == f"r{victim}") is by_itself, (fault, step, who)
        times[fault] = max(at - begun, 0.0)
        # etcd counts whole seconds, and the machine may be busy.
        assert times[fault] <= TTL + 1.0 + 3.0, (fault, step, times)
    return times
