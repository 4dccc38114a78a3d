"""Why a replica is not ready, and what it says of itself without etcd."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from discordha.coordination.membership.shard_keys import key_of
from discordha.replica.status import reasons


def view(**changes: Any) -> Any:
    """A replica that is ready, but for ``changes``."""
    parts: dict[str, Any] = {
        "readiness": SimpleNamespace(draining=False, was_ready=True),
        "coordination": SimpleNamespace(
            session=SimpleNamespace(current=object()),
            watch=SimpleNamespace(alive=True),
            store=SimpleNamespace(refusal=None),
        ),
        "gateway": SimpleNamespace(clients={0: client(ready=True)}),
        "hosting": None,
        "leaders": SimpleNamespace(in_doubt=lambda key: False),
        "identify": SimpleNamespace(reason=None),
        "is_deaf": lambda key: False,
    }
    return SimpleNamespace(**{**parts, **changes})


def client(*, ready: bool) -> Any:
    return SimpleNamespace(state=lambda: SimpleNamespace(ready=ready))


STARTING = SimpleNamespace(draining=False, was_ready=False)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"coordination": None, "leaders": None}, []),
        ({"readiness": SimpleNamespace(draining=True, was_ready=True)}, ["draining"]),
        (
            {
                "coordination": SimpleNamespace(
                    session=SimpleNamespace(current=None),
                    watch=SimpleNamespace(alive=False),
                    store=SimpleNamespace(refusal="its disk is full"),
                )
            },
            [
                "no session in etcd",
                "the watch on etcd is down",
                "etcd refuses this replica: its disk is full",
            ],
        ),
        ({"gateway": SimpleNamespace(clients={})}, ["not connected to Discord"]),
        (
            {"gateway": SimpleNamespace(clients={3: client(ready=False)})},
            ["shard 3 is not connected to Discord"],
        ),
        (
            {"is_deaf": lambda key: True},
            ["shard 0 is deaf: other replicas receive events, and it does not"],
        ),
        (
            {"readiness": STARTING, "leaders": SimpleNamespace(in_doubt=lambda key: True)},
            ["shard 0: waiting for the leader to confirm recent events"],
        ),
        ({"leaders": SimpleNamespace(in_doubt=lambda key: True)}, []),
        ({"identify": SimpleNamespace(reason="spent")}, []),
        (
            {"identify": SimpleNamespace(reason="spent"), "gateway": SimpleNamespace(clients={})},
            ["not connected to Discord", "no new session for now: spent"],
        ),
    ],
)
def test_each_reason(changes: dict[str, Any], expected: list[str]) -> None:
    assert reasons(view(**changes)) == expected


def test_a_shard_on_its_way_in_or_out_is_no_reason_but_a_missing_one_is() -> None:
    hosting = SimpleNamespace(was_ready=lambda key: key == key_of(1, 0), missing=[4], planned=False)
    clients = {key_of(1, 0): client(ready=False), key_of(1, 2): client(ready=False)}
    gateway = SimpleNamespace(clients=clients)
    assert reasons(view(hosting=hosting, gateway=gateway)) == ["shard 0 is not connected to Discord"]
    assert reasons(view(hosting=hosting, gateway=gateway, readiness=STARTING)) == [
        "shard 0 is not connected to Discord",
        "shard 4 is not connected to Discord",
        "the plan does not name this replica's shards yet",
    ]
