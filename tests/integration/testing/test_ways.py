"""Which keys a role is denied that is denied one kind, and that it has them all again afterwards."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from roles import follow
from ways import WAYS, Access

from discordha.operations.cli.checks import role
from discordha.testing import LocalEtcd
from discordha.testing.etcd.api import EtcdApi, EtcdApiError

NAME, PASSWORD = "denied", "least-privilege"
ROOT = f"/discordha/v1/{NAME}/"


@pytest.fixture(scope="module")
def access() -> Iterator[Access]:
    with LocalEtcd(auth=True) as etcd:
        user = follow(etcd, role(NAME), PASSWORD)
        yield Access(etcd, NAME, user, PASSWORD, role=user)


def put(access: Access, key: str, value: str = "") -> None:
    body = {
        "key": base64.b64encode(key.encode()).decode(),
        "value": base64.b64encode(value.encode()).decode(),
    }
    access.call("kv/put", **body)


def refused(access: Access, keys: list[str]) -> list[str]:
    """Those of the keys that the user has no right to."""
    user = EtcdApi(None, (access.user, access.password))
    user.log_in()
    found = []
    for key in keys:
        try:
            user.call(access.etcd.url(), "kv/range", {"key": base64.b64encode(key.encode()).decode()})
        except EtcdApiError as error:
            assert "permission denied" in str(error)  # noqa: PT017 - the others are taken
            found.append(key)
    return found


@pytest.mark.parametrize("kind", ["j", "ja", "e"])
@pytest.mark.parametrize("partitions", [0, 16])
def test_one_kind_is_denied_in_every_partition(access: Access, kind: str, partitions: int) -> None:
    put(access, f"{ROOT}s/partitions", str(partitions))
    names = [f"~~{number:03x}/" for number in range(partitions)]
    kinds = ("a", "e", "j", "ja", "jc", "jq", "jr", "m")
    keys = {each: [f"{ROOT}{name}{each}/1" for name in ("", *names)] for each in kinds}
    every = [key for some in keys.values() for key in some]
    restore = WAYS[f"{kind}/ denied"](access)
    try:
        assert refused(access, every) == keys[kind]
    finally:
        restore()
    assert not refused(access, every)
