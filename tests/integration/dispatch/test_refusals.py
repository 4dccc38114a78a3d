"""etcd refuses for 6 s under messages and reactions: nothing lost, nothing repeated, said once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from fleet import per_replica, whole_logs
from mixed import BOT, MixedLoad
from roles import follow

from discordha.operations.cli.checks import role
from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory

#: For how many seconds etcd refuses.
REFUSES = 6.0
PASSWORD = "least-privilege"
ENDS = "etcd refuses this replica no more"


@pytest.fixture
def secure() -> Iterator[LocalEtcd]:
    with LocalEtcd(auth=True) as etcd:
        yield etcd


def revoke_role(etcd: LocalEtcd, user: str) -> Callable[[], object]:
    """Takes the user's role; the way to give it back."""
    [name] = etcd.api.call(etcd.url(), "auth/user/get", {"name": user})["roles"]
    etcd.api.call(etcd.url(), "auth/user/revoke", {"name": user, "role": name})
    return lambda: etcd.api.call(etcd.url(), "auth/user/grant", {"user": user, "role": name})


def change_password(etcd: LocalEtcd, user: str) -> Callable[[], object]:
    """Gives the user another password; the way to give the old one back."""

    def change(password: str) -> None:
        etcd.api.call(etcd.url(), "auth/user/changepw", {"name": user, "password": password})

    change("another")
    return lambda: change(PASSWORD)


@pytest.mark.timeout(150)
@pytest.mark.parametrize("refuse", [revoke_role, change_password])
def test_a_refusal_under_load_loses_and_repeats_nothing(
    secure: LocalEtcd,
    replicas: ReplicasFactory,
    local_discord: LocalDiscord,
    namespace: str,
    refuse: Callable[[LocalEtcd, str], Callable[[], object]],
) -> None:
    user = follow(secure, role(namespace), PASSWORD)
    fleet = replicas(
        BOT,
        3,
        etcd=secure,
        discord=None,
        env={"DISCORDHA_ETCD_USER": user, "DISCORDHA_ETCD_PASSWORD": PASSWORD},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    load = MixedLoad(local_discord, messages=20, reactions=10)
    load.wait_answers(60)
    grant = refuse(secure, user)
    before = secure.revision()
    time.sleep(REFUSES)
    written = secure.revision() - before
    grant()
    ended = time.monotonic()
    load.wait_answers(60)
    outcomes = load.stop(30)
    wait_for(lambda: whole_logs(fleet).count(ENDS) >= len(fleet), 10, "the end of the refusal in each log")
    for kind, outcome in outcomes.items():
        assert outcome.ok, (kind, outcome.lost, outcome.repeated)
    late = [latency for outcome in outcomes.values() for latency in outcome.between(ended + 2, ended + 99)]
    assert max(late, default=0.0) < 2.0
    assert written < 100 * REFUSES
    log = whole_logs(fleet)
    assert log.count("is not ready: etcd refuses this replica") >= len(fleet)
    assert 1 <= log.count("refusals: etcd refuses this replica:") <= 2 * len(fleet)
    assert log.count("refusals: etcd refuses this replica:") == log.count(ENDS)
